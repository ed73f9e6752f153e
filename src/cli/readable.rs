//! The config of a command that the running daemon or the database answers: what is in the file, as far as it can be read.
//!
//! Guards: a file that is invalid or gone does not matter while the daemon runs, which says where its database is. Not
//! here: commands that need a valid config (`globals`).

use std::path::PathBuf;

use super::globals::Globals;
use super::runtime::block_on;
use super::{Exit, Failure};
use crate::config::problem::Sources;
use crate::config::{self, Config, Loaded};
use crate::control::{Request, Response, ask, ask_places};

/// Loads the config. If it is invalid, returns what could be read of it, and the failure for whatever needs a valid config.
pub(super) fn load_readable(globals: &Globals) -> anyhow::Result<(Loaded, Option<Failure>)> {
    let refused = match config::locate(globals.config.as_deref()) {
        Err(error) => {
            let failure = Failure::new(Exit::Config, error.to_string());
            (failure, None, Vec::new(), Sources::default())
        }
        Ok(path) => match config::load(&path) {
            Ok(loaded) => return Ok((loaded, None)),
            Err(refused) => {
                let failure = Failure { exit: Exit::Config, message: refused.to_string(), complete: true };
                (failure, refused.salvaged, refused.problems, refused.sources)
            }
        },
    };
    let (failure, salvaged, warnings, sources) = refused;
    let config = match of_running_daemon(globals, salvaged.as_deref())? {
        Some(config) => Some(config),
        // If the path of the database is the problem, there is no database to read.
        None => salvaged.map(|config| *config).filter(|config| config.history.path.exists()),
    };
    match config {
        Some(config) => Ok((Loaded { config, warnings, sources }, Some(failure))),
        None => Err(failure.into()),
    }
}

/// The files that may be the config, as the daemon names its own: the path of the control socket follows from it.
pub(super) fn config_files(globals: &Globals) -> Vec<PathBuf> {
    match config::locate(globals.config.as_deref()) {
        Ok(path) => vec![config::canonical(&path)],
        Err(_) => config::DEFAULT_PATHS.map(|path| config::canonical(path.as_ref())).to_vec(),
    }
}

/// What is known of the config, with the database and the time zone of the daemon that runs with it.
fn of_running_daemon(globals: &Globals, known: Option<&Config>) -> anyhow::Result<Option<Config>> {
    for file in config_files(globals) {
        let answer = block_on(ask(&ask_places(&file), &Request::Ping))?;
        let Ok(Response::Pong { database: Some(database), time_zone, .. }) = answer else { continue };
        let mut config = known.cloned().unwrap_or_else(|| config::empty(&file));
        config.history.path = database;
        if let Some(zone) = time_zone.and_then(|zone| config::time_zone(&zone).ok()) {
            config.time_zone = zone;
        }
        return Ok(Some(config));
    }
    Ok(None)
}
