//! `presenced report`: prints hours in meetings by user and day.
//!
//! Guards: unobserved time has its own column and is never counted as absence. Not here: the arithmetic (`days`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate};
use chrono_tz::Tz;

use super::filter::FilterArgs;
use super::open_readonly::{Session, open_readonly};
use super::output::{Cell, Column, FAINT, Row, Style, counted};
use super::{Exit, Failure, Globals, when};
use crate::policy::window::OpenTime;
use crate::store::history::Filter;
use crate::store::history::report::KnownUser as Known;
use crate::store::history::timeline::{Day, Timeline};
use crate::time::Timestamp;

/// Options of `report`.
#[derive(Debug, clap::Args)]
#[command(after_help = when::WHEN_HELP)]
pub struct Args {
    /// Show one user: a name, a unionId, or a unique part of one
    #[arg(value_name = "WHO")]
    who: Option<String>,
    #[command(flatten)]
    only: FilterArgs,
    /// Show one line per user, most hours first, instead of one per day
    #[arg(long)]
    total: bool,
    /// Show the last 7 days, including today (the default)
    #[arg(long, conflicts_with_all = ["month", "since", "until"])]
    week: bool,
    /// Show the last 30 days, including today
    #[arg(long, conflicts_with_all = ["since", "until"])]
    month: bool,
    /// Show days since this one: `7d` ago, a day, or a time
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Show days until this one (included), or until a time
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
}

/// Maximum number of days; for more, `db sql` is the tool.
const MAX_DAYS: usize = 366;
const COLUMNS: &[Column] = &[
    Column::new("day", "DAY"),
    Column::new("who", "WHO").shrinking_last(),
    Column::data_only("org"),
    Column::data_only("union_id"),
    Column::new("hours", "HOURS"),
    Column::new("meetings", "MTGS"),
    Column::data_only("longest_minutes"),
    Column::table_only("LONGEST"),
    Column::new("unknown_hours", "UNKNOWN"),
    Column::data_only("closed_hours"),
    Column::table_only("0     6     12    18    "),
];

const TOTAL_COLUMNS: &[Column] = &[
    Column::new("who", "WHO").shrinking_last(),
    Column::data_only("org"),
    Column::data_only("union_id"),
    Column::data_only("groups"),
    Column::new("hours", "HOURS"),
    Column::new("meetings", "MTGS"),
    Column::new("days_with_meetings", "DAYS"),
    Column::new("longest_minutes", "LONGEST"),
    Column::new("unknown_hours", "UNKNOWN"),
    Column::data_only("closed_hours"),
];

/// Runs the command.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    open_readonly(globals, async |session: &Session| {
        let zone = session.printer.time_zone;
        let days = requested_days(&args, session.now, zone)?;
        let (Some(first), Some(last)) = (days.first(), days.last()) else {
            return Err(Failure::new(
                Exit::Usage,
                "there is no day to report: the period is in the future, or ends before it begins",
            )
            .into());
        };
        let (since, until) =
            (when::midnight(*first, zone), when::midnight(next(*last), zone).min(session.now));
        let filter = args.only.filter(session, args.who.as_deref()).await?;
        let people = people(session, &filter, (since, until)).await?;
        let mut rows = Vec::new();
        let mut total = Total::default();
        let mut by_user: BTreeMap<i64, Total> = BTreeMap::new();
        for day in &days {
            let bounds = (when::midnight(*day, zone), when::midnight(next(*day), zone));
            // Days before the first poll of a user are left out.
            let begun = people.iter().filter(|(known, _)| known.first.is_none_or(|first| first < bounds.1));
            for (known, person) in begun {
                let found = person.day(bounds, session.now);
                total.add(&found);
                by_user.entry(known.person_id).or_default().add(&found);
                rows.push(row(*day, known, &found, bounds));
            }
        }
        if rows.is_empty() {
            session.printer.print_nothing(COLUMNS, "No user was watched in that period.")?;
            return Ok(Exit::Nothing);
        }
        if args.total {
            session.printer.print(TOTAL_COLUMNS, &total_rows(&people, &by_user))?;
        } else {
            session.printer.print(COLUMNS, &rows)?;
        }
        session.printer.remark(&total.summary(people.len(), zone, !args.total));
        Ok(Exit::Done)
    })
}

/// Those who are reported on: one of them, or all who are watched or were inside within that time.
async fn people(
    session: &Session,
    filter: &Filter,
    bounds: (Timestamp, Timestamp),
) -> anyhow::Result<Vec<(Known, Timeline)>> {
    let closed = |known: &Known| {
        let watched = session.config.users.iter().find(|user| {
            user.identity.org.as_str() == known.org && user.identity.union_id.as_str() == known.union_id
        });
        let open = watched.map(|user| session.config.open_time(user));
        open.map(|open| closed_since(known, &open, session.now)).unwrap_or_default()
    };
    Ok(session.history.report().timelines(filter, bounds, session.now, closed).await?)
}

/// The requested days, oldest first, up to today.
fn requested_days(args: &Args, now: Timestamp, zone: Tz) -> Result<Vec<NaiveDate>, Failure> {
    when::between(args.since.as_deref(), args.until.as_deref(), now, zone)?;
    let today = local_day(now, zone);
    let back = |days: u64| today.checked_sub_days(Days::new(days)).unwrap_or(today);
    let first = match &args.since {
        Some(text) => local_day(when::since(text, now, zone)?, zone),
        None if args.month => back(29),
        None => back(6),
    };
    let last = match &args.until {
        // Until midnight means until the end of the day before.
        Some(text) => {
            local_day(when::until(text, now, zone)?.minus(Duration::from_millis(1)), zone).min(today)
        }
        None => today,
    };
    let days: Vec<NaiveDate> = first.iter_days().take_while(|day| *day <= last).take(MAX_DAYS + 1).collect();
    if days.len() > MAX_DAYS {
        return Err(Failure::new(Exit::Usage, "that is more than a year; use `presenced db sql` instead"));
    }
    Ok(days)
}

fn local_day(at: Timestamp, zone: Tz) -> NaiveDate {
    DateTime::from_timestamp_millis(at.as_ms()).unwrap_or_default().with_timezone(&zone).date_naive()
}

fn next(day: NaiveDate) -> NaiveDate {
    day.checked_add_days(Days::new(1)).unwrap_or(day)
}

/// The closed windows since the last answered poll. They are not in the database, because a gap is written when it ends.
fn closed_since(known: &Known, open: &OpenTime, now: Timestamp) -> Vec<(i64, i64)> {
    let mut shut = Vec::new();
    let Some(mut at) = known.last_ok.filter(|_| !open.is_always()) else { return shut };
    while at < now {
        let next = open.next_change(at).map_or(now, |next| next.min(now));
        if !open.open_at(at) {
            shut.push((at.as_ms(), next.as_ms()));
        }
        at = next;
    }
    shut
}

fn row(day: NaiveDate, known: &Known, found: &Day, bounds: (Timestamp, Timestamp)) -> Row {
    let minutes = found.longest_ms / 60_000;
    Row::new(vec![
        day.to_string().into(),
        known.name.as_str().into(),
        known.org.as_str().into(),
        known.union_id.as_str().into(),
        Cell::Tenths(tenths_of_hours(found.inside.total_ms())),
        Cell::Number(i64::try_from(found.meetings.len()).unwrap_or(i64::MAX)),
        Cell::Number(minutes),
        format!("{}:{:02}", minutes / 60, minutes % 60).into(),
        Cell::Tenths(tenths_of_hours(found.unknown.total_ms())),
        Cell::Tenths(tenths_of_hours(found.closed.total_ms())),
        found.bar(bounds).into(),
    ])
    .styled(if found.inside.total_ms() == 0 { FAINT } else { Style::new() })
}

/// A line for each user, most hours first.
fn total_rows(people: &[(Known, Timeline)], by_user: &BTreeMap<i64, Total>) -> Vec<Row> {
    let mut users: Vec<(&Known, &Total)> =
        people.iter().filter_map(|(known, _)| Some((known, by_user.get(&known.person_id)?))).collect();
    users.sort_by_key(|(_, total)| std::cmp::Reverse(total.inside_ms));
    users.into_iter().map(|(known, total)| total_row(known, total)).collect()
}

fn total_row(known: &Known, total: &Total) -> Row {
    Row::new(vec![
        known.name.as_str().into(),
        known.org.as_str().into(),
        known.union_id.as_str().into(),
        known.groups.join(",").into(),
        Cell::Tenths(tenths_of_hours(total.inside_ms)),
        Cell::Number(i64::try_from(total.meetings.len()).unwrap_or(i64::MAX)),
        Cell::Number(total.days),
        Cell::Number(total.longest_ms / 60_000),
        Cell::Tenths(tenths_of_hours(total.unknown_ms)),
        Cell::Tenths(tenths_of_hours(total.closed_ms)),
    ])
    .styled(if total.inside_ms == 0 { FAINT } else { Style::new() })
}

fn tenths_of_hours(ms: i64) -> i64 {
    (ms + 180_000) / 360_000
}

#[derive(Default)]
struct Total {
    inside_ms: i64,
    unknown_ms: i64,
    closed_ms: i64,
    longest_ms: i64,
    /// Days with a meeting.
    days: i64,
    meetings: BTreeSet<String>,
}

impl Total {
    fn add(&mut self, day: &Day) {
        self.inside_ms += day.inside.total_ms();
        self.unknown_ms += day.unknown.total_ms();
        self.closed_ms += day.closed.total_ms();
        self.longest_ms = self.longest_ms.max(day.longest_ms);
        self.days += i64::from(!day.meetings.is_empty());
        self.meetings.extend(day.meetings.iter().cloned());
    }

    fn summary(&self, people: usize, zone: Tz, with_bars: bool) -> String {
        let hours = |ms: i64| format!("{}.{}", tenths_of_hours(ms) / 10, tenths_of_hours(ms) % 10);
        let bars = if with_bars {
            " Bar: █ in a meeting, · not in a meeting, ? not observed, blank: outside the windows."
        } else {
            ""
        };
        format!(
            "{}: {} hours in {}, {} hours unknown; days in {zone}.{bars}",
            counted(people, "person", "people"),
            hours(self.inside_ms),
            counted(self.meetings.len(), "meeting", "meetings"),
            hours(self.unknown_ms),
        )
    }
}

#[cfg(test)]
mod tests;
