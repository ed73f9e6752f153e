//! Sweeps in a replay: what they cost, what they show, when they come.
//!
//! Guards: a sweep shows the organisation's own meetings only; what it changes is asked for a second time, and paid for;
//! when it loses more than half, a look is paid for too. Deliberately not here: when a sweep is worth its
//! calls (`policy::sweep`).

use std::collections::{BTreeMap, BTreeSet};

use super::Run;
use crate::policy::pace::{CallBudget, Seen, Visit};
use crate::policy::replay::{ReplayInput, SweepMode};
use crate::policy::sweep::budget_split::BudgetSplit;
use crate::policy::sweep::calls_of;
use crate::policy::sweep::confidence::{Comparison, SweepConfidence};
use crate::policy::sweep::decision::{self, PresenceChange};
use crate::policy::sweep::recheck::Recheck;
use crate::policy::sweep::schedule::SweepSchedule;
use crate::time::Timestamp;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// What sweeping knows and has spent.
pub(super) struct Sweeper {
    pub(super) every_ms: Option<i64>,
    pub(super) schedule: SweepSchedule,
    /// Who is believed inside which own meeting.
    inside: BTreeMap<u32, u64>,
    /// Meetings that sweeps have shown.
    pub(super) listed: BTreeSet<u64>,
    pub(super) split: BudgetSplit,
    last: Option<i64>,
}

/// Somebody whom a sweep shows elsewhere than they are believed.
struct SweptChange {
    user: u32,
    was: Option<u64>,
    is: Option<u64>,
}

impl SweptChange {
    fn change(&self) -> PresenceChange {
        if self.is.is_some() { PresenceChange::Joins } else { PresenceChange::Leaves }
    }

    /// The meetings it is about, by whether they came into it.
    fn meetings(&self) -> impl Iterator<Item = (u64, bool)> + use<> {
        self.was.map(|was| (was, false)).into_iter().chain(self.is.map(|is| (is, true)))
    }
}

/// What the visits before `from` would have taught about sweeps.
pub(in crate::policy::replay) fn earned(input: &ReplayInput, from: Timestamp) -> SweepConfidence<u32> {
    let mut confidence = SweepConfidence::default();
    for visit in known(input, from) {
        let foreign = input.foreign.contains(&visit.conference);
        confidence.record(visit.user, if foreign { Comparison::Unlisted } else { Comparison::Agrees });
    }
    confidence
}

fn known(input: &ReplayInput, from: Timestamp) -> Vec<&Visit> {
    let mut known: Vec<&Visit> = input.visits.iter().filter(|visit| visit.joined < from).collect();
    known.sort_by_key(|visit| visit.joined);
    known
}

/// Whether and how this input is swept: only if the warm-up earned confidence.
pub(super) fn sweeper(input: &ReplayInput, from: Timestamp) -> Option<Sweeper> {
    let every_ms = match input.sweep {
        SweepMode::Off => return None,
        SweepMode::Auto => None,
        SweepMode::Every(interval) => Some(crate::time::duration_ms(interval).max(MINUTE_MS)),
    };
    let confidence = earned(input, from);
    if !confidence.is_trusted() {
        return None;
    }
    let mut sweeper = Sweeper {
        every_ms,
        schedule: SweepSchedule::default(),
        inside: BTreeMap::new(),
        listed: BTreeSet::new(),
        split: BudgetSplit::new(1.0 - confidence.coverage_of_all()),
        last: None,
    };
    sweeper.learn(input, &known(input, from), from);
    Some(sweeper)
}

impl Sweeper {
    /// What polls may take beside sweeps, while so many calls are left.
    pub(super) fn for_polls(&self, until: Timestamp, left: u64) -> CallBudget {
        self.split.for_polls(until, self.schedule.value_of_a_call(), left)
    }

    /// The history before the counted days.
    fn learn(&mut self, input: &ReplayInput, known: &[&Visit], until: Timestamp) {
        let own = known.iter().filter(|visit| !input.foreign.contains(&visit.conference));
        let turns = own.flat_map(|visit| [Some(visit.joined), visit.left.filter(|left| *left < until)]);
        self.schedule.learn(turns.flatten(), until, input.settings.time_zone);
    }
}

impl Run<'_> {
    /// Whether a sweep shows this user inside: who is, needs no look.
    pub(super) fn is_swept_inside(&self, user: u32) -> bool {
        self.sweeper.as_ref().is_some_and(|sweeper| sweeper.inside.contains_key(&user))
    }

    /// A look knows better: who it saw in a meeting that sweeps show stands there in the next, or has left.
    pub(super) fn tell_sweeper(&mut self, user: u32, seen: &[Seen]) {
        let Some(sweeper) = &mut self.sweeper else { return };
        let here =
            seen.iter().find(|record| record.left.is_none() && sweeper.listed.contains(&record.conference));
        match here {
            Some(record) => {
                sweeper.inside.insert(user, record.conference);
            }
            None => {
                sweeper.inside.remove(&user);
            }
        }
    }

    /// A sweep now. Gives back when the next is due.
    pub(super) fn sweep(&mut self, at: i64) -> i64 {
        let Some(mut sweeper) = self.sweeper.take() else { return i64::MAX };
        let next = self.swept(&mut sweeper, at);
        self.sweeper = Some(sweeper);
        next.max(at + 1)
    }

    fn swept(&mut self, sweeper: &mut Sweeper, at: i64) -> i64 {
        let Some((opens, closes)) =
            self.hours.iter().filter_map(|hours| hours.span_at(at)).max_by_key(|span| span.1)
        else {
            return self.hours.iter().filter_map(|hours| hours.open_from(at)).min().unwrap_or(i64::MAX);
        };
        let left = self.left();
        // Over night everything changed: the first sweep of a day is one at its opening.
        let first = sweeper.last.is_none_or(|last| last < opens);
        let now = Timestamp::from_ms(at);
        let due = first || sweeper.schedule.has_plan(now) || sweeper.every_ms.is_some();
        let cost = calls_of(self.meetings(at));
        if due && left > cost + 1 {
            self.make(sweeper, at, cost);
        }
        if let Some(every_ms) = sweeper.every_ms {
            return at + every_ms;
        }
        let closes = closes.min(at + DAY_MS).min(self.call_budget.until.as_ms());
        if first || !sweeper.schedule.has_plan(now) {
            self.replan(sweeper, at, closes);
        }
        sweeper.schedule.next_sweep(now).map_or(closes, Timestamp::as_ms)
    }

    fn replan(&self, sweeper: &mut Sweeper, at: i64, closes: i64) {
        let until = self.call_budget.until.as_ms();
        let share = self.open_ms(at, closes) / self.open_ms(at, until).max(1.0);
        let all = sweeper.split.for_sweeps(self.left()) as f64;
        let (now, closes) = (Timestamp::from_ms(at), Timestamp::from_ms(closes));
        sweeper.schedule.replan(now, closes, all * share, self.input.settings.time_zone);
    }

    fn make(&mut self, sweeper: &mut Sweeper, at: i64, cost: u64) {
        let since = sweeper.last.replace(at);
        let now = self.own_inside(at);
        sweeper.listed.extend(now.values());
        let users: BTreeSet<u32> = now.keys().chain(sweeper.inside.keys()).copied().collect();
        let turn = |user: &u32| SweptChange {
            user: *user,
            was: sweeper.inside.get(user).copied(),
            is: now.get(user).copied(),
        };
        let (turns, same): (Vec<SweptChange>, Vec<SweptChange>) =
            users.iter().map(turn).partition(|turn| turn.was != turn.is);
        for turn in same {
            self.polls[turn.user as usize].push((at, true));
        }

        let changes: Vec<(u32, PresenceChange)> =
            turns.iter().map(|turn| (turn.user, turn.change())).collect();
        let alone = decision::joined_alone(turns.iter().filter_map(|turn| Some((turn.is?, turn.user))));
        let decision = decision::decide(true, sweeper.inside.len(), &changes, &alone);
        let unseen = turns.iter().filter(|turn| !decision.polls.contains(&turn.user));
        let recheck = Recheck::of(unseen.flat_map(SweptChange::meetings));
        let calls = cost + decision.calls(&recheck);
        self.spend(sweeper, calls);
        sweeper.schedule.record_cost(calls as f64);

        // What still stands half a minute later is so; a look knows at once, and the members of a meeting who came.
        let later_ms = at + MINUTE_MS / 2;
        let later = self.own_inside(later_ms);
        let mut turned = 0;
        for turn in turns {
            let at_once = decision.polls.contains(&turn.user) || (turn.is.is_some() && recheck.by_members());
            if !at_once && later.get(&turn.user).copied() != turn.is {
                continue;
            }
            turned += 1;
            match turn.is {
                Some(meeting) => sweeper.inside.insert(turn.user, meeting),
                None => sweeper.inside.remove(&turn.user),
            };
            let known_at = if at_once { at } else { later_ms };
            self.polls[turn.user as usize].push((known_at, turn.is.is_some()));
        }
        let since = since.map(Timestamp::from_ms);
        sweeper.schedule.record_changes(since, Timestamp::from_ms(at), turned, self.input.settings.time_zone);
    }

    fn spend(&mut self, sweeper: &mut Sweeper, calls: u64) {
        sweeper.split.record_sweep(calls);
        self.call_budget.used += calls;
        self.spent += calls;
        if let Some(month) = self.months.last_mut() {
            month.0 += calls;
        }
    }

    /// Who is inside which of the organisation's own meetings.
    fn own_inside(&self, at: i64) -> BTreeMap<u32, u64> {
        let mut inside = BTreeMap::new();
        for (user, visits) in (0_u32..).zip(&self.visits) {
            let until = visits.partition_point(|visit| visit.joined.as_ms() <= at);
            let here = visits[..until].iter().rev().take(8).find(|visit| {
                visit.left.is_none_or(|left| left.as_ms() > at)
                    && !self.input.foreign.contains(&visit.conference)
            });
            if let Some(visit) = here {
                inside.insert(user, visit.conference);
            }
        }
        inside
    }

    /// The organisation's meetings that go on.
    fn meetings(&self, at: i64) -> u64 {
        self.own_inside(at).into_values().collect::<BTreeSet<u64>>().len() as u64
    }
}
