//! Handles failures: delays, log lines, outages, and their end.
//!
//! Guards: one log line for each change of state; after an outage `system.gap` is emitted before events from the first
//! answer after it. Not here: the response to each verdict (`policy`).

use std::time::Duration;

use super::effects::Effect;
use super::gaps::HeldAnswer;
use super::reasons::why;
use super::roster::UserKey;
use super::state::OrgState;
use super::{queue, schedule, user_gaps};
use crate::dingtalk::error::{CallError, Verdict};
use crate::policy::circuit::{Cause, CircuitBreaker, OpenCircuit};
use crate::policy::failure_policy;
use crate::policy::failure_policy::{BackoffScope, BackoffSteps, Failure, FailureResponse};
use crate::presence::lifecycle;
use crate::presence::system::GapCause;
use crate::store::gaps::Because;
use crate::tasks::alerts::SystemEvent;
use crate::time::Timestamp;

/// Failed polls of one user in a row that are logged and reported.
const WORTH_A_LINE: u32 = crate::policy::liveness::FAILURES;
/// A good answer to a user counts as recent for this long.
const LATELY: Duration = Duration::from_hours(24);

/// The call that failed: which user was asked, and how earlier polls of that user ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Failed polls in a row.
    pub(super) earlier: u32,
    /// Refused polls in a row.
    pub(super) refusals: u32,
    /// A good answer within the last day.
    pub(super) answered_lately: bool,
    /// Poll interval.
    pub(super) interval: Duration,
    /// Seed of the jitter.
    pub(super) key: u64,
}

impl Asked {
    /// A call about no particular user.
    pub(super) fn of_organisation(earlier: u32, interval: Duration, key: u64) -> Self {
        Self { earlier, refusals: 0, answered_lately: false, interval, key }
    }
}

/// Handles a failed poll; returns when to poll the user again. A manual poll that is refused again does not
/// lengthen the user's wait.
pub(super) fn after_failure(
    org: &mut OrgState,
    user: UserKey,
    error: &CallError,
    is_manual: bool,
    now: Timestamp,
) -> Timestamp {
    let watched = &org.users[user];
    let was_refused = error.verdict.is_refusal() && watched.refusals > 0;
    let repeats = is_manual && was_refused;
    let asked = Asked {
        earlier: watched.failures,
        refusals: watched.refusals.saturating_sub(u32::from(repeats)),
        answered_lately: watched.last_ok.is_some_and(|last| now.since(last) < LATELY),
        interval: schedule::interval(org, user, now),
        key: watched.phase.key(),
    };
    let before = org.breaker.circuit();
    let reaction = react_to(org, error, &asked, now);
    let watched = &mut org.users[user];
    watched.failures = watched.failures.saturating_add(u32::from(reaction.counts_for_user));
    watched.refusals = watched.refusals.saturating_add(u32::from(error.verdict.is_refusal() && !repeats));
    watched.error = Some(error.class);
    watched.paused_by_org =
        matches!(reaction.scope, BackoffScope::Organisation | BackoffScope::AllOrganisations);
    log_failure(org, user, error, before);
    org.alerts.check_by(now);
    let after = org.breaker.circuit();
    if let Some(shut) = before.open.filter(|_| after.open.is_none()) {
        ends_outage(org, shut, now);
    }
    let planned = org.users[user].due;
    if repeats && planned > now { planned.min(reaction.next_poll) } else { reaction.next_poll }
}

/// Applies the response to a failure of any call of an organisation.
pub(super) fn react_to(
    org: &mut OrgState,
    error: &CallError,
    asked: &Asked,
    now: Timestamp,
) -> FailureResponse {
    let steps = &org.settings.backoff;
    let steps = BackoffSteps { initial: steps.initial, max: steps.max, factor: steps.factor };
    let failure = Failure {
        verdict: &error.verdict,
        retry_after: error.retry_after,
        now,
        earlier_failures: asked.earlier,
        refusals: asked.refusals,
        answered_lately: asked.answered_lately,
        interval: asked.interval,
        user: asked.key,
        org: org.key,
        month_ends: org.limits.budget().month_ends_at(now),
    };
    let (reaction, after) = failure_policy::respond(&failure, org.breaker.circuit(), &steps);
    org.breaker.set_circuit(after);
    if reaction.month_spent {
        org.limits.exhaust(now);
    }
    if reaction.halve_rate {
        org.limits.halve_rate(now);
    }
    if reaction.halve_rate || matches!(error.verdict, Verdict::Banned | Verdict::QuotaSpent) {
        org.limits.count_refused(true);
    }
    match reaction.scope {
        BackoffScope::User | BackoffScope::RefusedUser => {}
        BackoffScope::Organisation => org.limits.pause_until(reaction.until),
        // The address is banned, so all organisations wait; this one too.
        BackoffScope::AllOrganisations => {
            org.effects.push(Effect::BanAddress { until: reaction.until });
            address_banned(org, reaction.until, now);
        }
    }
    reaction
}

/// The address is banned: the organisation waits until then.
pub(super) fn address_banned(org: &mut OrgState, until: Timestamp, now: Timestamp) {
    org.limits.pause_until(until);
    org.alerts.check_by(now);
    if !org.breaker.is_open_for(Cause::Banned) {
        org.breaker.open_until(Cause::Banned, now, until);
    }
}

/// Logs the beginning or change of a failure.
fn log_failure(org: &mut OrgState, user: UserKey, error: &CallError, before: CircuitBreaker) {
    let watched = &org.users[user];
    let (org_name, class, text) = (&org.name, error.class, &error.text);
    let request_id = error.request_id.as_deref();
    match (&error.verdict, org.breaker.open()) {
        (verdict, None) if verdict.is_refusal() => {
            org.breaker.set_text(text);
            if watched.refusals == 1 {
                tracing::warn!(org = %org_name, user = watched.person_id, class, text, request_id, "DingTalk refuses this user; retrying after 1 min, 10 min, 1 h, then daily");
            }
        }
        (Verdict::Throttled { .. } | Verdict::ThrottledThisMinute, None) => {
            if org.breaker.slow_down() {
                tracing::warn!(org = %org_name, class, text, "rate limited by DingTalk; halving the request rate");
            }
        }
        (_, Some(shut)) => {
            org.breaker.set_text(text);
            if org.breaker.note_trouble(class, before) {
                tracing::warn!(org = %org_name, class, text, request_id, until = %shut.until, "polling of this organisation is paused until a probe succeeds; no presence changes");
            }
        }
        (_, None) => {
            org.breaker.set_text(text);
            if watched.failures == WORTH_A_LINE {
                tracing::warn!(org = %org_name, user = watched.person_id, class, text, request_id, "polls of this user fail; the user's presence does not change");
            } else {
                tracing::debug!(org = %org_name, user = watched.person_id, class, text, "a poll failed");
            }
        }
    }
    if matches!(error.verdict, Verdict::Unauthorised | Verdict::Forbidden | Verdict::Misconfigured) {
        org.health.token(Err(class.to_owned()));
    }
}

/// Handles a good answer: the organisation answers again. Returns the answer if it is to be compared now, and not once
/// a gap is emitted.
pub(super) fn answered_again(org: &mut OrgState, held: HeldAnswer, now: Timestamp) -> Option<HeldAnswer> {
    let watched = &mut org.users[held.user];
    if watched.failures >= WORTH_A_LINE {
        tracing::info!(user = watched.person_id, "polls of this user succeed again");
    }
    if watched.refusals > 0 {
        tracing::info!(user = watched.person_id, "DingTalk answers about this user again");
    }
    let failed = std::mem::take(&mut watched.failures) + std::mem::take(&mut watched.refusals) > 0;
    watched.paused_by_org = false;
    watched.error = None;
    if failed {
        org.alerts.check_by(now);
    }
    org.health.token(Ok(()));
    if org.limits.rate().is_at_full_rate(now) && org.breaker.speed_up() {
        tracing::info!(org = %org.name, "the request rate is back at its limit");
    }
    if let Some(shut) = org.breaker.answered(now) {
        org.alerts.check_by(now);
        ends_outage(org, shut, now);
    }
    user_gaps::record_user_gap(org, held.user, failed, now);
    org.breaker.set_last_good(now);
    org.gaps.hold(held)
}

/// Closes the circuit and emits the gap, before any event from later answers.
fn ends_outage(org: &mut OrgState, shut: OpenCircuit, now: Timestamp) {
    let from = org.breaker.last_good().unwrap_or(shut.since).min(now);
    let trouble = org.breaker.take_trouble();
    queue::retry(org, shut.cause == Cause::Refused, now);
    tracing::info!(org = %org.name, after = trouble, seconds = now.since(shut.since).as_secs(), "polling of this organisation has resumed");
    let missed = org.users.values().filter(|watched| !watched.gone).any(|watched| {
        let open = org.windows.times(watched.window);
        open.is_always() || !open.open_between(from, now).is_zero()
    });
    if !missed || from == now {
        return;
    }
    let cause = match shut.cause {
        Cause::Throttled | Cause::MonthSpent => GapCause::Throttled,
        Cause::Upstream | Cause::Refused | Cause::Banned | Cause::Auth | Cause::DiskFull => {
            GapCause::Upstream
        }
    };
    org.gaps.begin(from, now);
    org.alerts.push(SystemEvent::Gap {
        org: org.name.clone(),
        from,
        to: now,
        cause,
        because: Because { why: why(shut.cause), error: trouble },
    });
}

/// Marks outages since the user's newest good poll in the user's state.
pub(super) fn mark_unobserved(org: &mut OrgState, user: UserKey) {
    let watched = &mut org.users[user];
    let Some(last_ok) = watched.last_ok else { return };
    for (from, to) in org.gaps.outages_since(last_ok) {
        watched.state = lifecycle::mark_unobserved(&watched.state, from.min(last_ok), to);
    }
}
