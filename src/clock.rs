//! Time as the shell gets it: now, and waiting. The only room that reads the machine's clock.
//!
//! Guards: nothing else calls the operating system's clock or sleeps (`clippy.toml` keeps it so), so tests and
//! the demo run at the pace they like. Deliberately not here: decisions about time (`policy`).

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use crate::time::Timestamp;

pub mod steady;

/// A future that ends when an instant has come.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the shell gets its time from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present.
    fn now(&self) -> Timestamp;
    /// Ends once `now()` is at or past `instant`.
    fn sleep_until(&self, instant: Timestamp) -> Sleep;
    /// Whether the clock jumped forward so recently that nothing may be deleted or given up for its age.
    fn doubts_ages(&self) -> bool {
        false
    }
    /// Doubts ages for an hour from now on: the clock may be ahead.
    fn doubt_ages(&self) {}
    /// By how many ms the clock was set when its last jump was accepted; 0: never.
    fn jumped_ms(&self) -> i64 {
        0
    }
}

/// The clock everybody shares.
pub type SharedClock = Arc<dyn Clock>;

/// How long something takes on this machine. Not time: nothing that is decided or written down comes from it, only how
/// much is taken on at once.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts one.
    #[expect(clippy::disallowed_methods, reason = "this is the room where the machine's clock is read")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The machine's wall clock. A wait takes as long as was left when it began, on a clock that nothing sets: a jump of the
/// wall clock neither ends nor lengthens it. The daemon's own clock is [`steady::SteadyClock`].
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the room where the machine's clock is read")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_ms(0).plus(since)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the room where waiting happens")]
    fn sleep_until(&self, instant: Timestamp) -> Sleep {
        let left = instant.since(self.now());
        Box::pin(tokio::time::sleep(left))
    }
}

/// A clock that runs `speed` times as fast as the machine's, from a chosen instant: the demo's.
#[derive(Clone, Copy, Debug)]
pub struct ScaledClock {
    from: Timestamp,
    started: Instant,
    speed: f64,
}

impl ScaledClock {
    /// Starts now, showing `from`. `speed` is held between 0.001 and 1,000,000.
    #[expect(clippy::disallowed_methods, reason = "this is the room where the machine's clock is read")]
    pub fn starting(from: Timestamp, speed: f64) -> Self {
        Self { from, started: Instant::now(), speed: speed.clamp(0.001, 1e6) }
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> Timestamp {
        self.from.plus(self.started.elapsed().mul_f64(self.speed))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the room where waiting happens")]
    fn sleep_until(&self, instant: Timestamp) -> Sleep {
        let clock = *self;
        Box::pin(async move {
            loop {
                let left = instant.since(clock.now());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.div_f64(clock.speed).max(Duration::from_millis(1))).await;
            }
        })
    }
}

/// A clock that moves only when told to: the tests'.
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<Mutex<Manual>>);

#[derive(Debug, Default)]
struct Manual {
    now: Timestamp,
    sleepers: BTreeMap<Timestamp, Vec<oneshot::Sender<()>>>,
    waits: u64,
}

impl ManualClock {
    /// A clock that shows `now` until it is moved.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Manual { now, ..Manual::default() })))
    }

    /// Moves it forward and wakes whoever was due.
    pub fn advance(&self, by: Duration) {
        let to = self.now().plus(by);
        self.set(to);
    }

    /// Sets it, also backwards, and wakes whoever is due then.
    pub fn set(&self, to: Timestamp) {
        let mut manual = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        manual.now = to;
        while let Some(entry) = manual.sleepers.first_entry() {
            if *entry.key() > to {
                break;
            }
            for sleeper in entry.remove() {
                // A sleeper that was dropped does not listen any more; nothing is lost.
                let _ = sleeper.send(());
            }
        }
    }

    /// How many waits have begun so far, ended ones included.
    pub fn waits(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waits
    }

    /// The earliest instant somebody sleeps towards.
    pub fn next_wake(&self) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sleepers.keys().next().copied()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).now
    }

    fn sleep_until(&self, instant: Timestamp) -> Sleep {
        let mut manual = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if manual.now >= instant {
            return Box::pin(async {});
        }
        let (wake, woken) = oneshot::channel();
        manual.waits += 1;
        manual.sleepers.entry(instant).or_default().push(wake);
        Box::pin(async move {
            // An error means the clock itself is gone; then nobody waits for anything any more.
            let _ = woken.await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_who_is_due_and_nobody_else() {
        let clock = ManualClock::at(Timestamp::from_ms(0));
        let early = clock.sleep_until(Timestamp::from_ms(10));
        let mut late = clock.sleep_until(Timestamp::from_ms(20));
        clock.advance(Duration::from_millis(15));
        early.await;
        assert_eq!(clock.next_wake(), Some(Timestamp::from_ms(20)));
        let waker = std::task::Waker::noop();
        assert!(late.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }

    #[tokio::test]
    async fn a_scaled_clock_runs_ahead() {
        let clock = ScaledClock::starting(Timestamp::from_ms(0), 10_000.0);
        clock.sleep_until(Timestamp::from_ms(30_000)).await;
        assert!(clock.now() >= Timestamp::from_ms(30_000));
    }
}
