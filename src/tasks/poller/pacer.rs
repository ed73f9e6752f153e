//! The paced users of an organisation: their groups, the last decisions, and what they need of the month's calls.
//!
//! Not here: the rule (`policy::pace`), what it is asked and what its answers change (`pacing`, `share`).

use std::time::Duration;

use chrono_tz::Tz;

use super::roster::{UserKey, WindowKey};
use crate::ids::ConferenceId;
use crate::policy::civil;
use crate::policy::pace::group::{Bounds, Budget, PacingGroup};
use crate::policy::pace::{PollDecision, Seen, conference_key};
use crate::policy::window::OpenTime;
use crate::presence::user_state::UserState;
use crate::presence::visit::Visit;
use crate::time::Timestamp;

/// The number of a user in no group.
pub(super) const NO_NUMBER: u32 = u32::MAX;
/// The paced users of one organisation.
#[derive(Debug)]
pub(super) struct Pacing {
    pub(super) group: PacingGroup,
    /// The group that learns only from what trusted sweeps do not list.
    pub(super) beside: Option<PacingGroup>,
    pub(super) roster: Roster,
    /// The last decisions, by number.
    pub(super) plans: Vec<Plan>,
}

/// What paces users: the groups, where the month has a limit, and what users need of the month's calls.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    pub(super) groups: Option<Pacing>,
    pub(super) share: Share,
}

impl Pacer {
    /// The last decision about the user with this number.
    pub(super) fn plan(&self, number: u32) -> Option<&Plan> {
        self.groups.as_ref()?.plan(number)
    }

    pub(super) fn plan_mut(&mut self, number: u32) -> Option<&mut Plan> {
        self.groups.as_mut()?.plan_mut(number)
    }
}

/// What a group is made of; the group and its model stay while this is the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Roster {
    pub(super) bounds: Bounds,
    pub(super) limit: u64,
    /// The keys and windows of its users.
    pub(super) people: Vec<(UserKey, WindowKey)>,
}

/// The last decision about a user.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plan {
    /// A re-plan is due then, not a poll.
    pub(super) question: Option<Timestamp>,
    /// Open time from the last good poll to the planned one.
    pub(super) gap: Duration,
    /// When and what; `None`: not since the group was made.
    pub(super) decided: Option<(Timestamp, PollDecision)>,
}

impl Pacing {
    /// The decision of the group that counts now.
    pub(super) fn next(&mut self, number: u32, now: Timestamp, budget: Budget) -> PollDecision {
        match self.beside.as_mut().filter(|_| budget.beside_sweeps.is_some()) {
            Some(group) => group.next(number, now, &budget),
            None => self.group.next(number, now, &Budget { beside_sweeps: None, ..budget }),
        }
    }

    pub(super) fn would_decide(&self, number: u32, now: Timestamp, budget: Budget) -> PollDecision {
        match self.beside.as_ref().filter(|_| budget.beside_sweeps.is_some()) {
            Some(group) => group.clone().next(number, now, &budget),
            None => self.group.clone().next(number, now, &Budget { beside_sweeps: None, ..budget }),
        }
    }

    pub(super) fn questions(&self) -> impl Iterator<Item = (UserKey, Timestamp)> + '_ {
        let people = self.roster.people.iter().zip(&self.plans);
        people.filter_map(|(&(user, _), plan)| Some((user, plan.question?)))
    }

    pub(super) fn plan(&self, number: u32) -> Option<&Plan> {
        self.plans.get(number as usize)
    }

    pub(super) fn plan_mut(&mut self, number: u32) -> Option<&mut Plan> {
        self.plans.get_mut(number as usize)
    }
}

/// The user's open and ended visits, as far as they count.
pub(super) fn seen(state: &UserState, ended: &[Visit], counts: impl Fn(&ConferenceId) -> bool) -> Vec<Seen> {
    let record = |visit: &Visit| Seen {
        conference: conference_key(visit.conference_id.as_str()),
        joined: visit.joined,
        left: visit.end.map(|end| end.at),
    };
    let ended = ended.iter().filter(|visit| visit.end.is_some());
    state.open_visits().chain(ended).filter(|visit| counts(&visit.conference_id)).map(record).collect()
}

/// Whether open time begins at this instant; where it is always open, a day.
pub(super) fn begins(at: Timestamp, open: &OpenTime, zone: Tz) -> bool {
    let just_before = Timestamp::from_ms(at.as_ms().saturating_sub(1));
    if open.is_always() {
        return civil::wall(at, zone).date() != civil::wall(just_before, zone).date();
    }
    open.open_at(at) && !open.open_at(just_before)
}

/// What the users of one organisation need of the month's calls.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Number of paced users, by window.
    pub(super) paced: Vec<(WindowKey, u32)>,
    /// Calls a second of open time that fixed intervals and cron expressions make, by window.
    pub(super) fixed: Vec<(WindowKey, f64)>,
    /// Open time left in the month, summed over the paced users.
    pub(super) open: Duration,
    /// Calls that fixed intervals and cron expressions will make until the month ends.
    pub(super) fixed_calls: u64,
    pub(super) fresh_until: Timestamp,
}

impl Share {
    /// Number of users paced by the calls that are left.
    pub(super) fn paced_people(&self) -> u32 {
        self.paced.iter().map(|(_, people)| people).sum()
    }
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
