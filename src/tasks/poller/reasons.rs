//! Why users are not polled at this moment: the same word for status, readiness, metrics and `v_gaps`.
//!
//! Guards: in open time every user who is not polled as planned has a reason, and it is removed when polling resumes;
//! only changes are written. Not here: which failure gives an organisation a reason (`policy`), alerts (`alerting`),
//! gaps that are over (`failures`, `user_gaps`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::reported::{Reasons, Tally};
use super::roster::UserKey;
use super::schedule;
use super::settings::FLUSH_EVERY;
use super::state::OrgState;
use crate::policy::circuit::Cause;
use crate::policy::liveness::{NextPoll, UserPolling, UserReason, next_poll};
use crate::store::gaps::{Because, Why};
use crate::telemetry::health::Blocked;
use crate::time::Timestamp;

/// A user who has been due for longer is polled late.
const LATE_AFTER: Duration = Duration::from_mins(1);

/// Reports why users are not polled: at once when the reason of the organisation changes, otherwise once a second,
/// however many polls fail.
pub(super) fn report_reasons(org: &mut OrgState, now: Timestamp) {
    let blocked = blocked(org, now);
    let cause = blocked.as_ref().map(|blocked| blocked.cause);
    let next = org.reasons.next;
    if cause == org.reasons.cause && now < next && next.since(now) <= FLUSH_EVERY {
        org.alerts.check_by(next);
        return;
    }
    let mut tally = Tally::default();
    let mut rows = BTreeMap::new();
    let wait = blocked.as_ref().map(|blocked| (blocked.cause, blocked.next));
    for (user, watched) in org.users.iter().filter(|(_, watched)| !watched.gone) {
        let may_poll = schedule::may_poll(org, user);
        tally.open |= may_poll;
        let NextPoll::Waits(reason, next) = next_poll(&polling(org, user), wait, now) else { continue };
        tally.add(reason, next);
        if may_poll && blocked.is_none() {
            let (why, error) = match reason {
                UserReason::Refused | UserReason::Failed => (Why::Failed, watched.error),
                UserReason::Late => (Why::Late, None),
            };
            rows.insert(Some(watched.person_id), (schedule::last_seen(org, user), Because { why, error }));
        }
    }
    if let Some(Blocked { cause, since, .. }) = blocked.as_ref().filter(|_| tally.open) {
        let error = org.breaker.trouble();
        let from = org.breaker.last_good().unwrap_or(*since);
        rows.insert(None, (Some(from), Because { why: why(*cause), error }));
    }
    tally.unpolled.sort_by_key(|unpolled| unpolled.reason);
    org.health.blocked(blocked);
    org.health.unpolled(tally.unpolled);
    org.reasons = Reasons { rows, next: now.plus(FLUSH_EVERY), cause, reported: true };
}

/// Why no user is polled.
fn blocked(org: &OrgState, now: Timestamp) -> Option<Blocked> {
    if let Some(since) = org.disk_full_since {
        let text = "there is no room to write down what a poll shows".to_owned();
        return Some(Blocked { cause: Cause::DiskFull, text, since, next: now.plus(FLUSH_EVERY) });
    }
    org.breaker.open().map(|shut| Blocked {
        cause: shut.cause,
        text: without_cause(org.breaker.text(), shut.cause).to_owned(),
        since: shut.since,
        next: shut.until.max(now),
    })
}

/// What decides when this user is polled next.
fn polling(org: &OrgState, user: UserKey) -> UserPolling {
    let watched = &org.users[user];
    UserPolling {
        due: watched.due,
        busy: watched.busy,
        open: schedule::may_poll(org, user),
        refusals: watched.refusals,
        failures: watched.failures,
        // A shorter `stale_after` also shortens this bound.
        late_after: org.settings.stale_after.map_or(LATE_AFTER, |stale| stale.min(LATE_AFTER)),
    }
}

/// The text of a failure, without the cause in front, which is shown before it.
fn without_cause(text: &str, cause: Cause) -> &str {
    text.strip_prefix(cause.name()).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(text)
}

/// The cause as it is named in the history.
pub(super) fn why(cause: Cause) -> Why {
    match cause {
        Cause::Throttled => Why::Throttled,
        Cause::MonthSpent => Why::Budget,
        Cause::Upstream | Cause::Refused => Why::Upstream,
        Cause::Banned => Why::Banned,
        Cause::Auth => Why::Auth,
        Cause::DiskFull => Why::DiskFull,
    }
}
