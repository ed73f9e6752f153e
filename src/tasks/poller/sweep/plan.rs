//! When the next sweep is due, and how many calls go into sweeps.
//!
//! Guards: no sweep in closed time; before sweeps are trusted only a small part of the calls goes into them, so a
//! tenant whose meetings they do not list loses almost nothing. Not here: the schedule of a day (`policy::sweep`).

use std::time::Duration;

use crate::policy::pace::CallBudget;
use crate::policy::pace::pacer::whole_calls;
use crate::policy::sweep::schedule::{LONGEST, SHORTEST, local_minute, plan_ends};
use crate::policy::sweep::{AUTO_MIN_USERS, SweepMode as Wish};
use crate::tasks::poller::roster::WindowKey;
use crate::tasks::poller::share;
use crate::tasks::poller::state::OrgState;
use crate::time::Timestamp;

/// Part of the calls for sweeps that are not trusted.
const PROBES: f64 = 0.05;
/// Calls of such a sweep: nothing is rechecked.
const PROBE_COST: f64 = 2.0;
/// Where sweeps list little of what polls show, that part falls at most to this part of itself.
const LEAST_COVERAGE: f64 = 0.2;
/// Delay after a failed sweep; doubled for each further failure, at most `LONGEST`.
const AFTER_FAILURE: Duration = Duration::from_mins(5);
/// Failures in a row after which the calls go to polls.
const GIVEN_BACK_AFTER: u32 = 3;
/// Largest part of the calls for sweeps at a configured interval.
const MOST_EVERY: f64 = 0.96;
/// The delay where no window opens for years.
const NEVER: Duration = Duration::from_hours(24 * 366);

/// The sweep mode of an organisation; `None`: no sweeps.
pub(super) fn wish(org: &OrgState) -> Option<Wish> {
    if org.settings.sweep == Wish::Off || org.sweeps.trust.is_refused() {
        return None;
    }
    let limited = org.limits.budget().limit().is_some();
    let wanted =
        org.settings.sweep != Wish::Auto || (limited && org.pacer.share.paced_people() >= AUTO_MIN_USERS);
    wanted.then_some(org.settings.sweep)
}

/// How many of the month's remaining calls are for sweeps.
pub(in crate::tasks::poller) fn sweep_calls(org: &OrgState, now: Timestamp) -> u64 {
    let Some((wish, left)) = wish(org).zip(left_for_paced(org, now)) else { return 0 };
    let sweeping = &org.sweeps;
    if sweeping.calls.failures >= GIVEN_BACK_AFTER {
        return 0;
    }
    match wish {
        Wish::Off => 0,
        Wish::Auto if sweeping.trust.is_trusted() => sweeping.plan.spending.for_sweeps(left),
        Wish::Auto => whole_calls(left, PROBES * sweeping.trust.coverage_of_all().max(LEAST_COVERAGE)),
        Wish::Every(interval) => {
            let people = org.pacer.share.paced_people().max(1);
            let sweeps = (org.pacer.share.open / people).as_secs_f64() / interval.as_secs_f64().max(1.0);
            let cost = sweeping.plan.timetable.cost();
            let share = sweeps * cost / Duration::from_secs(left.max(1)).as_secs_f64();
            whole_calls(left, share.min(MOST_EVERY))
        }
    }
}

/// The calls for polls beside sweeps; `None`: the budget is not split by value.
pub(in crate::tasks::poller) fn beside_sweeps(org: &OrgState, now: Timestamp) -> Option<CallBudget> {
    let sweeping = &org.sweeps;
    let divides = wish(org) == Some(Wish::Auto)
        && sweeping.trust.is_trusted()
        && sweeping.calls.failures < GIVEN_BACK_AFTER;
    let left = left_for_paced(org, now).filter(|_| divides)?;
    let until = org.limits.budget().month_ends_at(now);
    Some(sweeping.plan.spending.for_polls(until, sweeping.plan.timetable.value_of_a_call(), left))
}

/// Splits today's calls by what sweeps and polls took yesterday.
pub(in crate::tasks::poller) fn start_budget_day(org: &mut OrgState, now: Timestamp) {
    let Some(left) = left_for_paced(org, now) else { return };
    let day = local_minute(now, org.settings.time_zone).0;
    org.sweeps.plan.spending.start_day(day, now, left);
}

/// The month's remaining calls for sweeps and paced users.
fn left_for_paced(org: &OrgState, now: Timestamp) -> Option<u64> {
    Some(org.limits.budget().left(now)?.saturating_sub(org.pacer.share.fixed_calls))
}

/// When the next sweep is due.
pub(super) fn plan_sweep(org: &mut OrgState, wish: Wish, now: Timestamp) -> Timestamp {
    let mut windows: Vec<WindowKey> =
        org.users.values().filter(|watched| !watched.gone).map(|watched| watched.window).collect();
    windows.sort_unstable();
    windows.dedup();
    let open = windows.iter().filter(|of| org.windows.is_open(**of));
    let zone = org.settings.time_zone;
    let closes = open.map(|of| plan_ends(now, org.windows.times(*of).next_change(now), zone)).max();
    let month_ends = org.limits.budget().month_ends_at(now);
    let closes = closes.map(|closes| closes.min(month_ends));
    let due = closes.map(|closes| due_in_open_time(org, wish, now, closes));
    if let Some(due) = due.filter(|due| closes.is_some_and(|closes| *due < closes)) {
        return due;
    }
    let from = closes.unwrap_or(now);
    let opens = windows.iter().filter_map(|of| org.windows.times(*of).opens_at(from)).min();
    // Organisations start at different times.
    let spread = Duration::from_millis(org.key % 60_000);
    opens.map_or(now.plus(NEVER), |opens| opens.plus(spread))
}

fn due_in_open_time(org: &mut OrgState, wish: Wish, now: Timestamp, closes: Timestamp) -> Timestamp {
    let sweeping = &mut org.sweeps;
    let last = sweeping.newest.last.as_ref().map(|last| last.observed_at);
    if let Some(doublings) = sweeping.calls.failures.checked_sub(1) {
        return now.plus(AFTER_FAILURE.saturating_mul(1 << doublings.min(10)).min(LONGEST));
    }
    let every = match wish {
        Wish::Every(interval) => interval.max(SHORTEST),
        Wish::Auto if sweeping.trust.is_trusted() => {
            return match last {
                // After a night everything has changed.
                Some(last) if now.since(last) < LONGEST * 2 => next_planned(org, now, closes),
                _ => now,
            };
        }
        Wish::Auto | Wish::Off => {
            let every = every(org, now, closes).max(AFTER_FAILURE);
            if last.is_none() {
                return now.plus(every / 4);
            }
            every
        }
    };
    last.map_or(now, |last| last.plus(every)).max(now)
}

/// The next sweep of the day's schedule, for trusted sweeps.
fn next_planned(org: &mut OrgState, now: Timestamp, closes: Timestamp) -> Timestamp {
    let zone = org.settings.time_zone;
    let calls = calls_until(org, now, closes);
    org.sweeps.plan.timetable.next_due(now, closes, calls, zone)
}

/// The interval at which sweeps use their calls evenly.
fn every(org: &OrgState, now: Timestamp, closes: Timestamp) -> Duration {
    let sweeping = &org.sweeps;
    let cost = if sweeping.trust.is_trusted() { sweeping.plan.timetable.cost() } else { PROBE_COST };
    let sweeps = calls_until(org, now, closes) / cost;
    let open = closes.since(now).as_secs_f64();
    Duration::try_from_secs_f64(open / sweeps.max(1e-6)).unwrap_or(NEVER).min(NEVER)
}

/// The calls for sweeps until closing.
fn calls_until(org: &OrgState, now: Timestamp, closes: Timestamp) -> f64 {
    let ends = org.limits.budget().month_ends_at(now);
    let open = |to: Timestamp| share::open_between(org, now, to.min(ends)).as_secs_f64();
    let calls = Duration::from_secs(sweep_calls(org, now)).as_secs_f64();
    calls * (open(closes) / open(ends).max(1.0)).min(1.0)
}
