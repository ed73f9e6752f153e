//! Handles failures: delays, log lines, outages, and their end.
//!
//! Guards: one log line for each change of state; after an outage `system.gap` is emitted before events from the first
//! answer after it. Not here: the response to each verdict (`policy`).

use crate::tasks::poller::roster::UserKey;
use std::time::Duration;

use super::alert_queue::EmitStep;
use super::effects::{Effect, Work};
use super::org::OrgPoller;
use super::reasons::why;
use super::settings::FLUSH_EVERY;
use super::upstream::HeldAnswer;
use crate::dingtalk::error::{CallError, Verdict};
use crate::policy::circuit::{Cause, CircuitBreaker, OpenCircuit};
use crate::policy::failure_policy::{self, BackoffScope, BackoffSteps, Failure, FailureResponse};
use crate::presence::lifecycle;
use crate::presence::system::GapCause;
use crate::store::StoreError;
use crate::store::gaps::Because;
use crate::tasks::alerts::SystemEvent;
use crate::time::Timestamp;

/// Failed polls of one user in a row that are logged and reported.
const WORTH_A_LINE: u32 = crate::policy::liveness::FAILURES;
/// A good answer to a user counts as recent for this long.
const LATELY: Duration = Duration::from_hours(24);
/// Number of remembered outages; older ones are merged.
const REMEMBERED_GAPS: usize = 8;

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

impl OrgPoller {
    /// Handles a failed poll; returns when to poll the user again. A manual poll that is refused again does not
    /// lengthen the user's wait.
    pub(super) fn after_failure(
        &mut self,
        user: UserKey,
        error: &CallError,
        is_manual: bool,
        now: Timestamp,
    ) -> Timestamp {
        let watched = &self.users[user];
        let was_refused = error.verdict.is_refusal() && watched.refusals > 0;
        let repeats = is_manual && was_refused;
        let asked = Asked {
            earlier: watched.failures,
            refusals: watched.refusals.saturating_sub(u32::from(repeats)),
            answered_lately: watched.last_ok.is_some_and(|last| now.since(last) < LATELY),
            interval: self.interval(user, now),
            key: watched.phase.key(),
        };
        let before = self.upstream.standing;
        let reaction = self.react_to(error, &asked, now);
        let watched = &mut self.users[user];
        watched.failures = watched.failures.saturating_add(u32::from(reaction.counts_for_user));
        watched.refusals = watched.refusals.saturating_add(u32::from(error.verdict.is_refusal() && !repeats));
        watched.error = Some(error.class);
        watched.paused_by_org =
            matches!(reaction.scope, BackoffScope::Organisation | BackoffScope::AllOrganisations);
        self.log_failure(user, error, before);
        self.alerts.check_by(now);
        let after = self.upstream.standing;
        if let Some(shut) = before.open.filter(|_| after.open.is_none()) {
            self.ends_outage(shut, now);
        }
        let planned = self.users[user].due;
        if repeats && planned > now { planned.min(reaction.next_poll) } else { reaction.next_poll }
    }

    /// Applies the response to a failure of any call of an organisation.
    pub(super) fn react_to(&mut self, error: &CallError, asked: &Asked, now: Timestamp) -> FailureResponse {
        let steps = &self.settings.backoff;
        let steps = BackoffSteps { initial: steps.initial, max: steps.max, factor: steps.factor };
        let upstream = &mut self.upstream;
        let before = upstream.standing;
        let failure = Failure {
            verdict: &error.verdict,
            retry_after: error.retry_after,
            now,
            earlier_failures: asked.earlier,
            refusals: asked.refusals,
            answered_lately: asked.answered_lately,
            interval: asked.interval,
            user: asked.key,
            org: upstream.key,
            month_ends: upstream.budget.month_ends_at(now),
        };
        let (reaction, after) = failure_policy::respond(&failure, before, &steps);
        upstream.standing = after;
        if reaction.month_spent {
            upstream.budget.exhausted(now);
        }
        if reaction.halve_rate {
            upstream.limiter.throttled(now);
        }
        if reaction.halve_rate || matches!(error.verdict, Verdict::Banned | Verdict::QuotaSpent) {
            upstream.throttled += 1;
            upstream.usage_changed = true;
        }
        match reaction.scope {
            BackoffScope::User | BackoffScope::RefusedUser => {}
            BackoffScope::Organisation => upstream.pause_until(reaction.until),
            // The address is banned, so all organisations wait; this one too.
            BackoffScope::AllOrganisations => {
                self.effects.push(Effect::BanAddress { until: reaction.until });
                self.address_banned(reaction.until, now);
            }
        }
        reaction
    }

    /// The address is banned: the organisation waits until then.
    pub(super) fn address_banned(&mut self, until: Timestamp, now: Timestamp) {
        let upstream = &mut self.upstream;
        upstream.pause_until(until);
        if upstream.standing.open.is_none_or(|shut| shut.cause != Cause::Banned) {
            upstream.standing = upstream.standing.opened_until(Cause::Banned, now, until);
        }
    }

    /// Logs the beginning or change of a failure.
    fn log_failure(&mut self, user: UserKey, error: &CallError, before: CircuitBreaker) {
        let watched = &self.users[user];
        let upstream = &mut self.upstream;
        let (org, class, text) = (&upstream.name, error.class, &error.text);
        let request_id = error.request_id.as_deref();
        match (&error.verdict, upstream.standing.open) {
            (verdict, None) if verdict.is_refusal() => {
                upstream.error_text.clone_from(text);
                if watched.refusals == 1 {
                    tracing::warn!(%org, user = watched.person_id, class, text, request_id, "DingTalk refuses this user; retrying after 1 min, 10 min, 1 h, then daily");
                }
            }
            (Verdict::Throttled { .. } | Verdict::ThrottledThisMinute, None) => {
                if !upstream.slowed {
                    tracing::warn!(%org, class, text, "rate limited by DingTalk; halving the request rate");
                }
                upstream.slowed = true;
            }
            (_, Some(shut)) => {
                let known = before.open.is_some_and(|before| before.cause == shut.cause)
                    && upstream.trouble == Some(class);
                upstream.trouble = Some(class);
                upstream.error_text.clone_from(text);
                if !known {
                    tracing::warn!(%org, class, text, request_id, until = %shut.until, "polling of this organisation is paused until a probe succeeds; no presence changes");
                }
            }
            (_, None) => {
                upstream.error_text.clone_from(text);
                if watched.failures == WORTH_A_LINE {
                    tracing::warn!(%org, user = watched.person_id, class, text, request_id, "polls of this user fail; the user's presence does not change");
                } else {
                    tracing::debug!(%org, user = watched.person_id, class, text, "a poll failed");
                }
            }
        }
        if matches!(error.verdict, Verdict::Unauthorised | Verdict::Forbidden | Verdict::Misconfigured) {
            upstream.health.token(Err(class.to_owned()));
        }
    }

    /// Handles a good answer: the organisation answers again. The answer is compared now, or once a gap is emitted.
    pub(super) fn answered_again(&mut self, held: HeldAnswer, now: Timestamp) {
        let watched = &mut self.users[held.user];
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
            self.alerts.check_by(now);
        }
        let upstream = &mut self.upstream;
        upstream.health.token(Ok(()));
        if upstream.slowed && upstream.limiter.is_at_full_rate(now) {
            upstream.slowed = false;
            tracing::info!(org = %upstream.name, "the request rate is back at its limit");
        }
        match upstream.standing.open {
            // Started before the circuit opened: it does not prove that the next call would be answered.
            Some(shut) if now < shut.until => {}
            Some(shut) => {
                upstream.standing = CircuitBreaker::default();
                self.alerts.check_by(now);
                self.ends_outage(shut, now);
            }
            None => upstream.standing = CircuitBreaker::default(),
        }
        self.record_user_gap(held.user, failed, now);
        let upstream = &mut self.upstream;
        upstream.last_good = Some(now);
        if upstream.gap_pending {
            upstream.held.push(held);
        } else {
            self.answered(held.user, held.answer, held.manual);
        }
    }

    /// Closes the circuit and emits the gap, before any event from later answers.
    fn ends_outage(&mut self, shut: OpenCircuit, now: Timestamp) {
        let upstream = &mut self.upstream;
        let from = upstream.last_good.unwrap_or(shut.since).min(now);
        let trouble = upstream.trouble.take();
        self.retry(shut.cause == Cause::Refused, now);
        let upstream = &mut self.upstream;
        tracing::info!(org = %upstream.name, after = trouble, seconds = now.since(shut.since).as_secs(), "polling of this organisation has resumed");
        let missed = self.users.values().filter(|watched| !watched.gone).any(|watched| {
            let open = &self.windows[watched.window].open;
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
        let upstream = &mut self.upstream;
        upstream.gap_pending = true;
        upstream.hidden.push((from, now));
        if upstream.hidden.len() > REMEMBERED_GAPS {
            let (first, _) = upstream.hidden.remove(0);
            upstream.hidden[0].0 = first.min(upstream.hidden[0].0);
        }
        let org = upstream.name.clone();
        upstream.cover(from, now);
        self.alerts.push(SystemEvent::Gap {
            org,
            from,
            to: now,
            cause,
            because: Because { why: why(shut.cause), error: trouble },
        });
    }

    /// Polls users now who wait after a failed poll, and with `refused` also refused users: the reason may be over.
    pub(super) fn retry(&mut self, refused: bool, now: Timestamp) {
        for user in self.user_keys() {
            let watched = &self.users[user];
            let waits = watched.paused_by_org || watched.failures > 0 || (refused && watched.refusals > 0);
            if !waits || watched.busy || watched.gone {
                continue;
            }
            let due = watched.due;
            if due > now && self.upstream.due.remove(due, user) {
                self.requeue(user, now);
                self.pending.add_replanned(user);
            }
        }
    }

    /// Marks outages since the user's newest good poll in the user's state.
    pub(super) fn mark_unobserved(&mut self, user: UserKey) {
        let watched = &mut self.users[user];
        let Some(last_ok) = watched.last_ok else { return };
        for &(from, to) in &self.upstream.hidden {
            if to > last_ok {
                watched.state = lifecycle::mark_unobserved(&watched.state, from.min(last_ok), to);
            }
        }
    }

    /// Emits the next event, one at a time; returns when to try again after a failure.
    pub(super) fn emit_next(&mut self, now: Timestamp) -> Option<Timestamp> {
        let event = match self.alerts.begin_emit(now) {
            EmitStep::Nothing => return None,
            EmitStep::RetryAt(at) => return Some(at),
            EmitStep::Emit(event) => event,
        };
        self.start_work(Work::Emit(event));
        None
    }

    pub(super) fn emitted(&mut self, result: Result<(), StoreError>) {
        if let Err(error) = result {
            self.alerts.failed(self.now.plus(FLUSH_EVERY));
            return self.database_failed(&error);
        }
        self.effects.push(Effect::Deliver);
        if let Some(SystemEvent::Gap { .. }) = self.alerts.emitted() {
            self.release();
        }
    }

    /// Compares the answers that waited for the gap.
    fn release(&mut self) {
        self.upstream.gap_pending = false;
        for HeldAnswer { user, manual, answer } in std::mem::take(&mut self.upstream.held) {
            self.answered(user, answer, manual);
        }
    }
}
