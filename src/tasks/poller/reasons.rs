//! Why users are not polled at this moment: the same word for status, readiness, metrics and `v_gaps`.
//!
//! Guards: in open time every user who is not polled as planned has a reason, and it is removed when polling resumes;
//! only changes are written. Not here: which failure gives an organisation a reason (`policy`), alerts (`alerting`),
//! gaps that are over (`failures`, `user_gaps`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::roster::UserKey;
use super::{FLUSH_EVERY, Finished, Poller};
use crate::policy::circuit::Cause;
use crate::policy::liveness::{NextPoll, UserPolling, UserReason, next_poll};
use crate::store::StoreError;
use crate::store::gaps::{Because, Why};
use crate::store::open_gaps::{OpenGap, OpenGaps, Whose};
use crate::telemetry::health::{Blocked, Unpolled};
use crate::time::Timestamp;

/// A user who has been due for longer is polled late.
const LATE_AFTER: Duration = Duration::from_mins(1);

/// What was reported.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    /// When the disk became full.
    full_since: Option<Timestamp>,
    /// The gaps that go on, as stored; `None`: as an earlier daemon left them.
    kept: Option<BTreeMap<Whose, OpenGap>>,
    keeping: bool,
    /// Something was reported while the last report was being written.
    outdated: bool,
    next: Timestamp,
    /// Why each organisation is not polled, as reported.
    causes: Vec<Option<Cause>>,
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

impl Poller {
    /// Detects at once when the disk becomes full, and when there is room again.
    pub(super) fn check_disk(&mut self, now: Timestamp) {
        let is_full = self.tools.store.health().is_disk_full();
        if is_full != self.reasons.full_since.is_some() {
            self.reasons.full_since = is_full.then_some(now);
            self.alerts.check_by(now);
        }
    }

    /// Reports why users are not polled: at once when the reason of an organisation changes, otherwise once a second,
    /// however many polls fail.
    pub(super) fn report_reasons(&mut self, now: Timestamp) {
        let blocked: Vec<Option<Blocked>> =
            (0..self.upstreams.len()).map(|index| self.blocked(index, now)).collect();
        let causes: Vec<Option<Cause>> =
            blocked.iter().map(|blocked| blocked.as_ref().map(|blocked| blocked.cause)).collect();
        let next = self.reasons.next;
        if causes == self.reasons.causes && now < next && next.since(now) <= FLUSH_EVERY {
            self.alerts.check_by(next);
            return;
        }
        self.reasons.causes = causes;
        self.reasons.next = now.plus(FLUSH_EVERY);
        let mut tallies = vec![Tally::default(); self.upstreams.len()];
        let mut rows = BTreeMap::new();
        for (user, watched) in self.users.iter().filter(|(_, watched)| !watched.gone) {
            let (index, tally) = (watched.upstream, &mut tallies[watched.upstream]);
            let may_poll = self.may_poll(user);
            tally.open |= may_poll;
            let wait = blocked[index].as_ref().map(|blocked| (blocked.cause, blocked.next));
            let NextPoll::Waits(reason, next) = next_poll(&self.polling(user), wait, now) else { continue };
            tally.add(reason, next);
            if may_poll && blocked[index].is_none() {
                let (why, error) = match reason {
                    UserReason::Refused | UserReason::Failed => (Why::Failed, watched.error),
                    UserReason::Late => (Why::Late, None),
                };
                let whose = (self.upstreams[index].name.clone(), Some(watched.person_id));
                rows.insert(whose, (self.last_seen(user), Because { why, error }));
            }
        }
        for ((index, blocked), mut tally) in blocked.into_iter().enumerate().zip(tallies) {
            let upstream = &self.upstreams[index];
            if let Some(Blocked { cause, since, .. }) = blocked.as_ref().filter(|_| tally.open) {
                let error = upstream.standing.open.and(upstream.trouble);
                let from = upstream.last_good.unwrap_or(*since);
                rows.insert((upstream.name.clone(), None), (Some(from), Because { why: why(*cause), error }));
            }
            tally.unpolled.sort_by_key(|unpolled| unpolled.reason);
            upstream.health.blocked(blocked);
            upstream.health.unpolled(tally.unpolled);
        }
        self.keep_open_gaps(rows, now);
    }

    /// Why no user of an organisation is polled.
    fn blocked(&self, index: usize, now: Timestamp) -> Option<Blocked> {
        if let Some(since) = self.reasons.full_since {
            let text = "there is no room to write down what a poll shows".to_owned();
            return Some(Blocked { cause: Cause::DiskFull, text, since, next: now.plus(FLUSH_EVERY) });
        }
        let upstream = &self.upstreams[index];
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

    /// Writes which gaps go on, where that has changed.
    fn keep_open_gaps(&mut self, rows: BTreeMap<Whose, (Option<Timestamp>, Because)>, now: Timestamp) {
        if self.reasons.keeping {
            self.reasons.outdated = true;
            return;
        }
        let kept = self.reasons.kept.as_ref();
        let begins = |(whose, (seen, because)): (Whose, (Option<Timestamp>, Because))| {
            // An episode keeps its beginning, whatever reasons follow in it.
            let before = kept.and_then(|kept| kept.get(&whose)).map(|open| open.from);
            let from = before.into_iter().chain(seen).min().unwrap_or(now).min(now);
            (whose, OpenGap { from, because })
        };
        let rows: BTreeMap<Whose, OpenGap> = rows.into_iter().map(begins).collect();
        if kept == Some(&rows) {
            return;
        }
        let is_new = |whose: &Whose, open: &OpenGap| kept.is_none_or(|kept| kept.get(whose) != Some(open));
        let gaps = OpenGaps {
            reset: kept.is_none(),
            ended: kept
                .into_iter()
                .flat_map(BTreeMap::keys)
                .filter(|&whose| !rows.contains_key(whose))
                .cloned()
                .collect(),
            begun: rows
                .iter()
                .filter(|(whose, open)| is_new(whose, open))
                .map(|(whose, open)| (whose.clone(), *open))
                .collect(),
        };
        self.reasons.keeping = true;
        let store = self.tools.store.clone();
        self.running.start(async move {
            let result = store.gaps().save_open(gaps).await;
            Finished::OpenGaps { rows, result }
        });
    }

    pub(super) fn open_gaps_kept(&mut self, rows: BTreeMap<Whose, OpenGap>, result: Result<(), StoreError>) {
        self.reasons.keeping = false;
        if std::mem::take(&mut self.reasons.outdated) {
            let now = self.tools.clock.now();
            self.reasons.next = now;
            self.alerts.check_by(now);
        }
        match result {
            Ok(()) => {
                self.reasons.kept = Some(rows);
                // While every window is closed this is the first write.
                if self.reasons.full_since.is_none() {
                    self.tools.health.database(Ok(()));
                }
            }
            // The next report tries again.
            Err(error) => self.database_failed(&error),
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
