//! When the next sweep is due, and how many calls go into sweeps.
//!
//! Guards: no sweep in closed time; before sweeps are trusted only a small part of the calls goes into them, so a
//! tenant whose meetings they do not list loses almost nothing. Not here: the schedule of a day (`policy::sweep`).

use std::time::Duration;

use crate::policy::pace::CallBudget;
use crate::policy::pace::pacer::whole_calls;
use crate::policy::sweep::schedule::local_minute;
use crate::policy::sweep::{AUTO_MIN_USERS, SweepMode as Wish};
use crate::tasks::poller::org::OrgPoller;
use crate::tasks::poller::roster::WindowKey;
use crate::time::Timestamp;

/// Part of the calls for sweeps that are not trusted.
const PROBES: f64 = 0.05;
/// Calls of such a sweep: nothing is rechecked.
const PROBE_COST: f64 = 2.0;
/// Where sweeps list little of what polls show, that part falls at most to this part of itself.
const LEAST_COVERAGE: f64 = 0.2;
/// Longest interval between sweeps in open time, once they are trusted.
const LONGEST: Duration = Duration::from_hours(2);
/// Shortest interval between sweeps: changes are rechecked first.
const SHORTEST: Duration = Duration::from_mins(1);
/// Delay after a failed sweep; doubled for each further failure, at most `LONGEST`.
const AFTER_FAILURE: Duration = Duration::from_mins(5);
/// Failures in a row after which the calls go to polls.
const GIVEN_BACK_AFTER: u32 = 3;
/// Largest part of the calls for sweeps at a configured interval.
const MOST_EVERY: f64 = 0.96;
/// The delay where no window opens for years.
const NEVER: Duration = Duration::from_hours(24 * 366);

impl OrgPoller {
    /// The sweep mode of an organisation; `None`: no sweeps.
    pub(super) fn wish(&self) -> Option<Wish> {
        if self.settings.sweep == Wish::Off || self.sweeps.trust.is_refused() {
            return None;
        }
        let upstream = &self.upstream;
        let limited = upstream.budget.limit().is_some();
        let wanted =
            self.settings.sweep != Wish::Auto || (limited && upstream.share.paced_people() >= AUTO_MIN_USERS);
        wanted.then_some(self.settings.sweep)
    }

    /// How many of the month's remaining calls are for sweeps.
    pub(in crate::tasks::poller) fn sweep_calls(&self, now: Timestamp) -> u64 {
        let upstream = &self.upstream;
        let Some((wish, left)) = self.wish().zip(self.left_for_paced(now)) else { return 0 };
        let sweeping = &self.sweeps;
        if sweeping.failures >= GIVEN_BACK_AFTER {
            return 0;
        }
        match wish {
            Wish::Off => 0,
            Wish::Auto if sweeping.trust.is_trusted() => sweeping.spending.for_sweeps(left),
            Wish::Auto => whole_calls(left, PROBES * sweeping.trust.coverage_of_all().max(LEAST_COVERAGE)),
            Wish::Every(interval) => {
                let people = upstream.share.paced_people().max(1);
                let sweeps = (upstream.share.open / people).as_secs_f64() / interval.as_secs_f64().max(1.0);
                let cost = sweeping.timetable.cost();
                let share = sweeps * cost / Duration::from_secs(left.max(1)).as_secs_f64();
                whole_calls(left, share.min(MOST_EVERY))
            }
        }
    }

    /// The calls for polls beside sweeps; `None`: the budget is not split by value.
    pub(in crate::tasks::poller) fn beside_sweeps(&self, now: Timestamp) -> Option<CallBudget> {
        let sweeping = &self.sweeps;
        let divides = self.wish() == Some(Wish::Auto)
            && sweeping.trust.is_trusted()
            && sweeping.failures < GIVEN_BACK_AFTER;
        let left = self.left_for_paced(now).filter(|_| divides)?;
        let until = self.upstream.budget.month_ends_at(now);
        Some(sweeping.spending.for_polls(until, sweeping.timetable.value_of_a_call(), left))
    }

    /// Splits today's calls by what sweeps and polls took yesterday.
    pub(in crate::tasks::poller) fn start_budget_day(&mut self, now: Timestamp) {
        let Some(left) = self.left_for_paced(now) else { return };
        let day = local_minute(now, self.settings.time_zone).0;
        self.sweeps.spending.start_day(day, now, left);
    }

    /// The month's remaining calls for sweeps and paced users.
    fn left_for_paced(&self, now: Timestamp) -> Option<u64> {
        let upstream = &self.upstream;
        Some(upstream.budget.left(now)?.saturating_sub(upstream.share.fixed_calls))
    }

    /// When the next sweep is due.
    pub(super) fn plan_sweep(&mut self, wish: Wish, now: Timestamp) -> Timestamp {
        let mut windows: Vec<WindowKey> =
            self.users.values().filter(|watched| !watched.gone).map(|watched| watched.window).collect();
        windows.sort_unstable();
        windows.dedup();
        let day = now.plus(Duration::from_hours(24));
        let open = windows.iter().map(|of| &self.windows[*of]).filter(|window| window.is_open);
        let closes = open.map(|window| window.open.next_change(now).unwrap_or(day)).max();
        let month_ends = self.upstream.budget.month_ends_at(now);
        let closes = closes.map(|closes| closes.min(day).min(month_ends));
        let due = closes.map(|closes| self.due_in_open_time(wish, now, closes));
        if let Some(due) = due.filter(|due| closes.is_some_and(|closes| *due < closes)) {
            return due;
        }
        let from = closes.unwrap_or(now);
        let opens = windows.iter().filter_map(|of| self.windows[*of].open.opens_at(from)).min();
        // Organisations start at different times.
        let spread = Duration::from_millis(self.upstream.key % 60_000);
        opens.map_or(now.plus(NEVER), |opens| opens.plus(spread))
    }

    fn due_in_open_time(&mut self, wish: Wish, now: Timestamp, closes: Timestamp) -> Timestamp {
        let sweeping = &mut self.sweeps;
        let last = sweeping.last.as_ref().map(|last| last.observed_at);
        if let Some(doublings) = sweeping.failures.checked_sub(1) {
            return now.plus(AFTER_FAILURE.saturating_mul(1 << doublings.min(10)).min(LONGEST));
        }
        let every = match wish {
            Wish::Every(interval) => interval.max(SHORTEST),
            Wish::Auto if sweeping.trust.is_trusted() => {
                return match last {
                    // After a night everything has changed.
                    Some(last) if now.since(last) < LONGEST * 2 => self.next_planned(now, closes),
                    _ => now,
                };
            }
            Wish::Auto | Wish::Off => {
                let every = self.every(now, closes).max(AFTER_FAILURE);
                if last.is_none() {
                    return now.plus(every / 4);
                }
                every
            }
        };
        last.map_or(now, |last| last.plus(every)).max(now)
    }

    /// The next sweep of the day's schedule, for trusted sweeps.
    fn next_planned(&mut self, now: Timestamp, closes: Timestamp) -> Timestamp {
        let zone = self.settings.time_zone;
        let steady = self.every(now, closes);
        let calls = self.calls_until(now, closes);
        let timetable = &mut self.sweeps.timetable;
        if !timetable.has_plan(now) {
            timetable.replan(now, closes, calls, zone);
        }
        let planned = timetable.next_sweep(now);
        if timetable.expects_nothing() {
            return now.plus(steady.clamp(SHORTEST, LONGEST));
        }
        planned.unwrap_or(closes).min(now.plus(LONGEST)).max(now.plus(SHORTEST))
    }

    /// The interval at which sweeps use their calls evenly.
    fn every(&self, now: Timestamp, closes: Timestamp) -> Duration {
        let sweeping = &self.sweeps;
        let cost = if sweeping.trust.is_trusted() { sweeping.timetable.cost() } else { PROBE_COST };
        let sweeps = self.calls_until(now, closes) / cost;
        let open = closes.since(now).as_secs_f64();
        Duration::try_from_secs_f64(open / sweeps.max(1e-6)).unwrap_or(NEVER).min(NEVER)
    }

    /// The calls for sweeps until closing.
    fn calls_until(&self, now: Timestamp, closes: Timestamp) -> f64 {
        let ends = self.upstream.budget.month_ends_at(now);
        let open = |to: Timestamp| self.open_between(now, to.min(ends)).as_secs_f64();
        let calls = Duration::from_secs(self.sweep_calls(now)).as_secs_f64();
        calls * (open(closes) / open(ends).max(1.0)).min(1.0)
    }
}
