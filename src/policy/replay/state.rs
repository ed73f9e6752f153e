//! State of a replay: the calls of the month, the plans of the users, and what the policy has learned.
//!
//! Guards: a month has its calls and no more. Not here: the steps of the replay (`run`, `sweeps`).
#![expect(clippy::cast_precision_loss, reason = "counts, minutes and milliseconds here are far below 2^52")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::histogram::Histogram;
use super::sweeper::{self, Sweeper};
use super::types::{Policy, Polls, ReplayInput};
use crate::policy::pace;
use crate::policy::pace::open_spans::OpenSpans;
use crate::policy::pace::{CallBudget, Pacer, Visit};
use crate::policy::quota::Month;
use crate::policy::sweep::schedule::local_minute;
use crate::time::Timestamp;

/// A replay under way.
pub(super) struct Run<'a> {
    pub(super) input: &'a ReplayInput,
    pub(super) policy: Policy,
    pub(super) to: i64,
    pub(super) hours: Vec<OpenSpans>,
    pub(super) counts: Vec<f64>,
    pub(super) visits: Vec<Vec<Visit>>,
    pub(super) conference_ends: BTreeMap<u64, i64>,
    pub(super) pacer: Pacer,
    pub(super) histogram: Histogram,
    /// When `hindsight` learns next.
    pub(super) next_learning: i64,
    pub(super) call_budget: CallBudget,
    pub(super) polls: Vec<Polls>,
    pub(super) months: Vec<(u64, u64)>,
    /// The calls by month, if they are not those of the config.
    pub(super) given: Option<Vec<(u64, u64)>>,
    pub(super) due: BTreeSet<(i64, u32)>,
    /// By user: when the next step is due, and whether it is a poll.
    pub(super) plans: Vec<(i64, bool)>,
    /// Set for `auto`, if sweeps are trusted.
    pub(super) sweeper: Option<Sweeper>,
    /// Calls in total.
    pub(super) spent: u64,
    /// Polls of this month.
    pub(super) polled: u64,
    pub(super) now: i64,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        input: &'a ReplayInput,
        policy: Policy,
        from: Timestamp,
        to: Timestamp,
        given: Option<Vec<(u64, u64)>>,
    ) -> Self {
        // A month before and after, for the share of the first and the last month.
        let (first, last) =
            (from.minus(Duration::from_hours(24 * 32)), to.plus(Duration::from_hours(24 * 33)));
        let mut counts = vec![0.0; input.settings.open.len()];
        for user in &input.users {
            counts[user.open] += 1.0;
        }
        let mut run = Self {
            hours: input.settings.open.iter().map(|open| OpenSpans::of(open, first, last)).collect(),
            counts,
            visits: visits_by_user(input),
            conference_ends: conference_ends(input),
            pacer: Pacer::new(input.settings.clone(), &input.users, from).with_full_cache(),
            histogram: Histogram::of(input, from),
            next_learning: i64::MAX,
            call_budget: CallBudget { from, until: from, calls: Some(0), used: 0, sweeps: None },
            polls: vec![Vec::new(); input.users.len()],
            months: Vec::new(),
            given,
            due: BTreeSet::new(),
            plans: vec![(from.as_ms(), false); input.users.len()],
            sweeper: None,
            spent: 0,
            polled: 0,
            now: from.as_ms(),
            input,
            policy,
            to: to.as_ms(),
        };
        run.start_month(from.as_ms());
        let even = run.open_ms(from.as_ms(), run.call_budget.until.as_ms()) / run.left().max(1) as f64;
        run.pacer = run.pacer.clone().with_even_interval(Duration::from_secs_f64(even / 1000.0));
        run.start_policy(from);
        run
    }

    /// Gives the policy what it may know at the start.
    fn start_policy(&mut self, from: Timestamp) {
        match self.policy {
            Policy::Even | Policy::Histogram | Policy::Never | Policy::Clairvoyant => {}
            Policy::Auto => {
                self.sweeper = sweeper::sweeper(self.input, from);
                let known: Vec<Visit> = self
                    .input
                    .visits
                    .iter()
                    .filter(|visit| self.sweeper.is_none() || self.input.foreign.contains(&visit.conference))
                    .filter_map(|visit| known_by(visit, from))
                    .collect();
                self.pacer.learn_from(&known, from);
            }
            Policy::Hindsight => self.next_learning = from.as_ms(),
        }
    }

    /// Starts a month with its calls, or a share of them by its open time in the replay.
    pub(super) fn start_month(&mut self, at: i64) {
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
        self.polled = 0;
    }

    /// Starts a day: yesterday's sweeps and polls determine the split of today's calls.
    pub(super) fn start_day(&mut self, at: i64) {
        let (left, now) = (self.left(), Timestamp::from_ms(at));
        if let Some(sweeper) = &mut self.sweeper {
            sweeper.split.start_day(local_minute(now, self.input.settings.time_zone).0, now, left);
        }
    }

    pub(super) fn open_ms(&self, from: i64, to: i64) -> f64 {
        self.hours.iter().zip(&self.counts).map(|(hours, count)| hours.open_ms(from, to) as f64 * count).sum()
    }

    pub(super) fn left(&self) -> u64 {
        self.call_budget.calls.unwrap_or(0).saturating_sub(self.call_budget.used)
    }
}

fn visits_by_user(input: &ReplayInput) -> Vec<Vec<Visit>> {
    let mut visits = vec![Vec::new(); input.users.len()];
    for visit in &input.visits {
        visits[visit.user as usize].push(*visit);
    }
    for of_user in &mut visits {
        of_user.sort_by_key(|visit: &Visit| (visit.joined, visit.conference));
    }
    visits
}

/// The last leave of each conference, in ms.
fn conference_ends(input: &ReplayInput) -> BTreeMap<u64, i64> {
    let mut ends = BTreeMap::new();
    for visit in &input.visits {
        let end: &mut i64 = ends.entry(visit.conference).or_default();
        *end = (*end).max(visit.left.map_or(i64::MAX, Timestamp::as_ms));
    }
    ends
}

/// The part of a visit that the history contains at `now`.
pub(super) fn known_by(visit: &Visit, now: Timestamp) -> Option<Visit> {
    (visit.joined < now).then_some(Visit { left: visit.left.filter(|left| *left <= now), ..*visit })
}
