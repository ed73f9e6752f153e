//! The windows of an organisation's users: which are open, until when that is known, and who is polled past an end.
//!
//! Guards: users with the same windows share them. Not here: what opening and closing changes (`open_windows`), when
//! windows are open (`policy::window`).

use std::collections::HashSet;

use slotmap::SlotMap;

use super::roster::{UserKey, WindowKey};
use super::settings::earliest;
use crate::policy::window::OpenTime;
use crate::time::Timestamp;

/// Each distinct set of windows once.
#[derive(Debug, Default)]
pub(super) struct OpenWindows {
    sets: SlotMap<WindowKey, WindowSet>,
    /// Users who are polled past the end of their windows.
    followed: Vec<UserKey>,
}

#[derive(Debug)]
struct WindowSet {
    times: OpenTime,
    is_open: bool,
    next_change: Option<Timestamp>,
    known_at: Timestamp,
}

/// Windows that have just opened or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Opened(WindowKey),
    Closed(WindowKey),
}

impl WindowSet {
    fn new(times: OpenTime, now: Timestamp) -> Self {
        let always = times.is_always();
        let is_open = always || times.open_at(now);
        let next_change = if always { None } else { times.next_change(now) };
        Self { times, is_open, next_change, known_at: now }
    }
}

impl OpenWindows {
    /// The key of these windows.
    pub(super) fn key(&mut self, times: &OpenTime, now: Timestamp) -> WindowKey {
        let known = self.sets.iter().find(|(_, set)| set.times == *times).map(|(key, _)| key);
        known.unwrap_or_else(|| self.sets.insert(WindowSet::new(times.clone(), now)))
    }

    /// Removes the windows that are not among these.
    pub(super) fn retain(&mut self, used: &HashSet<WindowKey>) {
        self.sets.retain(|key, _| used.contains(&key));
    }

    /// When they are open.
    pub(super) fn times(&self, key: WindowKey) -> &OpenTime {
        &self.sets[key].times
    }

    pub(super) fn is_open(&self, key: WindowKey) -> bool {
        self.sets[key].is_open
    }

    /// The windows that are closed.
    pub(super) fn closed(&self) -> Vec<WindowKey> {
        self.sets.iter().filter(|(_, set)| !set.is_open).map(|(key, _)| key).collect()
    }

    /// The windows that opened or closed since the last call, and when it is to be called again.
    pub(super) fn turn(&mut self, now: Timestamp) -> (Vec<Turn>, Option<Timestamp>) {
        let (mut turns, mut wake) = (Vec::new(), None);
        for (key, set) in &mut self.sets {
            // After the clock was set back the known next change is invalid.
            if set.next_change.is_some_and(|change| change <= now || now < set.known_at) {
                let was_open = set.is_open;
                *set = WindowSet::new(set.times.clone(), now);
                match (was_open, set.is_open) {
                    (true, false) => turns.push(Turn::Closed(key)),
                    (false, true) => turns.push(Turn::Opened(key)),
                    _ => {}
                }
            }
            wake = earliest(wake, set.next_change);
        }
        (turns, wake)
    }

    /// The user is polled past the end.
    pub(super) fn follow(&mut self, user: UserKey) {
        self.followed.push(user);
    }

    /// Users who are polled past the end.
    pub(super) fn followed(&self) -> Vec<UserKey> {
        self.followed.clone()
    }

    /// Only these users are still polled past the end.
    pub(super) fn retain_followed(&mut self, is_followed: impl Fn(UserKey) -> bool) {
        self.followed.retain(|user| is_followed(*user));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::policy::civil::tests::at;
    use crate::policy::window::Window;

    fn office() -> OpenTime {
        let window = Window {
            days: [true, true, true, true, true, false, false],
            from_minute: 9 * 60,
            to_minute: 18 * 60,
            time_zone: chrono_tz::Tz::Asia__Shanghai,
        };
        OpenTime::new(Some(vec![window]), Vec::new())
    }

    #[test]
    fn the_same_windows_are_kept_once_and_unused_ones_not_at_all() {
        let (mut windows, now) = (OpenWindows::default(), at("2026-11-23T02:00:00Z"));
        let key = windows.key(&office(), now);
        let always = windows.key(&OpenTime::new(None, Vec::new()), now);
        assert_eq!(windows.key(&office(), now), key);
        assert!(windows.is_open(key) && windows.is_open(always));
        windows.retain(&HashSet::from([key]));
        assert_eq!((windows.closed(), windows.sets.len()), (Vec::new(), 1));
    }

    #[test]
    fn windows_turn_once_and_also_after_the_clock_was_set_back() {
        // Monday, ten in the morning in Shanghai.
        let (mut windows, monday) = (OpenWindows::default(), at("2026-11-23T02:00:00Z"));
        let key = windows.key(&office(), monday);
        let evening = monday.plus(Duration::from_hours(8));
        assert_eq!(windows.turn(monday), (Vec::new(), Some(evening)));
        assert_eq!(windows.turn(evening).0, [Turn::Closed(key)]);
        assert_eq!(windows.turn(evening).0, []);
        assert_eq!(windows.closed(), [key]);
        assert_eq!(windows.turn(monday).0, [Turn::Opened(key)]);
    }
}
