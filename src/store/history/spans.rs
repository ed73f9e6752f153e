//! Sets of periods, and operations on them.
//!
//! Guards: the periods are sorted, disjoint and not empty, so that their sum counts no time twice. Not here: their
//! meaning.

/// Periods in milliseconds, `[from, to)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<(i64, i64)>);

impl Spans {
    /// The union of any periods.
    pub fn of(mut spans: Vec<(i64, i64)>) -> Self {
        spans.retain(|(from, to)| from < to);
        spans.sort_unstable();
        let mut apart: Vec<(i64, i64)> = Vec::with_capacity(spans.len());
        for (from, to) in spans {
            match apart.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => apart.push((from, to)),
            }
        }
        Self(apart)
    }

    /// The part in `[from, to)`.
    #[must_use]
    pub fn within(&self, from: i64, to: i64) -> Self {
        let begin = self.0.partition_point(|span| span.1 <= from);
        let cut = self.0[begin..].iter().take_while(|span| span.0 < to);
        Self(cut.map(|span| (span.0.max(from), span.1.min(to))).collect())
    }

    /// The part that is not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        for &(from, to) in &self.0 {
            let mut from = from;
            for &(hole_from, hole_to) in &other.within(from, to).0 {
                left.push((from, hole_from));
                from = hole_to;
            }
            left.push((from, to));
        }
        Self::of(left)
    }

    /// The union of both.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        Self::of(self.0)
    }

    /// The periods, by start.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().copied()
    }

    /// The total length.
    pub fn total_ms(&self) -> i64 {
        self.0.iter().map(|(from, to)| to.saturating_sub(*from)).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_spans() -> impl Strategy<Value = Vec<(i64, i64)>> {
        proptest::collection::vec((0_i64..60, 0_i64..60), 0..8)
    }

    fn has(spans: &[(i64, i64)], at: i64) -> bool {
        spans.iter().any(|(from, to)| (*from..*to).contains(&at))
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn every_instant_is_where_it_belongs(a in any_spans(), b in any_spans(), cut in (0_i64..60, 0_i64..60)) {
            let (of_a, of_b) = (Spans::of(a.clone()), Spans::of(b.clone()));
            let (left, within) = (of_a.without(&of_b), of_a.within(cut.0, cut.1));
            for at in 0..60 {
                prop_assert_eq!(has(&of_a.0, at), has(&a, at));
                prop_assert_eq!(has(&left.0, at), has(&a, at) && !has(&b, at));
                prop_assert_eq!(has(&within.0, at), has(&a, at) && (cut.0..cut.1).contains(&at));
            }
            prop_assert_eq!(of_a.total_ms(), i64::try_from((0..60).filter(|at| has(&a, *at)).count()).unwrap());
            prop_assert!(left.0.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
