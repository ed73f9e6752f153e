//! Handles failed and refused calls of sweeps.
//!
//! Guards: a sweep with a failed call is discarded, and the failure counts for the organisation like that of a poll; a
//! refusal by permission ends sweeps for the organisation and is logged once. Not here: when the next sweep is due
//! (`plan`), backoff of the organisation (`tasks::poller::failures`).

use super::state::REFUSED_AFTER;
use super::sweep_run::SweepRun;
use crate::dingtalk::error::{CallError, Verdict, class};
use crate::tasks::poller::failures;
use crate::tasks::poller::failures::Asked;
use crate::tasks::poller::state::OrgState;
use crate::time::Timestamp;

/// Whether only this kind of call is refused, while others may be answered.
pub(super) fn is_about_the_question(error: &CallError) -> bool {
    match &error.verdict {
        Verdict::Forbidden => error.class != class::IP_NOT_ALLOWED,
        verdict => *verdict == Verdict::Misconfigured || verdict.is_refusal(),
    }
}

/// Discards the sweep; the failure counts for the organisation like that of a poll.
pub(super) fn sweep_failed(org: &mut OrgState, error: &CallError, now: Timestamp) {
    let sweeping = &mut org.sweeps;
    let run = sweeping.calls.run.take();
    if is_about_the_question(error) && run.as_ref().is_some_and(SweepRun::is_recheck) {
        // One of these meetings has ended: the next sweep shows that too.
        sweeping.plan.due = None;
        let (org_name, class, text) = (&org.name, error.class, &error.text);
        return tracing::debug!(org = %org_name, class, text, "a recheck of changed meetings was refused; the next sweep follows");
    }
    let listing = run.is_some_and(|run| run.is_listing());
    sweeping.calls.failures = sweeping.calls.failures.saturating_add(1);
    sweeping.plan.due = None;
    sweeping.drop_pending();
    let earlier = sweeping.calls.failures;
    let refused = match error.verdict {
        Verdict::Forbidden => error.class != class::IP_NOT_ALLOWED,
        // A missing path, or a request that is rejected as such.
        Verdict::Misconfigured => earlier >= REFUSED_AFTER,
        ref verdict if verdict.is_refusal() => listing || earlier >= REFUSED_AFTER,
        _ => false,
    };
    let about_sweeps = is_about_the_question(error) && error.verdict != Verdict::Forbidden;
    let (org_name, class, text) = (&org.name, error.class, &error.text);
    let (code, request_id) = (error.code.as_deref(), error.request_id.as_deref());
    if refused {
        if sweeping.trust.mark_refused() {
            sweeping.calls.refusal = Some(text.clone());
            sweeping.persist.touched = true;
            tracing::warn!(org = %org_name, class, text, code, request_id, "DingTalk refuses the calls about meetings; sweeps are off, every user is polled individually");
        }
        return;
    }
    if sweeping.calls.trouble.replace(class) == Some(class) {
        tracing::debug!(org = %org_name, class, text, code, request_id, "a sweep failed");
    } else {
        tracing::warn!(org = %org_name, class, text, code, request_id, "a sweep failed; no presence changes, polls go on");
    }
    if !about_sweeps {
        let key = org.key;
        let asked = Asked::of_organisation(earlier - 1, org.settings.min_interval, key);
        failures::react_to(org, error, &asked, now);
        org.alerts.check_by(now);
    }
}

/// With other credentials a refused call may be answered, possibly with other ids.
pub(in crate::tasks::poller) fn forget_refusal(org: &mut OrgState) {
    let sweeping = &mut org.sweeps;
    sweeping.calls.members_refused = 0;
    if sweeping.trust.is_refused() || sweeping.ids.is_refused() {
        (sweeping.trust, sweeping.ids, sweeping.resolver) = Default::default();
        (sweeping.calls.refusal, sweeping.unmatched_ids, sweeping.calls.failures) = (None, 0, 0);
        sweeping.persist.mark_urgent();
    }
}
