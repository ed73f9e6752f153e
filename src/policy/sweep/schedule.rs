//! Schedule of an organisation's sweeps: learns the arrival profile and returns the time of the next sweep.
//!
//! Guards: the daemon and the replay use this same code; a day is planned once, with its share of the calls: planned
//! again and again it would take that share of the rest each time, and leave the end of the month without calls. Not
//! here: the placement of a day's sweeps (`schedule_optimizer`), whether sweeps are trusted (`confidence`), making
//! them.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono_tz::Tz;

use super::arrival_profile::ArrivalProfile;
use super::schedule_optimizer::{self, Plan};
use crate::policy::civil;
use crate::time::Timestamp;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// Open time that is longer than this is planned by local days.
const LONGEST_OPEN: Duration = Duration::from_hours(30);
/// Longest interval between sweeps in open time.
pub const LONGEST: Duration = Duration::from_hours(2);
/// Shortest interval between sweeps: changes are rechecked first.
pub const SHORTEST: Duration = Duration::from_mins(1);
/// Assumed calls of a sweep before the first one: a page, a batch and a recheck.
const COST: f64 = 3.0;
/// Weight of one sweep in the mean number of calls.
const COST_BY: f64 = 0.05;
/// Share of the expected changes that is spread evenly over the day, for changes at unusual times.
const SURPRISES: f64 = 0.1;
/// Share of the calls that is planned; the rest covers rechecks that cost more than usual.
const AIM: f64 = 0.98;

/// The learned profile, and the plan of the rest of the day.
#[derive(Clone, Debug)]
pub struct SweepSchedule {
    profile: ArrivalProfile,
    cost: f64,
    plan: Plan,
    /// Time of the plan's minute 0.
    from: Timestamp,
    /// End of the plan; `None`: there is none.
    until: Option<Timestamp>,
}

impl Default for SweepSchedule {
    fn default() -> Self {
        Self {
            profile: ArrivalProfile::default(),
            cost: COST,
            plan: Plan::default(),
            from: Timestamp::default(),
            until: None,
        }
    }
}

/// The end of a plan made at `now` in open time until `closes` (`None`: endless): closing, or the local midnight if that
/// is far away.
pub fn plan_ends(now: Timestamp, closes: Option<Timestamp>, zone: Tz) -> Timestamp {
    if let Some(closes) = closes.filter(|closes| closes.since(now) <= LONGEST_OPEN) {
        return closes;
    }
    let tomorrow = civil::wall(now, zone).date() + chrono::Days::new(1);
    let midnight = civil::first_instant(tomorrow.and_time(chrono::NaiveTime::MIN), zone);
    closes.map_or(midnight, |closes| closes.min(midnight))
}

/// Local day (since 1970-01-01) and minute of the day.
pub fn local_minute(at: Timestamp, zone: Tz) -> (i32, usize) {
    let local = at.as_ms() + civil::offset_ms(at, zone);
    let day = i32::try_from(local.div_euclid(DAY_MS)).unwrap_or(i32::MAX);
    (day, usize::try_from(local.rem_euclid(DAY_MS) / MINUTE_MS).unwrap_or(0))
}

impl SweepSchedule {
    /// Learns the history: the times of joins and leaves before the day of `now`.
    pub fn learn(&mut self, changes: impl IntoIterator<Item = Timestamp>, now: Timestamp, zone: Tz) {
        let mut changes_by_day: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        for at in changes {
            let (day, minute) = local_minute(at, zone);
            changes_by_day.entry(day).or_default().push(minute);
        }
        let (Some(first), (last, _)) = (changes_by_day.keys().next().copied(), local_minute(now, zone))
        else {
            return;
        };
        for day in first..last {
            self.profile.start_day(day);
            for minute in changes_by_day.get(&day).into_iter().flatten() {
                self.profile.record_change(*minute, minute + 1);
            }
        }
    }

    /// Records that a sweep at `now` found this many changes since the one before.
    pub fn record_changes(&mut self, since: Option<Timestamp>, now: Timestamp, changes: usize, zone: Tz) {
        let (day, minute) = local_minute(now, zone);
        self.profile.start_day(day);
        let from = since.map_or(minute, |since| local_minute(since, zone).1).min(minute);
        for _ in 0..changes {
            self.profile.record_change(from, minute.max(from + 1));
        }
    }

    /// Mean calls of a sweep, with its recheck and polls.
    pub fn cost(&self) -> f64 {
        self.cost
    }

    /// Records the calls of a sweep.
    pub fn record_cost(&mut self, calls: f64) {
        self.cost = self.cost * (1.0 - COST_BY) + COST_BY * calls;
    }

    /// Wrong minutes that one more call would save in the plan.
    pub fn value_of_a_call(&self) -> f64 {
        // Before there is a plan, no poll is worth more than a sweep.
        if self.plan.price > 0.0 { self.plan.price } else { f64::MAX }
    }

    /// Whether there is a plan for this time.
    pub fn has_plan(&self, at: Timestamp) -> bool {
        self.until.is_some_and(|until| until > at)
    }

    /// Plans the sweeps from `now` to `closes` with this many calls.
    fn replan(&mut self, now: Timestamp, closes: Timestamp, calls: f64, zone: Tz) {
        let (day, minute) = local_minute(now, zone);
        self.profile.start_day(day);
        let expected = self.profile.expected(day);
        let minutes = usize::try_from(now_to(now, closes) / MINUTE_MS).unwrap_or(0).min(1440);
        let mut changes: Vec<f64> =
            (minute..minute + minutes).map(|minute| expected[minute % 1440]).collect();
        surprise(&mut changes);
        self.plan = schedule_optimizer::plan(&changes, self.cost, AIM * calls.max(0.0));
        self.from = now;
        self.until = Some(closes);
    }

    /// When the next sweep after one at `now` is due, with this many calls until `ends`, the end of the plan; at that
    /// time, a new plan is.
    pub fn next_due(&mut self, now: Timestamp, ends: Timestamp, calls: f64, zone: Tz) -> Timestamp {
        if !self.has_plan(now) {
            self.replan(now, ends, calls, zone);
        }
        let planned = self.next_sweep(now).unwrap_or(ends);
        if self.expects_nothing() {
            let sweeps = (calls / self.cost).max(1e-6);
            let steady =
                Duration::try_from_secs_f64(ends.since(now).as_secs_f64() / sweeps).unwrap_or(LONGEST);
            return now.plus(steady.clamp(SHORTEST, LONGEST));
        }
        planned.min(now.plus(LONGEST)).max(now.plus(SHORTEST))
    }

    /// Discards the plan after a change of the calls or windows; the rest of the day is planned again.
    pub fn discard_plan(&mut self) {
        self.until = None;
    }

    /// Whether the plan expects no changes that a sweep could find.
    fn expects_nothing(&self) -> bool {
        self.plan.wrong <= 0.0
    }

    /// Time of the next sweep after one at `now`; `None`: none before closing.
    fn next_sweep(&mut self, now: Timestamp) -> Option<Timestamp> {
        let minute = usize::try_from(now_to(self.from, now) / MINUTE_MS).unwrap_or(0);
        let Some(next) = self.plan.after(minute) else {
            self.until = None;
            return None;
        };
        Some(self.from.plus(Duration::from_mins(next as u64)))
    }
}

/// Moves a share of the changes to minutes without expected changes, so that every part of the day gets sweeps.
fn surprise(changes: &mut [f64]) {
    let all: f64 = changes.iter().sum();
    let each = SURPRISES * all / f64::from(u32::try_from(changes.len().max(1)).unwrap_or(u32::MAX));
    for change in changes {
        *change = (1.0 - SURPRISES) * *change + each;
    }
}

fn now_to(from: Timestamp, to: Timestamp) -> i64 {
    to.as_ms().saturating_sub(from.as_ms())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::civil::tests::at;

    #[test]
    fn a_stand_up_is_swept_right_after_its_start() {
        let now = at("2026-11-23T09:00:00Z");
        let mut schedule = SweepSchedule::default();
        let week = |back: u64| now.minus(Duration::from_hours(24 * back)).plus(Duration::from_hours(1));
        schedule.learn((1..=28).rev().flat_map(|back| [week(back); 8]), now, Tz::UTC);
        schedule.replan(now, now.plus(Duration::from_hours(3)), 6.0, Tz::UTC);
        assert!(schedule.has_plan(now));
        let next = schedule.next_sweep(now).expect("one is planned");
        let after = next.since(now).as_secs() / 60;
        assert!((58..=66).contains(&after), "{after} minutes after nine");
        assert!(schedule.has_plan(next) && !schedule.has_plan(now.plus(Duration::from_hours(3))));
        schedule.discard_plan();
        assert!(!schedule.has_plan(next));
    }

    #[test]
    fn where_nothing_closes_a_plan_ends_at_midnight() {
        let now = at("2026-11-23T09:00:00Z");
        let mut schedule = SweepSchedule::default();
        schedule.learn((1..=28).rev().map(|back| now.minus(Duration::from_hours(24 * back))), now, Tz::UTC);
        let midnight = at("2026-11-24T00:00:00Z");
        for closes in [None, Some(now.plus(Duration::from_hours(24 * 9)))] {
            assert_eq!(plan_ends(now, closes, Tz::UTC), midnight);
        }
        let closes = now.plus(Duration::from_hours(20));
        assert_eq!(plan_ends(now, Some(closes), Tz::UTC), closes);
        let due = schedule.next_due(now, midnight, 40.0, Tz::UTC);
        assert!(due > now && due <= now.plus(LONGEST), "{due}");
        assert!(schedule.has_plan(due) && !schedule.has_plan(midnight));
    }

    #[test]
    fn without_history_there_is_no_plan() {
        let now = at("2026-11-23T09:00:00Z");
        let mut schedule = SweepSchedule::default();
        schedule.replan(now, now.plus(Duration::from_hours(3)), 60.0, Tz::UTC);
        assert_eq!(schedule.next_sweep(now), None);
        assert!(!schedule.has_plan(now));
    }
}
