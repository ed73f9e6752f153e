//! How what a sweep changes is asked for a second time.
//!
//! Guards: nothing is told on one answer; where it costs hardly more, who came is asked of another call than the one that
//! said it: the members of the meeting. Deliberately not here: who is looked at instead (`verdict`), making the calls.
//!
//! A batch asks for twenty meetings at once, the members of a meeting are a call for it alone. Up to
//! [`MEMBERS_FOR`] calls that costs about what it saves in waiting; with ten meetings it would cost five times as much.

use std::collections::BTreeSet;

use super::MEETINGS_A_CALL;

/// So many calls go into asking recheck, if members are asked for.
pub const MEMBERS_FOR: usize = 2;

/// The meetings that are asked for recheck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recheck<M> {
    /// Into these somebody came.
    pub entered: BTreeSet<M>,
    /// In these something else changed.
    pub others: BTreeSet<M>,
}

impl<M> Default for Recheck<M> {
    fn default() -> Self {
        Self { entered: BTreeSet::new(), others: BTreeSet::new() }
    }
}

impl<M: Ord> Recheck<M> {
    /// Of these meetings, by whether somebody came into it.
    pub fn of(turns: impl IntoIterator<Item = (M, bool)>) -> Self {
        let mut recheck = Self::default();
        for (meeting, came) in turns {
            if came {
                recheck.others.remove(&meeting);
                recheck.entered.insert(meeting);
            } else if !recheck.entered.contains(&meeting) {
                recheck.others.insert(meeting);
            }
        }
        recheck
    }

    /// Nothing is.
    pub fn is_empty(&self) -> bool {
        self.entered.is_empty() && self.others.is_empty()
    }

    /// Whether the members of those into which somebody came are asked for; else all are asked for in batches.
    pub fn by_members(&self) -> bool {
        let calls = self.entered.len() + usize::from(!self.others.is_empty());
        !self.entered.is_empty() && calls <= MEMBERS_FOR
    }

    /// What it costs.
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
    fn who_came_into_one_meeting_or_two_is_asked_of_their_members() {
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
    fn a_meeting_some_enter_and_some_leave_is_one_that_is_entered() {
        for turns in [[("a", true), ("a", false)], [("a", false), ("a", true)]] {
            let recheck = Recheck::of(turns);
            assert_eq!((recheck.entered.len(), recheck.others.len()), (1, 0));
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn no_meeting_is_forgotten_or_asked_for_twice(turns in prop::collection::vec((0_u32..50, any::<bool>()), 0..60)) {
            let recheck = Recheck::of(turns.clone());
            prop_assert!(recheck.entered.is_disjoint(&recheck.others));
            for (meeting, came) in turns {
                prop_assert_eq!(recheck.entered.contains(&meeting) || recheck.others.contains(&meeting), true);
                prop_assert!(!came || recheck.entered.contains(&meeting));
            }
            let members = if recheck.by_members() { MEMBERS_FOR as u64 } else { 0 };
            let all = (recheck.entered.len() + recheck.others.len()) as u64;
            prop_assert!(recheck.calls() <= all.div_ceil(MEETINGS_A_CALL).max(members));
        }
    }
}
