//! Looks beside sweeps of everybody, which show most of what there is to see.
//!
//! Guards: a look is made where it saves more wrong time than its call would in a sweep, and the looks' own calls reach;
//! or in turn, so that it is found out who goes where no sweep shows them. Deliberately not here: sweeps
//! (`policy::sweep`), what looks may take beside them (`policy::sweep::budget_split`).

use std::time::Duration;

use super::super::shadow_price::SpendingState;
use super::types::{CallBudget, PollDecision, Rule, SweepAllocation};
use super::{ENOUGH, Pacer};
use crate::time::Timestamp;

/// A call in a sweep is thought to be worth no less and no more than this, in wrong minutes.
const CHEAPEST: f64 = 1e-3;
const DEAREST: f64 = 1e4;
/// What is not worth a look beside sweeps hardly ever is half an hour later: it is asked again after this.
const AGAIN_MS: i64 = 2 * 3_600_000;

impl Pacer {
    pub(super) fn beside_sweeps(
        &mut self,
        index: usize,
        at: i64,
        soonest: i64,
        sweeps: &SweepAllocation,
        (call_budget, spending): (&CallBudget, &SpendingState),
    ) -> PollDecision {
        let few = CallBudget { calls: Some(sweeps.in_turn), used: 0, ..*call_budget };
        let interval = Duration::from_millis(self.even_ms(at, &few).unsigned_abs().max(1));
        let in_turn = self.evenly(index, at, interval.max(self.settings.min_interval), Rule::InTurn);
        // Who was found where no sweep shows them is followed, however little is known.
        if self.joins.seen() < ENOUGH && self.users[index].inside.is_none() {
            return in_turn;
        }
        if self.price.is_none() {
            self.set_price(at, call_budget);
        }
        let worth = sweeps.worth.clamp(CHEAPEST, DEAREST);
        // Where looks are held by what sweeps are worth, their own price has nothing to learn.
        let own = self.price.as_mut().filter(|price| price.at(spending) > worth);
        let price = own.map_or(worth, |price| price.now(spending));
        self.prepare(index, at, price);
        let chosen = match self.choose(index, at, soonest, price, spending.lead()) {
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
        let closes = self.hours[self.users[index].open].span_at(at).map_or(at, |(_, closes)| closes);
        let later = at + AGAIN_MS;
        Timestamp::from_ms(if later < closes { later } else { at })
    }
}
