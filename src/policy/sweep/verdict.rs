//! What may follow from one sweep: nothing but looks, a look first, or its word.
//!
//! Guards: without trust a sweep is only a hint; when it loses more than half of those inside, a look comes before
//! anybody leaves; what is odd is looked at. Deliberately not here: what each person's belief makes of it
//! (`presence::sweep`), trust (`trust`).

use super::MEETINGS_A_CALL;

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

/// What to do with a sweep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The sweep's word is taken for everybody who is not in `looks`.
    pub believed: bool,
    /// Look at these now, before the sweep is heard.
    pub first: Vec<u32>,
    /// Look at these soon; about them the sweep changes nothing.
    pub looks: Vec<u32>,
}

/// Judges one sweep. `inside`: how many are believed inside meetings that sweeps show. `changes`: by person, each once.
pub fn judge(trusted: bool, inside: usize, changes: &[(u32, Change)]) -> Verdict {
    if !trusted {
        return Verdict { looks: changes.iter().map(|(person, _)| *person).collect(), ..Verdict::default() };
    }
    let of = |wanted: Change| {
        changes.iter().filter(move |(_, change)| *change == wanted).map(|(person, _)| *person)
    };
    let lost: Vec<u32> = of(Change::Leaves).collect();
    let mut looks: Vec<u32> = of(Change::Odd).collect();
    let mut first = Vec::new();
    if lost.len() * 2 > inside {
        first.extend(lost.first());
    }
    // A look costs what asking again costs, and tells more.
    if let ([(person, Change::Joins | Change::Leaves)], true) = (changes, first.is_empty()) {
        looks.push(*person);
    }
    Verdict { believed: true, first, looks }
}

/// What asking again for so many meetings costs.
pub fn calls_to_confirm(meetings: u64) -> u64 {
    meetings.div_ceil(MEETINGS_A_CALL)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn without_trust_everything_is_a_hint() {
        let verdict = judge(false, 4, &[(1, Change::Joins), (2, Change::Leaves), (3, Change::Odd)]);
        assert_eq!(verdict, Verdict { looks: vec![1, 2, 3], ..Verdict::default() });
    }

    #[test]
    fn an_empty_list_is_looked_into_before_anybody_leaves() {
        let all: Vec<(u32, Change)> = (0..9).map(|person| (person, Change::Leaves)).collect();
        assert_eq!(judge(true, 9, &all).first, [0]);
        assert_eq!(judge(true, 18, &all).first, [0; 0], "half is not more than half");
    }

    #[test]
    fn a_single_change_is_looked_at() {
        assert_eq!(judge(true, 9, &[(4, Change::Joins)]).looks, [4]);
        assert_eq!(judge(true, 9, &[(4, Change::Joins), (5, Change::Joins)]).looks, [0; 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn more_than_half_lost_is_never_believed_at_once(
            trusted: bool, inside in 0_usize..40, kinds in prop::collection::vec(0_u8..3, 0..40),
        ) {
            let changes: Vec<(u32, Change)> = (0_u32..).zip(kinds)
                .map(|(person, kind)| (person, [Change::Joins, Change::Leaves, Change::Odd][usize::from(kind)])).collect();
            let verdict = judge(trusted, inside, &changes);
            let lost = changes.iter().filter(|(_, change)| *change == Change::Leaves).count();
            prop_assert!(!verdict.believed || lost * 2 <= inside || !verdict.first.is_empty());
            prop_assert_eq!(verdict.believed, trusted);
            for (person, change) in &changes {
                prop_assert!(*change != Change::Odd || verdict.looks.contains(person));
            }
        }
    }
}
