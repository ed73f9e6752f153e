//! Noticing that nobody looked: people without a good look for too long; and looks that the operator asks for.
//!
//! Guards: presence becomes unknown instead of staying wrong. Deliberately not here: what an event about it says
//! (`presence`).

use crate::tasks::poller::roster::UserKey;
use std::time::Duration;

use super::Poller;
use super::ask::Call;
use super::report::LookNow;
use crate::policy::quota::{Refusal, Ticket};
use crate::presence::lifecycle;
use crate::time::Timestamp;

/// How often staleness is looked for; a small part of the shortest automatic bound.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// The shortest automatic bound.
const AT_LEAST: Duration = Duration::from_mins(5);

impl Poller {
    /// After how long without a good look somebody's presence is unknown.
    pub(super) fn stale_after(&self, person: UserKey, now: Timestamp) -> Duration {
        self.settings.stale_after.unwrap_or_else(|| {
            let interval = self.interval(person, now);
            // Who is paced is not late before the look that was planned for them.
            let planned = self.planned_gap(person).map(|gap| gap + (interval * 2).max(AT_LEAST));
            (interval * 3).max(AT_LEAST).max(planned.unwrap_or_default())
        })
    }

    /// Declares unknown who has not been seen well for too long; returns when to check again.
    pub(super) fn check_stale(&mut self, now: Timestamp) -> Timestamp {
        if now < self.next_stale_check {
            return self.next_stale_check;
        }
        let every = self
            .settings
            .stale_after
            .map_or(CHECK_EVERY, |bound| (bound / 4).clamp(super::TICK, CHECK_EVERY));
        self.next_stale_check = now.plus(every);
        for person in self.user_keys() {
            let watched = &self.users[person];
            let Some(last_ok) = self.last_seen(person).filter(|_| !watched.busy && !watched.stale) else {
                continue;
            };
            if !self.may_look(person) {
                continue; // only open time counts
            }
            let bound = self.stale_after(person, now);
            if now.since(last_ok) <= bound || self.silent_for(person, last_ok, now) <= bound {
                continue;
            }
            let watched = &mut self.users[person];
            watched.stale = true;
            let due = watched.due;
            let outcome =
                lifecycle::stale(&watched.belief, now, &watched.who.card(), self.tools.store.source());
            self.upstreams[watched.upstream].due.remove(due, person);
            self.record_outcome(person, outcome, due);
        }
        self.next_stale_check
    }

    /// A look that the operator asked for: at once, outside the queue, but under the month's calls.
    pub(super) fn look_now(&mut self, request: LookNow) {
        match self.startable(&request.who) {
            // What is under way ends soon, and then it is this one's turn.
            Err(NotNow::Soon) if !self.running.is_empty() => self.waiting_looks.push(request),
            Err(NotNow::Soon) => drop(request.reply.send(Err("it cannot be looked at just now".to_owned()))),
            Ok((person, ticket)) => {
                let now = self.tools.clock.now();
                let watched = &self.users[person];
                let (due, suspect) = (watched.due, watched.failures > 0);
                self.upstreams[watched.upstream].due.remove(due, person);
                self.ask(Call { person, suspect, ticket, manual: Some(request), began: now }, now);
            }
            // Nobody listening any more means nobody to tell.
            Err(NotNow::Because(reason)) => drop(request.reply.send(Err(reason))),
        }
    }

    /// Looks that had to wait for something under way.
    pub(super) fn retry_waiting_looks(&mut self) {
        for request in std::mem::take(&mut self.waiting_looks) {
            self.look_now(request);
        }
    }

    fn startable(&mut self, who: &str) -> Result<(UserKey, Ticket), NotNow> {
        let now = self.tools.clock.now();
        let matches = |w: &super::roster::Watched| {
            !w.gone && (w.who.identity.union_id.as_str() == who || w.who.name() == who)
        };
        let mut found = self.users.iter().filter(|(_, watched)| matches(watched));
        let Some((person, watched)) = found.next() else {
            let text = format!("nobody on the watch list has the unionId or name `{who}`");
            return Err(NotNow::Because(text));
        };
        if found.next().is_some() {
            let text = format!("several people on the watch list match `{who}`: use the unionId");
            return Err(NotNow::Because(text));
        }
        if watched.busy {
            return Err(NotNow::Soon);
        }
        let index = watched.upstream;
        let upstream = &mut self.upstreams[index];
        if upstream.standing.open.is_some() && upstream.in_flight > 0 {
            // A probe is under way already.
            return Err(NotNow::Soon);
        }
        // The operator's poll is a probe: whatever the calls failed for, it may be over.
        upstream.probe_now(now);
        if upstream.is_month_spent() {
            upstream.budget.resume();
        }
        match upstream.budget.try_take(now) {
            Ok(ticket) => Ok((person, ticket)),
            Err(Refusal::SpentUntil(until)) => {
                let text = format!("the month's calls are spent; there are new ones from {until} on");
                Err(NotNow::Because(text))
            }
            Err(Refusal::ReserveFirst) => {
                self.reserve(index, now);
                Err(NotNow::Soon)
            }
        }
    }
}

/// Why somebody is not looked at at once.
enum NotNow {
    /// Something under way has to end first.
    Soon,
    /// For a reason that does not pass by itself.
    Because(String),
}
