//! `presenced events -f`: new events, as they come.
//!
//! Guards: nothing is left out and nothing comes twice, also while the daemon starts or stops; a reader that hangs up
//! ends it, and so does Ctrl-C, both without an error. Deliberately not here: the events so far (`events`).

use std::io::ErrorKind;
use std::time::Duration;

use super::{COLUMNS, row, style};
use crate::cli::output::{Printer, harmless, padded};
use crate::cli::reading::Reading;
use crate::cli::{Exit, OutputFormat};
use crate::clock::SharedClock;
use crate::store::Store;
use crate::store::history::{EventQuery, EventRow};

/// How often one looks: a person does not see less, and a look costs a millisecond.
const EVERY: Duration = Duration::from_millis(500);

/// Events in one portion.
const PORTION: u32 = 1_000;

/// Widths of the columns of a line; the last one has what is left.
const TYPE_WIDTH: usize = 32;
const WHO_WIDTH: usize = 20;

/// Prints what comes after `query.after` until Ctrl-C.
pub(super) async fn follow(
    reading: &Reading,
    mut query: EventQuery,
    clock: SharedClock,
) -> anyhow::Result<Exit> {
    query.limit = PORTION;
    let mut out = Out { printer: reading.printer, header_due: true };
    let (mut after, mut silent) = (query.after.unwrap_or(0), false);
    let ended = tokio::signal::ctrl_c();
    tokio::pin!(ended);
    loop {
        query.after = Some(after);
        match portion(reading, &query).await {
            Ok(events) => {
                silent = false;
                if let Some(last) = events.last() {
                    after = last.sequence;
                    if !out.print(&events)? {
                        return Ok(Exit::Done);
                    }
                    if events.len() == PORTION as usize {
                        continue;
                    }
                }
            }
            // The daemon is starting, stopping or being upgraded: said once, then waited for.
            Err(error) if !silent => {
                silent = true;
                reading.printer.remark(&format!("The database cannot be read just now ({error}); waiting."));
            }
            Err(_) => {}
        }
        tokio::select! {
            // An error means signals cannot be had; then the default action ends the process.
            _ = &mut ended => return Ok(Exit::Done),
            () = clock.sleep_until(clock.now().plus(EVERY)) => {}
        }
    }
}

/// Opened anew each time: a file at rest is looked at as it is at that moment, and a daemon that starts changes how.
async fn portion(reading: &Reading, query: &EventQuery) -> Result<Vec<EventRow>, crate::store::StoreError> {
    let store = Store::open_readonly(&reading.config.history.path).await?;
    let events = store.history().events(query).await;
    store.close().await;
    events
}

struct Out {
    printer: Printer,
    header_due: bool,
}

impl Out {
    /// `false`: nobody reads any more.
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
                let text = self.printer.render(COLUMNS, &rows);
                if std::mem::take(&mut self.header_due) {
                    return text;
                }
                text.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned())
            }
            // What has no end is no document: an object a line.
            OutputFormat::Json | OutputFormat::Jsonl => {
                events.iter().map(|event| event.body.clone() + "\n").collect()
            }
        }
    }

    /// Lines come one by one, so their columns have fixed widths.
    fn line(&self, event: &EventRow) -> String {
        let style = style(&event.event_type);
        let who = event.name.as_deref().unwrap_or("-");
        let meeting = event.conference_id.as_deref().unwrap_or("-");
        format!(
            "{}{}  {}  {}  {}{}\n",
            style.render(),
            self.printer.local(event.time),
            padded(&event.event_type, TYPE_WIDTH),
            padded(&harmless(who), WHO_WIDTH),
            harmless(meeting),
            style.render_reset()
        )
    }
}

fn write(mut out: impl std::io::Write, text: &str) -> std::io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}
