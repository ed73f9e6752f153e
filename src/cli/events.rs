//! `presenced events`: the events so far.
//!
//! Guards: as JSON an event is the body that was signed and sent, byte for byte. Deliberately not here: what became of
//! its deliveries.

mod follow;

use super::output::{Cell, Column, FAINT, GOOD, Row, Style};
use super::reading::{Reading, read};
use super::{Exit, Failure, Globals, number};
use crate::clock::SystemClock;
use crate::presence::event::EventType;
use crate::store::history::{EventQuery, EventRow, check_event_type};
use crate::time::duration_ms;

/// Options of `events`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Those after this sequence, oldest first; without it the newest
    #[arg(long, value_name = "SEQUENCE", allow_negative_numbers = true, value_parser = number::whole(0_u64, None))]
    after: Option<u64>,
    /// About one person: a name, a unionId, or enough of one
    #[arg(long, value_name = "WHO")]
    user: Option<String>,
    /// Of one organisation
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Of one type, or like `meeting.*`
    #[arg(long = "type", value_name = "TYPE", value_parser = known_type)]
    event_type: Option<String>,
    /// At most so many; 100 without it
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = number::whole(1_u32, None))]
    limit: Option<u32>,
    /// Go on, and print new ones as they come, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

/// Without `--limit`.
const USUAL: u32 = 100;
/// The same before new ones are followed.
const USUAL_BEFORE_NEW: u32 = 10;

const COLUMNS: &[Column] = &[
    Column::new("sequence", "SEQ"),
    Column::data_only("id"),
    Column::new("time", "TIME"),
    Column::new("type", "TYPE"),
    Column::new("who", "WHO").shrinking(),
    Column::data_only("org"),
    Column::data_only("union_id"),
    Column::new("meeting", "MEETING").shrinking(),
    Column::data_only("recorded_at"),
    Column::data_only("noticed_after_s"),
];

fn known_type(text: &str) -> Result<String, String> {
    check_event_type(text).map(|()| text.to_owned())
}

/// Runs it.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let Args { after, user, org, event_type, limit, follow } = args;
    let limit = limit.unwrap_or(if follow { USUAL_BEFORE_NEW } else { USUAL });
    read(globals, async |reading: &Reading| {
        let people = match &user {
            Some(who) => Some(vec![reading.person(who).await?.person_id]),
            None => None,
        };
        if let Some(org) = &org
            && !reading.config.orgs.iter().any(|known| known.name.as_str() == org)
        {
            let known: Vec<&str> = reading.config.orgs.iter().map(|known| known.name.as_str()).collect();
            let text = format!("no organisation is called `{org}`; there is {}", known.join(", "));
            return Err(Failure::new(Exit::Nothing, text).into());
        }
        let filtered = after.is_some() || people.is_some() || org.is_some() || event_type.is_some();
        let query = EventQuery {
            after: after.map(|after| i64::try_from(after).unwrap_or(i64::MAX)),
            org: org.clone(),
            people,
            event_type: event_type.clone(),
            limit,
        };
        if follow {
            return follow_from(reading, query).await;
        }
        let events = reading.history.events(&query).await?;
        if events.is_empty() {
            reading.printer.print_nothing(COLUMNS, nothing(filtered))?;
            return Ok(Exit::Nothing);
        }
        let rows: Vec<Row> = events.iter().map(row).collect();
        reading.printer.print(COLUMNS, &rows)?;
        if let Some(more) = more(&events, after, limit) {
            reading.printer.remark(&more);
        }
        Ok(Exit::Done)
    })
}

/// The newest first, unless it is said where to begin; then whatever comes.
async fn follow_from(reading: &Reading, mut query: EventQuery) -> anyhow::Result<Exit> {
    if query.after.is_none() {
        // What is filtered away is not looked at again.
        let newest = EventQuery { limit: 1, ..EventQuery::default() };
        let newest = reading.history.events(&newest).await?.last().map_or(0, |event| event.sequence);
        let shown = reading.history.events(&query).await?;
        let before = shown.first().map_or(newest, |event| event.sequence - 1);
        query.after = Some(before);
    }
    follow::follow(reading, query, std::sync::Arc::new(SystemClock)).await
}

fn row(event: &EventRow) -> Row {
    let noticed_ms = duration_ms(event.recorded.since(event.time));
    Row::new(vec![
        event.sequence.into(),
        event.id.as_str().into(),
        event.time.into(),
        event.event_type.as_str().into(),
        event.name.as_deref().into(),
        event.org.as_deref().into(),
        event.union_id.as_deref().into(),
        event.conference_id.as_deref().into(),
        event.recorded.into(),
        Cell::Tenths(noticed_ms / 100),
    ])
    .styled(style(&event.event_type))
    .with_json(event.body.clone())
}

fn style(event_type: &str) -> Style {
    if event_type == EventType::ParticipantJoined.name() {
        GOOD
    } else if event_type == EventType::ParticipantLeft.name() {
        Style::new()
    } else {
        FAINT
    }
}

fn nothing(filtered: bool) -> &'static str {
    if filtered {
        "No events match: ask for less, or see all with `presenced events`."
    } else {
        "No events yet: they come when somebody joins or leaves while `presenced run` is running."
    }
}

fn more(events: &[EventRow], after: Option<u64>, limit: u32) -> Option<String> {
    let full = u32::try_from(events.len()).is_ok_and(|count| count == limit);
    match (full, after, events.last()) {
        (true, Some(_), Some(last)) => Some(format!("There may be more: --after {}", last.sequence)),
        (true, None, _) => Some(format!("Only the newest {limit}: more by --limit, all by --after 0.")),
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
            time: Timestamp::from_ms(1_699_347_295_876),
            recorded: Timestamp::from_ms(1_699_347_312_301),
            body: format!("{{\"sequence\": \"{sequence}\"}}"),
        }
    }

    fn rendered(format: OutputFormat) -> String {
        let printer = Printer { format, time_zone: chrono_tz::Asia::Shanghai, width: 80, quiet: false };
        let rows = [
            event(1, "meeting.participant_joined", Some("李伟")),
            event(4217, "meeting.participant_role_changed", Some("Maximilian Müller-Lüdenscheidt")),
            event(4218, "system.alert", None),
        ]
        .map(|event| row(&event));
        anstream::adapter::strip_str(&printer.render(COLUMNS, &rows)).to_string()
    }

    #[test]
    fn as_a_table() {
        insta::assert_snapshot!(rendered(OutputFormat::Table));
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
