//! What read-only commands share: the config, the database, finding a user.
//!
//! Guards: writes nothing and needs no daemon. Not here: what is read.

use super::output::Printer;
use super::readable::load_readable;
pub(super) use super::runtime::block_on;
use super::{Exit, Failure, Globals, when};
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
        let now = globals.now.unwrap_or_else(|| SystemClock.now());
        let printer = Printer { today: Some(when::today(now, printer.time_zone)), ..printer };
        let session = Session { config, warnings, history, ledger, printer, now };
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
