//! `presenced meetings`: prints meetings, newest first.
//!
//! Guards: a meeting that goes on has no end; people are watched users only. Not here: who was in one (`meeting`).

use super::filter::FilterArgs;
use super::open_readonly::{Session, open_readonly};
use super::output::{Cell, Column, GOOD, Row, Style, counted};
use super::{Exit, Globals, number, when};
use crate::store::history::meetings::{MeetingQuery, MeetingRow};

/// Options of `meetings`.
#[derive(Debug, clap::Args)]
#[command(after_help = when::WHEN_HELP)]
pub struct Args {
    /// Show meetings since then (default: the last 7 days)
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Show meetings until then: `1h` ago, a day (included), or a time
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    #[command(flatten)]
    only: FilterArgs,
    /// Show at most N, the newest
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = number::whole(1_u32, None))]
    limit: u32,
}

/// Used without `--since`.
const LATELY: &str = "7d";

const COLUMNS: &[Column] = &[
    Column::table_only("MEETING").shrinking(),
    Column::data_only("meeting"),
    Column::data_only("title"),
    Column::data_only("org"),
    Column::data_only("creator"),
    Column::new("start_at", "START"),
    Column::data_only("end_at"),
    Column::table_only("END"),
    Column::new("people", "PEOPLE"),
    Column::new("inside", "INSIDE").dull(),
    Column::new("longest_minutes", "LONGEST"),
    Column::data_only("ongoing"),
    Column::data_only("started_at"),
    Column::data_only("ended_at"),
    Column::data_only("first_join_at"),
    Column::data_only("last_leave_at"),
    Column::data_only("basis"),
];

/// Runs the command.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let Args { since, until, only, limit } = args;
    open_readonly(globals, async |session: &Session| {
        let zone = session.printer.time_zone;
        let lately = since.as_deref().or(until.is_none().then_some(LATELY));
        let (from, to) = when::between(lately, until.as_deref(), session.now, zone)?;
        let filter = only.filter(session, None).await?;
        let query = MeetingQuery { filter, since: from, until: to, limit, before: None };
        let meetings = session.history.meetings().list(&query, session.now).await?;
        if meetings.is_empty() {
            let text = "No meetings of watched users in that period; try a longer one, as in `--since 30d`.";
            session.printer.print_nothing(COLUMNS, text)?;
            return Ok(Exit::Nothing);
        }
        let rows: Vec<Row> = meetings.iter().map(|meeting| row(meeting, session)).collect();
        session.printer.print(COLUMNS, &rows)?;
        session.printer.remark(&summary(&meetings, zone, limit));
        Ok(Exit::Done)
    })
}

fn row(meeting: &MeetingRow, session: &Session) -> Row {
    let end = meeting.ended.or(meeting.last_leave).filter(|_| meeting.inside == 0);
    let shown = end.map_or_else(|| "now".to_owned(), |at| session.printer.local(at));
    Row::new(vec![
        Cell::titled(meeting.title.as_deref(), &meeting.conference_id),
        meeting.conference_id.as_str().into(),
        meeting.title.as_deref().into(),
        meeting.org.as_str().into(),
        meeting.creator.as_deref().into(),
        meeting.started.unwrap_or(meeting.first_join).into(),
        end.into(),
        shown.into(),
        meeting.people.into(),
        meeting.inside.into(),
        Cell::Number(meeting.longest_ms / 60_000),
        (meeting.inside > 0).into(),
        meeting.started.into(),
        meeting.ended.into(),
        meeting.first_join.into(),
        meeting.last_leave.into(),
        meeting.basis.as_str().into(),
    ])
    .styled(if meeting.inside > 0 { GOOD } else { Style::new() })
}

fn summary(meetings: &[MeetingRow], zone: chrono_tz::Tz, limit: u32) -> String {
    let ongoing = meetings.iter().filter(|meeting| meeting.inside > 0).count();
    let more = if u32::try_from(meetings.len()).is_ok_and(|count| count == limit) {
        format!("; shows the newest {limit}, use --limit N for more")
    } else {
        String::new()
    };
    format!(
        "{}, {ongoing} going on; times in {zone}, LONGEST in minutes{more}. `presenced meeting MEETING` shows who was in one.",
        counted(meetings.len(), "meeting", "meetings")
    )
}
