//! Answers requests of the operator: manual polls, snapshots of all users, explanations of next polls.
//!
//! Guards: a manual poll never overlaps another poll of the user, and is charged to the month; a snapshot contains only what
//! is committed, so it waits for a poll or a commit in flight, and goes to the requesting webhooks that may receive events of
//! the user, whatever event patterns they have; an explanation changes nothing. Not here: the content of a snapshot
//! (`presence::lifecycle`), the decision that is explained (`pacing`).

use std::sync::Arc;

use super::Poller;
use super::poll::Call;
use super::report::{ExplainNow, Explanation, NoPoll, PollNow, SnapshotNow};
use super::roster::{PendingSnapshot, PollSchedule, UserKey};
use crate::ids::WebhookName;
use crate::policy::pace::PollDecision;
use crate::policy::quota::{Refusal, Ticket};
use crate::presence::lifecycle;
use crate::store::Outgoing;
use crate::webhook::routing::Subscription;

impl Poller {
    /// Polls at once and outside the queue, but charged to the month.
    pub(super) fn poll_now(&mut self, request: PollNow) {
        match self.startable(&request.who) {
            // It is retried when something in flight ends.
            Err(NotNow::Soon) if !self.running.is_empty() => self.waiting_polls.push(request),
            Err(NotNow::Soon) => {
                let text = "the user cannot be polled just now; try again".to_owned();
                drop(request.reply.send(Err(NoPoll::Later(text))));
            }
            Ok((user, ticket)) => {
                let now = self.tools.clock.now();
                let watched = &self.users[user];
                let (due, failing) = (watched.due, watched.failures > 0);
                self.upstreams[watched.upstream].due.remove(due, user);
                self.ask(Call { user, failing, ticket, manual: Some(request), began: now }, now);
            }
            // The caller may have stopped waiting.
            Err(NotNow::Because(reason)) => drop(request.reply.send(Err(reason))),
        }
    }

    /// Retries manual polls that had to wait.
    pub(super) fn retry_waiting_polls(&mut self) {
        for request in std::mem::take(&mut self.waiting_polls) {
            self.poll_now(request);
        }
    }

    fn startable(&mut self, who: &str) -> Result<(UserKey, Ticket), NotNow> {
        let now = self.tools.clock.now();
        let matches = |w: &super::roster::WatchedUser| {
            !w.gone && (w.info.identity.union_id.as_str() == who || w.info.name() == who)
        };
        let mut found = self.users.iter().filter(|(_, watched)| matches(watched));
        let Some((user, watched)) = found.next() else {
            let text = format!("no user on the watch list has the unionId or name `{who}`");
            return Err(NotNow::Because(NoPoll::NoMatch(text)));
        };
        if found.next().is_some() {
            let text = format!("several users on the watch list match `{who}`: use the unionId");
            return Err(NotNow::Because(NoPoll::NoMatch(text)));
        }
        if watched.busy {
            return Err(NotNow::Soon);
        }
        let index = watched.upstream;
        let upstream = &mut self.upstreams[index];
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
            Ok(ticket) => Ok((user, ticket)),
            Err(Refusal::SpentUntil(until)) => {
                self.month_is_spent(index, until, now);
                // Whoever reads the refusal finds the reason in status and readiness.
                self.check_alerts(now);
                let text = format!("the month's calls are spent until {until}");
                Err(NotNow::Because(NoPoll::Later(text)))
            }
            Err(Refusal::ReserveFirst) => {
                self.reserve(index, now);
                Err(NotNow::Soon)
            }
        }
    }
}

impl Poller {
    pub(super) fn snapshot_now(&mut self, request: SnapshotNow) {
        let SnapshotNow { webhooks, once_known, reply } = request;
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
        // The caller may have stopped waiting.
        let _ = reply.send(count);
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
        let mut outcome = lifecycle::snapshot(
            &watched.state,
            self.tools.clock.now(),
            &watched.info.card(),
            self.tools.store.source(),
        );
        let webhooks: Arc<[WebhookName]> = owed.webhooks.into();
        let addressed = |draft| Outgoing { draft, webhooks: Arc::clone(&webhooks) };
        let events = std::mem::take(&mut outcome.events).into_iter().map(addressed).collect();
        self.upstreams[watched.upstream].due.remove(due, user);
        self.record_addressed(user, outcome, events, due);
    }
}

impl Poller {
    pub(super) fn explain(&self, request: ExplainNow) {
        let answer = self.explanation(&request);
        // The caller may have stopped waiting.
        let _ = request.reply.send(answer);
    }

    fn explanation(&self, asked: &ExplainNow) -> Result<Explanation, String> {
        let mut people = self.users.iter();
        let found = people.find(|(_, watched)| !watched.gone && watched.info.identity == asked.who);
        let Some((user, watched)) = found else {
            return Err(format!("the running daemon does not watch {}", asked.who));
        };
        if watched.schedule != PollSchedule::Auto {
            return Err(format!("{} has its own cadence in the running daemon", asked.who));
        }
        let now = self.tools.clock.now();
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
    /// It is not made.
    Because(NoPoll),
}
