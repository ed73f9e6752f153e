//! When the next sweep is due, and how many calls go into sweeps.
//!
//! Guards: no sweep in closed time; before sweeps are trusted only a small part of the calls goes into them, so a
//! tenant whose meetings they do not list loses almost nothing. Not here: the schedule of a day (`policy::sweep`).

use std::time::Duration;

use crate::policy::pace::CallBudget;
use crate::policy::pace::pacer::whole_calls;
use crate::policy::sweep::schedule::local_minute;
use crate::policy::sweep::{AUTO_MIN_USERS, SweepMode as Wish};
use crate::tasks::poller::Poller;
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

impl Poller {
    /// The sweep mode of an organisation; `None`: no sweeps.
    pub(super) fn wish(&self, index: usize) -> Option<Wish> {
        if self.settings.sweep == Wish::Off
            || self.sweeps.get(index).is_some_and(|sweeping| sweeping.trust.is_refused())
        {
            return None;
        }
        let upstream = &self.upstreams[index];
        let limited = upstream.budget.limit().is_some();
        let wanted =
            self.settings.sweep != Wish::Auto || (limited && upstream.share.paced_people() >= AUTO_MIN_USERS);
        wanted.then_some(self.settings.sweep)
    }

    /// How many of the month's remaining calls are for sweeps.
    pub(in crate::tasks::poller) fn sweep_calls(&self, index: usize, now: Timestamp) -> u64 {
        let upstream = &self.upstreams[index];
        let Some((wish, left)) = self.wish(index).zip(self.left_for_paced(index, now)) else { return 0 };
        let sweeping = self.sweeps.get(index);
        if sweeping.is_some_and(|sweeping| sweeping.failures >= GIVEN_BACK_AFTER) {
            return 0;
        }
        let trust = sweeping.map(|sweeping| &sweeping.trust);
        let coverage = trust.map_or(1.0, super::SweepConfidence::coverage_of_all);
        match wish {
            Wish::Off => 0,
            Wish::Auto if trust.is_some_and(super::SweepConfidence::is_trusted) => {
                sweeping.map_or(0, |sweeping| sweeping.spending.for_sweeps(left))
            }
            Wish::Auto => whole_calls(left, PROBES * coverage.max(LEAST_COVERAGE)),
            Wish::Every(interval) => {
                let people = upstream.share.paced_people().max(1);
                let sweeps = (upstream.share.open / people).as_secs_f64() / interval.as_secs_f64().max(1.0);
                let cost = self.cost_of_sweep(index);
                let share = sweeps * cost / Duration::from_secs(left.max(1)).as_secs_f64();
                whole_calls(left, share.min(MOST_EVERY))
            }
        }
    }

    /// The calls for polls beside sweeps; `None`: the budget is not split by value.
    pub(in crate::tasks::poller) fn beside_sweeps(&self, index: usize, now: Timestamp) -> Option<CallBudget> {
        let sweeping = self.sweeps.get(index)?;
        let divides = self.wish(index) == Some(Wish::Auto)
            && sweeping.trust.is_trusted()
            && sweeping.failures < GIVEN_BACK_AFTER;
        let left = self.left_for_paced(index, now).filter(|_| divides)?;
        let until = self.upstreams[index].budget.month_ends_at(now);
        Some(sweeping.spending.for_polls(until, sweeping.timetable.value_of_a_call(), left))
    }

    /// Splits today's calls by what sweeps and polls took yesterday.
    pub(in crate::tasks::poller) fn start_budget_day(&mut self, index: usize, now: Timestamp) {
        let Some(left) = self.left_for_paced(index, now) else { return };
        let day = local_minute(now, self.settings.time_zone).0;
        self.sweeps.of(index).spending.start_day(day, now, left);
    }

    /// The month's remaining calls for sweeps and paced users.
    fn left_for_paced(&self, index: usize, now: Timestamp) -> Option<u64> {
        let upstream = &self.upstreams[index];
        Some(upstream.budget.left(now)?.saturating_sub(upstream.share.fixed_calls))
    }

    fn cost_of_sweep(&self, index: usize) -> f64 {
        self.sweeps.get(index).map_or_else(
            || crate::policy::sweep::schedule::SweepSchedule::default().cost(),
            |sweeping| sweeping.timetable.cost(),
        )
    }

    /// When the next sweep is due.
    pub(super) fn plan_sweep(&mut self, index: usize, wish: Wish, now: Timestamp) -> Timestamp {
        let mut windows: Vec<WindowKey> = self
            .users
            .values()
            .filter(|watched| watched.upstream == index && !watched.gone)
            .map(|watched| watched.window)
            .collect();
        windows.sort_unstable();
        windows.dedup();
        let day = now.plus(Duration::from_hours(24));
        let open = windows.iter().map(|of| &self.windows[*of]).filter(|window| window.is_open);
        let closes = open.map(|window| window.open.next_change(now).unwrap_or(day)).max();
        let month_ends = self.upstreams[index].budget.month_ends_at(now);
        let closes = closes.map(|closes| closes.min(day).min(month_ends));
        let due = closes.map(|closes| self.due_in_open_time(index, wish, now, closes));
        if let Some(due) = due.filter(|due| closes.is_some_and(|closes| *due < closes)) {
            return due;
        }
        let from = closes.unwrap_or(now);
        let opens = windows.iter().filter_map(|of| self.windows[*of].open.opens_at(from)).min();
        // Organisations start at different times.
        let spread = Duration::from_millis(self.upstreams[index].key % 60_000);
        opens.map_or(now.plus(NEVER), |opens| opens.plus(spread))
    }

    fn due_in_open_time(&mut self, index: usize, wish: Wish, now: Timestamp, closes: Timestamp) -> Timestamp {
        let sweeping = self.sweeps.of(index);
        let last = sweeping.last.as_ref().map(|last| last.observed_at);
        if let Some(doublings) = sweeping.failures.checked_sub(1) {
            return now.plus(AFTER_FAILURE.saturating_mul(1 << doublings.min(10)).min(LONGEST));
        }
        let every = match wish {
            Wish::Every(interval) => interval.max(SHORTEST),
            Wish::Auto if sweeping.trust.is_trusted() => {
                return match last {
                    // After a night everything has changed.
                    Some(last) if now.since(last) < LONGEST * 2 => self.next_planned(index, now, closes),
                    _ => now,
                };
            }
            Wish::Auto | Wish::Off => {
                let every = self.every(index, now, closes).max(AFTER_FAILURE);
                if last.is_none() {
                    return now.plus(every / 4);
                }
                every
            }
        };
        last.map_or(now, |last| last.plus(every)).max(now)
    }

    /// The next sweep of the day's schedule, for trusted sweeps.
    fn next_planned(&mut self, index: usize, now: Timestamp, closes: Timestamp) -> Timestamp {
        let zone = self.settings.time_zone;
        let steady = self.every(index, now, closes);
        let calls = self.calls_until(index, now, closes);
        let timetable = &mut self.sweeps.of(index).timetable;
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
    fn every(&self, index: usize, now: Timestamp, closes: Timestamp) -> Duration {
        let trusted = self.sweeps.get(index).is_some_and(|sweeping| sweeping.trust.is_trusted());
        let cost = if trusted { self.cost_of_sweep(index) } else { PROBE_COST };
        let sweeps = self.calls_until(index, now, closes) / cost;
        let open = closes.since(now).as_secs_f64();
        Duration::try_from_secs_f64(open / sweeps.max(1e-6)).unwrap_or(NEVER).min(NEVER)
    }

    /// The calls for sweeps until closing.
    fn calls_until(&self, index: usize, now: Timestamp, closes: Timestamp) -> f64 {
        let ends = self.upstreams[index].budget.month_ends_at(now);
        let open = |to: Timestamp| self.open_between(index, now, to.min(ends)).as_secs_f64();
        let calls = Duration::from_secs(self.sweep_calls(index, now)).as_secs_f64();
        calls * (open(closes) / open(ends).max(1.0)).min(1.0)
    }
}

impl super::Sweeps {
    /// Discards all plans, after a change of config or windows.
    pub(in crate::tasks::poller) fn think_again(&mut self) {
        for sweeping in self.0.values_mut() {
            sweeping.due = None;
            sweeping.timetable.discard_plan();
        }
    }
}
