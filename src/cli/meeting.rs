//! `presenced meeting`: prints who was in a meeting.
//!
//! Guards: a user who was not seen is `not seen`, never absent; what is not known for certain has bounds; the time in
//! which users were not polled is said first. Not here: finding the meeting and its visits (`store::history::meetings`).

use std::collections::HashSet;
use std::fmt::Write as _;

use super::filter::FilterArgs;
use super::open_readonly::{Session, open_readonly};
use super::output::{Cell, Column, FAINT, GOOD, Printer, Row, Style, counted, write_out};
use super::{Exit, Failure, Globals, when};
use crate::store::history::VisitRow;
use crate::store::history::meetings::{Attendance, MeetingRow};
use crate::store::history::report::{Gap, KnownUser};
use crate::time::{Timestamp, duration_ms};

/// Options of `meeting`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The meeting: its id, the end of its id, or its title (of several the newest)
    #[arg(value_name = "ID|TITLE")]
    meeting: String,
    /// The time at which it was to begin; shows by how much users came later
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    #[command(flatten)]
    only: FilterArgs,
}

const HELP: &str = "\
TIME is `10:00` on the day of the meeting, or a day and a time (`2026-11-23 10:00`). Without --start nobody is late: \
that a meeting was opened early makes no user late. With --group users of the group who were not seen are listed too.";

const COLUMNS: &[Column] = &[
    Column::new("who", "WHO").shrinking_last(),
    Column::data_only("org"),
    Column::data_only("union_id"),
    Column::data_only("meeting"),
    Column::data_only("title"),
    Column::data_only("seen"),
    Column::new("joined_at", "JOINED"),
    Column::data_only("left_at"),
    Column::table_only("LEFT"),
    Column::new("minutes", "MIN"),
    Column::new("minutes_min", "AT LEAST").dull(),
    Column::new("minutes_max", "AT MOST").dull(),
    Column::new("late_by_minutes", "LATE BY"),
    Column::new("role", "ROLE").dull(),
    Column::data_only("join_basis"),
    Column::data_only("leave_basis"),
    Column::table_only("HOW KNOWN").dull(),
    Column::data_only("left_reason"),
    Column::data_only("ongoing"),
    Column::data_only("external"),
    Column::data_only("by_phone"),
    Column::data_only("device"),
];
/// Its place in [`COLUMNS`]; left out without `--start`.
const LATE_BY: usize = 12;

/// Runs the command.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let Args { meeting, start, only } = args;
    open_readonly(globals, async |session: &Session| {
        let by_group = only.is_set();
        let filter = only.filter(session, None).await?;
        let found = session.history.meetings().find(&meeting, &filter, session.now).await?;
        let (found, titled) = found.map_err(|error| {
            let exit = match error {
                crate::store::history::meetings::MeetingError::NotFound(_) => Exit::Nothing,
                crate::store::history::meetings::MeetingError::Several { .. } => Exit::Usage,
            };
            Failure::new(exit, format!("{error}; `presenced meetings` lists meetings"))
        })?;
        let start = start.map(|text| planned_start(&text, &found, session)).transpose()?;
        let attendance = session.history.meetings().attendance(found, &filter, session.now).await?;
        let unseen = if by_group {
            unseen(session.history.report().users(&filter).await?, &attendance)
        } else {
            Vec::new()
        };
        let mut columns = COLUMNS.to_vec();
        let mut rows = rows(&attendance, &unseen, start, session);
        if start.is_none() {
            columns.remove(LATE_BY);
            for row in &mut rows {
                row.cells.remove(LATE_BY);
            }
        }
        let head = head(&attendance, titled, session.now, &session.printer);
        if session.printer.is_table() {
            write_out(anstream::stdout().lock(), &format!("{head}\n"))?;
        } else {
            session.printer.remark(&head);
        }
        session.printer.print(&columns, &rows)?;
        Ok(Exit::Done)
    })
}

/// `10:00` is on the day of the meeting.
fn planned_start(text: &str, meeting: &MeetingRow, session: &Session) -> Result<Timestamp, Failure> {
    let zone = session.printer.time_zone;
    let day = when::today(meeting.started.unwrap_or(meeting.first_join), zone);
    let is_clock = text.trim().parse::<chrono::NaiveTime>().is_ok();
    let text = if is_clock { format!("{day} {}", text.trim()) } else { text.to_owned() };
    when::since(&text, session.now, zone)
}

/// Watched users of the filter who were not seen in the meeting.
fn unseen(users: Vec<KnownUser>, attendance: &Attendance) -> Vec<KnownUser> {
    let seen: HashSet<i64> = attendance.visits.iter().map(|visit| visit.person_id).collect();
    let missing = |user: &KnownUser| {
        user.watched && user.org == attendance.meeting.org && !seen.contains(&user.person_id)
    };
    users.into_iter().filter(missing).collect()
}

fn rows(
    attendance: &Attendance,
    unseen: &[KnownUser],
    start: Option<Timestamp>,
    session: &Session,
) -> Vec<Row> {
    let mut first_visits = HashSet::new();
    let mut rows: Vec<Row> = attendance
        .visits
        .iter()
        .map(|visit| {
            // Who comes back is not late.
            let start = start.filter(|_| first_visits.insert(visit.person_id));
            seen_row(visit, start, session.now, &session.printer)
        })
        .collect();
    rows.extend(unseen.iter().map(|user| unseen_row(user, &attendance.meeting)));
    rows
}

fn seen_row(visit: &VisitRow, start: Option<Timestamp>, now: Timestamp, printer: &Printer) -> Row {
    let minutes = Minutes::of(visit, now);
    let is_reported = |basis: Option<&str>| basis.is_none_or(|basis| basis == "reported");
    let left = match visit.left {
        Some(at) if is_reported(visit.leave_basis.as_deref()) => printer.local(at),
        Some(at) => format!("~{}", printer.local(at)),
        None => "still in".to_owned(),
    };
    let exact = visit.join_basis == "reported" && is_reported(visit.leave_basis.as_deref());
    let late = start.map(|start| duration_ms(visit.joined.since(start)) / 60_000);
    Row::new(vec![
        visit.name.as_str().into(),
        visit.org.as_str().into(),
        visit.union_id.as_str().into(),
        visit.conference_id.as_str().into(),
        visit.title.as_deref().into(),
        true.into(),
        visit.joined.into(),
        visit.left.into(),
        left.into(),
        tenths(minutes.shown),
        tenths(minutes.least),
        minutes.most.map(tenths).into(),
        late.into(),
        visit.role.as_str().into(),
        visit.join_basis.as_str().into(),
        visit.leave_basis.as_deref().into(),
        if exact { "reported" } else { "by polls" }.into(),
        visit.left_reason.as_deref().into(),
        visit.left.is_none().into(),
        visit.external.into(),
        visit.by_phone.into(),
        visit.device.as_deref().into(),
    ])
    .styled(if visit.left.is_none() { GOOD } else { Style::new() })
}

fn unseen_row(user: &KnownUser, meeting: &MeetingRow) -> Row {
    let mut cells = vec![Cell::Nothing; COLUMNS.len()];
    let known: [Cell; 6] = [
        user.name.as_str().into(),
        user.org.as_str().into(),
        user.union_id.as_str().into(),
        meeting.conference_id.as_str().into(),
        meeting.title.as_deref().into(),
        false.into(),
    ];
    for (cell, known) in cells.iter_mut().zip(known) {
        *cell = known;
    }
    // In a table the word stands where the leave would.
    cells[8] = "not seen".into();
    Row::new(cells).styled(FAINT)
}

fn tenths(ms: i64) -> Cell {
    Cell::Tenths(ms / 6_000)
}

/// The length of a visit, and its bounds.
#[derive(Debug, PartialEq, Eq)]
struct Minutes {
    shown: i64,
    least: i64,
    /// `None`: the join is not known to lie after a poll.
    most: Option<i64>,
}

impl Minutes {
    fn of(visit: &VisitRow, now: Timestamp) -> Self {
        let left = visit.left.unwrap_or(now);
        let length = |from: Timestamp, to: Timestamp| duration_ms(to.since(from));
        Self {
            shown: length(visit.joined, left),
            least: length(visit.joined, visit.leave_earliest.unwrap_or(left).min(left)),
            most: visit.join_earliest.map(|from| length(from, visit.leave_latest.unwrap_or(left).max(left))),
        }
    }
}

/// What is said above the list: the meeting, its people, and when no user was polled.
fn head(attendance: &Attendance, titled: usize, now: Timestamp, printer: &Printer) -> String {
    let Attendance { meeting, gaps, .. } = attendance;
    let end = meeting.ended.or(meeting.last_leave).filter(|_| meeting.inside == 0);
    let mut text = format!(
        "{}: {} to {} ({}), {}, {} inside now",
        meeting.title.as_deref().unwrap_or(&meeting.conference_id),
        printer.local(meeting.started.unwrap_or(meeting.first_join)),
        end.map_or_else(|| "now".to_owned(), |at| printer.local(at)),
        printer.time_zone,
        counted(usize::try_from(meeting.people).unwrap_or(0), "person", "people"),
        meeting.inside,
    );
    // Writing to a `String` cannot fail.
    if let Some(creator) = &meeting.creator {
        let _ = write!(text, "; created by {creator}");
    }
    if titled > 1 {
        let _ = write!(
            text,
            "\nThe newest of {titled} meetings with this title; `presenced meetings` lists all."
        );
    }
    for gap in gaps {
        let _ = write!(text, "\n{}", not_polled(gap, meeting, attendance, now, printer));
    }
    text
}

fn not_polled(
    gap: &Gap,
    meeting: &MeetingRow,
    attendance: &Attendance,
    now: Timestamp,
    printer: &Printer,
) -> String {
    let name = gap.person_id.and_then(|id| attendance.visits.iter().find(|visit| visit.person_id == id));
    let who = name.map_or("Nobody", |visit| visit.name.as_str());
    let from = gap.from.max(meeting.started.unwrap_or(meeting.first_join).min(meeting.first_join));
    let until = if gap.to >= now { "now".to_owned() } else { printer.local(gap.to) };
    let was = if name.is_some() { "was not polled" } else { "was polled" };
    format!(
        "{who} {was} from {} to {until} ({}): who was in then is not known.",
        printer.local(from),
        gap.why
    )
}

#[cfg(test)]
mod tests;
