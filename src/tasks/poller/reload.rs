//! Applies another config to a running poller: new users are enrolled, removed users are unwatched, all others stay.
//!
//! Guards: users whose settings are unchanged do not move in the queue, so a reload makes no burst; nothing changes
//! unless the database accepted the new watch list; polls in flight end with the settings they began with; a user who
//! returns waits until the earlier removal is written. A slot is freed when no poll of its user is in flight, and later
//! results for the key are dropped. Not here: reading the config (`app::reload`).

use crate::tasks::poller::roster::UserKey;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::effects::{Effect, Work};
use super::org::OrgPoller;
use super::settings::Settings;
use super::start::{Assignment, new_user};
use super::upstream::{Upstream, UpstreamState};
use crate::ids::{Identity, OrgName};
use crate::presence::lifecycle;
use crate::store::history::visit_history::PastVisit;
use crate::store::{Enrolled, Recording, StoreError};
use crate::time::Timestamp;
use crate::webhook::routing::Subscription;

use super::answers::outgoing;

/// Everything in the config that concerns polling.
#[derive(Debug)]
pub struct Reload {
    /// Settings of the poller.
    pub settings: Settings,
    /// Which webhooks get which events.
    pub subscriptions: Arc<[Subscription]>,
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
    pub(super) reload: Reload,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// The receiving side.
#[derive(Debug)]
pub(super) struct Reloads {
    sender: mpsc::Sender<Waiting>,
    receiver: mpsc::Receiver<Waiting>,
    /// A reload is in progress.
    pub(super) busy: bool,
    /// Users who were only in the stored list, and whose removal is not written yet.
    pub(super) leaving: usize,
}

impl Default for Reloads {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { sender, receiver, busy: false, leaving: 0 }
    }
}

impl Reloads {
    /// A handle for reloads of this poller.
    pub(super) fn handle(&self) -> ReloadHandle {
        ReloadHandle(self.sender.clone())
    }

    /// The next reload, once it may begin. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Waiting> {
        if self.busy || self.leaving > 0 { std::future::pending().await } else { self.receiver.recv().await }
    }
}

/// The part of a reload that concerns one organisation.
pub(super) struct OrgReload<'a> {
    pub(super) settings: Arc<Settings>,
    pub(super) subscriptions: Arc<[Subscription]>,
    /// `None`: the organisation is not in the config any more, or new.
    pub(super) upstream: Option<UpstreamState>,
    /// Other credentials, or another way of calling.
    pub(super) renewed: bool,
    pub(super) list: Vec<(Assignment, Enrolled)>,
    pub(super) past_visits: &'a [PastVisit],
}

impl OrgPoller {
    /// Whether this user is watched.
    pub(super) fn watches(&self, who: &Identity) -> bool {
        self.users.values().any(|watched| !watched.gone && watched.info.identity == *who)
    }

    /// Replaces the watch list, windows and schedules at once.
    pub(super) fn reload(&mut self, reload: OrgReload<'_>, now: Timestamp) {
        self.now = now;
        let OrgReload { settings, subscriptions, upstream, renewed, list, past_visits } = reload;
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
        if let Some(fresh) = upstream {
            self.upstream.adopt(fresh, now);
        }
        let stays: HashSet<Identity> = list.iter().map(|(one, _)| one.card.identity.clone()).collect();
        for (_, user) in present.iter().filter(|(identity, _)| !stays.contains(identity)) {
            self.leave(*user);
        }
        let (mut new, mut moved) = (Vec::new(), Vec::new());
        for (assignment, stored) in list {
            let window = self.window_key(&assignment.open, now);
            let Some(&user) = known.get(&assignment.card.identity) else {
                new.push(self.users.insert(new_user(assignment, stored, window)));
                continue;
            };
            let watched = &mut self.users[user];
            watched.info = assignment.card.into();
            if watched.window != window {
                watched.window = window;
                moved.push(user);
            }
            watched.schedule = assignment.schedule;
        }
        self.drop_unused_windows();
        self.recount(now);
        self.form_groups(past_visits, now);
        for user in erased {
            self.remove_user(user);
        }
        self.load_sweep_history(past_visits, now);
        self.alerts.check_by(now);
        self.retry(true, now);
        self.shorten_refused_waits();
        if renewed {
            self.forget_refusal();
        }
        let members = self.users.values().filter(|watched| !watched.gone).count();
        for user in new {
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
    fn shorten_refused_waits(&mut self) {
        for watched in self.users.values_mut() {
            watched.refusals = watched.refusals.min(1);
        }
    }

    /// With other windows the next poll moves into them, or comes sooner if they are open now.
    fn change_window(&mut self, user: UserKey, now: Timestamp) {
        let watched = &self.users[user];
        if watched.busy {
            return; // the end of the poll puts the user back into the queue
        }
        let due = watched.due;
        self.upstream.due.remove(due, user);
        let next = if self.users[user].failures > 0 { due } else { self.next_regular(user, now) };
        self.requeue(user, next.min(due));
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
        let (due, next) = (watched.due, self.next_even(user, now));
        if next < due {
            self.upstream.due.remove(due, user);
            self.requeue(user, next);
        }
    }

    /// Takes a user off the list, after the poll in flight if there is one.
    fn leave(&mut self, user: UserKey) {
        self.leaving += 1;
        let watched = &mut self.users[user];
        watched.gone = true;
        if !watched.busy {
            let due = watched.due;
            self.upstream.due.remove(due, user);
            self.unwatch(user);
        }
    }

    /// Writes that a user is not watched any more.
    pub(super) fn unwatch(&mut self, user: UserKey) {
        let now = self.now;
        let watched = &mut self.users[user];
        // Stays busy, so the user is neither polled nor declared stale.
        watched.busy = true;
        let card = watched.info.card();
        let outcome = lifecycle::unwatch(&watched.state, now, &card, &self.tools.source);
        let recording = Recording {
            person_id: watched.person_id,
            org: card.identity.org.clone(),
            snapshot: None,
            belief: outcome.state,
            visits: outcome.visits,
            meetings: Vec::new(),
            events: outgoing(&self.tools.subscriptions, outcome.events, &card),
            watched: false,
            polled_at: None,
            next_poll: None,
        };
        self.start_work(Work::Unwatch { user, recording: Box::new(recording) });
    }

    /// Frees the slot; later results for this key find no user.
    pub(super) fn remove_user(&mut self, user: UserKey) {
        let Some(watched) = self.users.remove(user) else { return };
        self.pending.remove(user, &watched);
        self.followed.retain(|key| *key != user);
        self.absence.seen(user);
        self.questions.forget(user);
        self.sweeps.forget(user);
    }

    pub(super) fn left(&mut self, user: UserKey, result: &Result<(), StoreError>) {
        self.leaving = self.leaving.saturating_sub(1);
        self.remove_user(user);
        match result {
            Ok(()) => self.effects.push(Effect::Deliver),
            Err(error) => not_unwatched(error),
        }
    }
}

/// The stored row still says that a user is watched: the next reload or start corrects it.
pub(super) fn not_unwatched(error: &StoreError) {
    tracing::error!(%error, "the removal of a user from the watch list could not be written; the next reload or start retries it");
}
