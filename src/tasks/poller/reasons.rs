//! Why users are not polled at this moment: the same word for status, readiness, metrics and `v_gaps`.
//!
//! Guards: in open time every user who is not polled as planned has a reason, and it is removed when polling resumes;
//! only changes are written. Not here: which failure gives an organisation a reason (`policy`), alerts (`alerting`),
//! gaps that are over (`failures`, `user_gaps`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::org::OrgPoller;
use super::roster::UserKey;
use super::settings::FLUSH_EVERY;
use crate::policy::circuit::Cause;
use crate::policy::liveness::{NextPoll, UserPolling, UserReason, next_poll};
use crate::store::gaps::{Because, Why};
use crate::telemetry::health::{Blocked, Unpolled};
use crate::time::Timestamp;

/// A user who has been due for longer is polled late.
const LATE_AFTER: Duration = Duration::from_mins(1);

/// Since when somebody is not polled, where that is known, and why.
pub(super) type OpenRow = (Option<Timestamp>, Because);

/// What was reported.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    /// The gaps that go on: of the organisation (`None`), or of single users.
    rows: BTreeMap<Option<i64>, OpenRow>,
    next: Timestamp,
    /// Why the organisation is not polled, as reported.
    cause: Option<Cause>,
    /// Reported since it was asked for.
    reported: bool,
}

impl Reasons {
    /// The gaps that go on.
    pub(super) fn rows(&self) -> &BTreeMap<Option<i64>, OpenRow> {
        &self.rows
    }

    pub(super) fn take_reported(&mut self) -> bool {
        std::mem::take(&mut self.reported)
    }
}

/// The users of an organisation, counted by reason.
#[derive(Clone, Debug, Default)]
struct Tally {
    /// At least one user's window is open.
    open: bool,
    unpolled: Vec<Unpolled>,
}

impl Tally {
    fn add(&mut self, reason: UserReason, next: Timestamp) {
        match self.unpolled.iter_mut().find(|unpolled| unpolled.reason == reason) {
            Some(unpolled) => {
                unpolled.users += 1;
                unpolled.next = unpolled.next.min(next);
            }
            None => self.unpolled.push(Unpolled { reason, users: 1, next }),
        }
    }
}

impl OrgPoller {
    /// Reports why users are not polled: at once when the reason of the organisation changes, otherwise once a second,
    /// however many polls fail.
    pub(super) fn report_reasons(&mut self, now: Timestamp) {
        let blocked = self.blocked(now);
        let cause = blocked.as_ref().map(|blocked| blocked.cause);
        let next = self.reasons.next;
        if cause == self.reasons.cause && now < next && next.since(now) <= FLUSH_EVERY {
            self.alerts.check_by(next);
            return;
        }
        let mut tally = Tally::default();
        let mut rows = BTreeMap::new();
        let wait = blocked.as_ref().map(|blocked| (blocked.cause, blocked.next));
        for (user, watched) in self.users.iter().filter(|(_, watched)| !watched.gone) {
            let may_poll = self.may_poll(user);
            tally.open |= may_poll;
            let NextPoll::Waits(reason, next) = next_poll(&self.polling(user), wait, now) else { continue };
            tally.add(reason, next);
            if may_poll && blocked.is_none() {
                let (why, error) = match reason {
                    UserReason::Refused | UserReason::Failed => (Why::Failed, watched.error),
                    UserReason::Late => (Why::Late, None),
                };
                rows.insert(Some(watched.person_id), (self.last_seen(user), Because { why, error }));
            }
        }
        let upstream = &self.upstream;
        if let Some(Blocked { cause, since, .. }) = blocked.as_ref().filter(|_| tally.open) {
            let error = upstream.standing.open.and(upstream.trouble);
            let from = upstream.last_good.unwrap_or(*since);
            rows.insert(None, (Some(from), Because { why: why(*cause), error }));
        }
        tally.unpolled.sort_by_key(|unpolled| unpolled.reason);
        upstream.health.blocked(blocked);
        upstream.health.unpolled(tally.unpolled);
        self.reasons = Reasons { rows, next: now.plus(FLUSH_EVERY), cause, reported: true };
    }

    /// Why no user is polled.
    fn blocked(&self, now: Timestamp) -> Option<Blocked> {
        if let Some(since) = self.disk_full_since {
            let text = "there is no room to write down what a poll shows".to_owned();
            return Some(Blocked { cause: Cause::DiskFull, text, since, next: now.plus(FLUSH_EVERY) });
        }
        let upstream = &self.upstream;
        upstream.standing.open.map(|shut| Blocked {
            cause: shut.cause,
            text: without_cause(&upstream.error_text, shut.cause).to_owned(),
            since: shut.since,
            next: shut.until.max(now),
        })
    }

    /// What decides when this user is polled next.
    fn polling(&self, user: UserKey) -> UserPolling {
        let watched = &self.users[user];
        UserPolling {
            due: watched.due,
            busy: watched.busy,
            open: self.may_poll(user),
            refusals: watched.refusals,
            failures: watched.failures,
            // A shorter `stale_after` also shortens this bound.
            late_after: self.settings.stale_after.map_or(LATE_AFTER, |stale| stale.min(LATE_AFTER)),
        }
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
