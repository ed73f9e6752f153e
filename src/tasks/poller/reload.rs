//! Another config for a running poller: who is new is enrolled, who is gone is ended, everybody else stays as they are.
//!
//! Guards: nobody who is not touched moves in the queue, so a reload makes no burst; nothing changes unless the database
//! took the new watch list; looks in flight end as they began; somebody who comes back waits until their leaving is
//! written. A place is given up when nobody polls its user any more, and what is still in flight for them is dropped.
//! Deliberately not here: reading the config (`app::reload`).

use crate::tasks::poller::roster::UserKey;
use std::collections::{HashMap, HashSet};

use tokio::sync::{mpsc, oneshot};

use super::start::{Assignment, end_watch, lessons, needs_lessons, newcomer};
use super::upstream::Upstream;
use super::{Done, Poller, PollerError, Settings};
use crate::ids::{Identity, OrgName};
use crate::presence::lifecycle;
use crate::store::history::visit_history::PastVisit;
use crate::store::{Enrolled, Enrolment, Recording, StoreError};
use crate::time::Timestamp;
use crate::webhook::routing::Subscription;

use super::settle::outgoing;

/// Everything that a config decides about polling.
#[derive(Debug)]
pub struct Reload {
    /// How to look.
    pub settings: Settings,
    /// Who gets which events.
    pub subscriptions: std::sync::Arc<[Subscription]>,
    /// One for each organisation; a client that was there before keeps its token when it is handed in again.
    pub upstreams: Vec<Upstream>,
    /// Those of them that ask with other secrets, or in another way, than before.
    pub renewed: Vec<OrgName>,
    /// Whom to look at.
    pub list: Vec<Assignment>,
}

/// What came of it.
type Answer = Result<(), StoreError>;

/// The way to a running poller.
#[derive(Clone, Debug)]
pub struct ReloadHandle(mpsc::Sender<Waiting>);

impl ReloadHandle {
    /// Hands in another config and waits until it is in force; `None`: the poller ended.
    pub async fn reload(&self, reload: Reload) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Waiting { reload, reply }).await.ok()?;
        answer.await.ok()
    }
}

/// A config that is to be taken over, and who waits for that.
#[derive(Debug)]
pub(super) struct Waiting {
    reload: Reload,
    reply: oneshot::Sender<Answer>,
}

/// The poller's end.
#[derive(Debug)]
pub(super) struct Reloads {
    sender: mpsc::Sender<Waiting>,
    receiver: mpsc::Receiver<Waiting>,
    /// One is being taken over.
    busy: bool,
    /// People whose leaving is not written yet.
    leaving: usize,
}

impl Default for Reloads {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { sender, receiver, busy: false, leaving: 0 }
    }
}

impl Reloads {
    /// The next one, once nothing stands in its way. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Waiting> {
        if self.busy || self.leaving > 0 { std::future::pending().await } else { self.receiver.recv().await }
    }
}

impl Poller {
    /// The way to hand another config to this poller.
    pub fn reload_handle(&self) -> ReloadHandle {
        ReloadHandle(self.reloads.sender.clone())
    }

    /// First the database; everything else follows when it has the list.
    pub(super) fn begin_reload(&mut self, waiting: Waiting) {
        self.reloads.busy = true;
        let enrolments: Vec<Enrolment> = waiting.reload.list.iter().map(Assignment::enrolment).collect();
        let (tools, now) = (self.tools.clone(), self.tools.clock.now());
        self.running.start(async move {
            let result = tools.store.watch_list().enroll(enrolments).await;
            let needed = needs_lessons(&waiting.reload.upstreams, &waiting.reload.list);
            let lessons = lessons(&tools, needed && result.is_ok(), now).await;
            Done::Enrolled { waiting: Box::new(waiting), lessons, result }
        });
    }

    pub(super) fn enrolled(
        &mut self,
        waiting: Waiting,
        lessons: &[PastVisit],
        result: Result<(Vec<Enrolled>, Vec<Enrolled>), StoreError>,
    ) {
        self.reloads.busy = false;
        let Waiting { reload, reply } = waiting;
        let answer = result.map(|(enrolled, departed)| self.swap(reload, enrolled, departed, lessons));
        // Nobody waiting any more means nobody to tell.
        drop(reply.send(answer));
    }

    /// Takes the other list over, at once: who left, who came, who has other hours, and when each is due then.
    fn swap(
        &mut self,
        reload: Reload,
        enrolled: Vec<Enrolled>,
        departed: Vec<Enrolled>,
        lessons: &[PastVisit],
    ) {
        let now = self.tools.clock.now();
        let Reload { settings, subscriptions, upstreams, renewed, list } = reload;
        let present: Vec<(Identity, UserKey)> = self
            .users
            .iter()
            .filter(|(_, watched)| !watched.gone)
            .map(|(person, watched)| (watched.who.identity.clone(), person))
            .collect();
        // Erased since the last reload: nobody else leaves while a reload is taken over.
        let erased: Vec<UserKey> =
            self.users.iter().filter(|(_, one)| one.gone).map(|(key, _)| key).collect();
        let known: HashMap<Identity, UserKey> = present.iter().cloned().collect();
        let intervals: HashMap<UserKey, _> =
            present.iter().map(|&(_, person)| (person, self.interval(person, now))).collect();
        self.settings = settings;
        self.tools.subscriptions = subscriptions;
        let by_name = self.take_upstreams(upstreams, now);
        let stays: HashSet<Identity> = list.iter().map(|one| one.card.identity.clone()).collect();
        for (_, person) in present.iter().filter(|(identity, _)| !stays.contains(identity)) {
            self.leave(*person);
        }
        let unknown = departed.into_iter().filter(|person| !known.contains_key(&person.identity));
        unknown.for_each(|person| self.leave_late(person, now));
        let (mut new, mut rehoused) = (Vec::new(), Vec::new());
        for (assignment, stored) in list.into_iter().zip(enrolled) {
            if let Some(&person) = known.get(&assignment.card.identity) {
                let hours = self.hours_of(&assignment.open, now);
                let watched = &mut self.users[person];
                watched.who = assignment.card.into();
                if watched.hours != hours {
                    watched.hours = hours;
                    rehoused.push(person);
                }
                watched.rhythm = assignment.rhythm;
            } else if let Some(&upstream) = by_name.get(&assignment.card.identity.org) {
                let hours = self.hours_of(&assignment.open, now);
                new.push(self.users.insert(newcomer(assignment, stored, upstream, hours)));
            }
        }
        self.drop_unused_hours();
        self.recount(now);
        self.form_groups(lessons, now);
        for user in erased {
            self.give_up_place(user);
        }
        self.teach_sweeps(lessons, now);
        self.next_alarm = now;
        for index in 0..self.upstreams.len() {
            self.retry(index, true, now);
            self.shorten_refused_waits(index);
            if renewed.contains(&self.upstreams[index].name) {
                self.forget_refusal(index);
            }
        }
        for person in new {
            let members = self.members(self.users[person].upstream);
            let due = self.first_due(person, members, now);
            self.requeue(person, due);
        }
        for person in rehoused {
            self.rehouse(person, now);
        }
        for (person, before) in intervals {
            self.hurry(person, before, now);
        }
    }

    /// Refused users wait as after their second refusal: the operator may be about to put it right, and a reload that comes
    /// too early must not make the next poll a day later.
    fn shorten_refused_waits(&mut self, index: usize) {
        for watched in self.users.values_mut().filter(|watched| watched.upstream == index) {
            watched.refusals = watched.refusals.min(1);
        }
    }

    /// Somebody the database still has on the list although nobody here looks at them: a leaving that was not written.
    fn leave_late(&mut self, person: Enrolled, now: Timestamp) {
        self.reloads.leaving += 1;
        let tools = self.tools.clone();
        self.running.start(async move {
            let result = end_watch(&tools, person, now).await;
            Done::Left { user: None, result }
        });
    }

    /// Other windows: the next look moves into them, or comes sooner where they are open now.
    fn rehouse(&mut self, person: UserKey, now: Timestamp) {
        let watched = &self.users[person];
        if watched.busy {
            return; // put back into the queue by whoever ends the look
        }
        let (due, upstream) = (watched.due, watched.upstream);
        self.upstreams[upstream].due.remove(due, person);
        let next = if self.users[person].failures > 0 { due } else { self.next_regular(person, now) };
        self.requeue(person, next.min(due));
    }

    /// Takes over limits and clients; what was spent, learned and waited for stays.
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

    /// Who is to be looked at more often from now on does not wait out the old interval.
    fn hurry(&mut self, person: UserKey, before: std::time::Duration, now: Timestamp) {
        let watched = &self.users[person];
        if watched.gone || watched.busy || watched.failures > 0 || watched.belief.is_rejected() {
            return;
        }
        if self.interval(person, now) >= before {
            return;
        }
        // In even steps also for those who are paced: else all who would have been looked at by now were, at once.
        let (due, upstream, next) = (watched.due, watched.upstream, self.next_even(person, now));
        if next < due {
            self.upstreams[upstream].due.remove(due, person);
            self.requeue(person, next);
        }
    }

    /// Takes somebody off the list. Who is being looked at right now leaves when that look is done.
    fn leave(&mut self, person: UserKey) {
        self.reloads.leaving += 1;
        let watched = &mut self.users[person];
        watched.gone = true;
        if !watched.busy {
            let (due, upstream) = (watched.due, watched.upstream);
            self.upstreams[upstream].due.remove(due, person);
            self.farewell(person);
        }
    }

    /// Writes down that somebody is not watched any more.
    pub(super) fn farewell(&mut self, person: UserKey) {
        let now = self.tools.clock.now();
        let watched = &mut self.users[person];
        // For ever: nothing looks at, and nothing declares stale, who is busy.
        watched.busy = true;
        let card = watched.who.card();
        let outcome = lifecycle::unwatch(&watched.belief, now, &card, self.tools.store.source());
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
            Done::Left { user: Some(person), result }
        });
    }

    /// Another may have the place; what still comes for this key finds nobody.
    pub(super) fn give_up_place(&mut self, user: UserKey) {
        let Some(watched) = self.users.remove(user) else { return };
        self.unflushed.extend(watched.unflushed());
        for keys in [&mut self.stretched, &mut self.replanned, &mut self.followed] {
            keys.retain(|key| *key != user);
        }
        if let Some(absence) = self.absences.get_mut(&watched.upstream) {
            absence.seen(user);
        }
        self.questions.forget(user);
        self.sweeps.forget(watched.upstream, user);
    }

    pub(super) fn left(&mut self, user: Option<UserKey>, result: Result<(), PollerError>) {
        self.reloads.leaving = self.reloads.leaving.saturating_sub(1);
        if let Some(user) = user {
            self.give_up_place(user);
        }
        match result {
            Ok(()) => self.tools.outbox_wake.notify_one(),
            // The row still says that this person is watched: the next reload or start ends it.
            Err(error) => tracing::error!(%error, "the database does not take that somebody left the list"),
        }
    }
}
