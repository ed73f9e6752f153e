//! Shadow price of a call, in wrong minutes: adjusted so that spending follows the budget over the remaining open time.
//!
//! Guards: the base changes slowly, the surcharge for being ahead at once; the price is never zero. Not here: counting
//! calls (`policy::quota`).

/// Days of spending that the price holds back as a reserve for busy days,
const HELD_BACK: f64 = 0.3;
/// until this many days are left, over which the reserve is spent.
const GIVEN_BACK: f64 = 6.0;
/// Share of the lead that is charged at once. Small: a call is worth the same on a busy day as on a quiet one.
const AT_ONCE: f64 = 0.25;
/// How far the base follows one day's over- or underspending,
const BY_DAY: f64 = 0.3;
/// and that of all days so far.
const BY_ALL: f64 = 0.1;

/// The price and the spending it follows.
#[derive(Clone, Debug)]
pub struct ShadowPrice {
    base: f64,
    /// Deviation from the plan, in days of spending, at the first and the last decision since the last day ended.
    course: Option<(f64, f64)>,
}

/// Spending so far, against the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpendingState {
    /// Calls spent since the plan began.
    pub used: f64,
    /// Calls of the plan.
    pub calls: f64,
    /// Elapsed share of the open time, 0 to 1.
    pub passed: f64,
    /// Share of the open time that one open day takes.
    pub day: f64,
    /// Share of the open time that has elapsed when today closes.
    pub at_close: f64,
}

impl SpendingState {
    /// Days of spending ahead of the plan; negative: behind.
    pub fn lead(&self) -> f64 {
        (self.used - self.calls * self.passed) / (self.calls * self.day).max(1.0)
    }

    /// The same against the target, which is a little behind the plan until the end is near.
    fn course(&self) -> f64 {
        self.lead() + HELD_BACK * (self.days_left() / GIVEN_BACK).clamp(0.0, 1.0)
    }

    fn days_left(&self) -> f64 {
        (1.0 - self.passed) / self.day.max(1e-9)
    }

    /// Whether the calls that may be spent by today's closing are spent.
    pub fn spent(&self) -> bool {
        self.used + 1.0 > self.calls * self.at_close
    }

    /// Multiplier of the base price: the poll rate goes with the square root of the price, so four times the price halves the
    /// spending.
    fn factor(&self) -> f64 {
        let course = self.course().clamp(-3.0, 3.0);
        // Unspent calls are spent in the remaining days: after the month they are worth nothing.
        let at_once = AT_ONCE.max(if course < 0.0 { 1.0 / self.days_left().max(0.1) } else { 0.0 });
        let steady = if course >= 0.0 { 1.0 + at_once * course } else { 1.0 / (1.0 - at_once * course) };
        // Calls left for today against the calls that the rest of today would take.
        let left = (self.calls * self.at_close - self.used).max(1.0);
        let wanted = self.calls * (self.at_close - self.passed).max(0.0);
        let short = (0.7 * wanted / left).clamp(1.0, 6.0);
        (steady * short) * (steady * short)
    }
}

impl ShadowPrice {
    /// Starts at this many wrong minutes a call.
    pub fn new(base: f64) -> Self {
        Self { base: base.clamp(1e-4, 1e4), course: None }
    }

    /// The base price, without the surcharge of the moment.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// The price at this spending. Does not change the price.
    pub fn at(&self, spending: &SpendingState) -> f64 {
        self.base * spending.factor()
    }

    /// The price now.
    pub fn now(&mut self, spending: &SpendingState) -> f64 {
        let course = spending.course();
        self.course = Some((self.course.map_or(course, |(first, _)| first), course));
        self.at(spending)
    }

    /// Ends a day: the base follows that day's spending, and to a lesser degree all spending so far.
    pub fn day_over(&mut self) {
        if let Some((first, last)) = self.course.take() {
            let step = 1.0 + (BY_DAY * (last - first) + BY_ALL * last).clamp(-0.4, 0.4);
            self.base = (self.base * step * step).clamp(1e-4, 1e4);
        }
    }
}
