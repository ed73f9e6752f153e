//! Duration model: the probability that a user leaves in each minute of a visit.
//!
//! If the same user joined at the same time on comparable days, the ends of those visits decide; otherwise the length of
//! the visit so far and the minute of the hour do. Guards: every probability lies strictly between 0 and 1. Not here:
//! joining (`join_model`).
#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "counts, minutes and milliseconds here are far below 2^52"
)]

use super::visit_history::{ComparableDays, LocalVisit, SLOT_MINUTES, VisitHistory, slot_of};

const FADE: f64 = 0.985;
/// Number of five-minute classes of a visit's length.
const LENGTHS: usize = 49;
/// Evidence is counted up to this.
const MANY: usize = 4;

/// Learned counts of leaves, for all users.
#[derive(Clone, Debug)]
pub struct DurationModel {
    /// By five minutes of length: (ends, minutes seen).
    lengths: [(f64, f64); LENGTHS],
    /// Ends by minute of the hour, without evidence, and the minutes spent there.
    minutes: [(f64, f64); 60],
    /// By (earlier visits that ended in this quarter, that lasted to it): (ends, trials).
    likes: [[(f64, f64); MANY]; MANY],
    /// Ends with evidence by minute within the quarter.
    offsets: [f64; SLOT_MINUTES],
    /// Total length in minutes and number of visits.
    total: (f64, f64),
}

impl Default for DurationModel {
    fn default() -> Self {
        let mut lengths = [(0.0, 0.0); LENGTHS];
        // A first guess: half an hour, forgotten after a few visits.
        lengths.fill((0.1, 3.0));
        let mut offsets = [0.15; SLOT_MINUTES];
        for (minute, weight) in (4..=11).zip([0.3, 0.6, 1.0, 1.5, 1.5, 1.0, 0.6, 0.3]) {
            offsets[minute] += weight;
        }
        let mut likes = [[(0.0, 0.0); MANY]; MANY];
        for (ended, row) in likes.iter_mut().enumerate() {
            for (lasted, cell) in row.iter_mut().enumerate() {
                let share = (ended as f64 + 0.1) / (lasted as f64 + 1.0);
                *cell = (3.0 * share.min(0.8), 3.0);
            }
        }
        Self { lengths, minutes: [(2.0, 60.0); 60], likes, offsets, total: (60.0, 2.0) }
    }
}

/// Earlier visits like one, by the quarter they ended in (counted from the midnight before the join).
fn ends_like(history: &VisitHistory, before: &ComparableDays, visit: &LocalVisit) -> Vec<usize> {
    let slot = slot_of(visit.joined_ms).0;
    history.like(before, slot).filter_map(|(_, old)| old.left_ms.map(|left| slot_of(left).0)).collect()
}

fn evidence(ends: &[usize], slot: usize) -> (usize, usize) {
    let ended = ends.iter().filter(|end| **end == slot).count();
    let lasted = ends.iter().filter(|end| **end >= slot).count();
    (ended.min(MANY - 1), lasted.min(MANY - 1))
}

fn length_of(ms: i64) -> usize {
    usize::try_from((ms + 120_000) / 300_000).unwrap_or(0).min(LENGTHS - 1)
}

impl DurationModel {
    /// Ages all counts by one day.
    pub fn fade(&mut self) {
        let cells = self.lengths.iter_mut().chain(&mut self.minutes).chain(self.likes.iter_mut().flatten());
        for (ends, of) in cells {
            *ends *= FADE;
            *of *= FADE;
        }
        self.offsets.iter_mut().for_each(|n| *n *= FADE);
        self.total = (self.total.0 * FADE, self.total.1 * FADE);
    }

    /// Average length of a visit, in minutes.
    pub fn mean_minutes(&self) -> f64 {
        (self.total.0 / self.total.1.max(1e-9)).max(1.0)
    }

    /// Learns the finished visits of one user's day.
    pub fn learn(&mut self, history: &VisitHistory, before: &ComparableDays, day: i32) {
        let Some(known) = history.day(day) else { return };
        for visit in &known.stays {
            let Some(left) = visit.left_ms.filter(|left| *left > visit.joined_ms) else { continue };
            self.total.0 += (left - visit.joined_ms) as f64 / 60_000.0;
            self.total.1 += 1.0;
            let ends = ends_like(history, before, visit);
            let (first, (last, minute)) = (slot_of(visit.joined_ms).0, slot_of(left));
            let mut by_evidence_until = visit.joined_ms;
            for slot in first..=last {
                let (ended, lasted) = evidence(&ends, slot);
                if lasted == 0 {
                    break;
                }
                let cell = &mut self.likes[ended][lasted];
                cell.1 += 1.0;
                if slot == last {
                    cell.0 += 1.0;
                    self.offsets[minute] += 1.0;
                }
                by_evidence_until = slot as i64 * 900_000 + 450_000;
            }
            if by_evidence_until > left {
                continue;
            }
            let mut at = by_evidence_until;
            while at < left {
                let minutes = ((left - at).min(60_000)) as f64 / 60_000.0;
                self.lengths[length_of(at - visit.joined_ms)].1 += minutes;
                self.minutes[usize::try_from(at / 60_000 % 60).unwrap_or(0)].1 += minutes;
                at += 60_000;
            }
            self.lengths[length_of(left - visit.joined_ms)].0 += 1.0;
            self.minutes[usize::try_from(left / 60_000 % 60).unwrap_or(0)].0 += 1.0;
        }
    }

    /// The chance of leaving in each of `count` minutes from `from_ms` (of the day of the join) on.
    pub fn ahead(
        &self,
        history: &VisitHistory,
        before: &ComparableDays,
        visit: &LocalVisit,
        from_ms: i64,
        count: usize,
    ) -> Vec<f64> {
        let ends = ends_like(history, before, visit);
        let (ends_sum, time_sum) =
            self.minutes.iter().fold((0.0, 0.0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1));
        let overall = ends_sum / time_sum;
        let shape: Vec<f64> =
            self.minutes.iter().map(|(n, of)| (n + 3.0) / (of + 3.0 / overall) / overall).collect();
        let mean = 1.0 / self.mean_minutes();
        let total: f64 = self.offsets.iter().sum();
        let mut passed_before = [0.0; SLOT_MINUTES + 1];
        for minute in 0..SLOT_MINUTES {
            passed_before[minute + 1] = passed_before[minute] + self.offsets[minute] / total;
        }
        (0..count)
            .map(|step| {
                let at = from_ms + 60_000 * step as i64 + 30_000;
                let (slot, minute) = slot_of(at);
                let (ended, lasted) = evidence(&ends, slot);
                if lasted > 0 {
                    let (hits, of) = self.likes[ended][lasted];
                    let chance = ((hits + 0.1) / (of + 1.0)).min(0.97);
                    let here = self.offsets[minute] / total;
                    (chance * here / (1.0 - chance * passed_before[minute])).clamp(1e-5, 0.9)
                } else {
                    let (hits, of) = self.lengths[length_of(at - visit.joined_ms)];
                    let by_length = (hits + 2.0) / (of + 2.0 / mean);
                    (by_length * shape[usize::try_from(at / 60_000 % 60).unwrap_or(0)]).clamp(1e-5, 0.9)
                }
            })
            .collect()
    }
}
