//! Applies another config to a running poller: new users are enrolled, removed users are unwatched, all others stay.
//!
//! Guards: users whose settings are unchanged do not move in the queue, so a reload makes no burst; nothing changes
//! unless the database accepted the new watch list; polls in flight end with the settings they began with; a user who
//! returns waits until the earlier removal is written. A slot is freed when no poll of its user is in flight, and later
//! results for the key are dropped. Not here: reading the config (`app::reload`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::effects::Effect;
use super::pacing::groups;
use super::roster::UserKey;
use super::settings::Settings;
use super::start::{Assignment, new_user};
use super::state::OrgState;
use super::sweep::{failures as sweep_failures, run};
use super::upstream::{SetUp, Upstream};
use super::{open_windows, queue, record, schedule, share, start};
use crate::ids::{Identity, OrgName};
use crate::store::history::visit_history::PastVisit;
use crate::store::{Enrolled, StoreError};
use crate::time::Timestamp;
use crate::webhook::routing::Subscription;

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
    pub(super) set_up: Option<SetUp>,
    /// Other credentials, or another way of calling.
    pub(super) renewed: bool,
    pub(super) list: Vec<(Assignment, Enrolled)>,
    pub(super) past_visits: &'a [PastVisit],
}

/// The stored row still says that a user is watched: the next reload or start corrects it.
pub(super) fn not_unwatched(error: &StoreError) {
    tracing::error!(%error, "the removal of a user from the watch list could not be written; the next reload or start retries it");
}

/// Whether this user is watched.
pub(super) fn watches(org: &OrgState, who: &Identity) -> bool {
    org.users.values().any(|watched| !watched.gone && watched.info.identity == *who)
}

/// Replaces the watch list, windows and schedules at once.
pub(super) fn reload(org: &mut OrgState, reload: OrgReload<'_>, now: Timestamp) {
    org.now = now;
    let OrgReload { settings, subscriptions, set_up, renewed, list, past_visits } = reload;
    let present: Vec<(Identity, UserKey)> = org
        .users
        .iter()
        .filter(|(_, watched)| !watched.gone)
        .map(|(user, watched)| (watched.info.identity.clone(), user))
        .collect();
    // Erased since the last reload: no other user leaves during a reload.
    let erased: Vec<UserKey> = org.users.iter().filter(|(_, one)| one.gone).map(|(key, _)| key).collect();
    let known: HashMap<Identity, UserKey> = present.iter().cloned().collect();
    let intervals: HashMap<UserKey, _> =
        present.iter().map(|&(_, user)| (user, schedule::interval(org, user, now))).collect();
    org.settings = settings;
    org.tools.subscriptions = subscriptions;
    if let Some(SetUp { limits, health, .. }) = set_up {
        org.limits.adopt(limits, now);
        org.health = health;
        // The operator may have fixed the reason of the failures.
        org.breaker.probe_now(now);
    }
    let stays: HashSet<Identity> = list.iter().map(|(one, _)| one.card.identity.clone()).collect();
    for (_, user) in present.iter().filter(|(identity, _)| !stays.contains(identity)) {
        leave(org, *user);
    }
    let (mut new, mut moved) = (Vec::new(), Vec::new());
    for (assignment, stored) in list {
        let window = org.windows.key(&assignment.open, now);
        let Some(&user) = known.get(&assignment.card.identity) else {
            new.push(org.users.insert(new_user(assignment, stored, window)));
            continue;
        };
        let watched = &mut org.users[user];
        watched.info = assignment.card.into();
        if watched.window != window {
            watched.window = window;
            moved.push(user);
        }
        watched.schedule = assignment.schedule;
    }
    open_windows::drop_unused_windows(org);
    share::recount(org, now);
    groups::form_groups(org, past_visits, now);
    for user in erased {
        remove_user(org, user);
    }
    run::load_sweep_history(org, past_visits, now);
    org.alerts.check_by(now);
    queue::retry(org, true, now);
    shorten_refused_waits(org);
    if renewed {
        sweep_failures::forget_refusal(org);
    }
    let members = org.users.values().filter(|watched| !watched.gone).count();
    for user in new {
        let due = start::first_due(org, user, members, now);
        queue::requeue(org, user, due);
    }
    for user in moved {
        change_window(org, user, now);
    }
    for (user, before) in intervals {
        reschedule(org, user, before, now);
    }
}

/// Refused users wait as after their second refusal: the operator may be about to fix the reason, and a reload that
/// comes too early must not delay the next poll by a day.
fn shorten_refused_waits(org: &mut OrgState) {
    for watched in org.users.values_mut() {
        watched.refusals = watched.refusals.min(1);
    }
}

/// With other windows the next poll moves into them, or comes sooner if they are open now.
fn change_window(org: &mut OrgState, user: UserKey, now: Timestamp) {
    let watched = &org.users[user];
    if watched.busy {
        return; // the end of the poll puts the user back into the queue
    }
    let due = watched.due;
    org.due.remove(due, user);
    let next = if org.users[user].failures > 0 { due } else { schedule::next_regular(org, user, now) };
    queue::requeue(org, user, next.min(due));
}

/// A user with a shorter interval does not wait for the end of the old one.
fn reschedule(org: &mut OrgState, user: UserKey, before: std::time::Duration, now: Timestamp) {
    let watched = &org.users[user];
    if watched.gone || watched.busy || watched.failures > 0 || watched.state.is_rejected() {
        return;
    }
    if schedule::interval(org, user, now) >= before {
        return;
    }
    // Evenly spread also for paced users: otherwise all overdue users would be polled at once.
    let (due, next) = (watched.due, schedule::next_even(org, user, now));
    if next < due {
        org.due.remove(due, user);
        queue::requeue(org, user, next);
    }
}

/// Takes a user off the list, after the poll in flight if there is one.
fn leave(org: &mut OrgState, user: UserKey) {
    org.leaving += 1;
    let watched = &mut org.users[user];
    watched.gone = true;
    if !watched.busy {
        let due = watched.due;
        org.due.remove(due, user);
        record::unwatch(org, user);
    }
}

/// Frees the slot; later results for this key find no user.
pub(super) fn remove_user(org: &mut OrgState, user: UserKey) {
    let Some(watched) = org.users.remove(user) else { return };
    org.pending.remove(user, &watched);
    org.windows.retain_followed(|key| key != user);
    org.absence.seen(user);
    org.confirmations.forget(user);
    org.sweeps.forget(user);
}

pub(super) fn left(org: &mut OrgState, user: UserKey, result: &Result<(), StoreError>) {
    org.leaving = org.leaving.saturating_sub(1);
    remove_user(org, user);
    match result {
        Ok(()) => org.effects.push(Effect::Deliver),
        Err(error) => not_unwatched(error),
    }
}
