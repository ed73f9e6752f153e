//! Connects the pacing rule: passes observations to it, and takes the times of polls from it.
//!
//! Guards: an organisation is paced if its month has a limit and a user has no cadence of their own; other users are
//! not paced, but their calls are subtracted. A re-plan time is not a poll. A user who waits after a failure, is
//! confirmed, or is polled past a window keeps the planned time. Not here: the rule (`policy::pace`), windows
//! (`open_windows`), who is paced together (`groups`).

use crate::tasks::poller::roster::UserKey;
use crate::tasks::poller::roster::WindowKey;
use std::time::Duration;

use chrono_tz::Tz;

use super::org::OrgPoller;
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

/// The number of a user in no group.
pub(super) const NO_NUMBER: u32 = u32::MAX;
/// Re-plans in a row before anything else has its turn.
pub(super) const MAX_REPLANS: u32 = 32;
/// Users whose polls are re-planned after a poll of another participant of their meeting.
const MAX_MOVED: usize = 100;
/// The shortest delay after which a planned poll is late.
const AT_LEAST: Duration = Duration::from_mins(5);

/// The paced users of one organisation.
#[derive(Debug)]
pub(super) struct Pacing {
    group: PacingGroup,
    /// The group that learns only from what trusted sweeps do not list.
    beside: Option<PacingGroup>,
    roster: Roster,
    /// The last decisions, by number.
    plans: Vec<Plan>,
}

/// What a group is made of; the group and its model stay while this is the same.
#[derive(Debug, PartialEq, Eq)]
struct Roster {
    bounds: Bounds,
    limit: u64,
    /// The keys and windows of its users.
    people: Vec<(UserKey, WindowKey)>,
}

/// The last decision about a user.
#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    /// A re-plan is due then, not a poll.
    question: Option<Timestamp>,
    /// Open time from the last good poll to the planned one.
    gap: Duration,
    /// When and what; `None`: not since the group was made.
    decided: Option<(Timestamp, PollDecision)>,
}

impl OrgPoller {
    /// The organisation's calls; `None`: there is no limit.
    fn budget(&self, now: Timestamp) -> Option<Budget> {
        let upstream = &self.upstream;
        let (limit, fixed) = (upstream.budget.limit()?, upstream.share.fixed_calls);
        let sweeps = self.sweep_calls(now);
        let even = self.even(now);
        // Calls for sweeps are subtracted from polls, but do not make anything late.
        let for_looks = upstream.budget.even_open_interval(upstream.share.open, fixed + sweeps, now);
        Some(Budget {
            limit,
            used: upstream.budget.used(now),
            needed_by_others: fixed + sweeps,
            until: upstream.budget.month_ends_at(now),
            even: even.max(for_looks.unwrap_or_default()),
            beside_sweeps: self.beside_sweeps(now),
        })
    }

    /// The interval of all users if the rest of the month's calls were spread evenly.
    pub(super) fn even(&self, now: Timestamp) -> Duration {
        let upstream = &self.upstream;
        let share = &upstream.share;
        let even = upstream.budget.even_open_interval(share.open, share.fixed_calls, now);
        even.unwrap_or_default().max(self.settings.min_interval)
    }

    /// The next poll or re-plan by the rule; `None`: the user is not paced.
    pub(super) fn next_paced(&mut self, user: UserKey, now: Timestamp) -> Option<Timestamp> {
        let watched = &self.users[user];
        let number = watched.number;
        if number == NO_NUMBER {
            return None;
        }
        let budget = self.budget(now)?;
        let next = self.upstream.pacing.as_mut()?.next(number, now, budget);
        let (PollDecision::Poll(at, why) | PollDecision::Replan(at, why)) = next;
        tracing::trace!(user = watched.person_id, %at, ?why, "paced");
        let open = &self.windows[watched.window].open;
        let since = watched.last_ok.unwrap_or(now);
        let gap = if open.is_always() { at.since(since) } else { open.open_between(since, at) };
        let question = matches!(next, PollDecision::Replan(..)).then_some(at);
        if let Some(plan) = self.upstream.plan_mut(number) {
            *plan = Plan { question, gap, decided: Some((now, next)) };
        }
        Some(at)
    }

    /// Turns the user's re-plan into a poll.
    pub(super) fn cancel_replan(&mut self, user: UserKey) {
        let watched = &self.users[user];
        if let Some(plan) = self.upstream.plan_mut(watched.number) {
            plan.question = None;
        }
    }

    /// The last decision about a user, and when it was made.
    pub(super) fn decided(&self, user: UserKey) -> Option<(Timestamp, PollDecision)> {
        let watched = &self.users[user];
        self.upstream.plan(watched.number)?.decided
    }

    /// What the rule would decide now; changes nothing.
    pub(super) fn would_decide(&self, user: UserKey, now: Timestamp) -> PollDecision {
        let watched = &self.users[user];
        let number = watched.number;
        match self.upstream.pacing.as_ref().zip(self.budget(now)) {
            Some((pacing, budget)) if number != NO_NUMBER => pacing.would_decide(number, now, budget),
            _ => PollDecision::Poll(
                self.next_even(user, now),
                Why { rule: Rule::Plenty, inside: watched.state.inside().next().is_some(), ..Why::default() },
            ),
        }
    }

    /// Whether the due time is a re-plan and not a poll.
    pub(super) fn is_replan(&self, user: UserKey) -> bool {
        let watched = &self.users[user];
        let plan = self.upstream.plan(watched.number);
        plan.is_some_and(|plan| plan.question == Some(watched.due))
    }

    /// The open time between the last good poll and the planned one.
    pub(super) fn planned_gap(&self, user: UserKey) -> Option<Duration> {
        let watched = &self.users[user];
        self.upstream.plan(watched.number).map(|plan| plan.gap)
    }

    /// Passes an observation to the rule and re-plans the users it concerns. `ended`: visits that it ended, or that
    /// were over already.
    pub(super) fn update_pacing(
        &mut self,
        user: UserKey,
        at: Timestamp,
        state: Option<&UserState>,
        ended: &[Visit],
    ) {
        let watched = &self.users[user];
        let number = watched.number;
        let Some(pacing) = &mut self.upstream.pacing else { return };
        if number == NO_NUMBER {
            return;
        }
        let state = state.unwrap_or(&watched.state);
        let beside = pacing.beside.is_some().then(|| {
            let sweeps = &self.sweeps;
            seen(state, ended, |meeting| !sweeps.show(user, meeting))
        });
        let mut moved = pacing.group.observed(number, at, &seen(state, ended, |_| true));
        if let Some((group, seen)) = pacing.beside.as_mut().zip(beside) {
            moved = group.observed(number, at, &seen);
        }
        moved.truncate(MAX_MOVED);
        let moved: Vec<UserKey> = moved.iter().map(|other| pacing.roster.people[*other as usize].0).collect();
        for other in moved {
            self.think_again(other, at);
        }
    }

    fn think_again(&mut self, user: UserKey, now: Timestamp) {
        let watched = &self.users[user];
        if watched.gone
            || watched.busy
            || watched.failures > 0
            || watched.overtime_until.is_some()
            || watched.state.is_rejected()
            || watched.state.awaits_confirmation()
            // Already due, so the poll comes next.
            || watched.due <= now
        {
            return;
        }
        let due = watched.due;
        let Some(next) = self.next_paced(user, now) else { return };
        self.upstream.due.remove(due, user);
        self.requeue(user, next);
        self.pending.add_replanned(user);
    }

    /// A paced poll is late some time after its planned time, not an interval after the last poll.
    pub(super) fn expect_planned(&self, now: Timestamp) {
        let upstream = &self.upstream;
        if upstream.pacing.is_none() || upstream.standing.since.is_some() {
            return;
        }
        if let Some(due) = upstream.due.next_due(true) {
            upstream.health.expect_look(due.max(now).plus((self.even(now) * 3).max(AT_LEAST)));
        }
    }
}

impl Pacing {
    /// The decision of the group that counts now.
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
        people.filter_map(|(&(user, _), plan)| Some((user, plan.question?)))
    }
}

impl super::upstream::UpstreamState {
    fn plan(&self, number: u32) -> Option<&Plan> {
        self.pacing.as_ref()?.plans.get(number as usize)
    }

    fn plan_mut(&mut self, number: u32) -> Option<&mut Plan> {
        self.pacing.as_mut()?.plans.get_mut(number as usize)
    }
}

/// The user's open and ended visits, as far as they count.
fn seen(state: &UserState, ended: &[Visit], counts: impl Fn(&ConferenceId) -> bool) -> Vec<Seen> {
    let record = |visit: &Visit| Seen {
        conference: conference_key(visit.conference_id.as_str()),
        joined: visit.joined,
        left: visit.end.map(|end| end.at),
    };
    let ended = ended.iter().filter(|visit| visit.end.is_some());
    state.open_visits().chain(ended).filter(|visit| counts(&visit.conference_id)).map(record).collect()
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
