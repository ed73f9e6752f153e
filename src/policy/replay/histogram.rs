//! The histogram rule: the simplest rule that knows anything, for comparison.
//!
//! Every half hour of the week has a weight, the square root of the joins and leaves that the warm-up had in it; all
//! users are polled at one interval, shorter where the weight is larger. Guards: spends no more than the calls of the
//! month. Not here: `auto`.
#![expect(clippy::cast_precision_loss, reason = "counts, minutes and milliseconds here are far below 2^52")]

use super::types::ReplayInput;
use crate::policy::civil;
use crate::policy::pace::open_spans::OpenSpans;
use crate::time::Timestamp;

const SLOT_MS: i64 = 1_800_000;
/// Half hours of a week.
const SLOTS: i64 = 7 * 48;

/// Weights by half hour of the week.
pub(super) struct Histogram(Vec<f64>);

impl Histogram {
    /// Counts the changes before `from`.
    pub(super) fn of(input: &ReplayInput, from: Timestamp) -> Self {
        let mut counts = vec![1.0; 7 * 48];
        for visit in &input.visits {
            for at in [Some(visit.joined), visit.left].into_iter().flatten().filter(|at| *at < from) {
                counts[slot(input, at.as_ms())] += 1.0;
            }
        }
        Self(counts.iter().map(|n: &f64| n.sqrt()).collect())
    }

    /// The time of the next poll after one at `at`, if `calls` are spread over `users` until `until`, starting with
    /// this share of an interval.
    pub(super) fn next(
        &self,
        input: &ReplayInput,
        hours: &OpenSpans,
        (at, until): (i64, i64),
        calls: f64,
        share: f64,
    ) -> Option<i64> {
        let mut slots = Vec::new();
        let mut begins = at;
        while begins < until {
            let ends = (begins.div_euclid(SLOT_MS) * SLOT_MS + SLOT_MS).min(until);
            let open = hours.open_ms(begins, ends);
            if open > 0 {
                slots.push((begins, open, self.0[slot(input, begins)]));
            }
            begins = ends;
        }
        let all: f64 = slots.iter().map(|(_, open, weight)| *open as f64 * weight).sum();
        let mut wanted = share * all / calls.max(1e-9);
        for (begins, open, weight) in slots {
            let here = open as f64 * weight;
            if wanted < here {
                return hours.after(begins, milliseconds(wanted / weight).max(i64::from(begins == at)));
            }
            wanted -= here;
        }
        None
    }
}

fn slot(input: &ReplayInput, at: i64) -> usize {
    let local = at + civil::offset_ms(Timestamp::from_ms(at), input.settings.time_zone);
    usize::try_from(local.div_euclid(SLOT_MS).rem_euclid(SLOTS)).unwrap_or(0)
}

fn milliseconds(ms: f64) -> i64 {
    let time = std::time::Duration::try_from_secs_f64(ms.max(0.0) / 1000.0).unwrap_or_default();
    crate::time::duration_ms(time)
}
