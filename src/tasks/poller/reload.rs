//! Applies another config to a running poller: new users are enrolled, removed users are unwatched, all others stay.
//!
//! Guards: users whose settings are unchanged do not move in the queue, so a reload makes no burst; nothing changes
//! unless the database accepted the new watch list; polls in flight end with the settings they began with; a user who
//! returns waits until the earlier removal is written. A slot is freed when no poll of its user is in flight, and later
//! results for the key are dropped. Not here: reading the config (`app::reload`).

use crate::tasks::poller::roster::UserKey;
use std::collections::{HashMap, HashSet};

use tokio::sync::{mpsc, oneshot};

use super::start::{Assignment, end_watch, load_past_visits, needs_history, new_user};
use super::upstream::Upstream;
use super::{Finished, Poller, PollerError, Settings};
use crate::ids::{Identity, OrgName};
use crate::presence::lifecycle;
use crate::store::history::visit_history::PastVisit;
use crate::store::{Enrolled, Enrolment, Recording, StoreError};
use crate::time::Timestamp;
use crate::webhook::routing::Subscription;

use super::answers::outgoing;

/// Everything in the config that concerns polling.
#[derive(Debug)]
pub struct Reload {
    /// Settings of the poller.
    pub settings: Settings,
    /// Which webhooks get which events.
    pub subscriptions: std::sync::Arc<[Subscription]>,
    /// One for each organisation; an existing client keeps its token if it is passed again.
    pub upstreams: Vec<Upstream>,
    /// Organisations with other credentials or another way of calling.
    pub renewed: Vec<OrgName>,
    /// The users to watch.
    pub list: Vec<Assignment>,
}

/// The result of a reload.
type Answer = Result<(), StoreError>;

/// Sends reloads to a running poller.
#[derive(Clone, Debug)]
pub struct ReloadHandle(mpsc::Sender<Waiting>);

impl ReloadHandle {
    /// Applies another config and waits for the result; `None`: the poller ended.
    pub async fn reload(&self, reload: Reload) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Waiting { reload, reply }).await.ok()?;
        answer.await.ok()
    }
}

/// A requested reload.
#[derive(Debug)]
pub(super) struct Waiting {
    reload: Reload,
    reply: oneshot::Sender<Answer>,
}

/// The receiving side.
#[derive(Debug)]
pub(super) struct Reloads {
    sender: mpsc::Sender<Waiting>,
    receiver: mpsc::Receiver<Waiting>,
    /// A reload is in progress.
    busy: bool,
    /// Users whose removal is not written yet.
    leaving: usize,
}

impl Default for Reloads {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { sender, receiver, busy: false, leaving: 0 }
    }
}

impl Reloads {
    /// The next reload, once it may begin. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Waiting> {
        if self.busy || self.leaving > 0 { std::future::pending().await } else { self.receiver.recv().await }
    }
}

impl Poller {
    /// A handle for reloads of this poller.
    pub fn reload_handle(&self) -> ReloadHandle {
        ReloadHandle(self.reloads.sender.clone())
    }

    /// Writes the watch list first; `swap` follows.
    pub(super) fn begin_reload(&mut self, waiting: Waiting) {
        self.reloads.busy = true;
        let enrolments: Vec<Enrolment> = waiting.reload.list.iter().map(Assignment::enrolment).collect();
        let (tools, now) = (self.tools.clone(), self.tools.clock.now());
        self.running.start(async move {
            let result = tools.store.watch_list().enroll(enrolments).await;
            let needed = needs_history(&waiting.reload.upstreams, &waiting.reload.list);
            let past_visits = load_past_visits(&tools, needed && result.is_ok(), now).await;
            Finished::Enroll { waiting: Box::new(waiting), past_visits, result }
        });
    }

    pub(super) fn enrolled(
        &mut self,
        waiting: Waiting,
        past_visits: &[PastVisit],
        result: Result<(Vec<Enrolled>, Vec<Enrolled>), StoreError>,
    ) {
        self.reloads.busy = false;
        let Waiting { reload, reply } = waiting;
        let answer = result.map(|(enrolled, departed)| self.swap(reload, enrolled, departed, past_visits));
        // The caller may have stopped waiting.
        drop(reply.send(answer));
    }

    /// Replaces the watch list, windows and schedules at once.
    fn swap(
        &mut self,
        reload: Reload,
        enrolled: Vec<Enrolled>,
        departed: Vec<Enrolled>,
        past_visits: &[PastVisit],
    ) {
        let now = self.tools.clock.now();
        let Reload { settings, subscriptions, upstreams, renewed, list } = reload;
        let present: Vec<(Identity, UserKey)> = self
            .users
            .iter()
            .filter(|(_, watched)| !watched.gone)
            .map(|(user, watched)| (watched.info.identity.clone(), user))
            .collect();
        // Erased since the last reload: no other user leaves during a reload.
        let erased: Vec<UserKey> =
            self.users.iter().filter(|(_, one)| one.gone).map(|(key, _)| key).collect();
        let known: HashMap<Identity, UserKey> = present.iter().cloned().collect();
        let intervals: HashMap<UserKey, _> =
            present.iter().map(|&(_, user)| (user, self.interval(user, now))).collect();
        self.settings = settings;
        self.tools.subscriptions = subscriptions;
        let by_name = self.take_upstreams(upstreams, now);
        let stays: HashSet<Identity> = list.iter().map(|one| one.card.identity.clone()).collect();
        for (_, user) in present.iter().filter(|(identity, _)| !stays.contains(identity)) {
            self.leave(*user);
        }
        let unknown = departed.into_iter().filter(|user| !known.contains_key(&user.identity));
        unknown.for_each(|user| self.leave_late(user, now));
        let (mut new, mut moved) = (Vec::new(), Vec::new());
        for (assignment, stored) in list.into_iter().zip(enrolled) {
            if let Some(&user) = known.get(&assignment.card.identity) {
                let window = self.window_key(&assignment.open, now);
                let watched = &mut self.users[user];
                watched.info = assignment.card.into();
                if watched.window != window {
                    watched.window = window;
                    moved.push(user);
                }
                watched.schedule = assignment.schedule;
            } else if let Some(&upstream) = by_name.get(&assignment.card.identity.org) {
                let window = self.window_key(&assignment.open, now);
                new.push(self.users.insert(new_user(assignment, stored, upstream, window)));
            }
        }
        self.drop_unused_windows();
        self.recount(now);
        self.form_groups(past_visits, now);
        for user in erased {
            self.remove_user(user);
        }
        self.load_sweep_history(past_visits, now);
        self.alerts.check_by(now);
        for index in 0..self.upstreams.len() {
            self.retry(index, true, now);
            self.shorten_refused_waits(index);
            if renewed.contains(&self.upstreams[index].name) {
                self.forget_refusal(index);
            }
        }
        for user in new {
            let members = self.members(self.users[user].upstream);
            let due = self.first_due(user, members, now);
            self.requeue(user, due);
        }
        for user in moved {
            self.change_window(user, now);
        }
        for (user, before) in intervals {
            self.reschedule(user, before, now);
        }
    }

    /// Refused users wait as after their second refusal: the operator may be about to fix the reason, and a reload that
    /// comes too early must not delay the next poll by a day.
    fn shorten_refused_waits(&mut self, index: usize) {
        for watched in self.users.values_mut().filter(|watched| watched.upstream == index) {
            watched.refusals = watched.refusals.min(1);
        }
    }

    /// Unwatches a user who is only in the stored list: an earlier removal was not written.
    fn leave_late(&mut self, user: Enrolled, now: Timestamp) {
        self.reloads.leaving += 1;
        let tools = self.tools.clone();
        self.running.start(async move {
            let result = end_watch(&tools, user, now).await;
            Finished::Unwatch { user: None, result }
        });
    }

    /// With other windows the next poll moves into them, or comes sooner if they are open now.
    fn change_window(&mut self, user: UserKey, now: Timestamp) {
        let watched = &self.users[user];
        if watched.busy {
            return; // the end of the poll puts the user back into the queue
        }
        let (due, upstream) = (watched.due, watched.upstream);
        self.upstreams[upstream].due.remove(due, user);
        let next = if self.users[user].failures > 0 { due } else { self.next_regular(user, now) };
        self.requeue(user, next.min(due));
    }

    /// Replaces limits and clients; usage, models and waits stay.
    fn take_upstreams(&mut self, fresh: Vec<Upstream>, now: Timestamp) -> HashMap<OrgName, usize> {
        let names: HashSet<OrgName> = fresh.iter().map(|upstream| upstream.name.clone()).collect();
        for upstream in self.upstreams.iter().filter(|upstream| !names.contains(&upstream.name)) {
            self.tools.health.forget(&upstream.name);
        }
        for new in fresh {
            match self.upstreams.iter_mut().find(|upstream| upstream.name == new.name) {
                Some(upstream) => upstream.adopt(new, now),
                None => self.upstreams.push(new),
            }
        }
        self.upstreams.iter().enumerate().map(|(at, upstream)| (upstream.name.clone(), at)).collect()
    }

    fn members(&self, upstream: usize) -> usize {
        self.users.values().filter(|watched| watched.upstream == upstream && !watched.gone).count()
    }

    /// A user with a shorter interval does not wait for the end of the old one.
    fn reschedule(&mut self, user: UserKey, before: std::time::Duration, now: Timestamp) {
        let watched = &self.users[user];
        if watched.gone || watched.busy || watched.failures > 0 || watched.state.is_rejected() {
            return;
        }
        if self.interval(user, now) >= before {
            return;
        }
        // Evenly spread also for paced users: otherwise all overdue users would be polled at once.
        let (due, upstream, next) = (watched.due, watched.upstream, self.next_even(user, now));
        if next < due {
            self.upstreams[upstream].due.remove(due, user);
            self.requeue(user, next);
        }
    }

    /// Takes a user off the list, after the poll in flight if there is one.
    fn leave(&mut self, user: UserKey) {
        self.reloads.leaving += 1;
        let watched = &mut self.users[user];
        watched.gone = true;
        if !watched.busy {
            let (due, upstream) = (watched.due, watched.upstream);
            self.upstreams[upstream].due.remove(due, user);
            self.unwatch(user);
        }
    }

    /// Writes that a user is not watched any more.
    pub(super) fn unwatch(&mut self, user: UserKey) {
        let now = self.tools.clock.now();
        let watched = &mut self.users[user];
        // Stays busy, so the user is neither polled nor declared stale.
        watched.busy = true;
        let card = watched.info.card();
        let outcome = lifecycle::unwatch(&watched.state, now, &card, self.tools.store.source());
        let recording = Recording {
            person_id: watched.person_id,
            org: card.identity.org.clone(),
            snapshot: None,
            belief: outcome.state,
            visits: outcome.visits,
            events: outgoing(&self.tools.subscriptions, outcome.events, &card),
            watched: false,
            polled_at: None,
            next_poll: None,
        };
        let store = self.tools.store.clone();
        self.running.start(async move {
            let result = store.recorder().record(recording).await.map_err(PollerError::from);
            Finished::Unwatch { user: Some(user), result }
        });
    }

    /// Frees the slot; later results for this key find no user.
    pub(super) fn remove_user(&mut self, user: UserKey) {
        let Some(watched) = self.users.remove(user) else { return };
        self.pending.remove(user, &watched);
        self.followed.retain(|key| *key != user);
        if let Some(absence) = self.absences.get_mut(&watched.upstream) {
            absence.seen(user);
        }
        self.questions.forget(user);
        self.sweeps.forget(watched.upstream, user);
    }

    pub(super) fn left(&mut self, user: Option<UserKey>, result: Result<(), PollerError>) {
        self.reloads.leaving = self.reloads.leaving.saturating_sub(1);
        if let Some(user) = user {
            self.remove_user(user);
        }
        match result {
            Ok(()) => self.tools.outbox_wake.notify_one(),
            // The stored row still says that this user is watched: the next reload or start corrects it.
            Err(error) => {
                tracing::error!(%error, "the removal of a user from the watch list could not be written; the next reload or start retries it");
            }
        }
    }
}
