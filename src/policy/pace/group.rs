//! The paced users of one organisation: the calls they may spend, and when each is polled next.
//!
//! Guards: the daemon and `plan` share this code; calls that users outside the group will need are kept for them; without
//! enough history every user keeps the slot of even spreading. Not here: the rule (`pacer`), counting calls
//! (`policy::quota`), reading the history (`store`).

use std::time::Duration;

use chrono_tz::Tz;

use super::pacer::Rule;
use super::{CallBudget, PacedUser, Pacer, Phase, PollDecision, Seen, Settings, Visit};
use crate::policy::poll_time;
use crate::policy::window::OpenTime;
use crate::time::Timestamp;

/// The state after an older poll is no longer used.
const STILL_SAYS_SOMETHING: Duration = Duration::from_hours(47);
/// How far back visits are read at a start.
pub const HISTORY_REACH: Duration = Duration::from_hours(24 * 7 * 8);
/// Maximum number of visits, the newest, that are learned from at a start.
pub const MAX_HISTORY_VISITS: u32 = 100_000;

/// Shortest and longest interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Time zone of the users' habits.
    pub time_zone: Tz,
    /// Shortest interval between two polls of a user.
    pub min_interval: Duration,
    /// Longest interval in open time, if the calls suffice.
    pub max_interval: Duration,
}

impl Bounds {
    /// `within`: `min_interval` and `max_interval`. A user must not become stale (`stale_after`, if it is set) only because
    /// the rule had no reason to poll, where the calls suffice for polling that often.
    pub fn new(
        time_zone: Tz,
        within: (Duration, Duration),
        stale_after: Option<Duration>,
        even: Duration,
    ) -> Self {
        let (min_interval, longest) = within;
        let stale = stale_after.map(|stale| stale / 10 * 9).filter(|stale| *stale >= even * 2);
        let max_interval = stale.map_or(longest, |stale| longest.min(stale)).max(min_interval);
        Self { time_zone, min_interval, max_interval }
    }
}

/// A paced user with the newest known state.
#[derive(Clone, Debug)]
pub struct Member {
    /// Slot in even spreading.
    pub phase: Phase,
    /// When polling is allowed.
    pub open: OpenTime,
    /// Time of the newest good poll.
    pub last_poll: Option<Timestamp>,
    /// Records in its answer.
    pub inside: Vec<Seen>,
}

/// The organisation's call budget at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Calls of the month.
    pub limit: u64,
    /// Calls spent.
    pub used: u64,
    /// Calls that users outside the group will still need.
    pub needed_by_others: u64,
    /// First instant of the next month.
    pub until: Timestamp,
    /// Interval if the remaining calls were spread evenly.
    pub even: Duration,
    /// Calls for polls beside trusted sweeps, if sweeps are trusted; the other fields are not used then.
    pub beside_sweeps: Option<CallBudget>,
}

/// The group. Users are numbered by their place in the list it was made from.
#[derive(Clone, Debug)]
pub struct PacingGroup {
    pacer: Pacer,
    /// Slot in even spreading, and index into `open`.
    users: Vec<(Phase, usize)>,
    open: Vec<OpenTime>,
    plan: SpendingPlan,
}

/// Start of the spending plan, and the budget at that time.
#[derive(Clone, Copy, Debug)]
struct SpendingPlan {
    from: Timestamp,
    budget: Budget,
}

impl PacingGroup {
    /// Learns from the history and restores the last known states. Causes no burst: polls that are already planned are kept
    /// by the caller.
    pub fn new(bounds: Bounds, members: &[Member], visits: &[Visit], budget: Budget, now: Timestamp) -> Self {
        let (mut open, mut users) = (Vec::<OpenTime>::new(), Vec::with_capacity(members.len()));
        for member in members {
            let known = open.iter().position(|known| *known == member.open);
            let index = known.unwrap_or_else(|| {
                open.push(member.open.clone());
                open.len() - 1
            });
            users.push((member.phase, index));
        }
        let Bounds { time_zone, min_interval, max_interval } = bounds;
        let settings = Settings { time_zone, min_interval, max_interval, open: open.clone() };
        let persons: Vec<PacedUser> =
            users.iter().map(|&(phase, open)| PacedUser { key: phase.key(), open }).collect();
        let mut pacer = Pacer::new(settings, &persons, now).with_even_interval(budget.even);
        pacer.learn_from(visits, now);
        let mut plan = SpendingPlan { from: now, budget };
        pacer.expect(now, &plan.call_budget(&budget, now));
        let mut polls: Vec<(Timestamp, u32)> = (0..)
            .zip(members)
            .filter_map(|(number, member)| Some((member.last_poll?, number)))
            .filter(|(last, _)| *last <= now && now.since(*last) < STILL_SAYS_SOMETHING)
            .collect();
        polls.sort_unstable();
        for (last, number) in polls {
            pacer.observed(number, last, &members[number as usize].inside);
        }
        Self { pacer, users, open, plan }
    }

    /// Takes an answer about a user. Returns the users whose next poll may have moved.
    pub fn observed(&mut self, number: u32, now: Timestamp, seen: &[Seen]) -> Vec<u32> {
        self.pacer.observed(number, now, seen)
    }

    /// The next poll or re-plan time of a user. Strictly later than `now`.
    pub fn next(&mut self, number: u32, now: Timestamp, budget: &Budget) -> PollDecision {
        let call_budget = self.plan.call_budget(budget, now);
        let next = self.pacer.next_poll_at(number, now, &call_budget);
        match next {
            // The slots of even spreading do not depend on the last poll, so polls do not bunch.
            PollDecision::Poll(_, why) if matches!(why.rule, Rule::Even | Rule::Plenty) => {
                let (phase, open) = self.users[number as usize];
                match poll_time::paced(now, budget.even, phase, &self.open[open]) {
                    Some(at) => PollDecision::Poll(at, why),
                    None => PollDecision::Replan(now.plus(Duration::from_hours(24)), why),
                }
            }
            next => next,
        }
    }

    /// Expected wrong minutes and calls of a user from `now` to closing.
    pub fn expected(&mut self, number: u32, now: Timestamp, budget: &Budget) -> (f64, f64) {
        let call_budget = self.plan.call_budget(budget, now);
        self.pacer.expected(number, now, &call_budget)
    }
}

impl SpendingPlan {
    /// Calls the group may spend. A new month or another limit starts a new plan at its first decision.
    fn call_budget(&mut self, budget: &Budget, now: Timestamp) -> CallBudget {
        if let Some(beside) = budget.beside_sweeps {
            return beside;
        }
        let planned = self.budget;
        if planned.until != budget.until || planned.limit != budget.limit {
            *self = Self { from: now, budget: *budget };
        }
        let began = self.budget;
        let left = budget.limit.saturating_sub(budget.used);
        // Where other users need nearly all calls, a twentieth is still shared, as in even spreading.
        let shared = left.saturating_sub(budget.needed_by_others).max(left / 20);
        let by_others = began.needed_by_others.saturating_sub(budget.needed_by_others);
        let used = budget.used.saturating_sub(began.used).saturating_sub(by_others);
        CallBudget { from: self.from, until: budget.until, calls: Some(used + shared), used, sweeps: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Identity, OrgName, UnionId};
    use crate::policy::civil::tests::at;

    const DAY: Duration = Duration::from_hours(24);

    fn budget(limit: u64, used: u64, needed_by_others: u64) -> Budget {
        let until = at("2026-12-01T00:00:00Z");
        Budget { limit, used, needed_by_others, until, even: Duration::from_mins(30), beside_sweeps: None }
    }

    fn member(n: u32) -> Member {
        let union_id = UnionId::parse(&format!("user{n}")).expect("a valid id");
        let phase = Phase::of(&Identity { org: OrgName::default_name(), union_id });
        Member { phase, open: OpenTime::new(None, Vec::new()), last_poll: None, inside: Vec::new() }
    }

    fn group(members: &[Member], visits: &[Visit], budget: Budget, now: Timestamp) -> PacingGroup {
        let bounds = Bounds {
            time_zone: Tz::UTC,
            min_interval: Duration::from_secs(30),
            max_interval: Duration::from_hours(12),
        };
        PacingGroup::new(bounds, members, visits, budget, now)
    }

    /// A stand-up at ten each day of the last four weeks.
    fn stand_ups(users: u32, now: Timestamp) -> Vec<Visit> {
        let midnight = now.as_ms().div_euclid(86_400_000);
        let day = |back: i64| Timestamp::from_ms((midnight - back) * 86_400_000 + 36_000_000);
        let visit = |user, back: i64| Visit {
            user,
            conference: back.unsigned_abs(),
            joined: day(back),
            left: Some(day(back).plus(Duration::from_mins(30))),
        };
        (1..=28).rev().flat_map(|back| (0..users).map(move |user| visit(user, back))).collect()
    }

    #[test]
    fn without_history_it_is_even_spreading_to_the_millisecond() {
        let now = at("2026-11-10T09:00:00Z");
        let members: Vec<Member> = (0..20).map(member).collect();
        let budget = budget(5_000, 700, 0);
        let mut group = group(&members, &[], budget, now);
        for (number, member) in (0..).zip(&members) {
            let PollDecision::Poll(when, why) = group.next(number, now, &budget) else {
                panic!("a poll is due")
            };
            assert_eq!(why.rule, Rule::Even);
            assert_eq!(Some(when), poll_time::paced(now, budget.even, member.phase, &member.open));
        }
    }

    #[test]
    fn calls_that_others_need_are_not_shared_and_calls_they_used_are_not_counted() {
        let now = at("2026-11-10T09:00:00Z");
        let mut plan = SpendingPlan { from: now, budget: budget(5_000, 1_000, 1_500) };
        let first = plan.call_budget(&budget(5_000, 1_000, 1_500), now);
        assert_eq!((first.calls, first.used, first.from), (Some(2_500), 0, now));
        // A day later the others have made fifty of their calls, and the group a hundred.
        let later = plan.call_budget(&budget(5_000, 1_150, 1_450), now.plus(DAY));
        assert_eq!((later.calls, later.used, later.from), (Some(2_500), 100, now));
        // The others failed and repeated thirty calls: these are lost for the group too.
        let worse = plan.call_budget(&budget(5_000, 1_180, 1_450), now.plus(DAY));
        assert_eq!((worse.calls, worse.used), (Some(2_500), 130));
        // The others would need more calls than are left.
        let tight = plan.call_budget(&budget(5_000, 1_180, 9_000), now.plus(DAY));
        assert_eq!(tight.calls.map(|calls| calls - tight.used), Some(3_820 / 20));
    }

    #[test]
    fn no_user_becomes_stale_for_lack_of_a_reason_to_poll_where_the_calls_suffice() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        let longest = |stale, even| Bounds::new(Tz::UTC, (second, 12 * hour), stale, even).max_interval;
        assert_eq!(longest(None, hour), 12 * hour);
        assert_eq!(longest(Some(10 * hour), hour), 9 * hour);
        assert_eq!(longest(Some(hour), hour), 12 * hour);
    }

    #[test]
    fn another_month_or_limit_is_planned_from_then_on() {
        let now = at("2026-11-10T09:00:00Z");
        let mut plan = SpendingPlan { from: now, budget: budget(5_000, 1_000, 0) };
        let more = plan.call_budget(&budget(20_000, 1_200, 0), now.plus(DAY));
        assert_eq!((more.from, more.calls, more.used), (now.plus(DAY), Some(18_800), 0));
        let december = Budget { until: at("2027-01-01T00:00:00Z"), used: 3, ..budget(20_000, 0, 0) };
        let turned = plan.call_budget(&december, at("2026-12-01T00:00:01Z"));
        assert_eq!((turned.from, turned.calls), (at("2026-12-01T00:00:01Z"), Some(19_997)));
    }

    #[test]
    fn a_spent_budget_is_replanned_and_never_polled() {
        let now = at("2026-11-10T09:00:00Z");
        let members: Vec<Member> = (0..3).map(member).collect();
        let spent = budget(5_000, 5_000, 0);
        let mut group = group(&members, &stand_ups(3, now), spent, now);
        for number in 0..3 {
            assert!(matches!(group.next(number, now, &spent), PollDecision::Replan(when, _) if when > now));
        }
    }

    #[test]
    fn a_restart_continues_from_the_known_states() {
        let now = at("2026-11-10T10:12:00Z");
        let mut members: Vec<Member> = (0..3).map(member).collect();
        let joined = at("2026-11-10T10:00:00Z");
        members[0].last_poll = Some(at("2026-11-10T10:05:00Z"));
        members[0].inside = vec![Seen { conference: 99, joined, left: None }];
        members[1].last_poll = Some(at("2026-11-10T10:11:00Z"));
        let visits = stand_ups(3, now);
        let budget = budget(3_000, 0, 0);
        let unseen: Vec<Member> = (0..3).map(member).collect();
        let mut running = group(&unseen, &visits, budget, now);
        running.observed(0, at("2026-11-10T10:05:00Z"), &members[0].inside);
        running.observed(1, at("2026-11-10T10:11:00Z"), &[]);
        for number in 0..3 {
            let next = group(&members, &visits, budget, now).next(number, now, &budget);
            let (PollDecision::Poll(_, why) | PollDecision::Replan(_, why)) = next;
            assert_eq!(why.inside, number == 0, "{why:?}");
            assert_eq!(next, running.clone().next(number, now, &budget));
        }
        // A state of three days ago is not used.
        members[0].last_poll = Some(at("2026-11-07T10:05:00Z"));
        let mut late = group(&members, &visits, budget, now);
        let (PollDecision::Poll(_, why) | PollDecision::Replan(_, why)) = late.next(0, now, &budget);
        assert!(!why.inside);
    }
}
