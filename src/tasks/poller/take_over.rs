//! Applies another config to the running pollers, all organisations in one step.
//!
//! Guards: nothing changes unless the database accepted the new watch list; an organisation that is gone keeps its
//! state, without users. Not here: what changes in one organisation (`reload`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::driver::Poller;
use super::orgs::Done;
use super::reload::{OrgReload, Reload, Waiting, not_unwatched};
use super::start::{Assignment, by_organisation, end_watch, load_past_visits, needs_history};
use super::upstream::{SetUp, Upstream};
use crate::ids::OrgName;
use crate::store::history::visit_history::PastVisit;
use crate::store::{Enrolled, Enrolment, StoreError};
use crate::time::Timestamp;

impl Poller {
    /// Writes the watch list first; `swap` follows.
    pub(super) fn begin_reload(&mut self, waiting: Waiting) {
        self.reloads.busy = true;
        let enrolments: Vec<Enrolment> = waiting.reload.list.iter().map(Assignment::enrolment).collect();
        let (tools, now) = (self.tools.clone(), self.tools.clock.now());
        self.running.start(async move {
            let result = tools.store.watch_list().enroll(enrolments).await;
            let needed = needs_history(&waiting.reload.upstreams, &waiting.reload.list);
            let past_visits = load_past_visits(&tools, needed && result.is_ok(), now).await;
            Done::Enroll { waiting: Box::new(waiting), past_visits, result }
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

    fn swap(
        &mut self,
        reload: Reload,
        enrolled: Vec<Enrolled>,
        departed: Vec<Enrolled>,
        past_visits: &[PastVisit],
    ) {
        let now = self.tools.clock.now();
        let Reload { settings, subscriptions, upstreams, renewed, list } = reload;
        self.settings = Arc::new(settings);
        self.tools.subscriptions = Arc::clone(&subscriptions);
        let unknown = departed.into_iter().filter(|user| !self.watches(user));
        let unknown: Vec<Enrolled> = unknown.collect();
        for user in unknown {
            self.leave_late(user, now);
        }
        let mut fresh = self.take_clients(upstreams, now);
        let mut lists = by_organisation(list, enrolled);
        for org in self.orgs.values_mut() {
            let name = org.poller.name().clone();
            let reload = OrgReload {
                settings: Arc::clone(&self.settings),
                subscriptions: Arc::clone(&subscriptions),
                set_up: fresh.remove(&name),
                renewed: renewed.contains(&name),
                list: lists.remove(&name).unwrap_or_default(),
                past_visits,
            };
            org.poller.reload(reload, now);
        }
        self.carry_out(now);
    }

    fn watches(&self, user: &Enrolled) -> bool {
        self.orgs
            .values()
            .any(|org| *org.poller.name() == user.identity.org && org.poller.watches(&user.identity))
    }

    /// Unwatches a user who is only in the stored list: an earlier removal was not written.
    fn leave_late(&mut self, user: Enrolled, now: Timestamp) {
        self.reloads.leaving += 1;
        let tools = self.tools.clone();
        self.running.start(async move { Done::LeftLate(end_watch(&tools, user, now).await) });
    }

    pub(super) fn left_late(&mut self, result: &Result<(), StoreError>) {
        self.reloads.leaving = self.reloads.leaving.saturating_sub(1);
        match result {
            Ok(()) => self.tools.outbox_wake.notify_one(),
            Err(error) => not_unwatched(error),
        }
    }

    /// Replaces the clients, and adds new organisations; returns the limits of the others.
    fn take_clients(&mut self, upstreams: Vec<Upstream>, now: Timestamp) -> HashMap<OrgName, SetUp> {
        let names: HashSet<OrgName> = upstreams.iter().map(|upstream| upstream.set_up.name.clone()).collect();
        for org in self.orgs.values().filter(|org| !names.contains(org.poller.name())) {
            self.tools.health.forget(org.poller.name());
        }
        let mut known = HashMap::new();
        for upstream in upstreams {
            let of = |name: &OrgName| *name == upstream.set_up.name;
            if let Some(org) = self.orgs.values_mut().find(|org| of(org.poller.name())) {
                org.client = upstream.client;
                known.insert(upstream.set_up.name.clone(), upstream.set_up);
            } else {
                self.add(upstream, now);
            }
        }
        known
    }
}
