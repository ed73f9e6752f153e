//! Applies windows: which users may be polled now, who is polled past the end of a window, and what the history stores
//! of closed time.
//!
//! Guards: a user is not polled while the window is closed, except a user who was inside when it closed, until the user
//! leaves or the overtime ends; then presence is unknown and the visit stays open. Not here: when windows are open
//! (`policy::window`), where in them the next poll falls (`policy`).

use crate::tasks::poller::roster::UserKey;
use std::collections::HashSet;
use std::time::Duration;

use super::effects::Work;
use super::org::OrgPoller;
use super::roster::{PollSchedule, WatchedUser, WindowKey};
use super::settings::earliest;
use crate::policy::poll_time;
use crate::policy::window::OpenTime;
use crate::presence::lifecycle;
use crate::store::ClosedTime;
use crate::store::gaps::Why;
use crate::time::Timestamp;

/// The delay of the next poll where no window opens for years.
const NEVER: Duration = Duration::from_hours(24 * 366);

/// Windows that users share.
#[derive(Debug)]
pub(super) struct OpenWindow {
    pub(super) open: OpenTime,
    pub(super) is_open: bool,
    next_change: Option<Timestamp>,
    known_at: Timestamp,
}

impl OpenWindow {
    fn new(open: OpenTime, now: Timestamp) -> Self {
        let always = open.is_always();
        let is_open = always || open.open_at(now);
        let next_change = if always { None } else { open.next_change(now) };
        Self { open, is_open, next_change, known_at: now }
    }
}

impl OrgPoller {
    /// The key of these windows; users with the same windows share one.
    pub(super) fn window_key(&mut self, open: &OpenTime, now: Timestamp) -> WindowKey {
        let known = self.windows.iter().find(|(_, window)| window.open == *open).map(|(key, _)| key);
        known.unwrap_or_else(|| self.windows.insert(OpenWindow::new(open.clone(), now)))
    }

    /// Removes windows that no user has any more.
    pub(super) fn drop_unused_windows(&mut self) {
        let used: HashSet<WindowKey> = self.users.values().map(|watched| watched.window).collect();
        self.windows.retain(|key, _| used.contains(&key));
    }

    /// Opens and closes windows that are due; returns when to call it again.
    pub(super) fn update_windows(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.refresh_share(now);
        let mut wake = None;
        for index in self.windows.keys().collect::<Vec<_>>() {
            let window = &mut self.windows[index];
            // After the clock was set back the known next change is invalid.
            let due = window.next_change.is_some_and(|change| change <= now || now < window.known_at);
            if due {
                let was_open = window.is_open;
                *window = OpenWindow::new(window.open.clone(), now);
                match (was_open, window.is_open) {
                    (true, false) => self.closes(index, now),
                    (false, true) => self.opens(index, now),
                    _ => {}
                }
            }
            wake = earliest(wake, self.windows[index].next_change);
        }
        for user in self.followed.clone() {
            let watched = &self.users[user];
            match watched.overtime_until {
                Some(until) if until <= now && !watched.busy => self.end_overtime(user, now),
                Some(until) if until > now => wake = earliest(wake, Some(until)),
                // Busy: its end wakes the loop.
                _ => {}
            }
        }
        self.followed.retain(|user| self.users[*user].overtime_until.is_some());
        wake
    }

    fn opens(&mut self, index: WindowKey, now: Timestamp) {
        tracing::info!(org = %self.upstream.name, users = self.sharing(index).count(), "a window opens; its users are polled");
        for user in self.sharing(index).collect::<Vec<_>>() {
            self.users[user].overtime_until = None;
        }
        if let Some(user) = self.sharing(index).next() {
            let due = now.plus(self.stale_after(user, now));
            self.upstream.health.expect_look(due);
        }
    }

    fn closes(&mut self, index: WindowKey, now: Timestamp) {
        tracing::info!(
            org = %self.upstream.name,
            users = self.sharing(index).count(),
            "a window closes; its users are not polled until it opens"
        );
        self.note_closed(index, now);
        for user in self.sharing(index).collect::<Vec<_>>() {
            self.follow(user, now, now.plus(self.settings.overtime));
        }
        self.mark_idle();
    }

    /// No poll is late where no user may be polled.
    fn mark_idle(&self) {
        let is_awake = |one: &WatchedUser| self.windows[one.window].is_open || one.overtime_until.is_some();
        if !self.users.values().any(|watched| !watched.gone && is_awake(watched)) {
            self.upstream.health.idle();
        }
    }

    /// Continues to poll a user who is inside until `until`.
    fn follow(&mut self, user: UserKey, now: Timestamp, until: Timestamp) {
        let watched = &mut self.users[user];
        if watched.state.inside().next().is_none() {
            return;
        }
        watched.overtime_until = Some(until);
        self.followed.push(user);
        if !watched.busy {
            let due = watched.due;
            self.upstream.due.remove(due, user);
            let next =
                crate::policy::pace::next_poll_at(now, self.interval(user, now), self.users[user].phase);
            self.requeue(user, next);
        }
    }

    /// Ends the overtime: presence is unknown from now on, the visit stays open.
    fn end_overtime(&mut self, user: UserKey, now: Timestamp) {
        tracing::debug!(org = %self.upstream.name, user = self.users[user].person_id, "overtime ended; no longer polled past the window");
        let watched = &mut self.users[user];
        watched.overtime_until = None;
        let due = watched.due;
        let inside = watched.state.inside().next().is_some();
        let outcome = lifecycle::close_window(&watched.state, now, &watched.info.card(), &self.tools.source);
        self.upstream.due.remove(due, user);
        let next = self.next_regular(user, now);
        if inside {
            self.record_outcome(user, outcome, next);
        } else {
            self.requeue(user, next);
        }
        self.mark_idle();
    }

    /// At the start: applies the windows that closed while the daemon was down.
    pub(super) fn restore_overtime(&mut self, now: Timestamp) {
        for index in self.windows.keys().collect::<Vec<_>>() {
            if self.windows[index].is_open {
                continue;
            }
            self.note_closed(index, now);
            for user in self.sharing(index).collect::<Vec<_>>() {
                let watched = &self.users[user];
                let known = watched.state.presence() == crate::presence::user_state::Presence::Inside;
                let seen = watched.state.last_poll().unwrap_or(now);
                if known {
                    self.follow(user, now, seen.plus(self.settings.overtime));
                }
            }
        }
        self.mark_idle();
    }

    /// Stores that these windows are closed until they open: one row for an organisation whose users share them all.
    fn note_closed(&mut self, index: WindowKey, now: Timestamp) {
        let open = &self.windows[index].open;
        let Some(opens) = open.opens_at(now) else { return };
        let why = if open.is_day_off(now) { Why::Blackout } else { Why::WindowClosed };
        let org = &self.upstream.name;
        let row = |person| ClosedTime { org: org.clone(), person, from: now, to: opens, why };
        let members = || self.users.values().filter(|watched| !watched.gone);
        let mine = members().filter(|watched| watched.window == index);
        let rows: Vec<ClosedTime> = if members().next().is_none() {
            return;
        } else if members().all(|watched| watched.window == index) {
            vec![row(None)]
        } else {
            mine.map(|watched| row(Some(watched.person_id))).collect()
        };
        if !rows.is_empty() {
            self.start_work(Work::NoteClosed(rows));
        }
    }

    fn sharing(&self, index: WindowKey) -> impl Iterator<Item = UserKey> + '_ {
        self.users
            .iter()
            .filter(move |(_, watched)| watched.window == index && !watched.gone)
            .map(|(user, _)| user)
    }

    /// Whether a user may be polled now.
    pub(super) fn may_poll(&self, user: UserKey) -> bool {
        let watched = &self.users[user];
        self.windows[watched.window].is_open || watched.overtime_until.is_some()
    }

    /// Moves `next` into open time, unless the user is polled past the window.
    pub(super) fn moved_into_window(&mut self, user: UserKey, next: Timestamp) -> Timestamp {
        let watched = &mut self.users[user];
        let window = &self.windows[watched.window];
        if window.open.is_always() {
            return next;
        }
        if watched.overtime_until.is_some() {
            if watched.state.inside().next().is_some() {
                return next;
            }
            watched.overtime_until = None;
        }
        if window.open.open_at(next) {
            return next;
        }
        let watched = &self.users[user];
        let (phase, now) = (watched.phase, self.now);
        let moved = match &watched.schedule {
            PollSchedule::At(cron) => {
                poll_time::at_instants(next, cron, self.settings.time_zone, phase, &window.open)
            }
            _ => poll_time::within_hours(next, self.interval(user, now), phase, &window.open),
        };
        moved.unwrap_or_else(|| next.plus(NEVER))
    }

    /// The next poll after a good one.
    pub(super) fn next_regular(&mut self, user: UserKey, now: Timestamp) -> Timestamp {
        let watched = &self.users[user];
        if watched.overtime_until.is_some() {
            return crate::policy::pace::next_poll_at(now, self.interval(user, now), watched.phase);
        }
        match self.next_paced(user, now) {
            Some(next) => next,
            None => self.next_even(user, now),
        }
    }

    /// The same without the pacing rule: at even intervals, or at cron instants.
    pub(super) fn next_even(&self, user: UserKey, now: Timestamp) -> Timestamp {
        let watched = &self.users[user];
        let (open, phase) = (&self.windows[watched.window].open, watched.phase);
        let next = match &watched.schedule {
            PollSchedule::Auto => poll_time::paced(now, self.interval(user, now), phase, open),
            PollSchedule::Every(interval) => poll_time::every(now, *interval, phase, open),
            PollSchedule::At(cron) => poll_time::at_instants(now, cron, self.settings.time_zone, phase, open),
        };
        next.unwrap_or_else(|| now.plus(NEVER))
    }

    /// The interval between two polls; for cron expressions that of the next two instants.
    pub(super) fn interval(&self, user: UserKey, now: Timestamp) -> Duration {
        let watched = &self.users[user];
        match &watched.schedule {
            PollSchedule::Every(interval) => *interval,
            PollSchedule::At(cron) => {
                let zone = self.settings.time_zone;
                let next = cron.next_after(now, zone);
                let following = next.and_then(|next| cron.next_after(next, zone));
                next.zip(following).map_or(NEVER, |(a, b)| b.since(a))
            }
            PollSchedule::Auto => self.even(now),
        }
    }

    /// For how long a good poll has been missing: open time only, and for cron expressions from the first missed
    /// instant.
    pub(super) fn silent_for(&self, user: UserKey, last_ok: Timestamp, now: Timestamp) -> Duration {
        let watched = &self.users[user];
        let open = &self.windows[watched.window].open;
        if let PollSchedule::At(cron) = &watched.schedule {
            let zone = self.settings.time_zone;
            let expected = poll_time::at_instants(last_ok, cron, zone, watched.phase, open);
            return expected.map_or(Duration::ZERO, |expected| now.since(expected));
        }
        if open.is_always() { now.since(last_ok) } else { open.open_between(last_ok, now) }
    }
}
