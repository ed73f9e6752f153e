//! Decides what follows from one sweep: only polls, a poll first, or changes of presence.
//!
//! Guards: an untrusted sweep only schedules polls; if it loses more than half of the users inside, a poll comes
//! before any leave; unclear changes are polled. Not here: how a sweep changes a user's state (`presence::sweep`), the
//! recheck of changes (`recheck`), confidence in sweeps (`confidence`).

use std::collections::BTreeMap;

use super::recheck::Recheck;

/// How a sweep differs from a user's known state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceChange {
    /// The user is newly inside.
    Joins,
    /// The user was inside and is gone.
    Leaves,
    /// Only a poll can decide.
    Unclear,
}

/// What to do with a sweep; `K` is a user's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepDecision<K> {
    /// The sweep applies to all users not in `polls`.
    pub trusted: bool,
    /// Poll these users now, before the sweep is applied.
    pub poll_first: Vec<K>,
    /// Poll these users soon; the sweep does not change their state.
    pub polls: Vec<K>,
}

/// Decides about a complete sweep. `inside`: number of users known to be inside meetings that sweeps list. `changes`:
/// at most one for each user. `alone`: users who are the only one to join their meeting.
pub fn decide<K: Copy + Ord>(
    trusted: bool,
    inside: usize,
    changes: &[(K, PresenceChange)],
    alone: &[K],
) -> SweepDecision<K> {
    if !trusted {
        return SweepDecision {
            trusted: false,
            poll_first: Vec::new(),
            polls: changes.iter().map(|(user, _)| *user).collect(),
        };
    }
    let of = |wanted: PresenceChange| {
        changes.iter().filter(move |(_, change)| *change == wanted).map(|(user, _)| *user)
    };
    let lost: Vec<K> = of(PresenceChange::Leaves).collect();
    let mut polls: Vec<K> = of(PresenceChange::Unclear).collect();
    let mut poll_first = Vec::new();
    if lost.len() * 2 > inside {
        poll_first.extend(lost.first());
    }
    // A poll costs as much as a recheck and gives more information.
    if let ([(user, PresenceChange::Joins | PresenceChange::Leaves)], true) = (changes, poll_first.is_empty())
    {
        polls.push(*user);
    }
    // A sweep that wrongly lists one user looks like this, and a second one may repeat it.
    if let ([user], true) = (alone, poll_first.is_empty())
        && !polls.contains(user)
    {
        polls.push(*user);
    }
    SweepDecision { trusted: true, poll_first, polls }
}

/// Decides about a recheck of some meetings; a change that it repeats needs no poll. `inside`: as in the sweep before,
/// because a recheck covers only some meetings.
pub fn decide_recheck<K: Copy + Ord>(
    trusted: bool,
    inside: usize,
    changes: &[(K, PresenceChange)],
) -> SweepDecision<K> {
    let mut decision = decide(trusted, inside, changes, &[]);
    if trusted {
        decision.polls.retain(|user| changes.contains(&(*user, PresenceChange::Unclear)));
    }
    decision
}

impl<K> SweepDecision<K> {
    /// Number of calls that follow: the polls, and a recheck of the other users' meetings.
    pub fn calls<M: Ord>(&self, recheck: &Recheck<M>) -> u64 {
        (self.poll_first.len() + self.polls.len()) as u64 + recheck.calls()
    }
}

/// Users who are the only one to join their meeting, from the joins by meeting.
pub fn joined_alone<M: Ord, K>(joins: impl IntoIterator<Item = (M, K)>) -> Vec<K> {
    let mut meetings: BTreeMap<M, Vec<K>> = BTreeMap::new();
    for (meeting, user) in joins {
        meetings.entry(meeting).or_default().push(user);
    }
    meetings.into_values().filter_map(|who| <[K; 1]>::try_from(who).ok()).map(|[user]| user).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_untrusted_sweep_only_schedules_polls() {
        let decision = decide(
            false,
            4,
            &[(1, PresenceChange::Joins), (2, PresenceChange::Leaves), (3, PresenceChange::Unclear)],
            &[1],
        );
        assert_eq!(decision, SweepDecision { polls: vec![1, 2, 3], ..SweepDecision::default() });
    }

    #[test]
    fn an_empty_list_is_polled_before_any_leave() {
        let all: Vec<(u32, PresenceChange)> = (0..9).map(|user| (user, PresenceChange::Leaves)).collect();
        assert_eq!(decide(true, 9, &all, &[]).poll_first, [0]);
        assert_eq!(decide(true, 18, &all, &[]).poll_first, [0; 0], "half is not more than half");
    }

    #[test]
    fn a_single_change_is_polled() {
        assert_eq!(decide(true, 9, &[(4, PresenceChange::Joins)], &[4]).polls, [4]);
        assert_eq!(
            decide(true, 9, &[(4, PresenceChange::Joins), (5, PresenceChange::Joins)], &[]).polls,
            [0; 0]
        );
    }

    #[test]
    fn a_user_who_joins_a_meeting_alone_is_polled_and_the_others_are_rechecked() {
        let changes = [
            (4, PresenceChange::Joins),
            (5, PresenceChange::Joins),
            (6, PresenceChange::Joins),
            (7, PresenceChange::Leaves),
        ];
        let who = joined_alone([("a", 4), ("b", 5), ("b", 6)]);
        assert_eq!(who, [4]);
        let decision = decide(true, 9, &changes, &who);
        assert_eq!(decision.polls, [4]);
        let recheck = Recheck::of([("b", true), ("b", true), ("c", false)]);
        assert_eq!(decision.calls(&recheck), 3, "a poll, the members of one meeting, and a batch");
        assert_eq!(
            decide(true, 9, &changes, &[4, 7]).polls,
            [0; 0],
            "several polls cost more than a recheck"
        );
        assert_eq!(decide(true, 9, &changes[..1], &[4]).calls(&Recheck::<u64>::default()), 1);
    }

    #[test]
    fn a_change_that_a_recheck_repeats_is_not_polled() {
        assert_eq!(decide_recheck(true, 9, &[(4, PresenceChange::Joins)]).polls, [0; 0]);
        assert_eq!(
            decide_recheck(true, 9, &[(4, PresenceChange::Unclear), (5, PresenceChange::Joins)]).polls,
            [4]
        );
        assert_eq!(
            decide_recheck(true, 2, &[(4, PresenceChange::Leaves), (5, PresenceChange::Leaves)]).poll_first,
            [4]
        );
        assert_eq!(decide_recheck(false, 9, &[(4, PresenceChange::Joins)]).polls, [4]);
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn a_loss_of_more_than_half_is_never_applied_at_once(
            trusted: bool, inside in 0_usize..40, lonely in 0_usize..3, kinds in prop::collection::vec(0_u8..3, 0..40),
        ) {
            let changes: Vec<(u32, PresenceChange)> = (0_u32..).zip(kinds)
                .map(|(user, kind)| (user, [PresenceChange::Joins, PresenceChange::Leaves, PresenceChange::Unclear][usize::from(kind)])).collect();
            let alone: Vec<u32> = changes.iter().filter(|(_, change)| *change == PresenceChange::Joins).map(|(user, _)| *user).take(lonely).collect();
            let decision = decide(trusted, inside, &changes, &alone);
            let lost = changes.iter().filter(|(_, change)| *change == PresenceChange::Leaves).count();
            prop_assert!(!decision.trusted || lost * 2 <= inside || !decision.poll_first.is_empty());
            prop_assert_eq!(decision.trusted, trusted);
            for (user, change) in &changes {
                prop_assert!(*change != PresenceChange::Unclear || decision.polls.contains(user));
            }
        }
    }
}
