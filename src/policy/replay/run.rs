//! Runs a policy over the counted period: which user is polled when.
//!
//! Guards: the calls of a month are never exceeded; a policy gets answers, never the trace. Not here: measuring the
//! result (`measure`).
#![expect(clippy::cast_precision_loss, reason = "counts, minutes and milliseconds here are far below 2^52")]

use std::time::Duration;

use super::references;
use super::state::{Run, known_by};
use super::types::{Policy, ReplayInput, RunResult};
use crate::policy::civil;
use crate::policy::pace::{CallBudget, Phase, PollDecision, Seen, Visit};
use crate::time::Timestamp;

/// Key of the sweeps in the queue of due users.
const SWEEP: u32 = u32::MAX;
/// A user that sweeps show inside is polled this much later.
const LATER_MS: i64 = 600_000;
const WEEK_MS: i64 = 7 * 86_400_000;
const DAY_MS: i64 = 86_400_000;

/// Runs `policy` over `[from, to)`.
pub(super) fn run(input: &ReplayInput, policy: Policy, from: Timestamp, to: Timestamp) -> RunResult {
    // Policies are compared at the same number of calls: the others get as many as `even` spends.
    let given = (policy != Policy::Even).then(|| run(input, Policy::Even, from, to).months);
    match (policy, given) {
        (Policy::Never, _) => references::never(input),
        (Policy::Clairvoyant, given) => references::clairvoyant(input, from, to, given.unwrap_or_default()),
        (_, given) => run_rule(input, policy, from, to, given),
    }
}

fn run_rule(
    input: &ReplayInput,
    policy: Policy,
    from: Timestamp,
    to: Timestamp,
    given: Option<Vec<(u64, u64)>>,
) -> RunResult {
    let mut run = Run::new(input, policy, from, to, given);
    run.run();
    RunResult { polls: run.polls, months: run.months, calls: run.spent }
}

impl Run<'_> {
    fn run(&mut self) {
        let from = self.call_budget.from.as_ms();
        self.learn_hindsight(from);
        self.start_day(from);
        for user in 0..u32::try_from(self.plans.len()).unwrap_or(u32::MAX) {
            self.plan(user, from);
        }
        if self.sweeper.is_some() {
            self.due.insert((from, SWEEP));
        }
        while let Some((at, user)) = self.due.pop_first() {
            if at >= self.to {
                break;
            }
            self.now = at;
            self.start_month(at);
            self.start_day(at);
            self.learn_hindsight(at);
            if user == SWEEP {
                let next = self.sweep(at).min(self.call_budget.until.as_ms());
                self.due.insert((next.max(at + 1), SWEEP));
                continue;
            }
            if self.plans[user as usize].1 && self.is_swept_inside(user) {
                self.plans[user as usize] = (at + LATER_MS, true);
                self.due.insert((at + LATER_MS, user));
                continue;
            }
            let is_poll = self.plans[user as usize].1;
            if is_poll && self.call_budget.calls.is_some_and(|calls| self.call_budget.used < calls) {
                self.poll(user, at);
            }
            self.plan(user, at);
        }
    }

    /// Teaches `hindsight` all weeks but this one, moving later weeks before the first.
    fn learn_hindsight(&mut self, at: i64) {
        if self.policy != Policy::Hindsight || at < self.next_learning {
            return;
        }
        let zone = self.input.settings.time_zone;
        let local = at + civil::offset_ms(Timestamp::from_ms(at), zone);
        let days = local.div_euclid(DAY_MS);
        // 1970-01-01 was a Thursday.
        let monday = (days - (days + 3).rem_euclid(7)) * DAY_MS;
        let local_minute = |visit: &Visit| visit.joined.as_ms() + civil::offset_ms(visit.joined, zone);
        let ends = self.input.ends().unwrap_or_default();
        let back = (ends.1 - ends.0 + WEEK_MS - 1) / WEEK_MS * WEEK_MS;
        let mut learned = Vec::new();
        for visit in &self.input.visits {
            if local_minute(visit) < monday {
                learned.extend(known_by(visit, Timestamp::from_ms(at)));
            } else if local_minute(visit) >= monday + WEEK_MS {
                let shifted = Timestamp::from_ms(visit.joined.as_ms() - back);
                let drift = civil::offset_ms(visit.joined, zone) - civil::offset_ms(shifted, zone);
                let earlier = |at: Timestamp| Timestamp::from_ms(at.as_ms() - back + drift);
                learned.push(Visit {
                    joined: earlier(visit.joined),
                    left: visit.left.map(earlier),
                    ..*visit
                });
            }
        }
        self.pacer.learn_from(&learned, Timestamp::from_ms(at));
        let next = monday + WEEK_MS;
        self.next_learning = next - civil::offset_ms(Timestamp::from_ms(next), zone);
    }

    fn poll(&mut self, user: u32, at: i64) {
        self.call_budget.used += 1;
        self.spent += 1;
        self.polled += 1;
        if let Some(sweeper) = &mut self.sweeper {
            sweeper.split.record_poll();
        }
        if let Some(month) = self.months.last_mut() {
            month.0 += 1;
        }
        let last = self.polls[user as usize].last().map(|(last, _)| *last);
        let inside = self.visits[user as usize]
            .iter()
            .any(|visit| visit.joined.as_ms() <= at && visit.left.is_none_or(|left| left.as_ms() > at));
        self.polls[user as usize].push((at, inside));
        if matches!(self.policy, Policy::Even | Policy::Histogram) {
            return;
        }
        let mut seen = self.answer(user, at, last);
        self.update_sweeper(user, &seen);
        seen.retain(|record| self.is_followed(record.conference));
        let moved = self.pacer.observed(user, Timestamp::from_ms(at), &seen);
        for other in moved {
            let (due, _) = self.plans[other as usize];
            self.due.remove(&(due, other));
            self.plan(other, at);
        }
    }

    fn answer(&self, user: u32, at: i64, last: Option<i64>) -> Vec<Seen> {
        let visits = &self.visits[user as usize];
        let until = visits.partition_point(|visit| visit.joined.as_ms() <= at);
        let mut seen = Vec::new();
        for visit in visits[..until].iter().rev().take(24).rev() {
            let left = visit.left.map_or(i64::MAX, Timestamp::as_ms);
            let record = Seen { conference: visit.conference, joined: visit.joined, left: None };
            if left > at {
                seen.push(record);
            } else if last.is_none_or(|last| left > last) {
                let seen_before = last.is_some_and(|last| visit.joined.as_ms() <= last);
                let goes_on = self.conference_ends.get(&visit.conference).is_some_and(|end| *end > at);
                if seen_before || goes_on {
                    seen.push(Seen { left: visit.left, ..record });
                }
            }
        }
        seen
    }

    fn plan(&mut self, user: u32, at: i64) {
        let (due, is_poll) = match self.policy {
            _ if self.left() == 0 => (self.call_budget.until.as_ms(), false),
            Policy::Even => self.even(user, at),
            Policy::Histogram => self.by_histogram(user, at),
            Policy::Auto | Policy::Hindsight | Policy::Never | Policy::Clairvoyant => {
                let call_budget = self.for_polls();
                let next = self.pacer.next_poll_at(user, Timestamp::from_ms(at), &call_budget);
                match next {
                    PollDecision::Poll(when, _) => (when.as_ms(), true),
                    PollDecision::Replan(when, _) => (when.as_ms(), false),
                }
            }
        };
        // No decision reaches beyond the end of the month, because the next month's calls are not known.
        let (due, is_poll) = if due >= self.call_budget.until.as_ms() {
            (self.call_budget.until.as_ms(), false)
        } else {
            (due, is_poll)
        };
        let due = due.max(at + 1);
        self.plans[user as usize] = (due, is_poll);
        self.due.insert((due, user));
    }

    /// The calls that polls may take.
    fn for_polls(&self) -> CallBudget {
        let Some(sweeper) = &self.sweeper else { return self.call_budget };
        let Some(every_ms) = sweeper.every_ms else {
            return sweeper.for_polls(self.call_budget.until, self.left());
        };
        // Sweeps at a fixed interval take the calls they need.
        let (now, until) = (self.now, self.call_budget.until.as_ms());
        let open = self.open_ms(now, until) / self.counts.iter().sum::<f64>().max(1.0);
        let sweeps = Duration::from_secs_f64(open / every_ms as f64 * sweeper.schedule.cost()).as_secs();
        let calls = Some(self.polled + self.left().saturating_sub(sweeps));
        CallBudget { calls, used: self.polled, ..self.call_budget }
    }

    /// Whether polls follow this conference: sweeps list the others.
    fn is_followed(&self, conference: u64) -> bool {
        self.sweeper.as_ref().is_none_or(|sweeper| !sweeper.listed.contains(&conference))
    }

    fn by_histogram(&self, user: u32, at: i64) -> (i64, bool) {
        let watched = &self.input.users[user as usize];
        let until = self.call_budget.until.as_ms();
        let calls = self.left() as f64 / self.input.users.len().max(1) as f64;
        let share = match self.polls[user as usize].last() {
            Some(_) => 1.0,
            None => Phase::from_key(watched.key).within(Duration::from_secs(1)).as_secs_f64(),
        };
        let hours = &self.hours[watched.open];
        let next = self.histogram.next(self.input, hours, (at, until), calls, share);
        next.map_or((until, false), |due| (due, true))
    }

    /// One interval of open time for all: users x open time left / calls left.
    fn even(&self, user: u32, at: i64) -> (i64, bool) {
        let watched = &self.input.users[user as usize];
        let open = self.open_ms(at, self.call_budget.until.as_ms());
        let interval =
            Duration::from_secs_f64(open / self.left() as f64 / 1000.0).max(self.input.settings.min_interval);
        let step = match self.polls[user as usize].last() {
            Some(_) => interval,
            None => Phase::from_key(watched.key).within(interval),
        };
        let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
        let hours = &self.hours[watched.open];
        hours.after(at, step).map_or((self.call_budget.until.as_ms(), false), |due| (due, true))
    }
}
