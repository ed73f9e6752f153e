//! Whether sweeps of an organisation are believed: earned by agreeing with looks, lost by one contradiction.
//!
//! Guards: only a look that found somebody inside earns anything, since idle users agree with every empty list; after
//! a contradiction more is asked for than before. Deliberately not here: comparing (`presence::sweep`).

use std::collections::BTreeMap;
use std::time::Duration;

/// Agreements that earn confidence at first.
pub const AGREEMENTS_NEEDED: u32 = 10;
/// When so long nothing was compared, a next process earns confidence anew.
pub const STALE_AFTER: Duration = Duration::from_hours(7 * 24);
/// And at most, after contradictions.
const MAX_AGREEMENTS_NEEDED: u32 = 160;
/// After so many times what was needed, the next contradiction costs half as much again.
const FORGIVEN_AFTER: u32 = 4;
/// Before anything is known of a user, this many visits of theirs count as seen.
const PRIOR: f64 = 2.0;
/// What was learned of a user fades by this with every comparison.
const FADE: f64 = 0.97;

/// What one look says about the sweep before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Both saw the user inside the same meeting.
    Agrees,
    /// The look found a meeting that no sweep ever listed: it is foreign, or ids do not match.
    Unlisted,
    /// One of them is wrong about a meeting that sweeps do list.
    Contradicts,
    /// Nothing follows: nobody was inside, or it changed in between.
    Nothing,
}

/// The ledger of one organisation; `K` is a user's key.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepConfidence<K> {
    agreed: u32,
    needed: u32,
    refused: bool,
    /// By user: visits seen by sweeps too, and not, faded.
    users: BTreeMap<K, (f64, f64)>,
    all: (f64, f64),
}

impl<K> Default for SweepConfidence<K> {
    fn default() -> Self {
        Self { agreed: 0, needed: AGREEMENTS_NEEDED, refused: false, users: BTreeMap::new(), all: (0.0, 0.0) }
    }
}

/// What outlives the process, but for users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredConfidence {
    /// Agreements since the newest contradiction.
    pub agreed: u32,
    /// So many earn confidence.
    pub needed: u32,
    /// Visits seen by sweeps too, and not, of everybody together, faded.
    pub all: (f64, f64),
}

impl<K: Copy + Ord> SweepConfidence<K> {
    /// What a next process should know.
    pub fn stored(&self) -> StoredConfidence {
        StoredConfidence { agreed: self.agreed, needed: self.needed, all: self.all }
    }

    /// Goes on from an earlier process. `stale`: it ended so long ago that confidence must be earned anew; what was lost and
    /// what was learned of users still counts.
    pub fn restore(stored: StoredConfidence, users: BTreeMap<K, (f64, f64)>, stale: bool) -> Self {
        let agreed = if stale { 0 } else { stored.agreed };
        let needed = stored.needed.clamp(AGREEMENTS_NEEDED, MAX_AGREEMENTS_NEEDED);
        Self { agreed, needed, refused: false, users, all: stored.all }
    }

    /// What is known of one user: visits seen by sweeps too, and not, faded.
    pub fn counts(&self, user: K) -> Option<(f64, f64)> {
        self.users.get(&user).copied()
    }

    /// Somebody is not watched any more.
    pub fn remove(&mut self, user: K) {
        self.users.remove(&user);
    }

    /// Whether a sweep ever saw this user where a look did.
    pub fn has_listed(&self, user: K) -> bool {
        self.users.get(&user).is_some_and(|(seen, _)| *seen > 0.0)
    }

    /// People are named by other ids than was thought: what was earned by those does not count.
    pub fn reset_agreements(&mut self) {
        self.agreed = 0;
    }

    /// A look at `user` was compared with the sweep before it. Gives back whether confidence was lost by it.
    pub fn record(&mut self, user: K, comparison: Comparison) -> bool {
        let seen = match comparison {
            Comparison::Nothing => return false,
            Comparison::Contradicts => {
                let lost = self.is_trusted();
                // Several looks at one lie are one contradiction.
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

    /// Upstream refused the call by permission: off until the process starts anew. Gives back whether that is new.
    pub fn mark_refused(&mut self) -> bool {
        !std::mem::replace(&mut self.refused, true)
    }

    /// The calls are refused.
    pub fn is_refused(&self) -> bool {
        self.refused
    }

    /// Sweeps may change what is believed.
    pub fn is_trusted(&self) -> bool {
        !self.refused && self.agreed >= self.needed
    }

    /// Agreements that are still missing.
    pub fn missing(&self) -> u32 {
        self.needed.saturating_sub(self.agreed)
    }

    /// How likely a sweep shows a visit of this user, pulled toward everybody's share where little is known.
    pub fn coverage(&self, user: K) -> f64 {
        let all = share(self.all, 1.0);
        share(self.users.get(&user).copied().unwrap_or_default(), all)
    }

    /// The same for everybody together.
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
    fn agreements_earn_it_and_idle_people_do_not() {
        assert!(!after(&[Comparison::Agrees; AGREEMENTS_NEEDED as usize - 1]).is_trusted());
        assert!(after(&[Comparison::Agrees; AGREEMENTS_NEEDED as usize]).is_trusted());
        assert!(!after(&[Comparison::Nothing; 1000]).is_trusted());
        assert!(!after(&[Comparison::Unlisted; 1000]).is_trusted());
    }

    #[test]
    fn one_contradiction_loses_it_and_more_is_asked_for_then() {
        let mut confidence = after(&[Comparison::Agrees; 100]);
        assert!(confidence.record(0, Comparison::Contradicts));
        assert!(!confidence.is_trusted());
        assert_eq!(confidence.missing(), 2 * AGREEMENTS_NEEDED);
        assert!(!confidence.record(0, Comparison::Contradicts), "lost already");
        assert_eq!(
            confidence.missing(),
            2 * AGREEMENTS_NEEDED,
            "several looks at one lie are one contradiction"
        );
        for _ in 0..20 {
            confidence.record(0, Comparison::Agrees);
            confidence.record(0, Comparison::Contradicts);
        }
        assert_eq!(confidence.missing(), MAX_AGREEMENTS_NEEDED);
    }

    #[test]
    fn after_long_agreement_contradictions_of_long_ago_are_forgiven() {
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
    fn refused_is_refused_and_said_once() {
        let mut confidence = after(&[Comparison::Agrees; 100]);
        assert!(confidence.mark_refused());
        assert!(!confidence.mark_refused());
        assert!(!confidence.is_trusted() && confidence.is_refused());
    }

    #[test]
    fn a_next_process_goes_on_and_after_a_long_time_earns_it_anew() {
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
        assert_eq!(stale.missing(), 2 * AGREEMENTS_NEEDED, "the contradiction is not forgotten");
        assert_eq!(stale.coverage(4).to_bits(), confidence.coverage(4).to_bits());
    }

    #[test]
    fn who_meets_elsewhere_is_known_by_name() {
        let mut confidence: SweepConfidence<u32> = SweepConfidence::default();
        for _ in 0..50 {
            confidence.record(1, Comparison::Unlisted);
            confidence.record(2, Comparison::Agrees);
        }
        assert!(confidence.coverage(1) < 0.1 && confidence.coverage(2) > 0.9);
        assert!((0.3..0.7).contains(&confidence.coverage(3)), "as everybody: {}", confidence.coverage(3));
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn never_earned_right_after_a_contradiction(comparisons in prop::collection::vec(0_u8..4, 0..200)) {
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
