//! The paced people of one organisation: what they need of the month, and who is looked at when.
//!
//! Guards: the daemon and `plan` decide by this one code; calls that others of the organisation will need are nobody
//! else's; where too little is known everybody has their place in even spreading. Deliberately not here: the rule
//! (`pacer`), counting calls (`policy::quota`), reading the history (`store`).

use std::time::Duration;

use chrono_tz::Tz;

use super::pacer::Rule;
use super::{Allowance, Next, Pacer, Person, Phase, Seen, Settings, Visit};
use crate::policy::look;
use crate::policy::window::OpenTime;
use crate::time::Timestamp;

/// What was believed after an older look says nothing any more.
const STILL_SAYS_SOMETHING: Duration = Duration::from_hours(47);
/// History that is this old teaches nothing worth the reading.
pub const LESSONS_REACH: Duration = Duration::from_hours(24 * 7 * 8);
/// So many visits, the newest, are learned from at a start.
pub const MOST_LESSONS: u32 = 100_000;

/// How often, at the least and at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Whose wall clock people live by.
    pub time_zone: Tz,
    /// Never looked at more often.
    pub min_interval: Duration,
    /// Never looked at less often while it is open, if the calls reach.
    pub max_interval: Duration,
}

impl Bounds {
    /// `within`: `min_interval` and `max_interval`. Nobody is to become unknown (`stale_after`, if it is set) only
    /// because the rule had no reason to look, where the calls reach for looking that often.
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

/// Somebody to be paced, as they stand.
#[derive(Clone, Debug)]
pub struct Member {
    /// Their place in even spreading.
    pub phase: Phase,
    /// When they are looked at at all.
    pub open: OpenTime,
    /// The newest good look.
    pub last_look: Option<Timestamp>,
    /// What it saw.
    pub inside: Vec<Seen>,
}

/// The organisation's calls at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Purse {
    /// The month has so many.
    pub limit: u64,
    /// Spent of them.
    pub used: u64,
    /// What people who are not paced will still need.
    pub spoken_for: u64,
    /// When the month turns.
    pub until: Timestamp,
    /// Everybody's interval, were the rest spread evenly.
    pub even: Duration,
    /// What looks may take beside sweeps that are believed, if there are any: the rest of the purse says nothing then.
    pub beside_sweeps: Option<Allowance>,
}

/// See the module. People go by their place in the list it was made from.
#[derive(Clone, Debug)]
pub struct Crew {
    pacer: Pacer,
    /// Place in even spreading, and index into `open`.
    people: Vec<(Phase, usize)>,
    open: Vec<OpenTime>,
    course: Course,
}

/// From when on the month's calls were planned, and what stood in the purse then.
#[derive(Clone, Copy, Debug)]
struct Course {
    from: Timestamp,
    purse: Purse,
}

impl Crew {
    /// Learns from the history and takes up what was believed. No burst follows: looks that are planned already stay the
    /// caller's.
    pub fn new(bounds: Bounds, members: &[Member], visits: &[Visit], purse: Purse, now: Timestamp) -> Self {
        let (mut open, mut people) = (Vec::<OpenTime>::new(), Vec::with_capacity(members.len()));
        for member in members {
            let known = open.iter().position(|known| *known == member.open);
            let index = known.unwrap_or_else(|| {
                open.push(member.open.clone());
                open.len() - 1
            });
            people.push((member.phase, index));
        }
        let Bounds { time_zone, min_interval, max_interval } = bounds;
        let settings = Settings { time_zone, min_interval, max_interval, open: open.clone() };
        let persons: Vec<Person> =
            people.iter().map(|&(phase, open)| Person { key: phase.key(), open }).collect();
        let mut pacer = Pacer::new(settings, &persons, now);
        pacer.learn_from(visits, now);
        let mut looks: Vec<(Timestamp, u32)> = (0..)
            .zip(members)
            .filter_map(|(number, member)| Some((member.last_look?, number)))
            .filter(|(last, _)| *last <= now && now.since(*last) < STILL_SAYS_SOMETHING)
            .collect();
        looks.sort_unstable();
        for (last, number) in looks {
            pacer.observed(number, last, &members[number as usize].inside);
        }
        Self { pacer, people, open, course: Course { from: now, purse } }
    }

    /// An answer about somebody. Gives back whose next look may have moved.
    pub fn observed(&mut self, number: u32, now: Timestamp, seen: &[Seen]) -> Vec<u32> {
        self.pacer.observed(number, now, seen)
    }

    /// What to do next about somebody. Strictly later than `now`.
    pub fn next(&mut self, number: u32, now: Timestamp, purse: &Purse) -> Next {
        let allowance = self.course.allowance(purse, now);
        let next = self.pacer.next_look(number, now, &allowance);
        match next {
            // The places of even spreading do not depend on when somebody was last looked at, so nobody bunches.
            Next::Look(_, why) if matches!(why.rule, Rule::Even | Rule::Plenty) => {
                let (phase, open) = self.people[number as usize];
                match look::paced(now, purse.even, phase, &self.open[open]) {
                    Some(at) => Next::Look(at, why),
                    None => Next::AskAgain(now.plus(Duration::from_hours(24)), why),
                }
            }
            next => next,
        }
    }

    /// What is expected of somebody from `now` to closing: wrong minutes and calls.
    pub fn expected(&mut self, number: u32, now: Timestamp, purse: &Purse) -> (f64, f64) {
        let allowance = self.course.allowance(purse, now);
        self.pacer.expected(number, now, &allowance)
    }
}

impl Course {
    /// What the paced people may spend. Another month, or another limit, is planned anew from its first decision on.
    fn allowance(&mut self, purse: &Purse, now: Timestamp) -> Allowance {
        if let Some(beside) = purse.beside_sweeps {
            return beside;
        }
        let planned = self.purse;
        if planned.until != purse.until || planned.limit != purse.limit {
            *self = Self { from: now, purse: *purse };
        }
        let began = self.purse;
        let left = purse.limit.saturating_sub(purse.used);
        // Where others need nearly all, a twentieth is still shared, as in even spreading.
        let shared = left.saturating_sub(purse.spoken_for).max(left / 20);
        let by_others = began.spoken_for.saturating_sub(purse.spoken_for);
        let used = purse.used.saturating_sub(began.used).saturating_sub(by_others);
        Allowance { from: self.from, until: purse.until, calls: Some(used + shared), used, sweeps: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Identity, OrgName, UnionId};
    use crate::policy::civil::tests::at;

    const DAY: Duration = Duration::from_hours(24);

    fn purse(limit: u64, used: u64, spoken_for: u64) -> Purse {
        let until = at("2026-12-01T00:00:00Z");
        Purse { limit, used, spoken_for, until, even: Duration::from_mins(30), beside_sweeps: None }
    }

    fn member(n: u32) -> Member {
        let union_id = UnionId::parse(&format!("user{n}")).expect("a valid id");
        let phase = Phase::of(&Identity { org: OrgName::default_name(), union_id });
        Member { phase, open: OpenTime::new(None, Vec::new()), last_look: None, inside: Vec::new() }
    }

    fn crew(members: &[Member], visits: &[Visit], purse: Purse, now: Timestamp) -> Crew {
        let bounds = Bounds {
            time_zone: Tz::UTC,
            min_interval: Duration::from_secs(30),
            max_interval: Duration::from_hours(12),
        };
        Crew::new(bounds, members, visits, purse, now)
    }

    /// A stand-up at ten each day of the last four weeks.
    fn stand_ups(people: u32, now: Timestamp) -> Vec<Visit> {
        let midnight = now.as_ms().div_euclid(86_400_000);
        let day = |back: i64| Timestamp::from_ms((midnight - back) * 86_400_000 + 36_000_000);
        let visit = |person, back: i64| Visit {
            person,
            conference: back.unsigned_abs(),
            joined: day(back),
            left: Some(day(back).plus(Duration::from_mins(30))),
        };
        (1..=28).rev().flat_map(|back| (0..people).map(move |person| visit(person, back))).collect()
    }

    #[test]
    fn knowing_nothing_it_is_even_spreading_to_the_millisecond() {
        let now = at("2026-11-10T09:00:00Z");
        let members: Vec<Member> = (0..20).map(member).collect();
        let purse = purse(5_000, 700, 0);
        let mut crew = crew(&members, &[], purse, now);
        for (number, member) in (0..).zip(&members) {
            let Next::Look(when, why) = crew.next(number, now, &purse) else { panic!("a look is due") };
            assert_eq!(why.rule, Rule::Even);
            assert_eq!(Some(when), look::paced(now, purse.even, member.phase, &member.open));
        }
    }

    #[test]
    fn what_others_will_need_is_not_shared_and_what_they_used_is_not_counted() {
        let now = at("2026-11-10T09:00:00Z");
        let mut course = Course { from: now, purse: purse(5_000, 1_000, 1_500) };
        let first = course.allowance(&purse(5_000, 1_000, 1_500), now);
        assert_eq!((first.calls, first.used, first.from), (Some(2_500), 0, now));
        // A day later others have made fifty of theirs, and the paced people a hundred.
        let later = course.allowance(&purse(5_000, 1_150, 1_450), now.plus(DAY));
        assert_eq!((later.calls, later.used, later.from), (Some(2_500), 100, now));
        // Others failed and repeated thirty calls: these are gone for everybody.
        let worse = course.allowance(&purse(5_000, 1_180, 1_450), now.plus(DAY));
        assert_eq!((worse.calls, worse.used), (Some(2_500), 130));
        // Others would need more than there is.
        let tight = course.allowance(&purse(5_000, 1_180, 9_000), now.plus(DAY));
        assert_eq!(tight.calls.map(|calls| calls - tight.used), Some(3_820 / 20));
    }

    #[test]
    fn nobody_turns_unknown_because_nothing_spoke_for_a_look_unless_the_calls_do_not_reach() {
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        let longest = |stale, even| Bounds::new(Tz::UTC, (second, 12 * hour), stale, even).max_interval;
        assert_eq!(longest(None, hour), 12 * hour);
        assert_eq!(longest(Some(10 * hour), hour), 9 * hour);
        assert_eq!(longest(Some(hour), hour), 12 * hour);
    }

    #[test]
    fn another_month_or_limit_is_planned_from_then_on() {
        let now = at("2026-11-10T09:00:00Z");
        let mut course = Course { from: now, purse: purse(5_000, 1_000, 0) };
        let more = course.allowance(&purse(20_000, 1_200, 0), now.plus(DAY));
        assert_eq!((more.from, more.calls, more.used), (now.plus(DAY), Some(18_800), 0));
        let december = Purse { until: at("2027-01-01T00:00:00Z"), used: 3, ..purse(20_000, 0, 0) };
        let turned = course.allowance(&december, at("2026-12-01T00:00:01Z"));
        assert_eq!((turned.from, turned.calls), (at("2026-12-01T00:00:01Z"), Some(19_997)));
    }

    #[test]
    fn spent_is_asked_again_and_never_looked_at() {
        let now = at("2026-11-10T09:00:00Z");
        let members: Vec<Member> = (0..3).map(member).collect();
        let spent = purse(5_000, 5_000, 0);
        let mut crew = crew(&members, &stand_ups(3, now), spent, now);
        for number in 0..3 {
            assert!(matches!(crew.next(number, now, &spent), Next::AskAgain(when, _) if when > now));
        }
    }

    #[test]
    fn a_restart_goes_on_from_what_was_believed() {
        let now = at("2026-11-10T10:12:00Z");
        let mut members: Vec<Member> = (0..3).map(member).collect();
        let joined = at("2026-11-10T10:00:00Z");
        members[0].last_look = Some(at("2026-11-10T10:05:00Z"));
        members[0].inside = vec![Seen { conference: 99, joined, left: None }];
        members[1].last_look = Some(at("2026-11-10T10:11:00Z"));
        let visits = stand_ups(3, now);
        let purse = purse(3_000, 0, 0);
        let unseen: Vec<Member> = (0..3).map(member).collect();
        let mut running = crew(&unseen, &visits, purse, now);
        running.observed(0, at("2026-11-10T10:05:00Z"), &members[0].inside);
        running.observed(1, at("2026-11-10T10:11:00Z"), &[]);
        for number in 0..3 {
            let next = crew(&members, &visits, purse, now).next(number, now, &purse);
            let (Next::Look(_, why) | Next::AskAgain(_, why)) = next;
            assert_eq!(why.inside, number == 0, "{why:?}");
            assert_eq!(next, running.clone().next(number, now, &purse));
        }
        // What was believed three days ago is no belief.
        members[0].last_look = Some(at("2026-11-07T10:05:00Z"));
        let mut late = crew(&members, &visits, purse, now);
        let (Next::Look(_, why) | Next::AskAgain(_, why)) = late.next(0, now, &purse);
        assert!(!why.inside);
    }
}
