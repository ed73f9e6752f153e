//! `presenced events`: prints recorded events.
//!
//! Guards: the JSON of an event is the body that was signed and sent, byte for byte. Not here: the deliveries of an event
//! (`webhook deliveries`).

mod follow;
mod rows;

use self::rows::{columns, left_out, row};
use super::filter::FilterArgs;
use super::open_readonly::{Session, open_readonly};
use super::output::Row;
use super::{Exit, Failure, Globals, number, when};
use crate::clock::SystemClock;
use crate::store::history::{EventQuery, EventRow, Filter, check_event_type};

/// Options of `events`.
#[derive(Debug, clap::Args)]
#[command(after_help = when::WHEN_HELP)]
pub struct Args {
    /// Show events after this sequence, oldest first (default: the newest)
    #[arg(long, value_name = "SEQUENCE", allow_negative_numbers = true, value_parser = number::whole(0_u64, None))]
    after: Option<u64>,
    /// Show events of one user: a name, a unionId, or a unique part of one
    #[arg(long, value_name = "WHO")]
    user: Option<String>,
    #[command(flatten)]
    only: FilterArgs,
    /// Show events since then: `7d` ago, a day, or a time
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Show events until then: `1h` ago, a day (included), or a time
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Show events of one type, or of a pattern such as `meeting.*`
    #[arg(long = "type", value_name = "TYPE", value_parser = known_type)]
    event_type: Option<String>,
    /// Show at most N (default 100)
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number::whole(1_u32, None))]
    limit: Option<u32>,
    /// Show the ids of events too
    #[arg(long)]
    wide: bool,
    /// Print new events as they are recorded, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

/// Default of `--limit`.
const DEFAULT_LIMIT: u32 = 100;
/// Default of `--limit` with `--follow`.
const DEFAULT_FOLLOW_LIMIT: u32 = 10;

fn known_type(text: &str) -> Result<String, String> {
    check_event_type(text).map(|()| text.to_owned())
}

/// Runs the command.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let Args { after, user, only, since, until, event_type, limit, wide, follow } = args;
    let limit = limit.unwrap_or(if follow { DEFAULT_FOLLOW_LIMIT } else { DEFAULT_LIMIT });
    open_readonly(globals, async |session: &Session| {
        let zone = session.printer.time_zone;
        let (since, until) = when::between(since.as_deref(), until.as_deref(), session.now, zone)?;
        let is_narrow = only.is_set();
        let Filter { person_id, org, group } = only.filter(session, user.as_deref()).await?;
        let filtered = after.is_some()
            || person_id.is_some()
            || is_narrow
            || event_type.is_some()
            || since.is_some()
            || until.is_some();
        let query = EventQuery {
            after: after.map(|after| i64::try_from(after).unwrap_or(i64::MAX)),
            org,
            people: person_id.map(|id| vec![id]),
            group,
            event_type: event_type.clone(),
            since,
            until,
            limit,
        };
        if follow {
            return follow_from(session, query).await;
        }
        let events = session.history.events(&query).await?;
        let columns = columns(wide);
        if events.is_empty() {
            session.printer.print_nothing(&columns, nothing(filtered))?;
            return Ok(Exit::Nothing);
        }
        let (damaged, sound): (Vec<&EventRow>, Vec<&EventRow>) =
            events.iter().partition(|event| event.is_damaged);
        let rows: Vec<Row> = sound.into_iter().map(row).collect();
        session.printer.print(&columns, &rows)?;
        if let Some(more) = more(&events, after, limit) {
            session.printer.remark(&more);
        }
        if let Some(text) = left_out(damaged) {
            return Err(Failure::new(Exit::Failed, text).into());
        }
        Ok(Exit::Done)
    })
}

/// Prints the newest events, or those after `query.after`, and then new ones.
async fn follow_from(session: &Session, mut query: EventQuery) -> anyhow::Result<Exit> {
    if query.after.is_none() {
        // Events that the filter excludes are not read again.
        let newest = EventQuery { limit: 1, ..EventQuery::default() };
        let newest = session.history.events(&newest).await?.last().map_or(0, |event| event.sequence);
        let shown = session.history.events(&query).await?;
        let before = shown.first().map_or(newest, |event| event.sequence - 1);
        query.after = Some(before);
    }
    follow::follow(session, query, std::sync::Arc::new(SystemClock)).await
}

fn nothing(filtered: bool) -> &'static str {
    if filtered {
        "No events match the filter; `presenced events` shows all."
    } else {
        "No events yet: they are recorded when a user joins or leaves a meeting while `presenced run` runs."
    }
}

fn more(events: &[EventRow], after: Option<u64>, limit: u32) -> Option<String> {
    let full = u32::try_from(events.len()).is_ok_and(|count| count == limit);
    match (full, after, events.last()) {
        (true, Some(_), Some(last)) => {
            Some(format!("There may be more; continue with --after {}", last.sequence))
        }
        (true, None, _) => {
            Some(format!("Shows the newest {limit}; use --limit N for more, or --after 0 for all."))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::OutputFormat;
    use crate::cli::output::Printer;
    use crate::time::Timestamp;

    fn event(sequence: i64, event_type: &str, name: Option<&str>) -> EventRow {
        EventRow {
            sequence,
            id: format!("evt_{sequence}"),
            event_type: event_type.into(),
            org: name.map(|_| "default".into()),
            name: name.map(str::to_owned),
            union_id: name.map(|_| "u1".into()),
            conference_id: name.map(|_| "654058f2411fe90147e68780".into()),
            title: None,
            time: Timestamp::from_ms(1_699_347_295_876),
            recorded: Timestamp::from_ms(1_699_347_312_301),
            body: format!("{{\"sequence\": \"{sequence}\"}}"),
            is_damaged: false,
        }
    }

    fn rendered(format: OutputFormat) -> String {
        let printer =
            Printer { format, time_zone: chrono_tz::Asia::Shanghai, width: 80, ..Printer::default() };
        let rows = [
            event(1, "meeting.participant_joined", Some("李伟")),
            event(4217, "meeting.participant_role_changed", Some("Maximilian Müller-Lüdenscheidt")),
            event(4218, "system.alert", None),
        ]
        .map(|event| row(&event));
        anstream::adapter::strip_str(&printer.render(&columns(false), &rows)).to_string()
    }

    #[test]
    fn as_a_table() {
        insta::assert_snapshot!(rendered(OutputFormat::Table));
    }

    #[test]
    fn a_wide_table_has_the_ids() {
        let printer = Printer::default();
        let rows = [row(&event(4217, "meeting.participant_left", Some("Li")))];
        assert!(printer.render(&columns(true), &rows).contains("evt_4217"));
        assert!(!printer.render(&columns(false), &rows).contains("evt_4217"));
    }

    #[test]
    fn as_json_it_is_the_stored_bodies() {
        let bodies = "[\n{\"sequence\": \"1\"},\n{\"sequence\": \"4217\"},\n{\"sequence\": \"4218\"}\n]\n";
        assert_eq!(rendered(OutputFormat::Json), bodies);
    }

    #[test]
    fn as_csv() {
        insta::assert_snapshot!(rendered(OutputFormat::Csv));
    }
}
