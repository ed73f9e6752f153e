//! What `presenced run` says on a terminal: where it listens, which organisations and people it watches, and each event.
//!
//! Guards: only a terminal gets these lines, so that logs elsewhere name no user; a database that cannot be read now is
//! reported by the daemon, not here. Not here: the format of a line (`telemetry::log`).

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, LogFormat};
use crate::message::sentence_of;
use crate::message::style::Style;
use crate::store::Store;
use crate::store::history::EventQuery;

/// Interval of reading new events.
const EVERY: Duration = Duration::from_secs(1);
/// Events read at once.
const PAGE: u32 = 100;
/// Names in the line about people.
const NAMES: usize = 8;

/// Whether the log is read by a person on a terminal.
pub(super) fn is_wanted(format: LogFormat) -> bool {
    matches!(format, LogFormat::Auto | LogFormat::Text) && std::io::stderr().is_terminal()
}

/// The lines about what runs.
pub(super) fn introduce(config: &Config) {
    if let Some(address) = config.http.listen {
        tracing::info!("listening on http://{address}/ (token: presenced status --token)");
    }
    for org in &config.orgs {
        let calls = org.calls_per_month.map_or("no limit".to_owned(), |calls| calls.to_string());
        tracing::info!("organisation {}: {}, calls a month: {calls}", org.name, org.api_base);
    }
    let names: Vec<&str> = config.users.iter().take(NAMES).map(|user| user.name.as_str()).collect();
    let more = match config.users.len().saturating_sub(names.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    tracing::info!("watching {}{more}", names.join(", "));
}

/// Logs each event as a sentence until `stop`.
pub(super) async fn follow(store: Store, style: Style, stop: CancellationToken) {
    let history = store.history();
    let newest = EventQuery { limit: 1, ..EventQuery::default() };
    let Ok(newest) = history.events(&newest).await else { return };
    let mut after = newest.last().map_or(0, |event| event.sequence);
    while stop.run_until_cancelled(SystemClock.sleep_until(SystemClock.now().plus(EVERY))).await.is_some() {
        let query = EventQuery { after: Some(after), limit: PAGE, ..EventQuery::default() };
        for event in history.events(&query).await.unwrap_or_default() {
            after = event.sequence;
            // The events about a user's presence say the same as those about their meetings.
            if event.event_type.starts_with("user.") {
                continue;
            }
            tracing::info!("{}", sentence_of(event.body.as_bytes(), style));
        }
    }
}
