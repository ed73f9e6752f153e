//! What the black-box tests stand on: a DingTalk that is not the built-in simulator, a receiver, and the binary itself.
//!
//! Guards: every wait is for something that happens (a call, a delivery, an exit) with a limit, never for time to pass.
//! Deliberately not here: anything of the crate under test.

pub(crate) mod daemon;
pub(crate) mod fake;
pub(crate) mod http;
pub(crate) mod loopback;
pub(crate) mod receiver;
pub(crate) mod said;

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest any single wait may take. Far more than is needed; a test that meets it has failed.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// A value that can be waited for.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    /// Looks or changes, and tells everybody who waits.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.lock();
        let result = act(&mut value);
        self.changed.notify_all();
        result
    }

    /// Waits until `ready` gives something.
    #[track_caller]
    pub(crate) fn until<R>(&self, what: &str, mut ready: impl FnMut(&mut T) -> Option<R>) -> R {
        let mut value = self.lock();
        loop {
            if let Some(result) = ready(&mut value) {
                return result;
            }
            let (guard, wait) =
                self.changed.wait_timeout(value, LIMIT).unwrap_or_else(PoisonError::into_inner);
            value = guard;
            assert!(!wait.timed_out(), "waited {} s in vain for: {what}", LIMIT.as_secs());
        }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
