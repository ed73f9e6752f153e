//! Sweeps in a replay: their cost, their result and their schedule.
//!
//! Guards: a sweep lists only the organisation's own meetings; its changes are rechecked, at the cost of calls; a
//! sweep that loses more than half of the users costs a poll. Not here: when a sweep is worth its calls
//! (`policy::sweep`).
#![expect(clippy::cast_precision_loss, reason = "counts, minutes and milliseconds here are far below 2^52")]

use std::collections::{BTreeMap, BTreeSet};

use super::state::Run;
use super::sweeper::Sweeper;
use crate::policy::pace::Seen;
use crate::policy::sweep::calls_of;
use crate::policy::sweep::decision::{self, PresenceChange};
use crate::policy::sweep::recheck::Recheck;
use crate::policy::sweep::schedule::plan_ends;
use crate::time::Timestamp;

const MINUTE_MS: i64 = 60_000;

/// A user that a sweep shows elsewhere than the known state.
struct SweptChange {
    user: u32,
    was: Option<u64>,
    is: Option<u64>,
}

impl SweptChange {
    fn kind(&self) -> PresenceChange {
        if self.is.is_some() { PresenceChange::Joins } else { PresenceChange::Leaves }
    }

    /// The meetings concerned; `true`: the user joined it.
    fn meetings(&self) -> impl Iterator<Item = (u64, bool)> + use<> {
        self.was.map(|was| (was, false)).into_iter().chain(self.is.map(|is| (is, true)))
    }
}

impl Run<'_> {
    /// Whether sweeps show this user inside, so that no poll is needed.
    pub(super) fn is_swept_inside(&self, user: u32) -> bool {
        self.sweeper.as_ref().is_some_and(|sweeper| sweeper.inside.contains_key(&user))
    }

    /// Updates the known state after a poll: the user is in a meeting that sweeps list, or has left.
    pub(super) fn update_sweeper(&mut self, user: u32, seen: &[Seen]) {
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

    /// Makes a sweep if one is due. Returns when the next one is due.
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
        // The first sweep of a day is made at its opening, because all states may have changed.
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
        let zone = self.input.settings.time_zone;
        let ends = plan_ends(now, Some(Timestamp::from_ms(closes)), zone);
        let ends = ends.min(self.call_budget.until);
        let share =
            self.open_ms(at, ends.as_ms()) / self.open_ms(at, self.call_budget.until.as_ms()).max(1.0);
        let calls = sweeper.split.for_sweeps(self.left()) as f64 * share;
        if first {
            sweeper.schedule.discard_plan();
        }
        sweeper.schedule.next_due(now, ends, calls, zone).min(ends).as_ms()
    }

    fn make(&mut self, sweeper: &mut Sweeper, at: i64, cost: u64) {
        let since = sweeper.last.replace(at);
        let now = self.own_inside(at);
        sweeper.listed.extend(now.values());
        let users: BTreeSet<u32> = now.keys().chain(sweeper.inside.keys()).copied().collect();
        let change = |user: &u32| SweptChange {
            user: *user,
            was: sweeper.inside.get(user).copied(),
            is: now.get(user).copied(),
        };
        let (changed, same): (Vec<SweptChange>, Vec<SweptChange>) =
            users.iter().map(change).partition(|change| change.was != change.is);
        for change in same {
            self.polls[change.user as usize].push((at, true));
        }

        let presence: Vec<(u32, PresenceChange)> =
            changed.iter().map(|change| (change.user, change.kind())).collect();
        let alone =
            decision::joined_alone(changed.iter().filter_map(|change| Some((change.is?, change.user))));
        let decision = decision::decide(true, sweeper.inside.len(), &presence, &alone);
        let unseen = changed.iter().filter(|change| !decision.polls.contains(&change.user));
        let recheck = Recheck::of(unseen.flat_map(SweptChange::meetings));
        let calls = cost + decision.calls(&recheck);
        self.spend(sweeper, calls);
        sweeper.schedule.record_cost(calls as f64);

        // A change is known at once from a poll or from the members of a joined meeting, and half a minute later from
        // a recheck, if it still holds then.
        let later_ms = at + MINUTE_MS / 2;
        let later = self.own_inside(later_ms);
        let mut applied = 0;
        for change in changed {
            let at_once =
                decision.polls.contains(&change.user) || (change.is.is_some() && recheck.by_members());
            if !at_once && later.get(&change.user).copied() != change.is {
                continue;
            }
            applied += 1;
            match change.is {
                Some(meeting) => sweeper.inside.insert(change.user, meeting),
                None => sweeper.inside.remove(&change.user),
            };
            let known_at = if at_once { at } else { later_ms };
            self.polls[change.user as usize].push((known_at, change.is.is_some()));
        }
        let since = since.map(Timestamp::from_ms);
        sweeper.schedule.record_changes(
            since,
            Timestamp::from_ms(at),
            applied,
            self.input.settings.time_zone,
        );
    }

    fn spend(&mut self, sweeper: &mut Sweeper, calls: u64) {
        sweeper.split.record_sweep(calls);
        self.call_budget.used += calls;
        self.spent += calls;
        if let Some(month) = self.months.last_mut() {
            month.0 += calls;
        }
    }

    /// The own meeting that each user is in.
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

    /// Number of ongoing own meetings.
    fn meetings(&self, at: i64) -> u64 {
        self.own_inside(at).into_values().collect::<BTreeSet<u64>>().len() as u64
    }
}
