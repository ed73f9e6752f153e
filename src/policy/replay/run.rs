//! Runs a policy through the counted days: who is looked at when.
//!
//! Guards: never a call beyond the month's; a policy sees answers, never the trace. Deliberately not here: what it was
//! worth (`measure`).
#![expect(clippy::cast_precision_loss, reason = "counts, minutes and milliseconds here are far below 2^52")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::sweeps::Sweeper;
use super::{Policy, Polls, ReplayInput};
use crate::policy::pace::open_spans::OpenSpans;
use crate::policy::pace::{CallBudget, Pacer, Phase, PollDecision, Seen, Visit};
use crate::policy::quota::Month;
use crate::policy::sweep::schedule::local_minute;
use crate::policy::{civil, pace};
use crate::time::Timestamp;

pub(super) mod sweeps;

/// Stands for the sweeps among those who are due.
const SWEEP: u32 = u32::MAX;
/// Who is swept inside is not asked for alone before so much later.
const LATER_MS: i64 = 600_000;
const WEEK_MS: i64 = 7 * 86_400_000;
const DAY_MS: i64 = 86_400_000;

/// What a policy did.
pub(super) struct RunResult {
    /// By user.
    pub(super) polls: Vec<Polls>,
    /// Calls spent and given, by month.
    pub(super) months: Vec<(u64, u64)>,
    /// Calls altogether.
    pub(super) calls: u64,
}

/// Runs `policy` over `[from, to)`.
pub(super) fn run(input: &ReplayInput, policy: Policy, from: Timestamp, to: Timestamp) -> RunResult {
    // Compared is what the same calls are worth: the others have what even spreading spends.
    let given = (policy != Policy::Even).then(|| run(input, Policy::Even, from, to).months);
    let mut run = Run::new(input, policy, from, to, given);
    run.run();
    RunResult { polls: run.polls, months: run.months, calls: run.spent }
}

struct Run<'a> {
    input: &'a ReplayInput,
    policy: Policy,
    to: i64,
    hours: Vec<OpenSpans>,
    counts: Vec<f64>,
    visits: Vec<Vec<Visit>>,
    conference_ends: BTreeMap<u64, i64>,
    pacer: Pacer,
    /// `hindsight` is taught anew then.
    next_lesson: i64,
    call_budget: CallBudget,
    polls: Vec<Polls>,
    months: Vec<(u64, u64)>,
    /// What there is to spend, where it is not the config's.
    given: Option<Vec<(u64, u64)>>,
    due: BTreeSet<(i64, u32)>,
    /// When somebody is due, and whether that is a look.
    plans: Vec<(i64, bool)>,
    /// `auto`, where sweeps are trusted.
    sweeper: Option<Sweeper>,
    /// Calls altogether.
    spent: u64,
    /// Polls this month.
    looked: u64,
    now: i64,
}

impl<'a> Run<'a> {
    fn new(
        input: &'a ReplayInput,
        policy: Policy,
        from: Timestamp,
        to: Timestamp,
        given: Option<Vec<(u64, u64)>>,
    ) -> Self {
        let open_spans_of = |open| {
            OpenSpans::of(
                open,
                from.minus(Duration::from_hours(24 * 32)),
                to.plus(Duration::from_hours(24 * 33)),
            )
        };
        let mut counts = vec![0.0; input.settings.open.len()];
        let mut visits = vec![Vec::new(); input.users.len()];
        for user in &input.users {
            counts[user.open] += 1.0;
        }
        let mut conference_ends = BTreeMap::new();
        for visit in &input.visits {
            visits[visit.user as usize].push(*visit);
            let end: &mut i64 = conference_ends.entry(visit.conference).or_default();
            *end = (*end).max(visit.left.map_or(i64::MAX, Timestamp::as_ms));
        }
        for of_user in &mut visits {
            of_user.sort_by_key(|visit: &Visit| (visit.joined, visit.conference));
        }
        let mut run = Self {
            hours: input.settings.open.iter().map(open_spans_of).collect(),
            counts,
            visits,
            conference_ends,
            pacer: Pacer::new(input.settings.clone(), &input.users, from).with_full_cache(),
            next_lesson: i64::MAX,
            call_budget: CallBudget { from, until: from, calls: Some(0), used: 0, sweeps: None },
            polls: vec![Vec::new(); input.users.len()],
            months: Vec::new(),
            given,
            due: BTreeSet::new(),
            plans: vec![(from.as_ms(), false); input.users.len()],
            sweeper: None,
            spent: 0,
            looked: 0,
            now: from.as_ms(),
            input,
            policy,
            to: to.as_ms(),
        };
        run.turn_month(from.as_ms());
        match policy {
            Policy::Even => {}
            Policy::Auto => {
                run.sweeper = sweeps::sweeper(input, from);
                let known: Vec<Visit> = input
                    .visits
                    .iter()
                    .filter(|visit| run.sweeper.is_none() || input.foreign.contains(&visit.conference))
                    .filter_map(|visit| known_by(visit, from))
                    .collect();
                run.pacer.learn_from(&known, from);
            }
            Policy::Hindsight => run.next_lesson = from.as_ms(),
        }
        run
    }

    fn run(&mut self) {
        let from = self.call_budget.from.as_ms();
        self.teach(from);
        self.turn_day(from);
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
            self.turn_month(at);
            self.turn_day(at);
            self.teach(at);
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

    /// A month begins: its calls, or so much of them as its open time has not passed.
    fn turn_month(&mut self, at: i64) {
        if at < self.call_budget.until.as_ms() {
            return;
        }
        let zone = self.input.month_time_zone;
        let month = Month::of(Timestamp::from_ms(at), zone);
        let (begins, ends) = (month.begins_at(zone), month.next().begins_at(zone));
        let from = begins.max(if self.months.is_empty() { Timestamp::from_ms(at) } else { begins });
        let until = ends.min(Timestamp::from_ms(self.to));
        let whole = self.open_ms(begins.as_ms(), ends.as_ms());
        let rest = self.open_ms(from.as_ms(), until.as_ms());
        let share = if whole > 0.0 { rest / whole } else { 1.0 };
        let calls = pace::pacer::whole_calls(self.input.calls_per_month, share);
        let given = self.given.as_ref().and_then(|given| given.get(self.months.len()));
        let calls = given.map_or(calls, |(spent, _)| *spent);
        self.call_budget = CallBudget { from, until, calls: Some(calls), used: 0, sweeps: None };
        self.months.push((0, calls));
        self.looked = 0;
    }

    /// What sweeps and polls took yesterday divides the calls today.
    fn turn_day(&mut self, at: i64) {
        let (left, now) = (self.left(), Timestamp::from_ms(at));
        if let Some(sweeper) = &mut self.sweeper {
            sweeper.split.start_day(local_minute(now, self.input.settings.time_zone).0, now, left);
        }
    }

    fn open_ms(&self, from: i64, to: i64) -> f64 {
        self.hours.iter().zip(&self.counts).map(|(hours, count)| hours.open_ms(from, to) as f64 * count).sum()
    }

    /// `hindsight`: all weeks but this one, the later ones as if they had come before the first.
    fn teach(&mut self, at: i64) {
        if self.policy != Policy::Hindsight || at < self.next_lesson {
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
        let mut lesson = Vec::new();
        for visit in &self.input.visits {
            if local_minute(visit) < monday {
                lesson.extend(known_by(visit, Timestamp::from_ms(at)));
            } else if local_minute(visit) >= monday + WEEK_MS {
                let moved = Timestamp::from_ms(visit.joined.as_ms() - back);
                let drift = civil::offset_ms(visit.joined, zone) - civil::offset_ms(moved, zone);
                let earlier = |at: Timestamp| Timestamp::from_ms(at.as_ms() - back + drift);
                lesson.push(Visit { joined: earlier(visit.joined), left: visit.left.map(earlier), ..*visit });
            }
        }
        self.pacer.learn_from(&lesson, Timestamp::from_ms(at));
        let next = monday + WEEK_MS;
        self.next_lesson = next - civil::offset_ms(Timestamp::from_ms(next), zone);
    }

    fn poll(&mut self, user: u32, at: i64) {
        self.call_budget.used += 1;
        self.spent += 1;
        self.looked += 1;
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
        if self.policy == Policy::Even {
            return;
        }
        let mut seen = self.answer(user, at, last);
        self.tell_sweeper(user, &seen);
        seen.retain(|record| self.is_looked_for(record.conference));
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
            Policy::Auto | Policy::Hindsight => {
                let call_budget = self.for_polls();
                let next = self.pacer.next_poll_at(user, Timestamp::from_ms(at), &call_budget);
                match next {
                    PollDecision::Poll(when, _) => (when.as_ms(), true),
                    PollDecision::Replan(when, _) => (when.as_ms(), false),
                }
            }
        };
        // Nothing is decided beyond the month whose calls are known.
        let (due, is_poll) = if due >= self.call_budget.until.as_ms() {
            (self.call_budget.until.as_ms(), false)
        } else {
            (due, is_poll)
        };
        let due = due.max(at + 1);
        self.plans[user as usize] = (due, is_poll);
        self.due.insert((due, user));
    }

    /// The calls that single polls may take.
    fn for_polls(&self) -> CallBudget {
        let Some(sweeper) = &self.sweeper else { return self.call_budget };
        let Some(every_ms) = sweeper.every_ms else {
            return sweeper.for_polls(self.call_budget.until, self.left());
        };
        // At an interval of their own sweeps take what they take.
        let (now, until) = (self.now, self.call_budget.until.as_ms());
        let open = self.open_ms(now, until) / self.counts.iter().sum::<f64>().max(1.0);
        let sweeps = Duration::from_secs_f64(open / every_ms as f64 * sweeper.schedule.cost()).as_secs();
        let calls = Some(self.looked + self.left().saturating_sub(sweeps));
        CallBudget { calls, used: self.looked, ..self.call_budget }
    }

    fn left(&self) -> u64 {
        self.call_budget.calls.unwrap_or(0).saturating_sub(self.call_budget.used)
    }

    /// Whether polls are planned for such meetings: sweeps show the others.
    fn is_looked_for(&self, conference: u64) -> bool {
        self.sweeper.as_ref().is_none_or(|sweeper| !sweeper.listed.contains(&conference))
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

/// What the history knows of a visit at `now`.
fn known_by(visit: &Visit, now: Timestamp) -> Option<Visit> {
    (visit.joined < now).then_some(Visit { left: visit.left.filter(|left| *left <= now), ..*visit })
}
