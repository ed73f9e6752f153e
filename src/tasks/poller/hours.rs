//! Windows carried out: who may be looked at now, who is followed past the end of a window, and what is kept of it.
//!
//! Guards: nobody is looked at while their window is closed, but who was inside when it closed, until they leave or the
//! overtime is over; then presence is unknown and the visit stays open. Deliberately not here: when windows are open
//! (`policy::window`), where in them the next look falls (`policy::poll_time`).

use crate::tasks::poller::roster::UserKey;
use std::collections::HashSet;
use std::time::Duration;

use super::roster::Rhythm;
use super::{Done, Poller};
use crate::policy::poll_time;
use crate::policy::window::OpenTime;
use crate::presence::lifecycle;
use crate::store::gaps::Why;
use crate::store::{ClosedTime, StoreError};
use crate::time::Timestamp;

/// Where nothing is open for years, the next look is so far ahead that it never comes.
const NEVER: Duration = Duration::from_hours(24 * 366);
slotmap::new_key_type! {
    /// Hours that some users share, for as long as anybody has them.
    pub(super) struct HoursKey;
}

/// Hours that some people share.
#[derive(Debug)]
pub(super) struct Hours {
    pub(super) open: OpenTime,
    pub(super) is_open: bool,
    next_change: Option<Timestamp>,
    known_at: Timestamp,
}

impl Hours {
    fn new(open: OpenTime, now: Timestamp) -> Self {
        let always = open.is_always();
        let is_open = always || open.open_at(now);
        let next_change = if always { None } else { open.next_change(now) };
        Self { open, is_open, next_change, known_at: now }
    }
}

impl Poller {
    /// The key of these hours; users with the same windows share one.
    pub(super) fn hours_of(&mut self, open: &OpenTime, now: Timestamp) -> HoursKey {
        let known = self.hours.iter().find(|(_, hours)| hours.open == *open).map(|(key, _)| key);
        known.unwrap_or_else(|| self.hours.insert(Hours::new(open.clone(), now)))
    }

    /// Gives up the hours that no user has any more.
    pub(super) fn drop_unused_hours(&mut self) {
        let used: HashSet<HoursKey> = self.users.values().map(|watched| watched.hours).collect();
        self.hours.retain(|key, _| used.contains(&key));
    }

    /// Opens and closes what is due; returns when to be called again.
    pub(super) fn keep_hours(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.refresh_shares(now);
        let mut wake = None;
        for index in self.hours.keys().collect::<Vec<_>>() {
            let hours = &mut self.hours[index];
            // A clock that was set back makes what was known of the future worthless.
            let due = hours.next_change.is_some_and(|change| change <= now || now < hours.known_at);
            if due {
                let was_open = hours.is_open;
                *hours = Hours::new(hours.open.clone(), now);
                match (was_open, hours.is_open) {
                    (true, false) => self.closes(index, now),
                    (false, true) => self.opens(index, now),
                    _ => {}
                }
            }
            wake = super::earliest(wake, self.hours[index].next_change);
        }
        for person in self.followed.clone() {
            let watched = &self.users[person];
            match watched.overtime_until {
                Some(until) if until <= now && !watched.busy => self.let_go(person, now),
                Some(until) if until > now => wake = super::earliest(wake, Some(until)),
                // Busy: what ends it wakes the loop.
                _ => {}
            }
        }
        self.followed.retain(|person| self.users[*person].overtime_until.is_some());
        wake
    }

    fn opens(&mut self, index: HoursKey, now: Timestamp) {
        tracing::info!(people = self.sharing(index).count(), "a window opens");
        for person in self.sharing(index).collect::<Vec<_>>() {
            self.users[person].overtime_until = None;
        }
        for upstream in 0..self.upstreams.len() {
            if let Some(person) = self.sharing(index).find(|p| self.users[*p].upstream == upstream) {
                let due = now.plus(self.stale_after(person, now));
                self.upstreams[upstream].health.expect_look(due);
            }
        }
    }

    fn closes(&mut self, index: HoursKey, now: Timestamp) {
        tracing::info!(people = self.sharing(index).count(), "a window closes");
        self.note_closed(index, now);
        for person in self.sharing(index).collect::<Vec<_>>() {
            self.follow(person, now, now.plus(self.settings.overtime));
        }
        self.rest_where_closed();
    }

    /// Where nobody is to be looked at, no look is late.
    fn rest_where_closed(&self) {
        let mut awake = vec![false; self.upstreams.len()];
        for watched in self.users.values().filter(|watched| !watched.gone) {
            awake[watched.upstream] |= self.hours[watched.hours].is_open || watched.overtime_until.is_some();
        }
        for (upstream, _) in self.upstreams.iter().zip(awake).filter(|(_, awake)| !awake) {
            upstream.health.idle();
        }
    }

    /// Who is inside goes on being looked at until `until`.
    fn follow(&mut self, person: UserKey, now: Timestamp, until: Timestamp) {
        let watched = &mut self.users[person];
        if watched.belief.inside().next().is_none() {
            return;
        }
        watched.overtime_until = Some(until);
        self.followed.push(person);
        if !watched.busy {
            let due = watched.due;
            self.upstreams[watched.upstream].due.remove(due, person);
            let next =
                crate::policy::pace::next_poll_at(now, self.interval(person, now), self.users[person].phase);
            self.requeue(person, next);
        }
    }

    /// The overtime is over: presence is unknown from now on, the visit stays open.
    fn let_go(&mut self, person: UserKey, now: Timestamp) {
        let at = self.users[person].upstream;
        tracing::debug!(org = %self.upstreams[at].name, person = self.users[person].person_id, "no longer followed past the window");
        let watched = &mut self.users[person];
        watched.overtime_until = None;
        let due = watched.due;
        let inside = watched.belief.inside().next().is_some();
        let outcome =
            lifecycle::close_window(&watched.belief, now, &watched.who.card(), self.tools.store.source());
        self.upstreams[watched.upstream].due.remove(due, person);
        let next = self.next_regular(person, now);
        if inside {
            self.record_outcome(person, outcome, next);
        } else {
            self.requeue(person, next);
        }
        self.rest_where_closed();
    }

    /// At the start: whose window closed while nobody watched is followed or let go like everybody else.
    pub(super) fn catch_up_with_hours(&mut self, now: Timestamp) {
        for index in self.hours.keys().collect::<Vec<_>>() {
            if self.hours[index].is_open {
                continue;
            }
            self.note_closed(index, now);
            for person in self.sharing(index).collect::<Vec<_>>() {
                let watched = &self.users[person];
                let known = watched.belief.presence() == crate::presence::user_state::Presence::Inside;
                let seen = watched.belief.last_poll().unwrap_or(now);
                if known {
                    self.follow(person, now, seen.plus(self.settings.overtime));
                }
            }
        }
        self.rest_where_closed();
    }

    /// Keeps that these hours are closed until they open: one row for an organisation whose people share them all.
    fn note_closed(&mut self, index: HoursKey, now: Timestamp) {
        let open = &self.hours[index].open;
        let Some(opens) = open.opens_at(now) else { return };
        let why = if open.is_day_off(now) { Why::Blackout } else { Why::WindowClosed };
        let mut rows = Vec::new();
        for (of, upstream) in self.upstreams.iter().enumerate() {
            let row = |person| ClosedTime { org: upstream.name.clone(), person, from: now, to: opens, why };
            let mut members =
                self.users.values().filter(|watched| watched.upstream == of && !watched.gone).peekable();
            if members.peek().is_none() {
                continue;
            }
            if members.clone().all(|watched| watched.hours == index) {
                rows.push(row(None));
            } else {
                let mine = members.filter(|watched| watched.hours == index);
                rows.extend(mine.map(|watched| row(Some(watched.person_id))));
            }
        }
        if rows.is_empty() {
            return;
        }
        let store = self.tools.store.clone();
        self.running.start(async move { Done::Noted { result: store.gaps().note_closed(rows).await } });
    }

    pub(super) fn noted(&self, result: &Result<(), StoreError>) {
        if let Err(error) = result {
            self.database_failed(error);
        }
    }

    fn sharing(&self, index: HoursKey) -> impl Iterator<Item = UserKey> + '_ {
        self.users
            .iter()
            .filter(move |(_, watched)| watched.hours == index && !watched.gone)
            .map(|(user, _)| user)
    }

    /// Whether somebody may be looked at now.
    pub(super) fn may_look(&self, person: UserKey) -> bool {
        let watched = &self.users[person];
        self.hours[watched.hours].is_open || watched.overtime_until.is_some()
    }

    /// `next`, moved into open time where it is not, unless they are followed past it.
    pub(super) fn moved_into_hours(&mut self, person: UserKey, next: Timestamp) -> Timestamp {
        let watched = &mut self.users[person];
        let hours = &self.hours[watched.hours];
        if hours.open.is_always() {
            return next;
        }
        if watched.overtime_until.is_some() {
            if watched.belief.inside().next().is_some() {
                return next;
            }
            watched.overtime_until = None;
        }
        if hours.open.open_at(next) {
            return next;
        }
        let watched = &self.users[person];
        let (phase, now) = (watched.phase, self.tools.clock.now());
        let moved = match &watched.rhythm {
            Rhythm::At(cron) => {
                poll_time::at_instants(next, cron, self.settings.time_zone, phase, &hours.open)
            }
            _ => poll_time::within_hours(next, self.interval(person, now), phase, &hours.open),
        };
        moved.unwrap_or_else(|| next.plus(NEVER))
    }

    /// The next look that is nobody's fault.
    pub(super) fn next_regular(&mut self, person: UserKey, now: Timestamp) -> Timestamp {
        let watched = &self.users[person];
        if watched.overtime_until.is_some() {
            return crate::policy::pace::next_poll_at(now, self.interval(person, now), watched.phase);
        }
        match self.next_paced(person, now) {
            Some(next) => next,
            None => self.next_even(person, now),
        }
    }

    /// The same where no rule chooses: in even steps, or at instants.
    pub(super) fn next_even(&self, person: UserKey, now: Timestamp) -> Timestamp {
        let watched = &self.users[person];
        let (open, phase) = (&self.hours[watched.hours].open, watched.phase);
        let next = match &watched.rhythm {
            Rhythm::Auto => poll_time::paced(now, self.interval(person, now), phase, open),
            Rhythm::Every(interval) => poll_time::every(now, *interval, phase, open),
            Rhythm::At(cron) => poll_time::at_instants(now, cron, self.settings.time_zone, phase, open),
        };
        next.unwrap_or_else(|| now.plus(NEVER))
    }

    /// How far apart two looks are, as far as can be said; of instants, the next two.
    pub(super) fn interval(&self, person: UserKey, now: Timestamp) -> Duration {
        let watched = &self.users[person];
        match &watched.rhythm {
            Rhythm::Every(interval) => *interval,
            Rhythm::At(cron) => {
                let zone = self.settings.time_zone;
                let next = cron.next_after(now, zone);
                let following = next.and_then(|next| cron.next_after(next, zone));
                next.zip(following).map_or(NEVER, |(a, b)| b.since(a))
            }
            Rhythm::Auto => self.even(watched.upstream, now),
        }
    }

    /// For how long somebody should have been seen well and was not: open time only, and for instants from the one on
    /// that was missed.
    pub(super) fn silent_for(&self, person: UserKey, last_ok: Timestamp, now: Timestamp) -> Duration {
        let watched = &self.users[person];
        let open = &self.hours[watched.hours].open;
        if let Rhythm::At(cron) = &watched.rhythm {
            let zone = self.settings.time_zone;
            let expected = poll_time::at_instants(last_ok, cron, zone, watched.phase, open);
            return expected.map_or(Duration::ZERO, |expected| now.since(expected));
        }
        if open.is_always() { now.since(last_ok) } else { open.open_between(last_ok, now) }
    }
}
