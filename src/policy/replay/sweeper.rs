//! State of the sweeps in a replay, and whether they are trusted after the warm-up.
//!
//! Guards: sweeps are made only if the visits of the warm-up would have made them trusted. Not here: making sweeps
//! (`sweeps`), when a sweep is worth its calls (`policy::sweep`).

use std::collections::{BTreeMap, BTreeSet};

use super::types::ReplayInput;
use crate::policy::pace::{CallBudget, Visit};
use crate::policy::sweep::SweepMode;
use crate::policy::sweep::budget_split::BudgetSplit;
use crate::policy::sweep::confidence::{Comparison, SweepConfidence};
use crate::policy::sweep::schedule::SweepSchedule;
use crate::time::Timestamp;

const MINUTE_MS: i64 = 60_000;

/// State of the sweeps in a replay.
pub(super) struct Sweeper {
    pub(super) every_ms: Option<i64>,
    pub(super) schedule: SweepSchedule,
    /// The own meeting that each user is known to be inside.
    pub(super) inside: BTreeMap<u32, u64>,
    /// Meetings that sweeps have listed.
    pub(super) listed: BTreeSet<u64>,
    pub(super) split: BudgetSplit,
    pub(super) last: Option<i64>,
}

/// Confidence in sweeps after the visits before `from`.
pub(super) fn confidence_after_warmup(input: &ReplayInput, from: Timestamp) -> SweepConfidence<u32> {
    let mut confidence = SweepConfidence::default();
    for visit in known(input, from) {
        let foreign = input.foreign.contains(&visit.conference);
        confidence.record(visit.user, if foreign { Comparison::Unlisted } else { Comparison::Agrees });
    }
    confidence
}

fn known(input: &ReplayInput, from: Timestamp) -> Vec<&Visit> {
    let mut known: Vec<&Visit> = input.visits.iter().filter(|visit| visit.joined < from).collect();
    known.sort_by_key(|visit| visit.joined);
    known
}

/// The sweeper of this replay; `None`: sweeps are off or not trusted after the warm-up.
pub(super) fn sweeper(input: &ReplayInput, from: Timestamp) -> Option<Sweeper> {
    let every_ms = match input.sweep {
        SweepMode::Off => return None,
        SweepMode::Auto => None,
        SweepMode::Every(interval) => Some(crate::time::duration_ms(interval).max(MINUTE_MS)),
    };
    let confidence = confidence_after_warmup(input, from);
    if !confidence.is_trusted() {
        return None;
    }
    let mut sweeper = Sweeper {
        every_ms,
        schedule: SweepSchedule::default(),
        inside: BTreeMap::new(),
        listed: BTreeSet::new(),
        split: BudgetSplit::new(1.0 - confidence.coverage_of_all()),
        last: None,
    };
    sweeper.learn(input, &known(input, from), from);
    Some(sweeper)
}

impl Sweeper {
    /// The budget of the polls beside sweeps, with `left` calls left.
    pub(super) fn for_polls(&self, until: Timestamp, left: u64) -> CallBudget {
        self.split.for_polls(until, self.schedule.value_of_a_call(), left)
    }

    /// Learns the history before the counted period.
    fn learn(&mut self, input: &ReplayInput, known: &[&Visit], until: Timestamp) {
        let own = known.iter().filter(|visit| !input.foreign.contains(&visit.conference));
        let changed = own.flat_map(|visit| [Some(visit.joined), visit.left.filter(|left| *left < until)]);
        self.schedule.learn(changed.flatten(), until, input.settings.time_zone);
    }
}
