//! Answers requests of the operator: manual polls, snapshots of all users, explanations of next polls.
//!
//! Guards: a manual poll never overlaps another poll of the user, and is charged to the month; a snapshot contains only what
//! is committed, so it waits for a poll or a commit in flight, and goes to the requesting webhooks that may receive events of
//! the user, whatever event patterns they have; an explanation changes nothing. Not here: the content of a snapshot
//! (`presence::lifecycle`), the decision that is explained (`pacing`).

use std::sync::Arc;

use super::effects::{Effect, PollCall};
use super::org::OrgPoller;
use super::report::{Explanation, NoPoll, PollNow};
use super::roster::{PendingSnapshot, PollSchedule, UserKey, WatchedUser};
use crate::ids::{Identity, WebhookName};
use crate::policy::pace::PollDecision;
use crate::policy::quota::{Refusal, Ticket};
use crate::presence::lifecycle;
use crate::store::Outgoing;
use crate::time::Timestamp;
use crate::webhook::routing::Subscription;

impl OrgPoller {
    /// The users that a request may mean.
    pub(super) fn matching(&self, who: &str) -> impl Iterator<Item = UserKey> {
        let matches = move |w: &WatchedUser| {
            !w.gone && (w.info.identity.union_id.as_str() == who || w.info.name() == who)
        };
        self.users.iter().filter(move |(_, watched)| matches(watched)).map(|(user, _)| user)
    }

    /// Polls at once and outside the queue, but charged to the month; returns the request if something in flight has to
    /// end first.
    pub(super) fn poll_now(&mut self, user: UserKey, request: PollNow, now: Timestamp) -> Option<PollNow> {
        self.now = now;
        match self.startable(user, now) {
            Err(NotNow::Soon) => Some(request),
            Ok(ticket) => {
                let watched = &self.users[user];
                let (due, failing) = (watched.due, watched.failures > 0);
                self.upstream.due.remove(due, user);
                self.ask(PollCall { user, failing, ticket, manual: Some(request), began: now }, now);
                None
            }
            Err(NotNow::SpentUntil(until)) => {
                self.month_is_spent(until, now);
                // Whoever reads the refusal finds the reason in status and readiness.
                self.check_alerts(now);
                let text = format!("the month's calls are spent until {until}");
                let result = Box::new(Err(NoPoll::Later(text)));
                self.effects.push(Effect::Reply { request, result });
                None
            }
        }
    }

    fn startable(&mut self, user: UserKey, now: Timestamp) -> Result<Ticket, NotNow> {
        let watched = &self.users[user];
        if watched.busy {
            return Err(NotNow::Soon);
        }
        let upstream = &mut self.upstream;
        if upstream.standing.open.is_some() && upstream.in_flight > 0 {
            // A probe is in flight.
            return Err(NotNow::Soon);
        }
        // A manual poll is a probe: the reason of the failures may be over.
        upstream.probe_now(now);
        if upstream.is_month_spent() {
            upstream.budget.resume();
        }
        match upstream.budget.try_take(now) {
            Ok(ticket) => Ok(ticket),
            Err(Refusal::SpentUntil(until)) => Err(NotNow::SpentUntil(until)),
            Err(Refusal::ReserveFirst) => {
                self.reserve(now);
                Err(NotNow::Soon)
            }
        }
    }
}

impl OrgPoller {
    /// Snapshots of all users for these webhooks; returns of how many.
    pub(super) fn snapshot_now(
        &mut self,
        webhooks: &[WebhookName],
        once_known: bool,
        now: Timestamp,
    ) -> usize {
        self.now = now;
        let subscriptions = Arc::clone(&self.tools.subscriptions);
        let mut count = 0;
        for user in self.user_keys() {
            let watched = &mut self.users[user];
            if watched.gone {
                continue;
            }
            let may_know = |one: &&Subscription| {
                webhooks.contains(&one.webhook) && one.admits_user(&watched.info.card())
            };
            let mut allowed = subscriptions.iter().filter(may_know).map(|one| one.webhook.clone()).peekable();
            if allowed.peek().is_none() {
                continue;
            }
            let owed =
                watched.pending_snapshot.get_or_insert(PendingSnapshot { webhooks: Vec::new(), once_known });
            // If one request does not wait, all of them are served now.
            owed.once_known &= once_known;
            owed.webhooks.extend(allowed);
            count += 1;
            self.emit_pending_snapshot(user);
        }
        count
    }

    /// Emits a pending snapshot unless the user is polled or recorded.
    pub(super) fn emit_pending_snapshot(&mut self, user: UserKey) {
        let watched = &mut self.users[user];
        let known = watched.last_ok.is_some();
        if watched.busy
            || self.stopping
            || !watched.pending_snapshot.as_ref().is_some_and(|owed| known || !owed.once_known)
        {
            return;
        }
        let Some(mut owed) = watched.pending_snapshot.take() else { return };
        owed.webhooks.sort();
        owed.webhooks.dedup();
        let due = watched.due;
        let mut outcome =
            lifecycle::snapshot(&watched.state, self.now, &watched.info.card(), &self.tools.source);
        let webhooks: Arc<[WebhookName]> = owed.webhooks.into();
        let addressed = |draft| Outgoing { draft, webhooks: Arc::clone(&webhooks) };
        let events = std::mem::take(&mut outcome.events).into_iter().map(addressed).collect();
        self.upstream.due.remove(due, user);
        self.record_addressed(user, outcome, events, due);
    }
}

impl OrgPoller {
    /// Why the next poll of a user is when it is.
    pub(super) fn explanation(&self, who: &Identity, now: Timestamp) -> Result<Explanation, String> {
        let mut people = self.users.iter();
        let found = people.find(|(_, watched)| !watched.gone && watched.info.identity == *who);
        let Some((user, watched)) = found else {
            return Err(format!("the running daemon does not watch {who}"));
        };
        if watched.schedule != PollSchedule::Auto {
            return Err(format!("{who} has its own cadence in the running daemon"));
        }
        let decided = self.decided(user).filter(|(_, next)| {
            let (PollDecision::Poll(at, _) | PollDecision::Replan(at, _)) = *next;
            at == watched.due && !watched.busy
        });
        if let Some((at, next)) = decided {
            return Ok(Explanation { decided: at, next, instead: None, due: watched.due });
        }
        let instead = if watched.busy {
            "the user is being polled right now"
        } else if watched.failures > 0 {
            "polls of this user fail: the next one waits"
        } else if watched.overtime_until.is_some() {
            "the user is polled past the end of the window"
        } else if watched.state.awaits_confirmation() {
            "a meeting vanished: the next poll confirms that"
        } else if watched.number == super::pacing::NO_NUMBER {
            "there is no limit of calls: every user is polled as often as `min_interval` allows"
        } else {
            "it was decided before the last start or reload"
        };
        Ok(Explanation {
            decided: now,
            next: self.would_decide(user, now),
            instead: Some(instead),
            due: watched.due,
        })
    }
}

/// Why a manual poll does not start at once.
enum NotNow {
    /// Something in flight has to end first.
    Soon,
    /// No calls are left in the month.
    SpentUntil(Timestamp),
}
