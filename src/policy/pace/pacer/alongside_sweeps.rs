//! Paces the polls beside trusted sweeps, which list most visits.
//!
//! Guards: a poll is made where it saves more wrong time than its call would save in a sweep, within the polls' own
//! budget; or in turn, to find users in meetings that sweeps do not list. Not here: sweeps (`policy::sweep`), the
//! budget of the polls beside them (`policy::sweep::budget_split`).

use std::time::Duration;

use super::state::{ENOUGH, Pacer};
use super::types::{CallBudget, PollDecision, Rule, SweepAllocation};
use crate::time::Timestamp;

/// Bounds of the value of a call in a sweep, in wrong minutes.
const CHEAPEST: f64 = 1e-3;
const DEAREST: f64 = 1e4;
/// A poll beside sweeps that is not worth its price is rarely worth it half an hour later: the decision is repeated
/// after this time.
const AGAIN_MS: i64 = 2 * 3_600_000;

impl Pacer {
    pub(super) fn beside_sweeps(
        &mut self,
        index: usize,
        at: i64,
        soonest: i64,
        sweeps: &SweepAllocation,
        (call_budget, lead): (&CallBudget, f64),
    ) -> PollDecision {
        let few = CallBudget { calls: Some(sweeps.in_turn), used: 0, ..*call_budget };
        let interval = Duration::from_millis(self.even_ms(at, &few).unsigned_abs().max(1));
        let in_turn = self.evenly(index, at, interval.max(self.settings.min_interval), Rule::InTurn);
        // A user found in a meeting that sweeps do not list is followed, even with little history.
        if self.learned.joins.seen() < ENOUGH && self.users[index].inside.is_none() {
            return in_turn;
        }
        let worth = sweeps.worth.clamp(CHEAPEST, DEAREST);
        let price = self.price_now(index, at, call_budget).max(worth);
        self.prepare(index, at, price);
        let chosen = match self.choose(index, at, soonest, price, lead) {
            PollDecision::Replan(when, why) if why.rule == Rule::NotWorth => {
                PollDecision::Replan(when.max(self.later_today(index, at)), why)
            }
            chosen => chosen,
        };
        match (&chosen, &in_turn) {
            (
                PollDecision::Poll(first, _) | PollDecision::Replan(first, _),
                PollDecision::Poll(second, _),
            ) if second < first => in_turn,
            _ => chosen,
        }
    }

    fn later_today(&self, index: usize, at: i64) -> Timestamp {
        let closes = self.calendar.hours[self.users[index].open].span_at(at).map_or(at, |(_, closes)| closes);
        let later = at + AGAIN_MS;
        Timestamp::from_ms(if later < closes { later } else { at })
    }
}
