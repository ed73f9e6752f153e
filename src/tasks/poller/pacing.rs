//! The pacing rule at work: what was seen goes to it, when to look comes back.
//!
//! Guards: an organisation is paced where its month has a limit and somebody has no cadence of their own; everybody else
//! is out of it, but their calls are taken off. A time at which the rule only wants to be asked again is no look. Who
//! waits after a failure, is confirmed, or is followed past a window stays where they are. Deliberately not here: the
//! rule (`policy::pace`), hours (`hours`), who is paced together (`groups`).

use crate::tasks::poller::hours::HoursKey;
use crate::tasks::poller::roster::UserKey;
use std::time::Duration;

use chrono_tz::Tz;

use super::Poller;
use crate::ids::ConferenceId;
use crate::policy::civil;
use crate::policy::pace::group::{Bounds, Budget, PacingGroup};
use crate::policy::pace::pacer::Rule;
use crate::policy::pace::{PollDecision, Seen, Why, conference_key};
use crate::policy::window::OpenTime;
use crate::presence::user_state::UserState;
use crate::presence::visit::Visit;
use crate::time::Timestamp;

mod groups;

/// Who is in no group.
pub(super) const NO_NUMBER: u32 = u32::MAX;
/// So many people who are only asked about again are dealt with before anything else has its turn.
pub(super) const MOST_QUESTIONS: u32 = 32;
/// So many people's next looks are thought over when one of their meeting was looked at.
const MOST_MOVED: usize = 100;
/// The shortest time after which a look that was planned is late.
const AT_LEAST: Duration = Duration::from_mins(5);

/// The paced people of one organisation.
#[derive(Debug)]
pub(super) struct Pacing {
    group: PacingGroup,
    /// Taught only what sweeps that are believed do not show.
    beside: Option<PacingGroup>,
    roster: Roster,
    /// What was decided last, by number.
    plans: Vec<Plan>,
}

/// What a group is made of; while it is the same the group stays, with all it has learned.
#[derive(Debug, PartialEq, Eq)]
struct Roster {
    bounds: Bounds,
    limit: u64,
    /// Their places in the poller's list, and their hours.
    people: Vec<(UserKey, HoursKey)>,
}

/// What was decided last about somebody.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    /// The rule is to be asked again then; nobody looks.
    question: Option<Timestamp>,
    /// Open time from the last good look to the planned one.
    gap: Duration,
    /// When, and what; `None`: not since the group was made.
    decided: Option<(Timestamp, PollDecision)>,
}

impl Poller {
    /// The organisation's calls now; `None`: there is no limit.
    fn budget(&self, index: usize, now: Timestamp) -> Option<Budget> {
        let upstream = &self.upstreams[index];
        let (limit, fixed) = (upstream.budget.limit()?, upstream.share.fixed_calls);
        let sweeps = self.sweep_calls(index, now);
        let even = self.even(index, now);
        // Sweeps are taken off the looks, not off what anybody may be late by.
        let for_looks = upstream.budget.even_open_interval(upstream.share.open, fixed + sweeps, now);
        Some(Budget {
            limit,
            used: upstream.budget.used(now),
            needed_by_others: fixed + sweeps,
            until: upstream.budget.month_ends_at(now),
            even: even.max(for_looks.unwrap_or_default()),
            beside_sweeps: self.beside_sweeps(index, now),
        })
    }

    /// Everybody's interval, were the rest of the month's calls spread evenly.
    pub(super) fn even(&self, index: usize, now: Timestamp) -> Duration {
        let upstream = &self.upstreams[index];
        let share = &upstream.share;
        let even = upstream.budget.even_open_interval(share.open, share.fixed_calls, now);
        even.unwrap_or_default().max(self.settings.min_interval)
    }

    /// When to look at somebody, or to ask again, by the rule. `None`: they are not paced by it.
    pub(super) fn next_paced(&mut self, person: UserKey, now: Timestamp) -> Option<Timestamp> {
        let watched = &self.users[person];
        let (index, number) = (watched.upstream, watched.number);
        if number == NO_NUMBER {
            return None;
        }
        let budget = self.budget(index, now)?;
        let next = self.upstreams[index].pacing.as_mut()?.next(number, now, budget);
        let (PollDecision::Poll(at, why) | PollDecision::Replan(at, why)) = next;
        tracing::trace!(person = watched.person_id, %at, ?why, "paced");
        let open = &self.hours[watched.hours].open;
        let since = watched.last_ok.unwrap_or(now);
        let gap = if open.is_always() { at.since(since) } else { open.open_between(since, at) };
        let question = matches!(next, PollDecision::Replan(..)).then_some(at);
        if let Some(plan) = self.upstreams[index].plan_mut(number) {
            *plan = Plan { question, gap, decided: Some((now, next)) };
        }
        Some(at)
    }

    /// Their next look is one, whatever the rule wanted to be asked.
    pub(super) fn forget_question(&mut self, person: UserKey) {
        let watched = &self.users[person];
        if let Some(plan) = self.upstreams[watched.upstream].plan_mut(watched.number) {
            plan.question = None;
        }
    }

    /// What the rule decided last about somebody, and when.
    pub(super) fn decided(&self, person: UserKey) -> Option<(Timestamp, PollDecision)> {
        let watched = &self.users[person];
        self.upstreams[watched.upstream].plan(watched.number)?.decided
    }

    /// What the rule would decide now. Nothing comes of it.
    pub(super) fn would_decide(&self, person: UserKey, now: Timestamp) -> PollDecision {
        let watched = &self.users[person];
        let (index, number) = (watched.upstream, watched.number);
        match self.upstreams[index].pacing.as_ref().zip(self.budget(index, now)) {
            Some((pacing, budget)) if number != NO_NUMBER => pacing.would_decide(number, now, budget),
            _ => PollDecision::Poll(
                self.next_even(person, now),
                Why {
                    rule: Rule::Plenty,
                    inside: watched.belief.inside().next().is_some(),
                    ..Why::default()
                },
            ),
        }
    }

    /// Whether what is due is no look but a question to the rule.
    pub(super) fn is_question(&self, person: UserKey) -> bool {
        let watched = &self.users[person];
        let plan = self.upstreams[watched.upstream].plan(watched.number);
        plan.is_some_and(|plan| plan.question == Some(watched.due))
    }

    /// The open time between the last good look and the one that the rule planned, if it planned one.
    pub(super) fn planned_gap(&self, person: UserKey) -> Option<Duration> {
        let watched = &self.users[person];
        self.upstreams[watched.upstream].plan(watched.number).map(|plan| plan.gap)
    }

    /// A good answer: what it says goes to the rule, and whose next look moved by it is moved. `ended`: visits that
    /// it ended, or that were over when it came.
    pub(super) fn tell_rule(
        &mut self,
        person: UserKey,
        at: Timestamp,
        belief: Option<&UserState>,
        ended: &[Visit],
    ) {
        let watched = &self.users[person];
        let (index, number) = (watched.upstream, watched.number);
        let Some(pacing) = &mut self.upstreams[index].pacing else { return };
        if number == NO_NUMBER {
            return;
        }
        let belief = belief.unwrap_or(&watched.belief);
        let beside = pacing.beside.is_some().then(|| {
            let sweeps = &self.sweeps;
            seen(belief, ended, |meeting| !sweeps.show(index, person, meeting))
        });
        let mut moved = pacing.group.observed(number, at, &seen(belief, ended, |_| true));
        if let Some((group, seen)) = pacing.beside.as_mut().zip(beside) {
            moved = group.observed(number, at, &seen);
        }
        moved.truncate(MOST_MOVED);
        let moved: Vec<UserKey> = moved.iter().map(|other| pacing.roster.people[*other as usize].0).collect();
        for other in moved {
            self.think_again(other, at);
        }
    }

    fn think_again(&mut self, person: UserKey, now: Timestamp) {
        let watched = &self.users[person];
        if watched.gone
            || watched.busy
            || watched.failures > 0
            || watched.overtime_until.is_some()
            || watched.belief.is_rejected()
            || watched.belief.awaits_confirmation()
            // Due already: whatever the rule says, their turn is next.
            || watched.due <= now
        {
            return;
        }
        let (due, upstream) = (watched.due, watched.upstream);
        let Some(next) = self.next_paced(person, now) else { return };
        self.upstreams[upstream].due.remove(due, person);
        self.requeue(person, next);
        self.replanned.push(person);
    }

    /// Where the rule decides, the next good look is late some time after it was planned, not an interval after the last.
    pub(super) fn expect_planned(&self, index: usize, now: Timestamp) {
        let upstream = &self.upstreams[index];
        if upstream.pacing.is_none() || upstream.standing.since.is_some() {
            return;
        }
        if let Some(due) = upstream.due.next_due(true) {
            upstream.health.expect_look(due.max(now).plus((self.even(index, now) * 3).max(AT_LEAST)));
        }
    }
}

impl Pacing {
    /// By the group that counts now.
    fn next(&mut self, number: u32, now: Timestamp, budget: Budget) -> PollDecision {
        match self.beside.as_mut().filter(|_| budget.beside_sweeps.is_some()) {
            Some(group) => group.next(number, now, &budget),
            None => self.group.next(number, now, &Budget { beside_sweeps: None, ..budget }),
        }
    }

    fn would_decide(&self, number: u32, now: Timestamp, budget: Budget) -> PollDecision {
        match self.beside.as_ref().filter(|_| budget.beside_sweeps.is_some()) {
            Some(group) => group.clone().next(number, now, &budget),
            None => self.group.clone().next(number, now, &Budget { beside_sweeps: None, ..budget }),
        }
    }

    fn questions(&self) -> impl Iterator<Item = (UserKey, Timestamp)> + '_ {
        let people = self.roster.people.iter().zip(&self.plans);
        people.filter_map(|(&(person, _), plan)| Some((person, plan.question?)))
    }
}

impl super::upstream::Upstream {
    fn plan(&self, number: u32) -> Option<&Plan> {
        self.pacing.as_ref()?.plans.get(number as usize)
    }

    fn plan_mut(&mut self, number: u32) -> Option<&mut Plan> {
        self.pacing.as_mut()?.plans.get_mut(number as usize)
    }
}

/// What somebody is believed to be in, and what ended, as far as it counts.
fn seen(belief: &UserState, ended: &[Visit], counts: impl Fn(&ConferenceId) -> bool) -> Vec<Seen> {
    let record = |visit: &Visit| Seen {
        conference: conference_key(visit.conference_id.as_str()),
        joined: visit.joined,
        left: visit.end.map(|end| end.at),
    };
    let ended = ended.iter().filter(|visit| visit.end.is_some());
    belief.open_visits().chain(ended).filter(|visit| counts(&visit.conference_id)).map(record).collect()
}

/// Whether open time begins at this instant; where it is always open, a day.
fn begins(at: Timestamp, open: &OpenTime, zone: Tz) -> bool {
    let just_before = Timestamp::from_ms(at.as_ms().saturating_sub(1));
    if open.is_always() {
        return civil::wall(at, zone).date() != civil::wall(just_before, zone).date();
    }
    open.open_at(at) && !open.open_at(just_before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::civil::tests::at;
    use crate::policy::window::Window;

    #[test]
    fn a_question_is_known_again_by_its_instant() {
        let window = Window {
            days: [true, true, true, true, true, false, false],
            from_minute: 9 * 60,
            to_minute: 18 * 60,
            time_zone: Tz::Asia__Shanghai,
        };
        let office = OpenTime::new(Some(vec![window]), Vec::new());
        let always = OpenTime::new(None, Vec::new());
        let zone = Tz::Asia__Shanghai;
        // Monday, nine o'clock and midnight in Shanghai.
        let (nine, midnight) = (at("2026-11-23T01:00:00Z"), at("2026-11-22T16:00:00Z"));
        assert!(begins(nine, &office, zone) && !begins(nine, &always, zone));
        assert!(begins(midnight, &always, zone) && !begins(midnight, &office, zone));
        for by in [1, 500, 60_000] {
            let (nine, midnight) =
                (nine.plus(Duration::from_millis(by)), midnight.plus(Duration::from_millis(by)));
            assert!(!begins(nine, &office, zone) && !begins(midnight, &always, zone));
        }
    }
}
