//! Provides the present time and waiting. No other module reads the machine's clock.
//!
//! Guards: `clippy.toml` forbids the operating system's clock and sleeping elsewhere, so tests and the demo can run at any
//! speed. Not here: decisions about time (`policy`).

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use crate::time::Timestamp;

pub mod steady;

/// A future that ends at an instant.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present time.
    fn now(&self) -> Timestamp;
    /// Ends once `now()` is at or past `instant`.
    fn sleep_until(&self, instant: Timestamp) -> Sleep;
    /// Whether the clock jumped forward so recently that nothing may be deleted or given up because of its age.
    fn doubts_ages(&self) -> bool {
        false
    }
    /// Doubts ages for the next hour, because the clock may be ahead.
    fn doubt_ages(&self) {}
    /// How far the last accepted jump moved the clock, in milliseconds; 0 if there was none.
    fn jumped_ms(&self) -> i64 {
        0
    }
}

/// A clock that several tasks share.
pub type SharedClock = Arc<dyn Clock>;

/// Measures how long something takes on this machine. A measurement only limits how much work is taken on at once; it is
/// never stored and decides nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts a measurement.
    #[expect(clippy::disallowed_methods, reason = "this is the room where the machine's clock is read")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// The machine's wall clock. A wait runs on a clock that cannot be set, so a jump of the wall clock neither ends nor
/// prolongs it. The daemon uses [`steady::SteadyClock`].
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

/// A clock that runs `speed` times as fast as the machine's, from a chosen instant. The demo uses it.
#[derive(Clone, Copy, Debug)]
pub struct ScaledClock {
    from: Timestamp,
    started: Instant,
    speed: f64,
}

impl ScaledClock {
    /// Starts now and shows `from`. `speed` is limited to 0.001 to 1,000,000.
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

/// A clock for tests: it moves only by [`ManualClock::advance`] and [`ManualClock::set`].
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

    /// Moves the clock forward and wakes the sleepers that are due.
    pub fn advance(&self, by: Duration) {
        let to = self.now().plus(by);
        self.set(to);
    }

    /// Sets the clock, also backwards, and wakes the sleepers that are due then.
    pub fn set(&self, to: Timestamp) {
        let mut manual = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        manual.now = to;
        while let Some(entry) = manual.sleepers.first_entry() {
            if *entry.key() > to {
                break;
            }
            for sleeper in entry.remove() {
                // A dropped sleeper no longer listens; nothing is lost.
                let _ = sleeper.send(());
            }
        }
    }

    /// How many waits have begun, including those that ended.
    pub fn waits(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waits
    }

    /// The earliest instant that a sleeper waits for.
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
            // An error means that the clock was dropped.
            let _ = woken.await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_only_the_due_sleepers() {
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
