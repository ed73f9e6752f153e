//! Requests of commands to the running daemon.
//!
//! Guards: a request that fails has the same text and exit code in every command. Not here: the requests.

use std::path::{Path, PathBuf};

use super::{Exit, Failure};
use crate::control::{Advice, ControlError, Request, Response, ask, ask_places};

/// The answer of the daemon that runs with one of these config files. No daemon and a refusal are failures.
pub(super) async fn ask_running(config_files: &[PathBuf], request: &Request) -> Result<Response, Failure> {
    let places: Vec<_> = config_files.iter().flat_map(|file| ask_places(file)).collect();
    accepted(ask(&places, request).await)
}

/// Same as [`ask_running`], but `None` if no daemon runs.
pub(super) async fn ask_daemon(config_file: &Path, request: &Request) -> Result<Option<Response>, Failure> {
    match ask(&ask_places(config_file), request).await {
        Err(ControlError::Unreachable { .. }) => Ok(None),
        answer => accepted(answer).map(Some),
    }
}

/// The daemon sent the answer to another request.
pub(super) fn unexpected() -> Failure {
    Failure::new(Exit::Failed, "the daemon sent an unexpected answer; is it of another version?")
}

/// The exit code for a failure.
pub(super) fn exit(advice: Advice) -> Exit {
    match advice {
        Advice::TryLater => Exit::TryLater,
        Advice::Refused => Exit::Refused,
        Advice::Unreachable => Exit::Unreachable,
        Advice::Misconfigured => Exit::Config,
        Advice::Nothing => Exit::Nothing,
        Advice::Usage => Exit::Usage,
        Advice::Failed => Exit::Failed,
    }
}

fn accepted(answer: Result<Response, ControlError>) -> Result<Response, Failure> {
    let error = match answer {
        Ok(Response::Refused { advice, message }) => {
            // The problems of a refused config, each with its own `error:`.
            let complete = message.starts_with("error: ");
            return Err(Failure { exit: exit(advice), message, complete });
        }
        Ok(response) => return Ok(response),
        Err(error) => error,
    };
    let exit = match error {
        ControlError::Unreachable { .. } | ControlError::Denied { .. } => Exit::Unreachable,
        ControlError::Slow => Exit::TryLater,
        ControlError::Garbled(_) => Exit::Failed,
    };
    Err(Failure::new(exit, error.to_string()))
}
