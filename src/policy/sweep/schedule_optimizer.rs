//! Places the sweeps of a day so that each call saves the most expected wrong time.
//!
//! Between two sweeps the state of users who joined or left is wrong. A plan is a series of sweeps with the least
//! wrong time plus price times calls, computed backward minute by minute; the price is chosen so that the calls are
//! spent.
//!
//! Guards: no plan takes more calls than given; only sums and products in a fixed order, so the same input gives the
//! same plan. Not here: when users join and leave (`arrival_profile`), the calls of the polls (`budget_split`).

/// Longest time between two sweeps in open time, in minutes.
const LONGEST: usize = 120;
/// Number of halvings of the range of prices.
const HALVINGS: u32 = 18;
/// Highest price of a call, in wrong minutes.
const DEAREST: f64 = 10_000.0;

/// The sweeps of the rest of a day.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// For a sweep in each minute, the minute of the next one; `None`: none before closing.
    next: Vec<Option<usize>>,
    /// Calls from the start to closing.
    pub calls: f64,
    /// Expected wrong minutes, over all users.
    pub wrong: f64,
    /// Wrong minutes that a call must save.
    pub price: f64,
}

impl Plan {
    /// The minute of the next sweep after one in `minute`.
    pub fn after(&self, minute: usize) -> Option<usize> {
        self.next.get(minute).copied().flatten()
    }
}

/// The best sweeps for these expected changes (one number a minute, from now to closing) at `cost` calls each, with at
/// most `calls` calls.
pub fn plan(changes: &[f64], cost: f64, calls: f64) -> Plan {
    let sums = Sums::of(changes);
    let (mut low, mut high) = (0.0, DEAREST);
    let mut best = sums.plan(cost, high);
    if best.calls > calls {
        return Plan {
            next: vec![None; changes.len()],
            calls: 0.0,
            wrong: sums.wrong(0, changes.len()),
            price: high,
        };
    }
    for _ in 0..HALVINGS {
        // The geometric mean, because prices span orders of magnitude.
        let middle = f64::midpoint(low, high).min((low.max(1e-3) * high).sqrt());
        let tried = sums.plan(cost, middle);
        if tried.calls > calls {
            low = middle;
        } else {
            high = middle;
            best = tried;
        }
    }
    best
}

/// Prefix sums of the changes, so that any interval is answered in constant time.
struct Sums {
    changes: Vec<f64>,
    wrong: Vec<f64>,
}

impl Sums {
    fn of(changes: &[f64]) -> Self {
        let (mut sum, mut area) = (0.0, 0.0);
        let mut sums = Self { changes: vec![0.0], wrong: vec![0.0] };
        for change in changes {
            area += sum + change / 2.0;
            sum += change;
            sums.changes.push(sum);
            sums.wrong.push(area);
        }
        sums
    }

    /// Wrong minutes between sweeps in minutes `from` and `to`.
    fn wrong(&self, from: usize, to: usize) -> f64 {
        let minutes = u32::try_from(to - from).map_or(0.0, f64::from);
        (self.wrong[to] - self.wrong[from] - minutes * self.changes[from]).max(0.0)
    }

    fn plan(&self, cost: f64, price: f64) -> Plan {
        let end = self.changes.len() - 1;
        let mut next = vec![None; end];
        // By minute: wrong minutes plus price, calls, wrong minutes.
        let mut ahead = vec![(0.0, 0.0, 0.0); end + 1];
        for from in (0..end).rev() {
            let alone = self.wrong(from, end);
            let mut best = (alone, 0.0, alone);
            let reach = from + 1..end.min(from + LONGEST + 1).max(from + 1);
            for (to, (value, calls, after)) in reach.clone().zip(&ahead[reach]) {
                let wrong = self.wrong(from, to);
                let total = wrong + price * cost + value;
                if total < best.0 {
                    best = (total, calls + cost, wrong + after);
                    next[from] = Some(to);
                }
                if wrong > best.0 {
                    break;
                }
            }
            ahead[from] = best;
        }
        let (_, calls, wrong) = ahead.first().copied().unwrap_or_default();
        Plan { next, calls, wrong, price }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steady_change_is_swept_at_one_interval() {
        let plan = plan(&[1.0; 600], 2.0, 120.0);
        assert!((100.0..=120.0).contains(&plan.calls), "{}", plan.calls);
        let mut gaps = Vec::new();
        let mut at = 0;
        while let Some(next) = plan.after(at) {
            gaps.push(next - at);
            at = next;
        }
        assert!(gaps.iter().all(|gap| (8..=13).contains(gap)), "{gaps:?}");
    }

    #[test]
    fn a_sweep_follows_the_joins_of_a_large_meeting() {
        let mut changes = vec![0.01; 200];
        changes[88..93].fill(4.0);
        let plan = plan(&changes, 2.0, 4.0);
        let first = plan.after(0).expect("a sweep");
        assert!((90..=96).contains(&first), "{first}");
    }

    #[test]
    fn without_calls_there_are_no_sweeps() {
        let plan = plan(&[1.0; 60], 2.0, 1.0);
        assert_eq!((plan.after(0), plan.calls), (None, 0.0));
        assert!((plan.wrong - 1800.0).abs() < 1e-6);
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn no_plan_takes_more_calls_than_given(
            changes in prop::collection::vec(0.0_f64..5.0, 1..200), cost in 1.0_f64..9.0, calls in 0.0_f64..300.0,
        ) {
            let plan = plan(&changes, cost, calls);
            prop_assert!(plan.calls <= calls);
            let (mut at, mut spent) = (0, 0.0);
            while let Some(next) = plan.after(at) {
                prop_assert!(next > at);
                spent += cost;
                at = next;
            }
            prop_assert!((spent - plan.calls).abs() < 1e-6);
        }
    }
}
