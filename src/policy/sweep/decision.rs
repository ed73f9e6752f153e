//! What may follow from one sweep: nothing but polls, a look poll_first, or its word.
//!
//! Guards: without trust a sweep is only a hint; when it loses more than half of those inside, a look comes before
//! anybody leaves; what is odd is looked at. Deliberately not here: what each user's belief makes of it
//! (`presence::sweep`), how its word is asked for a second time (`recheck`), trust (`trust`).

use std::collections::BTreeMap;

use super::recheck::Recheck;

/// What a sweep says about somebody that is not what is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceChange {
    /// Newly inside.
    Joins,
    /// Inside until now, and gone.
    Leaves,
    /// Only a look can settle it.
    Unclear,
}

/// What to do with a sweep; `K` is a user's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepDecision<K> {
    /// The sweep's word is taken for everybody who is not in `polls`.
    pub trusted: bool,
    /// Look at these now, before the sweep is heard.
    pub poll_first: Vec<K>,
    /// Look at these soon; about them the sweep changes nothing.
    pub polls: Vec<K>,
}

/// Judges one sweep of everything. `inside`: how many are trusted inside meetings that sweeps show. `changes`: by user,
/// each once. `alone`: who came into a meeting into which nobody else came.
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
    // A look costs what asking recheck costs, and tells more.
    if let ([(user, PresenceChange::Joins | PresenceChange::Leaves)], true) = (changes, poll_first.is_empty())
    {
        polls.push(*user);
    }
    // One user wrongly inside polls like this; a second sweep may well say it recheck.
    if let ([user], true) = (alone, poll_first.is_empty())
        && !polls.contains(user)
    {
        polls.push(*user);
    }
    SweepDecision { trusted: true, poll_first, polls }
}

/// Judges the second answer about some meetings; what it repeats needs no look any more. `inside`: as in the sweep
/// before it, for these meetings are only some.
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
    /// What follows costs so many calls: polls, and asking recheck for the meetings of those who are not looked at.
    pub fn calls<M: Ord>(&self, recheck: &Recheck<M>) -> u64 {
        (self.poll_first.len() + self.polls.len()) as u64 + recheck.calls()
    }
}

/// Who came into a meeting into which nobody else came, of these joins by meeting.
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
    fn without_trust_everything_is_a_hint() {
        let decision = decide(
            false,
            4,
            &[(1, PresenceChange::Joins), (2, PresenceChange::Leaves), (3, PresenceChange::Unclear)],
            &[1],
        );
        assert_eq!(decision, SweepDecision { polls: vec![1, 2, 3], ..SweepDecision::default() });
    }

    #[test]
    fn an_empty_list_is_looked_into_before_anybody_leaves() {
        let all: Vec<(u32, PresenceChange)> = (0..9).map(|user| (user, PresenceChange::Leaves)).collect();
        assert_eq!(decide(true, 9, &all, &[]).poll_first, [0]);
        assert_eq!(decide(true, 18, &all, &[]).poll_first, [0; 0], "half is not more than half");
    }

    #[test]
    fn a_single_change_is_looked_at() {
        assert_eq!(decide(true, 9, &[(4, PresenceChange::Joins)], &[4]).polls, [4]);
        assert_eq!(
            decide(true, 9, &[(4, PresenceChange::Joins), (5, PresenceChange::Joins)], &[]).polls,
            [0; 0]
        );
    }

    #[test]
    fn who_alone_comes_into_a_meeting_is_looked_at_and_the_others_are_asked_for_again() {
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
        assert_eq!(decision.calls(&recheck), 3, "a look, the members of one meeting, and a batch");
        assert_eq!(decide(true, 9, &changes, &[4, 7]).polls, [0; 0], "several cost more than they tell");
        assert_eq!(decide(true, 9, &changes[..1], &[4]).calls(&Recheck::<u64>::default()), 1);
    }

    #[test]
    fn what_a_second_answer_repeats_is_not_looked_at() {
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
        fn more_than_half_lost_is_never_believed_at_once(
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
