//! What the commands that only look have in common: the config, the database, the people.
//!
//! Guards: nothing is written and no daemon is needed. Deliberately not here: what is looked at.

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

/// What such a command works with.
pub(super) struct Reading {
    /// The config.
    pub(super) config: Config,
    /// What somebody should know about it, a line each.
    pub(super) warnings: Vec<String>,
    /// The database.
    pub(super) history: History,
    /// Its outbox.
    pub(super) ledger: OutboxReader,
    /// The way to print.
    pub(super) printer: Printer,
    /// The present.
    pub(super) now: Timestamp,
}

impl Reading {
    /// The one person meant.
    pub(super) async fn person(&self, who: &str) -> anyhow::Result<Person> {
        Ok(self.history.find(who).await?.map_err(|error| unfound(&error))?)
    }
}

/// Opens what the config names, and looks.
pub(super) fn read(
    globals: &Globals,
    look: impl AsyncFnOnce(&Reading) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    let (Loaded { config, warnings, sources }, refused) = load_readable(globals)?;
    let mut warnings: Vec<String> = warnings.iter().map(|warning| one_line(warning, &sources)).collect();
    let printer = Printer::new(globals, config.time_zone);
    if refused.is_some() {
        warnings.insert(0, "the file is refused as it is now: `presenced check` shows why".to_owned());
        printer.remark("The config file is refused as it is now (`presenced check` shows why); this is what could be read.");
    }
    block_on(async {
        let store = Store::open_readonly(&config.history.path).await?;
        let (history, ledger) = (store.history(), store.outbox_reader());
        let reading = Reading { config, warnings, history, ledger, printer, now: SystemClock.now() };
        let ended = look(&reading).await;
        store.close().await;
        ended
    })?
}

/// `config.toml:7: a secret stands in the config as plain text`
fn one_line(problem: &Problem, sources: &Sources) -> String {
    match problem.place.as_ref().and_then(|place| sources.position(place)) {
        Some(position) => format!("{}:{}: {}", position.file, position.line, problem.message),
        None => problem.message.clone(),
    }
}

/// Runs a command, or the daemon, on a runtime of one thread. That is enough: SQLite has a thread of its own, a poll is a
/// few microseconds of work between waits, and handing it from one thread to another costs more than doing it.
///
/// Ends without waiting for blocking calls: looking up a name can hang for minutes in the system's resolver, and cannot be
/// interrupted. Nothing that must be finished runs as such a call.
pub(super) fn block_on<F: Future>(future: F) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}

/// Nobody found is "nothing matched"; several are a command line that does not say enough.
pub(super) fn unfound(error: &WhoError) -> Failure {
    match error {
        WhoError::NotFound { .. } => {
            let text = format!("{error}\n`presenced now --all` lists everybody who is watched");
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
