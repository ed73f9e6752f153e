//! Plans the recheck: the second query that confirms the changes of a sweep.
//!
//! A batch queries twenty meetings in one call; the members of one meeting take a call of their own. Up to
//! [`MEMBERS_FOR`] calls this costs about as much as it saves in waiting; for ten meetings it would cost five times as
//! much.
//!
//! Guards: no event follows from one answer; where it costs little more, a join is confirmed by another kind of call:
//! the members of the meeting. Not here: which users are polled instead (`decision`), making the calls.

use std::collections::BTreeSet;

use super::MEETINGS_A_CALL;

/// Most calls of a recheck that queries members.
pub const MEMBERS_FOR: usize = 2;

/// The meetings to query again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recheck<M> {
    /// Meetings that users joined.
    pub entered: BTreeSet<M>,
    /// Meetings with other changes.
    pub others: BTreeSet<M>,
}

impl<M> Default for Recheck<M> {
    fn default() -> Self {
        Self { entered: BTreeSet::new(), others: BTreeSet::new() }
    }
}

impl<M: Ord> Recheck<M> {
    /// A recheck of these meetings; `true`: a user joined it.
    pub fn of(changes: impl IntoIterator<Item = (M, bool)>) -> Self {
        let mut recheck = Self::default();
        for (meeting, joined) in changes {
            if joined {
                recheck.others.remove(&meeting);
                recheck.entered.insert(meeting);
            } else if !recheck.entered.contains(&meeting) {
                recheck.others.insert(meeting);
            }
        }
        recheck
    }

    /// Whether there is nothing to query.
    pub fn is_empty(&self) -> bool {
        self.entered.is_empty() && self.others.is_empty()
    }

    /// Whether the members of the joined meetings are queried; otherwise all meetings are queried in batches.
    pub fn by_members(&self) -> bool {
        let calls = self.entered.len() + usize::from(!self.others.is_empty());
        !self.entered.is_empty() && calls <= MEMBERS_FOR
    }

    /// Number of calls.
    pub fn calls(&self) -> u64 {
        let batches = |meetings: usize| (meetings as u64).div_ceil(MEETINGS_A_CALL);
        if self.by_members() {
            self.entered.len() as u64 + batches(self.others.len())
        } else {
            batches(self.entered.len() + self.others.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn recheck(entered: u32, others: u32) -> Recheck<u32> {
        Recheck::of((0..entered + others).map(|meeting| (meeting, meeting < entered)))
    }

    #[test]
    fn joins_into_one_or_two_meetings_are_checked_by_their_members() {
        for (entered, others, by_members, calls) in [
            (0, 0, false, 0),
            (1, 0, true, 1),
            (2, 0, true, 2),
            (1, 1, true, 2),
            (1, 9, true, 2),
            (2, 1, false, 1),
            (3, 0, false, 1),
            (0, 1, false, 1),
            (12, 9, false, 2),
        ] {
            let recheck = recheck(entered, others);
            assert_eq!(
                (recheck.by_members(), recheck.calls()),
                (by_members, calls),
                "{entered} and {others}"
            );
        }
    }

    #[test]
    fn a_meeting_with_joins_and_leaves_counts_as_joined() {
        for changes in [[("a", true), ("a", false)], [("a", false), ("a", true)]] {
            let recheck = Recheck::of(changes);
            assert_eq!((recheck.entered.len(), recheck.others.len()), (1, 0));
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn every_meeting_is_queried_once(changes in prop::collection::vec((0_u32..50, any::<bool>()), 0..60)) {
            let recheck = Recheck::of(changes.clone());
            prop_assert!(recheck.entered.is_disjoint(&recheck.others));
            for (meeting, joined) in changes {
                prop_assert_eq!(recheck.entered.contains(&meeting) || recheck.others.contains(&meeting), true);
                prop_assert!(!joined || recheck.entered.contains(&meeting));
            }
            let members = if recheck.by_members() { MEMBERS_FOR as u64 } else { 0 };
            let all = (recheck.entered.len() + recheck.others.len()) as u64;
            prop_assert!(recheck.calls() <= all.div_ceil(MEETINGS_A_CALL).max(members));
        }
    }
}
