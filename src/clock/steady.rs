//! The daemon's clock: the wall clock, without its jumps.
//!
//! It shows the wall clock's time and advances by the kernel's boot time, which no setting of the clock moves and which runs
//! on in suspend. A difference of more than [`JUMP`] between the two is a jump of the wall clock. A jump that is taken back
//! within [`CONFIRMED_AFTER`] has no effect. One that lasts is confirmed: the owner of the clock stops everything that keeps
//! instants in memory, calls [`SteadyClock::accept`], and starts it again from the database.
//!
//! Guards: no wait depends on the wall clock; time never jumps under a running task; after a jump forward nothing is
//! deleted or given up for its age until the jump has lasted for [`DOUBTED_FOR`]. Not here: what is restarted (`cli::run`),
//! stored instants (`store::set_back`).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::{Clock, Sleep, SystemClock};
use crate::time::Timestamp;

/// A difference up to this is followed at once; a larger one is a jump.
pub const JUMP: Duration = Duration::from_secs(5);
/// A jump that has lasted for this long is confirmed.
pub const CONFIRMED_AFTER: Duration = Duration::from_secs(10);
/// After a jump forward, ages are doubted for this long.
pub const DOUBTED_FOR: Duration = Duration::from_hours(1);
/// Suspend is noticed within this time: the timers of the runtime do not run in it.
const LONGEST_NAP: Duration = Duration::from_secs(5);

/// What the wall clock did since the last check. Amounts in ms, negative: back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It jumped.
    Jumped(i64),
    /// The jump was taken back.
    TakenBack,
    /// The jump has lasted and is to be accepted.
    Confirmed(i64),
}

/// The decision, without a clock: readings of both clocks in, time out. All in ms.
#[derive(Clone, Copy, Debug)]
struct Timeline {
    /// Time shown = boot time + this.
    offset: i64,
    /// Since when, and at which offset, the wall clock differs.
    jumped: Option<(i64, i64)>,
    /// Since when ages are doubted.
    forward: Option<i64>,
    /// By how much the last accepted jump moved the time.
    accepted: i64,
}

impl Timeline {
    fn new(wall: i64, boot: i64) -> Self {
        Self { offset: wall - boot, jumped: None, forward: None, accepted: 0 }
    }

    /// Follows small differences; returns the time to show.
    fn now(&mut self, wall: i64, boot: i64) -> i64 {
        let measured = wall - boot;
        if !is_jump(measured - self.offset) {
            self.offset = measured;
        }
        boot + self.offset
    }

    /// Notices, forgets and confirms jumps.
    fn check(&mut self, wall: i64, boot: i64) -> Option<Change> {
        self.now(wall, boot);
        let measured = wall - boot;
        let by = measured - self.offset;
        match self.jumped {
            None if is_jump(by) => {
                self.jumped = Some((boot, measured));
                Some(Change::Jumped(by))
            }
            Some(_) if !is_jump(by) => {
                self.jumped = None;
                Some(Change::TakenBack)
            }
            Some((_, at)) if is_jump(measured - at) => {
                self.jumped = Some((boot, measured));
                Some(Change::Jumped(by))
            }
            Some((since, _)) if boot - since >= ms(CONFIRMED_AFTER) => Some(Change::Confirmed(by)),
            _ => None,
        }
    }

    fn accept(&mut self, wall: i64, boot: i64) {
        let measured = wall - boot;
        self.accepted = measured - self.offset;
        if self.accepted > ms(JUMP) {
            self.forward = Some(boot);
        }
        (self.offset, self.jumped) = (measured, None);
    }

    fn doubts_ages(&self, boot: i64) -> bool {
        self.jumped.is_some() || self.forward.is_some_and(|since| boot - since < ms(DOUBTED_FOR))
    }
}

fn is_jump(by: i64) -> bool {
    by.abs() > ms(JUMP)
}

fn ms(duration: Duration) -> i64 {
    crate::time::duration_ms(duration)
}

/// See the module.
#[derive(Debug)]
pub struct SteadyClock(Mutex<Timeline>);

impl SteadyClock {
    /// Shows the wall clock's time from now on.
    pub fn start() -> Self {
        let (wall, boot) = readings();
        Self(Mutex::new(Timeline::new(wall, boot)))
    }

    /// Notices jumps; call it at least once a second.
    pub fn check(&self) -> Option<Change> {
        let (wall, boot) = readings();
        self.timeline().check(wall, boot)
    }

    /// Shows the wall clock's time again. Nothing that keeps an instant in memory may run.
    pub fn accept(&self) {
        let (wall, boot) = readings();
        self.timeline().accept(wall, boot);
    }

    fn timeline(&self) -> std::sync::MutexGuard<'_, Timeline> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let (wall, boot) = readings();
        Timestamp::from_ms(self.timeline().now(wall, boot))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the room where waiting happens")]
    fn sleep_until(&self, instant: Timestamp) -> Sleep {
        // The offset of a running task never changes by more than a few seconds, so boot time can stand for it.
        let until = instant.as_ms().saturating_sub(self.timeline().offset);
        Box::pin(async move {
            loop {
                let left = Timestamp::from_ms(until).since(Timestamp::from_ms(boot_ms()));
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LONGEST_NAP)).await;
            }
        })
    }

    fn doubts_ages(&self) -> bool {
        self.timeline().doubts_ages(boot_ms())
    }

    fn doubt_ages(&self) {
        self.timeline().forward = Some(boot_ms());
    }

    fn jumped_ms(&self) -> i64 {
        self.timeline().accepted
    }
}

/// Wall time and boot time of one moment.
fn readings() -> (i64, i64) {
    (SystemClock.now().as_ms(), boot_ms())
}

fn boot_ms() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec.saturating_mul(1000).saturating_add(time.tv_nsec / 1_000_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WALL: i64 = 1_795_413_600_000;
    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    #[test]
    fn a_small_difference_is_followed_at_once() {
        for by in [-1_000, 1_000, -5_000, 5_000] {
            let mut timeline = Timeline::new(WALL, 0);
            assert_eq!(timeline.check(WALL + by + 100, 100), None);
            assert_eq!(timeline.now(WALL + by + 200, 200), WALL + by + 200);
        }
    }

    #[test]
    fn a_jump_that_is_taken_back_has_no_effect() {
        for by in [600_000, -600_000, 3 * HOUR, -3 * HOUR, 40 * DAY, -40 * DAY] {
            let mut timeline = Timeline::new(WALL, 0);
            assert_eq!(timeline.check(WALL + by + 500, 500), Some(Change::Jumped(by)));
            for boot in [1_000, 3_000, 6_000] {
                assert_eq!(timeline.check(WALL + by + boot, boot), None);
                assert_eq!(timeline.now(WALL + by + boot, boot), WALL + boot, "time goes on as before");
                assert!(timeline.doubts_ages(boot));
            }
            assert_eq!(timeline.check(WALL + 7_000, 7_000), Some(Change::TakenBack));
            assert_eq!(timeline.now(WALL + 8_000, 8_000), WALL + 8_000);
            assert!(!timeline.doubts_ages(8_000));
        }
    }

    #[test]
    fn a_jump_that_lasts_is_confirmed_and_takes_effect_when_it_is_accepted() {
        for by in [600_000, -600_000, 3 * HOUR, -3 * HOUR, 40 * DAY, -40 * DAY] {
            let mut timeline = Timeline::new(WALL, 0);
            timeline.check(WALL + by, 0);
            assert_eq!(timeline.check(WALL + by + 9_999, 9_999), None);
            assert_eq!(timeline.check(WALL + by + 10_000, 10_000), Some(Change::Confirmed(by)));
            assert_eq!(timeline.now(WALL + by + 11_000, 11_000), WALL + 11_000, "not before it is accepted");
            timeline.accept(WALL + by + 12_000, 12_000);
            assert_eq!(timeline.now(WALL + by + 13_000, 13_000), WALL + by + 13_000);
            let forward = by > 0;
            assert_eq!(timeline.doubts_ages(12_000 + HOUR - 1), forward);
            assert!(!timeline.doubts_ages(12_000 + HOUR));
        }
    }

    #[test]
    fn a_second_jump_starts_the_wait_again() {
        let mut timeline = Timeline::new(WALL, 0);
        timeline.check(WALL + HOUR, 0);
        assert_eq!(timeline.check(WALL + 2 * HOUR + 9_000, 9_000), Some(Change::Jumped(2 * HOUR)));
        assert_eq!(timeline.check(WALL + 2 * HOUR + 18_000, 18_000), None);
        assert_eq!(timeline.check(WALL + 2 * HOUR + 19_000, 19_000), Some(Change::Confirmed(2 * HOUR)));
    }

    proptest! {
        /// Between two acceptances the time shown never moves by more than boot time and the small steps that are followed.
        #[test]
        fn time_never_jumps_under_a_running_task(steps in proptest::collection::vec((0_i64..3_000, -2_000_000_i64..2_000_000), 1..60)) {
            let mut timeline = Timeline::new(WALL, 0);
            let (mut boot, mut shown) = (0, WALL);
            for (passed, by) in steps {
                boot += passed;
                timeline.check(WALL + boot + by, boot);
                let now = timeline.now(WALL + boot + by, boot);
                prop_assert!((now - shown - passed).abs() <= ms(JUMP));
                shown = now;
            }
        }
    }

    #[tokio::test]
    async fn waiting_ends_by_boot_time() {
        let clock = SteadyClock::start();
        let until = clock.now().plus(Duration::from_millis(20));
        clock.sleep_until(until).await;
        assert!(clock.now() >= until);
    }
}
