//! Rejoin model: the probability that a user who just left joins again in each minute after it.
//!
//! Lines drop and breaks end: many leaves are followed by a join within minutes, whatever the time of day. Guards:
//! every probability lies between 0 and 1. Not here: joining at usual times (`join_model`).
#![expect(clippy::cast_precision_loss, reason = "counts, minutes and milliseconds here are far below 2^52")]

use super::visit_history::VisitHistory;

const FADE: f64 = 0.985;
/// Minutes after a leave at which the classes end.
const ENDS: [i64; 8] = [1, 2, 5, 10, 20, 40, 80, 160];
/// First guess, joins a minute, and its weight in joins.
const FIRST_GUESS: f64 = 0.004;
const WEIGHT: f64 = 1.0;

/// Learned counts, for all users: (joins, minutes) by time since the leave.
#[derive(Clone, Debug, Default)]
pub struct RejoinModel([(f64, f64); ENDS.len()]);

impl RejoinModel {
    /// Ages all counts by one day.
    pub fn fade(&mut self) {
        for (joins, minutes) in &mut self.0 {
            *joins *= FADE;
            *minutes *= FADE;
        }
    }

    /// Learns the leaves of one user's day.
    pub fn learn(&mut self, history: &VisitHistory, day: i32) {
        let Some(known) = history.day(day) else { return };
        let mut visits: Vec<(i64, i64)> =
            known.visits.iter().filter_map(|visit| Some((visit.joined_ms, visit.left_ms?))).collect();
        visits.sort_unstable();
        for (index, (_, left)) in visits.iter().enumerate() {
            let next = visits.get(index + 1).map(|(joined, _)| (*joined - left) as f64 / 60_000.0);
            let mut from = 0;
            for (class, end) in self.0.iter_mut().zip(ENDS) {
                let joined = next.filter(|next| *next < end as f64);
                class.1 += joined.unwrap_or(end as f64).max(from as f64) - from as f64;
                if joined.is_some() {
                    class.0 += 1.0;
                    break;
                }
                from = end;
            }
        }
    }

    /// Probability of a rejoin in a minute of the first hours after a leave.
    pub fn mean(&self) -> f64 {
        let (joins, minutes) =
            self.0.iter().fold((0.0, 0.0), |sum, class| (sum.0 + class.0, sum.1 + class.1));
        (joins + WEIGHT) / (minutes + WEIGHT / FIRST_GUESS)
    }

    /// Probability of a rejoin in minute `since` after the leave, beyond that of a long absence.
    pub fn chance(&self, since: i64) -> f64 {
        let rate = |(joins, minutes): (f64, f64)| (joins + WEIGHT) / (minutes + WEIGHT / FIRST_GUESS);
        let usual = rate(self.0[ENDS.len() - 1]);
        let class = ENDS.iter().position(|end| since < *end);
        class.map_or(0.0, |class| (rate(self.0[class]) - usual).clamp(0.0, 0.5))
    }
}
