//! Takes calls from the month's budget.
//!
//! Guards: that calls are made is stored before they are. Not here: the budget itself (`policy::quota`).

use super::effects::Work;
use super::state::OrgState;
use crate::policy::circuit::Cause;
use crate::policy::quota::{Refusal, Reservation, Ticket};
use crate::store::StoreError;
use crate::time::Timestamp;

/// Stores that more calls are about to be made, before they are.
pub(super) fn reserve(org: &mut OrgState, now: Timestamp) {
    let Some((reservation, count)) = org.limits.reserve(now) else { return };
    org.start_work(Work::Reserve { reservation, org: org.name.clone(), count });
}

pub(super) fn reserved(org: &mut OrgState, reservation: Reservation, result: Result<(), StoreError>) {
    let now = org.now;
    org.limits.reserved(result.is_ok().then_some(reservation), now);
    if let Err(error) = result {
        org.database_failed(&error);
    }
}

/// A call was refused because no calls are left in the month: the organisation waits until the month turns.
pub(super) fn month_is_spent(org: &mut OrgState, until: Timestamp, now: Timestamp) {
    if !org.breaker.is_open_for(Cause::MonthSpent) {
        tracing::warn!(org = %org.name, until = %until, "the month's calls are spent; polling stops until the month turns");
        org.breaker.set_text("the month's calls are spent");
    }
    org.breaker.open_until(Cause::MonthSpent, now, until);
    org.limits.pause_until(until);
    org.alerts.check_by(now);
}

/// Takes one call from the budget; `Err(None)` while a reservation is being written.
pub(super) fn affordable(org: &mut OrgState, now: Timestamp) -> Result<Ticket, Option<Timestamp>> {
    if org.breaker.is_open_for(Cause::MonthSpent) {
        // The pause is over: one probe, although DingTalk reported a spent month.
        org.limits.resume();
    }
    match org.limits.take(now) {
        Ok(ticket) => Ok(ticket),
        Err(Refusal::SpentUntil(until)) => {
            month_is_spent(org, until, now);
            Err(Some(until))
        }
        Err(Refusal::ReserveFirst) => {
            reserve(org, now);
            Err(None)
        }
    }
}
