//! What a call costs, in wrong minutes: so much that spending follows the budget over the open time left.
//!
//! Guards: slow in its base, quick when spending runs ahead; never zero. Deliberately not here: counting calls
//! (`policy::quota`).

/// So many days of spending the price holds back, as room for busy days ...
const HELD_BACK: f64 = 0.3;
/// ... until so many days are left, over which that is spent too.
const GIVEN_BACK: f64 = 6.0;
/// How much of being ahead is charged at once. Little: a call is worth the same on a busy day as on a quiet one.
const AT_ONCE: f64 = 0.25;
/// How far the base follows what one day spent too much or too little ...
const BY_DAY: f64 = 0.3;
/// ... and what all days so far have.
const BY_ALL: f64 = 0.1;

/// The price and what it follows.
#[derive(Clone, Debug)]
pub struct Price {
    base: f64,
    /// How far off course spending was at the first and at the last decision since the last day's lesson, in days.
    course: Option<(f64, f64)>,
}

/// How spending stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Calls spent of those planned over.
    pub used: f64,
    /// Calls planned over.
    pub calls: f64,
    /// The part of the open time that is over, 0 to 1.
    pub passed: f64,
    /// The part of it that one open day is.
    pub day: f64,
    /// The part of it that will be over when today closes.
    pub at_close: f64,
}

impl Standing {
    /// How many days of spending one is ahead; negative: behind.
    pub fn lead(&self) -> f64 {
        (self.used - self.calls * self.passed) / (self.calls * self.day).max(1.0)
    }

    /// The same against what is meant: to be a little behind until the end is near.
    fn course(&self) -> f64 {
        self.lead() + HELD_BACK * (self.days_left() / GIVEN_BACK).clamp(0.0, 1.0)
    }

    fn days_left(&self) -> f64 {
        (1.0 - self.passed) / self.day.max(1e-9)
    }

    /// Whether what may be spent by today's closing is spent.
    pub fn spent(&self) -> bool {
        self.used + 1.0 > self.calls * self.at_close
    }

    /// What the base price is multiplied by: a rate of looks goes with the root of the price, so a price four times as
    /// high halves the spending.
    fn factor(&self) -> f64 {
        let course = self.course().clamp(-3.0, 3.0);
        // What was not spent is made up for in the days that are left: afterwards it is worth nothing.
        let at_once = AT_ONCE.max(if course < 0.0 { 1.0 / self.days_left().max(0.1) } else { 0.0 });
        let steady = if course >= 0.0 { 1.0 + at_once * course } else { 1.0 / (1.0 - at_once * course) };
        // What today still holds against what the rest of today would take.
        let left = (self.calls * self.at_close - self.used).max(1.0);
        let wanted = self.calls * (self.at_close - self.passed).max(0.0);
        let short = (0.7 * wanted / left).clamp(1.0, 6.0);
        (steady * short) * (steady * short)
    }
}

impl Price {
    /// Starting with this many wrong minutes a call.
    pub fn new(base: f64) -> Self {
        Self { base: base.clamp(1e-4, 1e4), course: None }
    }

    /// Before what is charged for the moment.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// What it would be, as spending stands. Nothing is learned from the question.
    pub fn at(&self, standing: &Standing) -> f64 {
        self.base * standing.factor()
    }

    /// The price now.
    pub fn now(&mut self, standing: &Standing) -> f64 {
        let course = standing.course();
        self.course = Some((self.course.map_or(course, |(first, _)| first), course));
        self.at(standing)
    }

    /// A day is over: the base follows what it spent, and a little what was spent before.
    pub fn day_over(&mut self) {
        if let Some((first, last)) = self.course.take() {
            let step = 1.0 + (BY_DAY * (last - first) + BY_ALL * last).clamp(-0.4, 0.4);
            self.base = (self.base * step * step).clamp(1e-4, 1e4);
        }
    }
}
