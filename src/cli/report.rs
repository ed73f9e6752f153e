//! `presenced report`: hours in meetings by person and day.
//!
//! Guards: time in which nobody looked is a column of its own, never counted as absence. Deliberately not here: the
//! arithmetic (`days`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate};
use chrono_tz::Tz;

use super::output::{Cell, Column, FAINT, Row, Style, counted};
use super::reading::{Reading, read};
use super::{Exit, Failure, Globals, when};
use crate::policy::window::OpenTime;
use crate::store::gaps::Why;
use crate::store::history::report::{Gap, KnownUser as Known, VisitSpan as Stay};
use crate::time::Timestamp;

mod days;
mod spans;

use days::{Day, Person};
use spans::Spans;

/// Options of `report`.
#[derive(Debug, clap::Args)]
#[command(after_help = when::UNDERSTOOD)]
pub struct Args {
    /// Of one person: a name, a unionId, or enough of one
    #[arg(value_name = "WHO")]
    who: Option<String>,
    /// The last 7 days, today included (this is what you get without any option)
    #[arg(long, conflicts_with_all = ["month", "since", "until"])]
    week: bool,
    /// The last 30 days, today included
    #[arg(long, conflicts_with_all = ["since", "until"])]
    month: bool,
    /// From the day on in which this is: `7d` ago, a day, or an instant
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Until the end of the day before this, or of this day
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
}

/// A report of more days than this is a query: see `db sql`.
const MOST_DAYS: usize = 366;
/// How late the next look may be before nobody is taken to be looking.
const LATE: Duration = Duration::from_mins(5);

const COLUMNS: &[Column] = &[
    Column::new("day", "DAY"),
    Column::new("who", "WHO").shrinking(),
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

/// Runs it.
pub fn run(globals: &Globals, args: &Args) -> anyhow::Result<Exit> {
    read(globals, async |reading: &Reading| {
        let zone = reading.printer.time_zone;
        let days = asked_days(args, reading.now, zone)?;
        let (Some(first), Some(last)) = (days.first(), days.last()) else {
            return Err(Failure::new(
                Exit::Usage,
                "there is no day to report on: that time lies ahead, or ends before it begins",
            )
            .into());
        };
        let (since, until) =
            (when::midnight(*first, zone), when::midnight(next(*last), zone).min(reading.now));
        let people = people(reading, args.who.as_deref(), (since, until)).await?;
        let mut rows = Vec::new();
        let mut total = Total::default();
        for day in &days {
            let bounds = (when::midnight(*day, zone), when::midnight(next(*day), zone));
            // Of a day before anybody looked at somebody there is nothing to say.
            let begun = people.iter().filter(|(known, _)| known.first.is_none_or(|first| first < bounds.1));
            for (known, person) in begun {
                let found = person.day(bounds, reading.now);
                total.add(&found);
                rows.push(row(*day, known, &found, bounds));
            }
        }
        if rows.is_empty() {
            reading.printer.print_nothing(COLUMNS, "Nobody was watched in that time.")?;
            return Ok(Exit::Nothing);
        }
        reading.printer.print(COLUMNS, &rows)?;
        reading.printer.remark(&total.told(people.len(), zone));
        Ok(Exit::Done)
    })
}

/// Those who are reported on: one of them, or all who are watched or were inside within that time.
async fn people(
    reading: &Reading,
    who: Option<&str>,
    (since, until): (Timestamp, Timestamp),
) -> anyhow::Result<Vec<(Known, Person)>> {
    let only = match who {
        Some(who) => Some(reading.person(who).await?.person_id),
        None => None,
    };
    let stays = by_person(reading.history.report().visits(since, until).await?);
    let gaps = reading.history.report().gaps(since, until).await?;
    let wanted = |known: &Known| {
        only.map_or(known.watched || stays.contains_key(&known.person_id), |id| id == known.person_id)
    };
    let with_days = |known: Known| {
        let stays = stays.get(&known.person_id).map_or(&[][..], Vec::as_slice);
        let open = reading.config.users.iter().find(|user| {
            user.identity.org.as_str() == known.org && user.identity.union_id.as_str() == known.union_id
        });
        let shut = open.map(|user| shut_since(&known, &reading.config.open_time(user), reading.now));
        let person = person(&known, stays, &gaps, &shut.unwrap_or_default(), reading.now);
        (known, person)
    };
    Ok(reading.history.report().users().await?.into_iter().filter(wanted).map(with_days).collect())
}

/// The days asked for, oldest first; none after today.
fn asked_days(args: &Args, now: Timestamp, zone: Tz) -> Result<Vec<NaiveDate>, Failure> {
    when::between(args.since.as_deref(), args.until.as_deref(), now, zone)?;
    let today = local_day(now, zone);
    let back = |days: u64| today.checked_sub_days(Days::new(days)).unwrap_or(today);
    let first = match &args.since {
        Some(text) => local_day(when::since(text, now, zone)?, zone),
        None if args.month => back(29),
        None => back(6),
    };
    let last = match &args.until {
        // Until the first instant of a day is until the end of the one before.
        Some(text) => {
            local_day(when::until(text, now, zone)?.minus(Duration::from_millis(1)), zone).min(today)
        }
        None => today,
    };
    let days: Vec<NaiveDate> = first.iter_days().take_while(|day| *day <= last).take(MOST_DAYS + 1).collect();
    if days.len() > MOST_DAYS {
        return Err(Failure::new(Exit::Usage, "that is more than a year; `presenced db sql` can do that"));
    }
    Ok(days)
}

fn local_day(at: Timestamp, zone: Tz) -> NaiveDate {
    DateTime::from_timestamp_millis(at.as_ms()).unwrap_or_default().with_timezone(&zone).date_naive()
}

fn next(day: NaiveDate) -> NaiveDate {
    day.checked_add_days(Days::new(1)).unwrap_or(day)
}

fn by_person(stays: Vec<Stay>) -> BTreeMap<i64, Vec<Stay>> {
    let mut of: BTreeMap<i64, Vec<Stay>> = BTreeMap::new();
    for stay in stays {
        of.entry(stay.person_id).or_default().push(stay);
    }
    of
}

/// Since the last good look: when nobody meant to look, by the config. A gap is written only when it ends.
fn shut_since(known: &Known, open: &OpenTime, now: Timestamp) -> Vec<(i64, i64)> {
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

/// What is known of somebody: when they were in, when nobody meant to look, when nobody could.
fn person(known: &Known, stays: &[Stay], gaps: &[Gap], shut: &[(i64, i64)], now: Timestamp) -> Person {
    // Nobody knows anything since the last good look once the next one is late, or was no good.
    let late = known.last_ok.filter(|at| {
        known.next_poll.is_none_or(|due| due.plus(LATE) < now) || known.failing && at.plus(LATE) < now
    });
    let known_until =
        if known.last_ok.is_some() { late.unwrap_or(now) } else { Timestamp::from_ms(i64::MIN) };
    let (mut closed, mut unknown) = (shut.to_vec(), Vec::new());
    for gap in
        gaps.iter().filter(|gap| gap.org == known.org && gap.person_id.is_none_or(|id| id == known.person_id))
    {
        let planned = Why::named(&gap.why).is_some_and(Why::is_planned);
        (if planned { &mut closed } else { &mut unknown }).push((gap.from.as_ms(), gap.to.as_ms()));
    }
    unknown.push((i64::MIN, known.first.map_or(i64::MAX, Timestamp::as_ms)));
    let tail = Spans::of(vec![(known_until.as_ms(), i64::MAX)]).without(&Spans::of(shut.to_vec()));
    let unknown = Spans::of(unknown).with(tail);
    let stays = stays
        .iter()
        .map(|stay| {
            let end = stay.left.unwrap_or(known_until.max(stay.joined));
            (stay.conference_id.clone(), (stay.joined.as_ms(), end.as_ms()))
        })
        .collect();
    Person::new(stays, &Spans::of(closed), &unknown)
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

fn tenths_of_hours(ms: i64) -> i64 {
    (ms + 180_000) / 360_000
}

#[derive(Default)]
struct Total {
    inside_ms: i64,
    unknown_ms: i64,
    meetings: BTreeSet<String>,
}

impl Total {
    fn add(&mut self, day: &Day) {
        self.inside_ms += day.inside.total_ms();
        self.unknown_ms += day.unknown.total_ms();
        self.meetings.extend(day.meetings.iter().cloned());
    }

    fn told(&self, people: usize, zone: Tz) -> String {
        let hours = |ms: i64| format!("{}.{}", tenths_of_hours(ms) / 10, tenths_of_hours(ms) % 10);
        format!(
            "{}: {} hours in {}, {} hours not known; days in {zone}. Bar: █ in a meeting, · not, ? nobody looked, blank: not meant to look.",
            counted(people, "person", "people"),
            hours(self.inside_ms),
            counted(self.meetings.len(), "meeting", "meetings"),
            hours(self.unknown_ms),
        )
    }
}

#[cfg(test)]
mod tests;
