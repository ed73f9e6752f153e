//! `presenced history`: prints the visits of one user, or of all.
//!
//! Guards: an ongoing visit has no end, and an inferred end is marked. Not here: how visits are derived (`presence`).

use std::fmt::Write as _;

use super::filter::FilterArgs;
use super::open_readonly::{Session, open_readonly};
use super::output::{Cell, Column, GOOD, Printer, Row, Style, counted};
use super::{Exit, Globals, number, when};
use crate::store::history::{Person, VisitQuery, VisitRow};
use crate::time::{Timestamp, duration_ms};

/// Options of `history`.
#[derive(Debug, clap::Args)]
#[command(after_help = when::WHEN_HELP)]
pub struct Args {
    /// Show one user: a name, a unionId, or a unique part of one (default: all users)
    #[arg(value_name = "WHO")]
    who: Option<String>,
    #[command(flatten)]
    only: FilterArgs,
    /// Show visits since then: `7d` ago, a day, or a time
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Show visits until then: `1h` ago, a day (included), or a time
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Show at most N, the newest
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = number::whole(1_u32, None))]
    limit: u32,
}

const COLUMNS: &[Column] = &[
    Column::data_only("id"),
    WHO,
    Column::data_only("org"),
    Column::data_only("union_id"),
    Column::new("joined_at", "JOINED"),
    Column::data_only("left_at"),
    Column::table_only("LEFT"),
    Column::new("minutes", "MIN"),
    Column::data_only("ongoing"),
    Column::table_only("MEETING").shrinking(),
    Column::data_only("meeting"),
    Column::data_only("title"),
    Column::new("role", "ROLE").dull(),
    Column::new("left_reason", "WHY LEFT").dull(),
    Column::data_only("basis"),
    Column::data_only("leave_error_s"),
    Column::data_only("ordinal"),
    Column::data_only("external"),
    Column::data_only("by_phone"),
    Column::data_only("device"),
    Column::data_only("nick"),
];

/// In the table only of all users.
const WHO: Column = Column::new("who", "WHO").shrinking_last();
/// Its place in [`COLUMNS`].
const WHO_AT: usize = 1;

/// Runs the command.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let Args { who, only, since, until, limit } = args;
    open_readonly(globals, async |session: &Session| {
        let zone = session.printer.time_zone;
        let (since, until) = when::between(since.as_deref(), until.as_deref(), session.now, zone)?;
        let mut columns = COLUMNS.to_vec();
        let person = match &who {
            Some(who) => {
                columns[WHO_AT] = Column::data_only("who");
                Some(session.person(who).await?)
            }
            None => None,
        };
        let filter = only.filter(session, who.as_deref()).await?;
        let query = VisitQuery { filter, since, until, limit, ..VisitQuery::default() };
        let visits = session.history.visits(&query).await?;
        if visits.is_empty() {
            let bounded = since.is_some() || until.is_some();
            session.printer.print_nothing(&columns, &nothing(person.as_ref(), bounded))?;
            return Ok(Exit::Nothing);
        }
        let rows: Vec<Row> = visits.iter().map(|visit| row(visit, session.now, &session.printer)).collect();
        session.printer.print(&columns, &rows)?;
        session.printer.remark(&summary(&visits, person.as_ref(), session.now, zone, limit));
        Ok(Exit::Done)
    })
}

fn row(visit: &VisitRow, now: Timestamp, printer: &Printer) -> Row {
    let left = match visit.left {
        // A leave that DingTalk did not report is known only to an interval.
        Some(at) if visit.leave_basis.as_deref() == Some("reported") => printer.local(at),
        Some(at) => format!("~{}", printer.local(at)),
        None => "still in".to_owned(),
    };
    let error_ms =
        visit.leave_latest.zip(visit.leave_earliest).map(|(latest, earliest)| latest.since(earliest));
    Row::new(vec![
        visit.visit_id.as_str().into(),
        visit.name.as_str().into(),
        visit.org.as_str().into(),
        visit.union_id.as_str().into(),
        visit.joined.into(),
        visit.left.into(),
        left.into(),
        Cell::Tenths(length_ms(visit, now) / 6000),
        visit.left.is_none().into(),
        Cell::titled(visit.title.as_deref(), &visit.conference_id),
        visit.conference_id.as_str().into(),
        visit.title.as_deref().into(),
        visit.role.as_str().into(),
        visit.left_reason.as_deref().into(),
        visit.leave_basis.as_deref().unwrap_or(&visit.join_basis).into(),
        error_ms.map_or(Cell::Nothing, |error| Cell::Tenths(duration_ms(error) / 100)),
        visit.ordinal.into(),
        visit.external.into(),
        visit.by_phone.into(),
        visit.device.as_deref().into(),
        visit.nick.as_deref().into(),
    ])
    .styled(if visit.left.is_none() { GOOD } else { Style::new() })
}

fn length_ms(visit: &VisitRow, now: Timestamp) -> i64 {
    duration_ms(visit.left.unwrap_or(now).since(visit.joined))
}

fn nothing(person: Option<&Person>, bounded: bool) -> String {
    let hint = match (bounded, person.is_none_or(|person| person.watched)) {
        (true, _) => "try a longer period, or leave out --since and --until",
        (false, true) => "none observed yet; `presenced now` shows when the user was last polled",
        (false, false) => "none observed while this user was watched",
    };
    let whose = person.map_or_else(String::new, |person| format!(" of {person}"));
    format!("No visits{whose}{}: {hint}.", if bounded { " in that period" } else { "" })
}

fn summary(
    visits: &[VisitRow],
    person: Option<&Person>,
    now: Timestamp,
    zone: chrono_tz::Tz,
    limit: u32,
) -> String {
    let minutes = visits.iter().map(|visit| length_ms(visit, now)).sum::<i64>() / 60_000;
    let mut text = format!(
        "{}: {}, {}; times in {zone}",
        person.map_or("All users", |person| &person.name),
        counted(visits.len(), "visit", "visits"),
        counted(usize::try_from(minutes).unwrap_or(0), "minute", "minutes")
    );
    if visits.iter().any(|visit| visit.leave_basis.as_deref().is_some_and(|basis| basis != "reported")) {
        text += "; ~ marks an estimated time";
    }
    if u32::try_from(visits.len()).is_ok_and(|count| count == limit) {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "; shows the newest {limit}, use --limit N for more");
    }
    text + "."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::OutputFormat;

    const JOINED: Timestamp = Timestamp::from_ms(1_699_347_295_876);

    fn person() -> Person {
        Person {
            person_id: 1,
            org: "default".into(),
            union_id: "u1".into(),
            name: "李伟".into(),
            watched: true,
        }
    }

    fn visit(left_s: Option<u64>, reason: Option<&str>, basis: Option<&str>) -> VisitRow {
        let left = left_s.map(|s| JOINED.plus(std::time::Duration::from_secs(s)));
        VisitRow {
            person_id: 1,
            org: "default".into(),
            union_id: "u1".into(),
            name: "李伟".into(),
            title: None,
            join_earliest: Some(JOINED),
            visit_id: "vis_a".into(),
            conference_id: "654058f2411fe90147e68780".into(),
            ordinal: 1,
            joined: JOINED,
            join_basis: "reported".into(),
            left,
            left_reason: reason.map(str::to_owned),
            leave_basis: basis.map(str::to_owned),
            leave_earliest: left.map(|_| JOINED),
            leave_latest: left,
            role: "attendee".into(),
            external: false,
            by_phone: false,
            device: None,
            nick: None,
        }
    }

    fn visits() -> [VisitRow; 3] {
        [
            visit(Some(5400), Some("meeting_ended"), Some("reported")),
            visit(Some(30), Some("vanished"), Some("inferred")),
            visit(None, None, None),
        ]
    }

    fn rendered(format: OutputFormat) -> String {
        let printer =
            Printer { format, time_zone: chrono_tz::Asia::Shanghai, width: 80, ..Printer::default() };
        let now = JOINED.plus(std::time::Duration::from_mins(2));
        let rows = visits().map(|visit| row(&visit, now, &printer));
        anstream::adapter::strip_str(&printer.render(COLUMNS, &rows)).to_string()
    }

    #[test]
    fn as_a_table() {
        insta::assert_snapshot!(rendered(OutputFormat::Table));
    }

    #[test]
    fn as_csv() {
        insta::assert_snapshot!(rendered(OutputFormat::Csv));
    }

    #[test]
    fn the_summary_adds_up_and_says_what_is_cut() {
        let now = JOINED.plus(std::time::Duration::from_mins(2));
        let text = summary(&visits(), Some(&person()), now, chrono_tz::Asia::Shanghai, 3);
        let expected = "李伟: 3 visits, 92 minutes; times in Asia/Shanghai; ~ marks an estimated time; \
            shows the newest 3, use --limit N for more.";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_visits_come_with_a_hint() {
        assert!(nothing(Some(&person()), true).contains("in that period: try a longer period"));
        assert!(nothing(Some(&person()), false).contains("`presenced now`"));
    }
}
