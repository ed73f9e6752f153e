//! Shadow price of a call, in wrong minutes: the price at which the calls that remain are expected to suffice.
//!
//! Guards: it follows the calls that remain at once, and the difference between expected and real spending from day to
//! day; it is never zero. Not here: the expected demand (`demand`), counting calls (`policy::quota`).

/// Lower and upper bound of the price, in wrong minutes.
const CHEAPEST: f64 = 1e-4;
const DEAREST: f64 = 1e4;
/// Weight of older days in the calibration.
const FADE: f64 = 0.9;

/// The price, and how real demand compares with what was expected.
#[derive(Clone, Debug, Default)]
pub struct ShadowPrice {
    /// Demand that was met, and that was expected, on the days before; faded.
    met: f64,
    expected: f64,
    /// The same since the last day ended.
    today: (f64, f64),
    /// Instant, calls and price at the last decision.
    last: Option<(i64, u64, f64)>,
    mean_day: f64,
}

impl ShadowPrice {
    /// Ratio of real to expected demand.
    pub fn calibration(&self) -> f64 {
        let prior = PRIOR * self.mean_day.max(1e-9);
        ((self.met + prior) / (self.expected + prior)).clamp(0.05, 20.0)
    }

    /// The price of a call with `left` calls for a demand of `rest`.
    pub fn at(&self, rest: f64, left: f64) -> f64 {
        let root = self.calibration() * rest / left.max(0.5);
        (root * root).clamp(CHEAPEST, DEAREST)
    }

    /// Records spending up to now: `demand` was expected since the last decision.
    pub fn record(&mut self, at: i64, used: u64, price: f64, mean_day: f64, demand: impl Fn(i64) -> f64) {
        self.mean_day = mean_day;
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

/// Days of expected demand that the calibration starts from.
const PRIOR: f64 = 1.0;
