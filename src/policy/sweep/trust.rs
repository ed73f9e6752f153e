//! Whether sweeps of an organisation are believed: earned by agreeing with looks, lost by one contradiction.
//!
//! Guards: only a look that found somebody inside earns anything, since idle people agree with every empty list; after
//! a contradiction more is asked for than before. Deliberately not here: comparing (`presence::sweep`).

use std::collections::BTreeMap;
use std::time::Duration;

/// Agreements that earn trust at first.
pub const NEEDED: u32 = 10;
/// When so long nothing was compared, a next process earns trust anew.
pub const STALE_AFTER: Duration = Duration::from_hours(7 * 24);
/// And at most, after contradictions.
const MOST_NEEDED: u32 = 160;
/// After so many times what was needed, the next contradiction costs half as much again.
const FORGIVEN_AFTER: u32 = 4;
/// Before anything is known of a person, this many visits of theirs count as seen.
const PRIOR: f64 = 2.0;
/// What was learned of a person fades by this with every finding.
const FADE: f64 = 0.97;

/// What one look says about the sweep before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Both saw the person inside the same meeting.
    Agrees,
    /// The look found a meeting that no sweep ever listed: it is foreign, or ids do not match.
    Unseen,
    /// One of them is wrong about a meeting that sweeps do list.
    Contradicts,
    /// Nothing follows: nobody was inside, or it changed in between.
    Nothing,
}

/// The ledger of one organisation; `K` is a user's key.
#[derive(Clone, Debug, PartialEq)]
pub struct Trust<K> {
    agreed: u32,
    needed: u32,
    refused: bool,
    /// By person: visits seen by sweeps too, and not, faded.
    people: BTreeMap<K, (f64, f64)>,
    all: (f64, f64),
}

impl<K> Default for Trust<K> {
    fn default() -> Self {
        Self { agreed: 0, needed: NEEDED, refused: false, people: BTreeMap::new(), all: (0.0, 0.0) }
    }
}

/// What outlives the process, but for people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// Agreements since the newest contradiction.
    pub agreed: u32,
    /// So many earn trust.
    pub needed: u32,
    /// Visits seen by sweeps too, and not, of everybody together, faded.
    pub all: (f64, f64),
}

impl<K: Copy + Ord> Trust<K> {
    /// What a next process should know.
    pub fn kept(&self) -> Kept {
        Kept { agreed: self.agreed, needed: self.needed, all: self.all }
    }

    /// Goes on from an earlier process. `stale`: it ended so long ago that trust must be earned anew; what was lost and
    /// what was learned of people still counts.
    pub fn recall(kept: Kept, people: BTreeMap<K, (f64, f64)>, stale: bool) -> Self {
        let agreed = if stale { 0 } else { kept.agreed };
        let needed = kept.needed.clamp(NEEDED, MOST_NEEDED);
        Self { agreed, needed, refused: false, people, all: kept.all }
    }

    /// What is known of one person: visits seen by sweeps too, and not, faded.
    pub fn counts(&self, person: K) -> Option<(f64, f64)> {
        self.people.get(&person).copied()
    }

    /// Somebody is not watched any more.
    pub fn forget(&mut self, person: K) {
        self.people.remove(&person);
    }

    /// Whether a sweep ever saw this person where a look did.
    pub fn has_seen(&self, person: K) -> bool {
        self.people.get(&person).is_some_and(|(seen, _)| *seen > 0.0)
    }

    /// People are named by other ids than was thought: what was earned by those does not count.
    pub fn begin_anew(&mut self) {
        self.agreed = 0;
    }

    /// A look at `person` was compared with the sweep before it. Gives back whether trust was lost by it.
    pub fn note(&mut self, person: K, finding: Finding) -> bool {
        let seen = match finding {
            Finding::Nothing => return false,
            Finding::Contradicts => {
                let lost = self.is_earned();
                // Several looks at one lie are one contradiction.
                if self.agreed > 0 || self.needed == NEEDED {
                    self.needed = (self.needed * 2).min(MOST_NEEDED);
                }
                self.agreed = 0;
                return lost;
            }
            Finding::Agrees => {
                self.agreed = self.agreed.saturating_add(1);
                if self.agreed >= self.needed.saturating_mul(FORGIVEN_AFTER) {
                    self.needed = (self.needed / 2).max(NEEDED);
                }
                true
            }
            Finding::Unseen => false,
        };
        for counts in [self.people.entry(person).or_default(), &mut self.all] {
            (counts.0, counts.1) = (counts.0 * FADE, counts.1 * FADE);
            *(if seen { &mut counts.0 } else { &mut counts.1 }) += 1.0;
        }
        false
    }

    /// Upstream refused the call by permission: off until the process starts anew. Gives back whether that is new.
    pub fn refuse(&mut self) -> bool {
        !std::mem::replace(&mut self.refused, true)
    }

    /// The calls are refused.
    pub fn is_refused(&self) -> bool {
        self.refused
    }

    /// Sweeps may change what is believed.
    pub fn is_earned(&self) -> bool {
        !self.refused && self.agreed >= self.needed
    }

    /// Agreements that are still missing.
    pub fn missing(&self) -> u32 {
        self.needed.saturating_sub(self.agreed)
    }

    /// How likely a sweep shows a visit of this person, pulled toward everybody's share where little is known.
    pub fn coverage(&self, person: K) -> f64 {
        let all = share(self.all, 1.0);
        share(self.people.get(&person).copied().unwrap_or_default(), all)
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

    fn after(findings: &[Finding]) -> Trust<u32> {
        let mut trust: Trust<u32> = Trust::default();
        for finding in findings {
            trust.note(0, *finding);
        }
        trust
    }

    #[test]
    fn agreements_earn_it_and_idle_people_do_not() {
        assert!(!after(&[Finding::Agrees; NEEDED as usize - 1]).is_earned());
        assert!(after(&[Finding::Agrees; NEEDED as usize]).is_earned());
        assert!(!after(&[Finding::Nothing; 1000]).is_earned());
        assert!(!after(&[Finding::Unseen; 1000]).is_earned());
    }

    #[test]
    fn one_contradiction_loses_it_and_more_is_asked_for_then() {
        let mut trust = after(&[Finding::Agrees; 100]);
        assert!(trust.note(0, Finding::Contradicts));
        assert!(!trust.is_earned());
        assert_eq!(trust.missing(), 2 * NEEDED);
        assert!(!trust.note(0, Finding::Contradicts), "lost already");
        assert_eq!(trust.missing(), 2 * NEEDED, "several looks at one lie are one contradiction");
        for _ in 0..20 {
            trust.note(0, Finding::Agrees);
            trust.note(0, Finding::Contradicts);
        }
        assert_eq!(trust.missing(), MOST_NEEDED);
    }

    #[test]
    fn after_long_agreement_contradictions_of_long_ago_are_forgiven() {
        let mut trust = after(&[Finding::Contradicts, Finding::Agrees, Finding::Contradicts]);
        assert_eq!(trust.missing(), 4 * NEEDED);
        for _ in 0..=FORGIVEN_AFTER * 4 * NEEDED {
            assert!(trust.is_earned() || trust.missing() > 0);
            trust.note(0, Finding::Agrees);
        }
        trust.note(0, Finding::Contradicts);
        assert_eq!(trust.missing(), 2 * NEEDED, "as after the first");
    }

    #[test]
    fn refused_is_refused_and_said_once() {
        let mut trust = after(&[Finding::Agrees; 100]);
        assert!(trust.refuse());
        assert!(!trust.refuse());
        assert!(!trust.is_earned() && trust.is_refused());
    }

    #[test]
    fn a_next_process_goes_on_and_after_a_long_time_earns_it_anew() {
        let mut trust = after(&[Finding::Contradicts]);
        for _ in 0..2 * NEEDED {
            trust.note(3, Finding::Agrees);
        }
        trust.note(4, Finding::Unseen);
        let people = [3, 4].map(|person| (person, trust.counts(person).unwrap()));
        let people = BTreeMap::from(people);
        assert_eq!(Trust::recall(trust.kept(), people.clone(), false), trust);
        let stale = Trust::recall(trust.kept(), people, true);
        assert!(!stale.is_earned());
        assert_eq!(stale.missing(), 2 * NEEDED, "the contradiction is not forgotten");
        assert_eq!(stale.coverage(4).to_bits(), trust.coverage(4).to_bits());
    }

    #[test]
    fn who_meets_elsewhere_is_known_by_name() {
        let mut trust: Trust<u32> = Trust::default();
        for _ in 0..50 {
            trust.note(1, Finding::Unseen);
            trust.note(2, Finding::Agrees);
        }
        assert!(trust.coverage(1) < 0.1 && trust.coverage(2) > 0.9);
        assert!((0.3..0.7).contains(&trust.coverage(3)), "as everybody: {}", trust.coverage(3));
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn never_earned_right_after_a_contradiction(findings in prop::collection::vec(0_u8..4, 0..200)) {
            let mut trust: Trust<u32> = Trust::default();
            let mut since = 0;
            for (person, finding) in (0_u32..).zip(findings) {
                let finding = [Finding::Agrees, Finding::Unseen, Finding::Contradicts, Finding::Nothing][usize::from(finding)];
                trust.note(person % 7, finding);
                since = match finding { Finding::Agrees => since + 1, Finding::Contradicts => 0, _ => since };
                prop_assert!(!trust.is_earned() || since >= NEEDED);
                prop_assert!((0.0..=1.0).contains(&trust.coverage(person % 7)));
            }
        }
    }
}
