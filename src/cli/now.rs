//! `presenced now`: who is in a meeting.
//!
//! Guards: not known is said as such, never shown as absence. Deliberately not here: what is known (`presence`).

use std::fmt::Write as _;

use super::output::{Cell, Column, FAINT, GOOD, Row, Style, WARNING, ago, counted};
use super::reading::{Reading, read};
use super::{Exit, Globals};
use crate::store::history::{Counts, MAX_ROWS, UserPresence as Standing};
use crate::time::Timestamp;

/// Options of `now`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// One person: a name, a unionId, or enough of one
    #[arg(value_name = "WHO", conflicts_with = "all")]
    who: Option<String>,
    /// Everybody who is watched, not only who is in a meeting
    #[arg(short, long)]
    all: bool,
}

const COLUMNS: &[Column] = &[
    Column::new("who", "WHO").shrinking(),
    Column::data_only("org"),
    Column::data_only("union_id"),
    Column::new("presence", "IS"),
    Column::new("meeting", "MEETING").shrinking(),
    Column::new("joined_at", "SINCE"),
    Column::new("minutes", "MIN"),
    Column::new("role", "ROLE"),
    Column::data_only("device"),
    Column::data_only("external"),
    Column::data_only("by_phone"),
    Column::table_only("CHECKED"),
    Column::data_only("checked_s_ago"),
];

/// Runs it.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let Args { who, all } = args;
    read(globals, async |reading: &Reading| {
        let person_id = match &who {
            Some(who) => Some(reading.person(who).await?.person_id),
            None => None,
        };
        let standings = reading.history.now(person_id, all, MAX_ROWS).await?;
        let counts = reading.history.counts().await?;
        if standings.is_empty() {
            reading.printer.print_nothing(COLUMNS, &nobody(counts, reading.now))?;
        } else {
            let rows: Vec<Row> = standings.iter().map(|standing| row(standing, reading.now)).collect();
            reading.printer.print(COLUMNS, &rows)?;
            if person_id.is_none() {
                reading.printer.remark(&summary(counts, reading.now));
            }
        }
        Ok(Exit::Done)
    })
}

fn row(standing: &Standing, now: Timestamp) -> Row {
    let meeting = standing.meeting.as_ref();
    let checked = standing.last_ok.map(|at| now.since(at));
    let seconds = checked.map(|age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
    Row::new(vec![
        standing.name.as_str().into(),
        standing.org.as_str().into(),
        standing.union_id.as_str().into(),
        standing.presence.as_str().into(),
        meeting.map(|m| m.conference_id.as_str()).into(),
        meeting.map(|m| m.joined).into(),
        meeting.map(|m| minutes(m.joined, now)).into(),
        meeting.map(|m| m.role.as_str()).into(),
        meeting.and_then(|m| m.device.as_deref()).into(),
        meeting.map(|m| m.external).into(),
        meeting.map(|m| m.by_phone).into(),
        checked.map_or_else(|| "never".to_owned(), ago).into(),
        seconds.map_or(Cell::Nothing, Cell::Number),
    ])
    .styled(style(&standing.presence))
}

fn style(presence: &str) -> Style {
    match presence {
        "inside" => GOOD,
        "unknown" => WARNING,
        _ => FAINT,
    }
}

fn minutes(joined: Timestamp, now: Timestamp) -> i64 {
    i64::try_from(now.since(joined).as_secs() / 60).unwrap_or(i64::MAX)
}

fn nobody(counts: Counts, now: Timestamp) -> String {
    if counts.watched == 0 {
        return "Nobody is watched yet: add a [[user]] to the config, and start `presenced run`.".to_owned();
    }
    format!("Nobody is in a meeting: {}", summary(counts, now))
}

fn summary(counts: Counts, now: Timestamp) -> String {
    let watched = counted(usize::try_from(counts.watched).unwrap_or(0), "person", "people");
    let mut text = format!("{} of {watched} inside", counts.inside);
    // Writing to a `String` cannot fail.
    if counts.unknown > 0 {
        let _ = write!(text, "; {} not known (`presenced now --all`)", counts.unknown);
    }
    match counts.last_ok {
        Some(at) => text + &format!("; newest look {}.", ago(now.since(at))),
        None => text + "; nobody was looked at yet: is `presenced run` running?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::OutputFormat;
    use crate::cli::output::Printer;
    use crate::store::history::OpenVisit;

    const JOINED: Timestamp = Timestamp::from_ms(1_699_347_295_876);

    fn standing(name: &str, presence: &str, role: Option<&str>) -> Standing {
        Standing {
            person_id: 1,
            org: "default".into(),
            union_id: "2iPOLbpUNMLzB5LuwggiiqiPwiEiE".into(),
            name: name.into(),
            presence: presence.into(),
            last_ok: role.map(|_| JOINED),
            meeting: role.map(|role| OpenVisit {
                conference_id: "654058f2411fe90147e68780".into(),
                joined: JOINED,
                role: role.into(),
                device: Some("Win".into()),
                external: false,
                by_phone: true,
            }),
        }
    }

    fn rendered(format: OutputFormat) -> String {
        let printer = Printer { format, time_zone: chrono_tz::Asia::Shanghai, width: 80, quiet: false };
        let now = JOINED.plus(std::time::Duration::from_secs(754));
        let rows = [
            standing("李伟", "inside", Some("host")),
            standing("Maximilian Müller-Lüdenscheidt", "unknown", Some("attendee")),
            standing("Zoë", "outside", None),
        ]
        .map(|standing| row(&standing, now));
        anstream::adapter::strip_str(&printer.render(COLUMNS, &rows)).to_string()
    }

    #[test]
    fn fits_80_columns() {
        let table = rendered(OutputFormat::Table);
        insta::assert_snapshot!(table);
    }

    #[test]
    fn as_json() {
        insta::assert_snapshot!(rendered(OutputFormat::Json));
    }

    #[test]
    fn nobody_in_is_said_with_how_fresh_that_is() {
        let counts = Counts { watched: 5, inside: 0, unknown: 2, last_ok: Some(JOINED) };
        let now = JOINED.plus(std::time::Duration::from_secs(12));
        let said = nobody(counts, now);
        let expected = "Nobody is in a meeting: 0 of 5 people inside; 2 not known (`presenced now --all`); \
            newest look 12 s ago.";
        assert_eq!(said, expected);
        assert!(nobody(Counts::default(), now).contains("[[user]]"));
        let unlooked = Counts { watched: 1, ..Counts::default() };
        assert!(nobody(unlooked, now).ends_with("is `presenced run` running?"));
    }
}
