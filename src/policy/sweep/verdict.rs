//! What may follow from one sweep: nothing but looks, a look first, or its word.
//!
//! Guards: without trust a sweep is only a hint; when it loses more than half of those inside, a look comes before
//! anybody leaves; what is odd is looked at. Deliberately not here: what each person's belief makes of it
//! (`presence::sweep`), how its word is asked for a second time (`again`), trust (`trust`).

use std::collections::BTreeMap;

use super::again::Again;

/// What a sweep says about somebody that is not what is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Newly inside.
    Joins,
    /// Inside until now, and gone.
    Leaves,
    /// Only a look can settle it.
    Odd,
}

/// What to do with a sweep; `K` is a user's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict<K> {
    /// The sweep's word is taken for everybody who is not in `looks`.
    pub believed: bool,
    /// Look at these now, before the sweep is heard.
    pub first: Vec<K>,
    /// Look at these soon; about them the sweep changes nothing.
    pub looks: Vec<K>,
}

/// Judges one sweep of everything. `inside`: how many are believed inside meetings that sweeps show. `changes`: by person,
/// each once. `alone`: who came into a meeting into which nobody else came.
pub fn judge<K: Copy + Ord>(
    trusted: bool,
    inside: usize,
    changes: &[(K, Change)],
    alone: &[K],
) -> Verdict<K> {
    if !trusted {
        return Verdict {
            believed: false,
            first: Vec::new(),
            looks: changes.iter().map(|(person, _)| *person).collect(),
        };
    }
    let of = |wanted: Change| {
        changes.iter().filter(move |(_, change)| *change == wanted).map(|(person, _)| *person)
    };
    let lost: Vec<K> = of(Change::Leaves).collect();
    let mut looks: Vec<K> = of(Change::Odd).collect();
    let mut first = Vec::new();
    if lost.len() * 2 > inside {
        first.extend(lost.first());
    }
    // A look costs what asking again costs, and tells more.
    if let ([(person, Change::Joins | Change::Leaves)], true) = (changes, first.is_empty()) {
        looks.push(*person);
    }
    // One person wrongly inside looks like this; a second sweep may well say it again.
    if let ([person], true) = (alone, first.is_empty())
        && !looks.contains(person)
    {
        looks.push(*person);
    }
    Verdict { believed: true, first, looks }
}

/// Judges the second answer about some meetings; what it repeats needs no look any more. `inside`: as in the sweep
/// before it, for these meetings are only some.
pub fn judge_again<K: Copy + Ord>(trusted: bool, inside: usize, changes: &[(K, Change)]) -> Verdict<K> {
    let mut verdict = judge(trusted, inside, changes, &[]);
    if trusted {
        verdict.looks.retain(|person| changes.contains(&(*person, Change::Odd)));
    }
    verdict
}

impl<K> Verdict<K> {
    /// What follows costs so many calls: looks, and asking again for the meetings of those who are not looked at.
    pub fn calls<M: Ord>(&self, again: &Again<M>) -> u64 {
        (self.first.len() + self.looks.len()) as u64 + again.calls()
    }
}

/// Who came into a meeting into which nobody else came, of these joins by meeting.
pub fn alone<M: Ord, K>(joins: impl IntoIterator<Item = (M, K)>) -> Vec<K> {
    let mut meetings: BTreeMap<M, Vec<K>> = BTreeMap::new();
    for (meeting, person) in joins {
        meetings.entry(meeting).or_default().push(person);
    }
    meetings.into_values().filter_map(|who| <[K; 1]>::try_from(who).ok()).map(|[person]| person).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_trust_everything_is_a_hint() {
        let verdict = judge(false, 4, &[(1, Change::Joins), (2, Change::Leaves), (3, Change::Odd)], &[1]);
        assert_eq!(verdict, Verdict { looks: vec![1, 2, 3], ..Verdict::default() });
    }

    #[test]
    fn an_empty_list_is_looked_into_before_anybody_leaves() {
        let all: Vec<(u32, Change)> = (0..9).map(|person| (person, Change::Leaves)).collect();
        assert_eq!(judge(true, 9, &all, &[]).first, [0]);
        assert_eq!(judge(true, 18, &all, &[]).first, [0; 0], "half is not more than half");
    }

    #[test]
    fn a_single_change_is_looked_at() {
        assert_eq!(judge(true, 9, &[(4, Change::Joins)], &[4]).looks, [4]);
        assert_eq!(judge(true, 9, &[(4, Change::Joins), (5, Change::Joins)], &[]).looks, [0; 0]);
    }

    #[test]
    fn who_alone_comes_into_a_meeting_is_looked_at_and_the_others_are_asked_for_again() {
        let changes = [(4, Change::Joins), (5, Change::Joins), (6, Change::Joins), (7, Change::Leaves)];
        let who = alone([("a", 4), ("b", 5), ("b", 6)]);
        assert_eq!(who, [4]);
        let verdict = judge(true, 9, &changes, &who);
        assert_eq!(verdict.looks, [4]);
        let again = Again::of([("b", true), ("b", true), ("c", false)]);
        assert_eq!(verdict.calls(&again), 3, "a look, the members of one meeting, and a batch");
        assert_eq!(judge(true, 9, &changes, &[4, 7]).looks, [0; 0], "several cost more than they tell");
        assert_eq!(judge(true, 9, &changes[..1], &[4]).calls(&Again::<u64>::default()), 1);
    }

    #[test]
    fn what_a_second_answer_repeats_is_not_looked_at() {
        assert_eq!(judge_again(true, 9, &[(4, Change::Joins)]).looks, [0; 0]);
        assert_eq!(judge_again(true, 9, &[(4, Change::Odd), (5, Change::Joins)]).looks, [4]);
        assert_eq!(judge_again(true, 2, &[(4, Change::Leaves), (5, Change::Leaves)]).first, [4]);
        assert_eq!(judge_again(false, 9, &[(4, Change::Joins)]).looks, [4]);
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn more_than_half_lost_is_never_believed_at_once(
            trusted: bool, inside in 0_usize..40, lonely in 0_usize..3, kinds in prop::collection::vec(0_u8..3, 0..40),
        ) {
            let changes: Vec<(u32, Change)> = (0_u32..).zip(kinds)
                .map(|(person, kind)| (person, [Change::Joins, Change::Leaves, Change::Odd][usize::from(kind)])).collect();
            let alone: Vec<u32> = changes.iter().filter(|(_, change)| *change == Change::Joins).map(|(person, _)| *person).take(lonely).collect();
            let verdict = judge(trusted, inside, &changes, &alone);
            let lost = changes.iter().filter(|(_, change)| *change == Change::Leaves).count();
            prop_assert!(!verdict.believed || lost * 2 <= inside || !verdict.first.is_empty());
            prop_assert_eq!(verdict.believed, trusted);
            for (person, change) in &changes {
                prop_assert!(*change != Change::Odd || verdict.looks.contains(person));
            }
        }
    }
}
