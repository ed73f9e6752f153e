//! Shadow price of a call, in wrong minutes: the price at which the calls that remain are expected to suffice.
//!
//! Guards: it follows the calls that remain at once, and the difference between expected and real demand from day to
//! day; it is never zero. Not here: the expected demand (`pacer::demand`), counting calls (`policy::quota`).

/// Lower and upper bound of the price, in wrong minutes.
const CHEAPEST: f64 = 1e-4;
const DEAREST: f64 = 1e4;
/// Weight of older days in the calibration.
const FADE: f64 = 0.9;

/// The calibration of the price: how real demand compares with the expected one.
#[derive(Clone, Debug)]
pub struct ShadowPrice {
    /// Demand that was met, and that was expected, on the days before; faded.
    met: f64,
    expected: f64,
    /// The same since the last day ended.
    today: (f64, f64),
    /// Instant, calls spent and price at the last decision.
    last: Option<(i64, u64, f64)>,
}

impl ShadowPrice {
    /// `ratio`: first guess of real to expected demand, with the weight of `expected` demand.
    pub fn new(ratio: f64, expected: f64) -> Self {
        let expected = expected.max(1e-9);
        Self { met: ratio * expected, expected, today: (0.0, 0.0), last: None }
    }

    /// The price of a call with `left` calls for an expected demand of `rest`.
    pub fn at(&self, rest: f64, left: f64) -> f64 {
        let calibration = (self.met / self.expected).clamp(0.02, 50.0);
        square(calibration * rest / left.max(0.5))
    }

    /// Records a decision at this price. `demand` tells what was expected since the last one.
    pub fn record(&mut self, at: i64, used: u64, price: f64, demand: impl Fn(i64) -> f64) {
        if let Some((last, before, was)) =
            self.last.filter(|(last, before, _)| *last <= at && *before <= used)
        {
            let calls = u32::try_from(used - before).map_or(0.0, f64::from);
            self.today.0 += calls * was.sqrt();
            self.today.1 += demand(last);
        }
        self.last = Some((at, used, price));
    }

    /// The price at the last decision.
    pub fn last(&self) -> Option<f64> {
        self.last.map(|(.., price)| price)
    }

    /// Ends a day.
    pub fn day_over(&mut self) {
        let (met, expected) = std::mem::take(&mut self.today);
        self.met = FADE * self.met + met;
        self.expected = FADE * self.expected + expected;
    }
}

/// The price at which one unit of demand takes `1 / root` calls.
pub fn square(root: f64) -> f64 {
    (root * root).clamp(CHEAPEST, DEAREST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_the_calls_make_a_call_four_times_as_dear() {
        let price = ShadowPrice::new(1.0, 10.0);
        assert!((price.at(60.0, 30.0) - 4.0).abs() < 1e-9);
        assert!((price.at(60.0, 15.0) - 16.0).abs() < 1e-9);
        assert!(price.at(0.0, 15.0) > 0.0 && price.at(60.0, 0.0).is_finite());
    }

    #[test]
    fn the_price_follows_the_real_demand_of_the_days_before() {
        let mut price = ShadowPrice::new(1.0, 10.0);
        let mut used = 0;
        for day in 0..60_i64 {
            // Twice the expected calls at a price of four.
            price.record(2 * day, used, 4.0, |_| 0.0);
            used += 10;
            price.record(2 * day + 1, used, 4.0, |_| 10.0);
            price.day_over();
        }
        assert!((price.at(60.0, 60.0) - 4.0).abs() < 0.1, "{}", price.at(60.0, 60.0));
    }
}
