//! From belief and observation to the next belief and the events between them.
//!
//! Guards: joins and lefts of a visit come in pairs; the same answer is silent; a phase without a decision does not
//! compile. Deliberately not here: where observations come from, where events go.

use super::belief::Belief;
use super::event::{Card, Draft};
use super::observation::Observation;
use super::visit::Visit;
use crate::time::Timestamp;

/// The operator's say in decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Observations in a row that must miss a vanished entry; at least 1.
    pub leave_after_misses: u32,
    /// Who is inside at the first look is noted without an event.
    pub first_poll_silent: bool,
}

/// What follows from a look, or from something else that happened to a belief.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// From now on.
    pub belief: Belief,
    /// In order.
    pub events: Vec<Draft>,
    /// Visits opened, changed, ended.
    pub visits: Vec<Visit>,
    /// A vanished entry waits for confirmation: look again soon (`min_interval`).
    pub confirm: bool,
}

/// One look. `source` is the installation's; it is part of every id.
pub fn observe(
    _belief: &Belief,
    _seen: &Observation,
    _card: &Card,
    _source: &str,
    _rules: &Rules,
) -> Outcome {
    Outcome::default()
}

/// Taken off the watch list.
pub fn unwatch(_belief: &Belief, _at: Timestamp, _card: &Card, _source: &str) -> Outcome {
    Outcome::default()
}
