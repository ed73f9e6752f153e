//! Applies windows: which users may be polled now, who is polled past the end of a window, and what the history stores
//! of closed time.
//!
//! Guards: a user is not polled while the window is closed, except a user who was inside when it closed, until the user
//! leaves or the overtime ends; then presence is unknown and the visit stays open. Not here: when windows are open
//! (`policy::window`), where in them the next poll falls (`policy`).

use std::collections::HashSet;

use super::effects::Work;
use super::roster::{UserKey, WatchedUser, WindowKey};
use super::settings::earliest;
use super::state::OrgState;
use super::windows::Turn;
use super::{queue, record, schedule, share};
use crate::presence::lifecycle;
use crate::store::ClosedTime;
use crate::store::gaps::Why;
use crate::time::Timestamp;

/// Removes windows that no user has any more.
pub(super) fn drop_unused_windows(org: &mut OrgState) {
    let used: HashSet<WindowKey> = org.users.values().map(|watched| watched.window).collect();
    org.windows.retain(&used);
}

/// Opens and closes windows that are due; returns when to call it again.
pub(super) fn update_windows(org: &mut OrgState, now: Timestamp) -> Option<Timestamp> {
    share::refresh_share(org, now);
    let (turns, mut wake) = org.windows.turn(now);
    for turn in turns {
        match turn {
            Turn::Opened(key) => opens(org, key, now),
            Turn::Closed(key) => closes(org, key, now),
        }
    }
    for user in org.windows.followed() {
        let watched = &org.users[user];
        match watched.overtime_until {
            Some(until) if until <= now && !watched.busy => end_overtime(org, user, now),
            Some(until) if until > now => wake = earliest(wake, Some(until)),
            // Busy: its end wakes the loop.
            _ => {}
        }
    }
    let users = &org.users;
    org.windows.retain_followed(|user| users[user].overtime_until.is_some());
    wake
}

fn opens(org: &mut OrgState, index: WindowKey, now: Timestamp) {
    tracing::info!(org = %org.name, users = sharing(org, index).count(), "a window opens; its users are polled");
    for user in sharing(org, index).collect::<Vec<_>>() {
        org.users[user].overtime_until = None;
    }
    if let Some(user) = sharing(org, index).next() {
        let due = now.plus(schedule::stale_after(org, user, now));
        org.health.expect_look(due);
    }
}

fn closes(org: &mut OrgState, index: WindowKey, now: Timestamp) {
    tracing::info!(
        org = %org.name,
        users = sharing(org, index).count(),
        "a window closes; its users are not polled until it opens"
    );
    note_closed(org, index, now);
    for user in sharing(org, index).collect::<Vec<_>>() {
        follow(org, user, now, now.plus(org.settings.overtime));
    }
    mark_idle(org);
}

/// No poll is late where no user may be polled.
fn mark_idle(org: &OrgState) {
    let is_awake = |one: &WatchedUser| org.windows.is_open(one.window) || one.overtime_until.is_some();
    if !org.users.values().any(|watched| !watched.gone && is_awake(watched)) {
        org.health.idle();
    }
}

/// Continues to poll a user who is inside until `until`.
fn follow(org: &mut OrgState, user: UserKey, now: Timestamp, until: Timestamp) {
    let watched = &mut org.users[user];
    if watched.state.inside().next().is_none() {
        return;
    }
    watched.overtime_until = Some(until);
    org.windows.follow(user);
    if !watched.busy {
        let due = watched.due;
        org.due.remove(due, user);
        let next =
            crate::policy::pace::next_poll_at(now, schedule::interval(org, user, now), org.users[user].phase);
        queue::requeue(org, user, next);
    }
}

/// Ends the overtime: presence is unknown from now on, the visit stays open.
fn end_overtime(org: &mut OrgState, user: UserKey, now: Timestamp) {
    tracing::debug!(org = %org.name, user = org.users[user].person_id, "overtime ended; no longer polled past the window");
    let watched = &mut org.users[user];
    watched.overtime_until = None;
    let due = watched.due;
    let inside = watched.state.inside().next().is_some();
    let outcome = lifecycle::close_window(&watched.state, now, &watched.info.card(), &org.tools.source);
    org.due.remove(due, user);
    let next = schedule::next_regular(org, user, now);
    if inside {
        record::record_outcome(org, user, outcome, next);
    } else {
        queue::requeue(org, user, next);
    }
    mark_idle(org);
}

/// At the start: applies the windows that closed while the daemon was down.
pub(super) fn restore_overtime(org: &mut OrgState, now: Timestamp) {
    for index in org.windows.closed() {
        note_closed(org, index, now);
        for user in sharing(org, index).collect::<Vec<_>>() {
            let watched = &org.users[user];
            let known = watched.state.presence() == crate::presence::user_state::Presence::Inside;
            let seen = watched.state.last_poll().unwrap_or(now);
            if known {
                follow(org, user, now, seen.plus(org.settings.overtime));
            }
        }
    }
    mark_idle(org);
}

/// Stores that these windows are closed until they open: one row for an organisation whose users share them all.
fn note_closed(org: &mut OrgState, index: WindowKey, now: Timestamp) {
    let open = org.windows.times(index);
    let Some(opens) = open.opens_at(now) else { return };
    let why = if open.is_day_off(now) { Why::Blackout } else { Why::WindowClosed };
    let name = &org.name;
    let row = |person| ClosedTime { org: name.clone(), person, from: now, to: opens, why };
    let members = || org.users.values().filter(|watched| !watched.gone);
    let mine = members().filter(|watched| watched.window == index);
    let rows: Vec<ClosedTime> = if members().next().is_none() {
        return;
    } else if members().all(|watched| watched.window == index) {
        vec![row(None)]
    } else {
        mine.map(|watched| row(Some(watched.person_id))).collect()
    };
    if !rows.is_empty() {
        org.start_work(Work::NoteClosed(rows));
    }
}

fn sharing(org: &OrgState, index: WindowKey) -> impl Iterator<Item = UserKey> + '_ {
    org.users
        .iter()
        .filter(move |(_, watched)| watched.window == index && !watched.gone)
        .map(|(user, _)| user)
}
