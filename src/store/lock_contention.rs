//! Whether another program holds the write lock, and for how long the writer still waits for it.
//!
//! Guards: the writer waits for a minute at most, and for two seconds once the daemon stops. Deliberately not here: the
//! waiting itself (`group`), the daemon's own lock file (`lock`).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// How often the writer tries before a group of writes, or a start, fails. Each try waits one second
/// (`connection::WRITER_TIMEOUT`): a minute in all. An interactive session may hold a lock for that long without harm.
pub(super) const MAX_TRIES: u32 = 60;

/// How many seconds a stop waits for a lock that another program holds.
const TRIES_AT_STOP: u32 = 2;

/// Whether another program holds the lock, and whether it did so since the last check.
#[derive(Debug)]
pub(super) struct LockContention {
    now: AtomicBool,
    since_last_check: AtomicBool,
    /// Tries that are left for all writes, once the daemon stops.
    tries_left: AtomicU32,
    gave_up: AtomicBool,
}

impl Default for LockContention {
    fn default() -> Self {
        let (now, since_last_check, gave_up) =
            (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
        Self { now, since_last_check, tries_left: AtomicU32::new(u32::MAX), gave_up }
    }
}

impl LockContention {
    pub(super) fn begin(&self) {
        self.now.store(true, Ordering::Relaxed);
        self.since_last_check.store(true, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.now.store(false, Ordering::Relaxed);
    }

    /// Whether to try again after this many tries.
    pub(super) fn may_wait(&self, tries: u32) -> bool {
        match self.tries_left.load(Ordering::Relaxed) {
            u32::MAX => tries < MAX_TRIES,
            0 => {
                self.gave_up.store(true, Ordering::Relaxed);
                false
            }
            left => {
                self.tries_left.store(left - 1, Ordering::Relaxed);
                true
            }
        }
    }

    pub(super) fn limit_to_stop(&self) {
        self.tries_left.store(TRIES_AT_STOP, Ordering::Relaxed);
    }

    pub(super) fn gave_up(&self) -> bool {
        self.gave_up.load(Ordering::Relaxed)
    }

    pub(super) fn is_now(&self) -> bool {
        self.now.load(Ordering::Relaxed)
    }

    /// Whether the lock was held at any time since the last call; while it is held, every call returns true.
    pub(super) fn since_last_check(&self) -> bool {
        self.since_last_check.swap(self.is_now(), Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The watchdog once checked just after a lock was released, and reported the loops that had waited for it as
    /// hanging.
    #[test]
    fn a_lock_that_was_released_since_the_last_check_counts() {
        let contention = LockContention::default();
        assert!(!contention.since_last_check());
        contention.begin();
        assert!(contention.since_last_check() && contention.since_last_check(), "while it is held");
        contention.end();
        assert!(contention.since_last_check(), "it was held until a moment ago");
        assert!(!contention.since_last_check());
        contention.begin();
        contention.end();
        assert!(contention.since_last_check() && !contention.since_last_check(), "it was held in between");
    }
}
