//! What read-only commands share: the config, the database, finding a user.
//!
//! Guards: writes nothing and needs no daemon. Not here: what is read.

use super::globals::load_readable;
use super::output::Printer;
use super::{Exit, Failure, Globals};
use crate::clock::{Clock, SystemClock};
use crate::config::problem::{Problem, Sources};
use crate::config::{Config, Loaded};
use crate::store::Store;
use crate::store::history::{History, Person, WhoError};
use crate::store::outbox::OutboxReader;
use crate::time::Timestamp;

/// What a read-only command works with.
pub(super) struct Session {
    /// The config.
    pub(super) config: Config,
    /// Warnings about the config, one line each.
    pub(super) warnings: Vec<String>,
    /// The database.
    pub(super) history: History,
    /// The outbox in the database.
    pub(super) ledger: OutboxReader,
    /// Prints the answer.
    pub(super) printer: Printer,
    /// The time at the start of the command.
    pub(super) now: Timestamp,
}

impl Session {
    /// The one user whose name or unionId matches.
    pub(super) async fn person(&self, who: &str) -> anyhow::Result<Person> {
        Ok(self.history.find(who).await?.map_err(|error| unfound(&error))?)
    }
}

/// Opens the database of the config read-only and runs a command on it.
pub(super) fn open_readonly(
    globals: &Globals,
    command: impl AsyncFnOnce(&Session) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let (Loaded { config, warnings, sources }, refused) = load_readable(globals)?;
    let mut warnings: Vec<String> = warnings.iter().map(|warning| one_line(warning, &sources)).collect();
    let printer = Printer::new(globals, config.time_zone);
    if refused.is_some() {
        warnings.insert(0, "the config file is invalid now; `presenced check` shows why".to_owned());
        printer.remark(
            "The config file is invalid now (`presenced check` shows why); using what could be read.",
        );
    }
    block_on(async {
        let store = Store::open_readonly(&config.history.path).await?;
        let (history, ledger) = (store.history(), store.outbox_reader());
        let session = Session { config, warnings, history, ledger, printer, now: SystemClock.now() };
        let ended = command(&session).await;
        store.close().await;
        ended
    })?
}

/// A warning with its place: `config.toml:7: the secret is plain text in the config`.
fn one_line(problem: &Problem, sources: &Sources) -> String {
    match problem.place.as_ref().and_then(|place| sources.position(place)) {
        Some(position) => format!("{}:{}: {}", position.file, position.line, problem.message),
        None => problem.message.clone(),
    }
}

/// Runs a command, or the daemon, on a runtime with one thread. One thread is enough: SQLite has its own thread, a poll is
/// a few microseconds of work between waits, and moving it to another thread costs more than the work.
///
/// Returns without waiting for blocking calls: the resolver of the system can hang for minutes on a name and cannot be
/// interrupted. Nothing that must finish runs as a blocking call.
pub(super) fn block_on<F: Future>(future: F) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}

/// No match ends with "nothing matched"; several matches are a wrong command line.
pub(super) fn unfound(error: &WhoError) -> Failure {
    match error {
        WhoError::NotFound { .. } => {
            let text = format!("{error}\n`presenced now --all` lists all watched users");
            Failure::new(Exit::Nothing, text)
        }
        WhoError::Several { .. } | WhoError::Partial { .. } => Failure::new(Exit::Usage, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_name_server_that_never_answers_does_not_keep_the_process_alive() {
        let (answer, never) = mpsc::channel::<()>();
        let (ended, done) = mpsc::channel();
        std::thread::spawn(move || {
            let patience = Duration::from_millis(1);
            let lookup = async {
                let hangs = tokio::task::spawn_blocking(move || never.recv());
                tokio::time::timeout(patience, hangs).await.is_ok()
            };
            ended.send(block_on(lookup).unwrap()).unwrap();
        });
        let looked_up = done.recv_timeout(Duration::from_secs(30)).expect("the end does not wait");
        assert!(!looked_up);
        drop(answer);
    }
}
