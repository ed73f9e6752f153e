//! `presenced now --watch`: prints who is in a meeting whenever it changes.
//!
//! Guards: prints only when something changed or a minute passed; a database that cannot be read for a moment does not
//! end it; Ctrl-C and a closed pipe end it without an error. Not here: one answer (`super`).

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::time::Duration;

use super::rows::{COLUMNS, empty_text, row, summary};
use crate::cli::Exit;
use crate::cli::open_readonly::Session;
use crate::cli::output::Row;
use crate::clock::{Clock as _, SystemClock};
use crate::store::history::{Counts, Filter, MAX_ROWS, UserPresence};
use crate::store::{Store, StoreError};
use crate::time::Timestamp;

/// Interval of reading the database; one read takes about a millisecond.
const EVERY: Duration = Duration::from_secs(1);
/// Clears the screen and goes to its beginning.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Prints until Ctrl-C.
pub(super) async fn watch(session: &Session, filter: &Filter, all: bool) -> anyhow::Result<Exit> {
    let clears = session.printer.is_table() && std::io::stdout().is_terminal();
    let (mut shown, mut silent) = (None, false);
    let ended = tokio::signal::ctrl_c();
    tokio::pin!(ended);
    loop {
        let now = SystemClock.now();
        match read(session, filter, all).await {
            Ok((states, counts)) => {
                silent = false;
                let key = key(&states, now);
                if shown.as_ref() != Some(&key) {
                    shown = Some(key);
                    let text = text(session, &states, counts, now);
                    if !write(if clears { CLEAR } else { "" }, &text)? {
                        return Ok(Exit::Done);
                    }
                }
            }
            // The daemon is starting, stopping or being upgraded: reported once.
            Err(error) if !silent => {
                silent = true;
                session.printer.remark(&format!("The database cannot be read now ({error}); waiting."));
            }
            Err(_) => {}
        }
        tokio::select! {
            // An error means that signals are not available; then the default action ends the process.
            _ = &mut ended => return Ok(Exit::Done),
            () = SystemClock.sleep_until(now.plus(EVERY)) => {}
        }
    }
}

/// The database is opened each time, because how it must be opened depends on whether a daemon runs.
async fn read(
    session: &Session,
    filter: &Filter,
    all: bool,
) -> Result<(Vec<UserPresence>, Counts), StoreError> {
    let store = Store::open_readonly(&session.config.history.path).await?;
    let history = store.history();
    let states = history.now(filter, all, MAX_ROWS).await;
    let counts = history.counts(filter).await;
    store.close().await;
    Ok((states?, counts?))
}

/// What must differ to be printed again: everything but the times of polls, and the minute.
fn key(states: &[UserPresence], now: Timestamp) -> (Vec<UserPresence>, i64) {
    let bare = |state: &UserPresence| UserPresence { last_ok: None, next_poll: None, ..state.clone() };
    (states.iter().map(bare).collect(), now.as_ms() / 60_000)
}

fn text(session: &Session, states: &[UserPresence], counts: Counts, now: Timestamp) -> String {
    let rows: Vec<Row> = states.iter().map(|state| row(state, now)).collect();
    let table = session.printer.render(COLUMNS, &rows);
    if !session.printer.is_table() {
        return table;
    }
    let below = if states.is_empty() { empty_text(counts, now) } else { summary(counts, now) };
    format!("{table}{} {below}\n", session.printer.local(now))
}

/// `false`: the reader has closed the pipe.
fn write(before: &str, text: &str) -> std::io::Result<bool> {
    let mut out = anstream::stdout().lock();
    let written = out.write_all(before.as_bytes()).and_then(|()| out.write_all(text.as_bytes()));
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        other => other.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn state(last_ok: i64, presence: &str) -> UserPresence {
        UserPresence {
            person_id: 1,
            org: "default".into(),
            union_id: "u1".into(),
            name: "Li".into(),
            presence: presence.into(),
            groups: Vec::new(),
            watched: true,
            last_ok: Some(Timestamp::from_ms(last_ok)),
            next_poll: None,
            meeting: None,
        }
    }

    #[test]
    fn a_poll_that_changes_nothing_draws_nothing_within_a_minute() {
        let at = Timestamp::from_ms(1_800_000_000_000);
        let seen = key(&[state(1, "outside")], at);
        assert_eq!(key(&[state(2, "outside")], at.plus(Duration::from_secs(59))), seen);
        assert_ne!(key(&[state(2, "inside")], at), seen);
        assert_ne!(key(&[state(1, "outside")], at.plus(Duration::from_mins(1))), seen);
    }
}
