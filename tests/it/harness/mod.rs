//! What the black-box tests stand on: a DingTalk that is not the built-in simulator, a receiver, and the binary itself.
//!
//! Guards: every wait is for something that happens (a call, a delivery, an exit) with a limit, never for time to pass; a
//! wait in which much happens and never the right thing has one too. Deliberately not here: anything of the crate under
//! test.

pub(crate) mod daemon;
pub(crate) mod fake;
pub(crate) mod http;
pub(crate) mod loopback;
pub(crate) mod receiver;
pub(crate) mod said;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest in which nothing may happen. Far more than is needed; a test that meets it has failed.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);
/// The longest any single wait may take, whatever happens meanwhile.
pub(crate) const LAST: Duration = Duration::from_mins(5);

/// How long one wait lasts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    ends: Instant,
}

impl Patience {
    #[expect(clippy::disallowed_methods, reason = "how long this machine is waited for is its own time")]
    pub(crate) fn of(length: Duration) -> Self {
        Self { ends: Instant::now() + length }
    }

    /// How long to wait for the next thing to happen; nothing: long enough.
    #[expect(clippy::disallowed_methods, reason = "how long this machine is waited for is its own time")]
    pub(crate) fn left(self) -> Option<Duration> {
        let left = self.ends.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left.min(LIMIT))
    }
}

/// A value that can be waited for.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T: fmt::Debug> Watched<T> {
    /// Looks or changes, and tells everybody who waits.
    pub(crate) fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.lock();
        let result = act(&mut value);
        self.changed.notify_all();
        result
    }

    /// Waits until `ready` gives something.
    #[track_caller]
    pub(crate) fn until<R>(&self, what: &str, ready: impl FnMut(&mut T) -> Option<R>) -> R {
        self.until_at_last(Patience::of(LAST), what, ready)
    }

    #[track_caller]
    fn until_at_last<R>(
        &self,
        patience: Patience,
        what: &str,
        mut ready: impl FnMut(&mut T) -> Option<R>,
    ) -> R {
        let (mut value, mut quiet) = (self.lock(), false);
        loop {
            if let Some(result) = ready(&mut value) {
                return result;
            }
            let left = patience.left().filter(|_| !quiet);
            let Some(left) = left else {
                let last = format!("{:?}", *value);
                // Whoever waits beside this one goes on.
                drop(value);
                let why = if quiet { "nothing happened any more" } else { "much happened" };
                panic!("waited in vain for: {what}; {why}, and in the end there was: {last}");
            };
            let (guard, wait) =
                self.changed.wait_timeout(value, left).unwrap_or_else(PoisonError::into_inner);
            (value, quiet) = (guard, wait.timed_out() && left == LIMIT);
        }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[test]
fn a_wait_in_which_much_happens_and_never_the_right_thing_ends_and_shows_the_last() {
    let watched = Watched::<u64>::default();
    let stop = AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                watched.with(|value| *value = (*value).max(40) + 2);
            }
        });
        // Long enough for something to happen.
        watched.until("anything", |value| (*value > 0).then_some(()));
        let wait = || watched.until_at_last(Patience::of(Duration::from_millis(20)), "an odd number", odd);
        let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(wait));
        stop.store(true, Ordering::Relaxed);
        said.unwrap_err().downcast::<String>().expect("a panic with a message")
    });
    let (begin, last) =
        said.split_once(": an odd number; much happened, and in the end there was: ").expect(&said);
    assert_eq!(begin, "waited in vain for");
    assert!(last.parse::<u64>().is_ok_and(|last| last >= 42), "{said}");
}

fn odd(value: &mut u64) -> Option<()> {
    (*value % 2 == 1).then_some(())
}
