//! What a call costs, in wrong minutes: so much that spending follows the budget over the open time left.
//!
//! Guards: slow in its base, quick when spending runs ahead; never zero. Deliberately not here: counting calls
//! (`policy::quota`).

/// Of the calls there are, so much is meant to be spent: the rest is room for a busy last day.
const AIM: f64 = 0.995;

/// The price and what it follows.
#[derive(Clone, Debug)]
pub struct Price {
    base: f64,
    /// Sum and count of the factor applied since the last day.
    applied: (f64, f64),
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
        (self.used - self.calls * AIM * self.passed) / (self.calls * self.day).max(1.0)
    }

    /// Whether what may be spent by today's closing is spent.
    pub fn spent(&self) -> bool {
        self.used + 1.0 > self.calls * self.at_close
    }

    /// What the base price is multiplied by: a rate of looks goes with the root of the price, so a price four times as
    /// high halves the spending.
    fn factor(&self) -> f64 {
        let lead = self.lead().clamp(-3.0, 3.0);
        let steady = if lead >= 0.0 { 1.0 + lead } else { 1.0 / (1.0 - lead) };
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
        Self { base: base.clamp(1e-4, 1e4), applied: (0.0, 0.0) }
    }

    /// Before any day's lesson.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// The price now.
    pub fn now(&mut self, standing: &Standing) -> f64 {
        let factor = standing.factor();
        self.applied.0 += factor;
        self.applied.1 += 1.0;
        self.base * factor
    }

    /// A day is over: the base moves a third of the way to what was really charged.
    pub fn day_over(&mut self) {
        if self.applied.1 > 0.0 {
            let mean = (self.applied.0 / self.applied.1).clamp(0.5, 2.0);
            self.base = (self.base * (0.67 + 0.33 * mean)).clamp(1e-4, 1e4);
        }
        self.applied = (0.0, 0.0);
    }
}
