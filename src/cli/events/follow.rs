//! `presenced events -f`: prints new events as they are recorded.
//!
//! Guards: no event is missing or printed twice, also while the daemon starts or stops; a closed pipe and Ctrl-C end it
//! without an error. Not here: events recorded before (`super`).

use std::io::ErrorKind;
use std::time::Duration;

use super::rows::{columns, left_out, row, style};
use crate::cli::open_readonly::Session;
use crate::cli::output::{Printer, harmless, padded};
use crate::cli::{Exit, OutputFormat};
use crate::clock::SharedClock;
use crate::store::Store;
use crate::store::history::{EventQuery, EventRow};

/// Interval of reading the database; one read takes about a millisecond.
const EVERY: Duration = Duration::from_millis(500);

/// Events read at once.
const PAGE: u32 = 1_000;

/// Widths of the columns of a line; the last column has the rest.
const TYPE_WIDTH: usize = 32;
const WHO_WIDTH: usize = 20;

/// Prints events after `query.after` until Ctrl-C.
pub(super) async fn follow(
    session: &Session,
    mut query: EventQuery,
    clock: SharedClock,
) -> anyhow::Result<Exit> {
    query.limit = PAGE;
    let mut out = Out { printer: session.printer, header_due: true };
    let (mut after, mut silent) = (query.after.unwrap_or(0), false);
    let ended = tokio::signal::ctrl_c();
    tokio::pin!(ended);
    loop {
        query.after = Some(after);
        match page(session, &query).await {
            Ok(events) => {
                silent = false;
                if let Some(last) = events.last() {
                    after = last.sequence;
                    let full = events.len() == PAGE as usize;
                    let (damaged, sound): (Vec<EventRow>, Vec<EventRow>) =
                        events.into_iter().partition(|event| event.is_damaged);
                    if let Some(text) = left_out(&damaged) {
                        session.printer.remark(&text);
                    }
                    if !out.print(&sound)? {
                        return Ok(Exit::Done);
                    }
                    if full {
                        continue;
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
            () = clock.sleep_until(clock.now().plus(EVERY)) => {}
        }
    }
}

/// Reads one page. The database is opened each time, because how it must be opened depends on whether a daemon runs.
async fn page(session: &Session, query: &EventQuery) -> Result<Vec<EventRow>, crate::store::StoreError> {
    let store = Store::open_readonly(&session.config.history.path).await?;
    let events = store.history().events(query).await;
    store.close().await;
    events
}

struct Out {
    printer: Printer,
    header_due: bool,
}

impl Out {
    /// `false`: the reader has closed the pipe.
    fn print(&mut self, events: &[EventRow]) -> anyhow::Result<bool> {
        let text = self.text(events);
        let written = match self.printer.format {
            OutputFormat::Table => write(anstream::stdout().lock(), &text),
            _ => write(std::io::stdout().lock(), &text),
        };
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            other => Ok(other.map(|()| true)?),
        }
    }

    fn text(&mut self, events: &[EventRow]) -> String {
        match self.printer.format {
            OutputFormat::Table => events.iter().map(|event| self.line(event)).collect(),
            OutputFormat::Csv => {
                let rows: Vec<_> = events.iter().map(row).collect();
                let text = self.printer.render(&columns(false), &rows);
                if std::mem::take(&mut self.header_due) {
                    return text;
                }
                text.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned())
            }
            // The output has no end, so it is no JSON document: one object per line.
            OutputFormat::Json | OutputFormat::Jsonl => {
                events.iter().map(|event| event.body.clone() + "\n").collect()
            }
        }
    }

    /// One line. Lines are printed one by one, so the columns have fixed widths.
    fn line(&self, event: &EventRow) -> String {
        let style = style(&event.event_type);
        let who = event.name.as_deref().unwrap_or("-");
        let meeting = event.title.as_deref().or(event.conference_id.as_deref()).unwrap_or("-");
        format!(
            "{}{}  {}  {}  {}{}\n",
            style.render(),
            self.printer.local(event.time),
            padded(&event.event_type, TYPE_WIDTH),
            self.who(who),
            harmless(meeting),
            style.render_reset()
        )
    }
}

impl Out {
    /// Cut only on a terminal.
    fn who(&self, name: &str) -> String {
        let name = harmless(name);
        if self.printer.cuts { padded(&name, WHO_WIDTH) } else { format!("{name:WHO_WIDTH$}") }
    }
}

fn write(mut out: impl std::io::Write, text: &str) -> std::io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}
