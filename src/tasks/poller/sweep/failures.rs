//! Calls of sweeps that fail or are refused.
//!
//! Guards: one that fails on the way is no sweep, and what it says of the organisation counts like the failure of a look; a
//! refusal by permission ends sweeps for the organisation and is said once. Deliberately not here: when the next one is
//! due after a failure (`plan`), how the organisation is treated (`tasks::poller::standing`).

use super::pass::Pass;
use crate::dingtalk::error::{CallError, Verdict, class};
use crate::tasks::poller::Poller;
use crate::tasks::poller::standing::Asked;
use crate::time::Timestamp;

/// So many refusals in a row are no accident: of a meeting that just ended, of a gateway that was rebuilt.
pub(super) const REFUSED_AFTER: u32 = 3;

impl Poller {
    /// A call of a sweep failed: there is no sweep. What it says of the organisation counts like a look's failure.
    pub(super) fn sweep_failed(&mut self, index: usize, error: &CallError, now: Timestamp) {
        let sweeping = self.sweeps.of(index);
        let pass = sweeping.pass.take();
        if is_about_the_question(error) && pass.as_ref().is_some_and(Pass::is_again) {
            // One of these meetings is over: the next sweep says so too.
            sweeping.due = None;
            let (org, class, text) = (&self.upstreams[index].name, error.class, &error.text);
            return tracing::debug!(%org, class, text, "what a sweep changed is not told a second time");
        }
        let listing = pass.is_some_and(|pass| pass.is_listing());
        sweeping.failures = sweeping.failures.saturating_add(1);
        sweeping.due = None;
        sweeping.forget_questions();
        let earlier = sweeping.failures;
        let refused = match error.verdict {
            Verdict::Forbidden => error.class != class::IP_NOT_ALLOWED,
            // A path that is not there, and a question that is not liked.
            Verdict::Misconfigured => earlier >= REFUSED_AFTER,
            ref verdict if verdict.is_refusal() => listing || earlier >= REFUSED_AFTER,
            _ => false,
        };
        let about_sweeps = is_about_the_question(error) && error.verdict != Verdict::Forbidden;
        let (org, class, text) = (&self.upstreams[index].name, error.class, &error.text);
        let (code, request_id) = (error.code.as_deref(), error.request_id.as_deref());
        if refused {
            if sweeping.trust.mark_refused() {
                sweeping.refusal = Some(text.clone());
                sweeping.keep.touched = true;
                tracing::warn!(%org, class, text, code, request_id, "DingTalk refuses the calls about meetings: no sweeps, everybody is looked at alone");
            }
            return;
        }
        if sweeping.trouble.replace(class) == Some(class) {
            tracing::debug!(%org, class, text, code, request_id, "a sweep failed");
        } else {
            tracing::warn!(%org, class, text, code, request_id, "a sweep failed; nobody's presence changes");
        }
        if !about_sweeps {
            let key = self.upstreams[index].key;
            let asked = Asked::of_organisation(earlier - 1, self.settings.min_interval, key);
            self.react_to(index, error, &asked, now);
            self.next_alarm = now;
        }
    }

    /// Other credentials: what was refused may be answered now, and perhaps otherwise.
    pub(in crate::tasks::poller) fn forget_refusal(&mut self, index: usize) {
        let sweeping = self.sweeps.of(index);
        sweeping.members_refused = 0;
        if sweeping.trust.is_refused() || sweeping.ids.is_refused() {
            (sweeping.trust, sweeping.ids, sweeping.names) = Default::default();
            (sweeping.refusal, sweeping.strangers, sweeping.failures) = (None, 0, 0);
            sweeping.keep.urgently();
        }
    }
}

/// Whether this call is refused, and others may well be answered.
pub(super) fn is_about_the_question(error: &CallError) -> bool {
    match &error.verdict {
        Verdict::Forbidden => error.class != class::IP_NOT_ALLOWED,
        verdict => *verdict == Verdict::Misconfigured || verdict.is_refusal(),
    }
}
