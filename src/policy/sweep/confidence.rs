//! Confidence in an organisation's sweeps: gained by agreeing with polls, lost by one contradiction.
//!
//! Guards: only a poll that found the user inside a meeting counts as agreement, because users outside agree with
//! every empty list; after a contradiction more agreements are needed than before. Not here: the comparison itself
//! (`presence::sweep`).

use std::collections::BTreeMap;
use std::time::Duration;

/// Agreements needed at first.
pub const AGREEMENTS_NEEDED: u32 = 10;
/// After this time without a comparison, a restarted process needs all agreements again.
pub const STALE_AFTER: Duration = Duration::from_hours(7 * 24);
/// Largest number of agreements needed after contradictions.
const MAX_AGREEMENTS_NEEDED: u32 = 160;
/// After this many times the needed agreements, the needed number is halved.
const FORGIVEN_AFTER: u32 = 4;
/// Weight of the prior for a user, in visits.
const PRIOR: f64 = 2.0;
/// Weight of older comparisons, applied at every comparison.
const FADE: f64 = 0.97;

/// Comparison of one poll with the sweep before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Both list the user in the same meeting.
    Agrees,
    /// The poll found a meeting that no sweep ever listed: a meeting of another organisation, or ids that do not
    /// match.
    Unlisted,
    /// They differ about a meeting that sweeps do list.
    Contradicts,
    /// No conclusion: the user was outside, or changed between the two.
    Nothing,
}

/// Confidence in the sweeps of one organisation; `K` is a user's key.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepConfidence<K> {
    agreed: u32,
    needed: u32,
    refused: bool,
    /// By user: visits that sweeps listed, and visits that they did not, faded.
    users: BTreeMap<K, (f64, f64)>,
    all: (f64, f64),
}

impl<K> Default for SweepConfidence<K> {
    fn default() -> Self {
        Self { agreed: 0, needed: AGREEMENTS_NEEDED, refused: false, users: BTreeMap::new(), all: (0.0, 0.0) }
    }
}

/// The part that is stored for the organisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredConfidence {
    /// Agreements since the newest contradiction.
    pub agreed: u32,
    /// Agreements needed.
    pub needed: u32,
    /// Visits of all users that sweeps listed, and visits that they did not, faded.
    pub all: (f64, f64),
}

impl<K: Copy + Ord> SweepConfidence<K> {
    /// The part to store.
    pub fn stored(&self) -> StoredConfidence {
        StoredConfidence { agreed: self.agreed, needed: self.needed, all: self.all }
    }

    /// Restores an earlier process's confidence. `stale`: it is so old that all agreements are needed again; the
    /// needed number and the counts by user still apply.
    pub fn restore(stored: StoredConfidence, users: BTreeMap<K, (f64, f64)>, stale: bool) -> Self {
        let agreed = if stale { 0 } else { stored.agreed };
        let needed = stored.needed.clamp(AGREEMENTS_NEEDED, MAX_AGREEMENTS_NEEDED);
        Self { agreed, needed, refused: false, users, all: stored.all }
    }

    /// Visits of a user that sweeps listed, and visits that they did not, faded.
    pub fn counts(&self, user: K) -> Option<(f64, f64)> {
        self.users.get(&user).copied()
    }

    /// Removes a user who is no longer watched.
    pub fn remove(&mut self, user: K) {
        self.users.remove(&user);
    }

    /// Whether a sweep ever listed this user where a poll found them.
    pub fn has_listed(&self, user: K) -> bool {
        self.users.get(&user).is_some_and(|(seen, _)| *seen > 0.0)
    }

    /// Resets the agreements: sweeps use another kind of id than assumed, so earlier agreements do not count.
    pub fn reset_agreements(&mut self) {
        self.agreed = 0;
    }

    /// Records the comparison of a poll of `user` with the sweep before it. Returns whether sweeps lost trust by it.
    pub fn record(&mut self, user: K, comparison: Comparison) -> bool {
        let seen = match comparison {
            Comparison::Nothing => return false,
            Comparison::Contradicts => {
                let lost = self.is_trusted();
                // Several polls that contradict one wrong sweep are one contradiction.
                if self.agreed > 0 || self.needed == AGREEMENTS_NEEDED {
                    self.needed = (self.needed * 2).min(MAX_AGREEMENTS_NEEDED);
                }
                self.agreed = 0;
                return lost;
            }
            Comparison::Agrees => {
                self.agreed = self.agreed.saturating_add(1);
                if self.agreed >= self.needed.saturating_mul(FORGIVEN_AFTER) {
                    self.needed = (self.needed / 2).max(AGREEMENTS_NEEDED);
                }
                true
            }
            Comparison::Unlisted => false,
        };
        for counts in [self.users.entry(user).or_default(), &mut self.all] {
            (counts.0, counts.1) = (counts.0 * FADE, counts.1 * FADE);
            *(if seen { &mut counts.0 } else { &mut counts.1 }) += 1.0;
        }
        false
    }

    /// DingTalk refused the call for lack of permission: off until the process restarts. Returns whether this is new.
    pub fn mark_refused(&mut self) -> bool {
        !std::mem::replace(&mut self.refused, true)
    }

    /// Whether the calls are refused.
    pub fn is_refused(&self) -> bool {
        self.refused
    }

    /// Whether sweeps may change presence.
    pub fn is_trusted(&self) -> bool {
        !self.refused && self.agreed >= self.needed
    }

    /// Agreements still missing.
    pub fn missing(&self) -> u32 {
        self.needed.saturating_sub(self.agreed)
    }

    /// Probability that a sweep lists a visit of this user; with little evidence close to the share of all users.
    pub fn coverage(&self, user: K) -> f64 {
        let all = share(self.all, 1.0);
        share(self.users.get(&user).copied().unwrap_or_default(), all)
    }

    /// The same for all users together.
    pub fn coverage_of_all(&self) -> f64 {
        share(self.all, 1.0)
    }
}

fn share((seen, unseen): (f64, f64), prior: f64) -> f64 {
    (seen + PRIOR * prior) / (seen + unseen + PRIOR)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(comparisons: &[Comparison]) -> SweepConfidence<u32> {
        let mut confidence: SweepConfidence<u32> = SweepConfidence::default();
        for comparison in comparisons {
            confidence.record(0, *comparison);
        }
        confidence
    }

    #[test]
    fn agreements_gain_trust_and_users_outside_do_not() {
        assert!(!after(&[Comparison::Agrees; AGREEMENTS_NEEDED as usize - 1]).is_trusted());
        assert!(after(&[Comparison::Agrees; AGREEMENTS_NEEDED as usize]).is_trusted());
        assert!(!after(&[Comparison::Nothing; 1000]).is_trusted());
        assert!(!after(&[Comparison::Unlisted; 1000]).is_trusted());
    }

    #[test]
    fn one_contradiction_loses_trust_and_doubles_the_needed_agreements() {
        let mut confidence = after(&[Comparison::Agrees; 100]);
        assert!(confidence.record(0, Comparison::Contradicts));
        assert!(!confidence.is_trusted());
        assert_eq!(confidence.missing(), 2 * AGREEMENTS_NEEDED);
        assert!(!confidence.record(0, Comparison::Contradicts), "lost already");
        assert_eq!(
            confidence.missing(),
            2 * AGREEMENTS_NEEDED,
            "several polls against one wrong sweep are one contradiction"
        );
        for _ in 0..20 {
            confidence.record(0, Comparison::Agrees);
            confidence.record(0, Comparison::Contradicts);
        }
        assert_eq!(confidence.missing(), MAX_AGREEMENTS_NEEDED);
    }

    #[test]
    fn after_many_agreements_old_contradictions_are_reset() {
        let mut confidence = after(&[Comparison::Contradicts, Comparison::Agrees, Comparison::Contradicts]);
        assert_eq!(confidence.missing(), 4 * AGREEMENTS_NEEDED);
        for _ in 0..=FORGIVEN_AFTER * 4 * AGREEMENTS_NEEDED {
            assert!(confidence.is_trusted() || confidence.missing() > 0);
            confidence.record(0, Comparison::Agrees);
        }
        confidence.record(0, Comparison::Contradicts);
        assert_eq!(confidence.missing(), 2 * AGREEMENTS_NEEDED, "as after the first");
    }

    #[test]
    fn a_refusal_is_kept_and_reported_once() {
        let mut confidence = after(&[Comparison::Agrees; 100]);
        assert!(confidence.mark_refused());
        assert!(!confidence.mark_refused());
        assert!(!confidence.is_trusted() && confidence.is_refused());
    }

    #[test]
    fn a_restarted_process_continues_and_after_a_long_time_needs_all_agreements_again() {
        let mut confidence = after(&[Comparison::Contradicts]);
        for _ in 0..2 * AGREEMENTS_NEEDED {
            confidence.record(3, Comparison::Agrees);
        }
        confidence.record(4, Comparison::Unlisted);
        let users = [3, 4].map(|user| (user, confidence.counts(user).unwrap()));
        let users = BTreeMap::from(users);
        assert_eq!(SweepConfidence::restore(confidence.stored(), users.clone(), false), confidence);
        let stale = SweepConfidence::restore(confidence.stored(), users, true);
        assert!(!stale.is_trusted());
        assert_eq!(stale.missing(), 2 * AGREEMENTS_NEEDED, "the contradiction still counts");
        assert_eq!(stale.coverage(4).to_bits(), confidence.coverage(4).to_bits());
    }

    #[test]
    fn a_user_who_meets_elsewhere_has_a_low_coverage() {
        let mut confidence: SweepConfidence<u32> = SweepConfidence::default();
        for _ in 0..50 {
            confidence.record(1, Comparison::Unlisted);
            confidence.record(2, Comparison::Agrees);
        }
        assert!(confidence.coverage(1) < 0.1 && confidence.coverage(2) > 0.9);
        assert!((0.3..0.7).contains(&confidence.coverage(3)), "as all users: {}", confidence.coverage(3));
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn sweeps_are_never_trusted_right_after_a_contradiction(comparisons in prop::collection::vec(0_u8..4, 0..200)) {
            let mut confidence: SweepConfidence<u32> = SweepConfidence::default();
            let mut since = 0;
            for (user, comparison) in (0_u32..).zip(comparisons) {
                let comparison = [Comparison::Agrees, Comparison::Unlisted, Comparison::Contradicts, Comparison::Nothing][usize::from(comparison)];
                confidence.record(user % 7, comparison);
                since = match comparison { Comparison::Agrees => since + 1, Comparison::Contradicts => 0, _ => since };
                prop_assert!(!confidence.is_trusted() || since >= AGREEMENTS_NEEDED);
                prop_assert!((0.0..=1.0).contains(&confidence.coverage(user % 7)));
            }
        }
    }
}
