//! The daemon's clock: the wall clock without its jumps.
//!
//! The clock shows the wall clock's time and advances with the kernel's boot time, which cannot be set and which continues
//! during suspend. A difference of more than [`JUMP`] between the two is a jump of the wall clock. A jump that is taken
//! back within [`CONFIRMED_AFTER`] has no effect. A jump that lasts is confirmed: the owner of the clock stops every task
//! that keeps instants in memory, calls [`SteadyClock::accept`], and restarts them from the database.
//!
//! Guards: no wait depends on the wall clock. Time never jumps while a task runs. After a jump forward nothing is deleted
//! or given up because of its age until the jump has lasted for [`DOUBTED_FOR`]. Not here: what is restarted (`cli::run`),
//! stored instants (`store::set_back`).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::{Clock, Sleep, SystemClock};
use crate::time::Timestamp;

/// The clock follows a difference up to this at once; a larger one is a jump.
pub const JUMP: Duration = Duration::from_secs(5);
/// A jump is confirmed after it has lasted for this long.
pub const CONFIRMED_AFTER: Duration = Duration::from_secs(10);
/// Ages are doubted for this long after a jump forward.
pub const DOUBTED_FOR: Duration = Duration::from_hours(1);
/// The longest single sleep. The runtime's timers stop during suspend, so this is how late a resume is noticed.
const LONGEST_NAP: Duration = Duration::from_secs(5);

/// How the wall clock jumped since the last check. Amounts in ms; negative means back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockJump {
    /// The wall clock jumped.
    Jumped(i64),
    /// The wall clock returned; the jump has no effect.
    TakenBack,
    /// The jump has lasted; the owner must accept it.
    Confirmed(i64),
}

/// The decision without a clock: takes the readings of both clocks and returns the time. All values in ms.
#[derive(Clone, Copy, Debug)]
struct Timeline {
    /// The time shown is the boot time plus this.
    offset: i64,
    /// Boot time of a jump that is not yet accepted, and the offset that was measured then.
    jumped: Option<(i64, i64)>,
    /// Boot time from which ages are doubted.
    forward: Option<i64>,
    /// How far the last accepted jump moved the time.
    accepted: i64,
}

impl Timeline {
    fn new(wall: i64, boot: i64) -> Self {
        Self { offset: wall - boot, jumped: None, forward: None, accepted: 0 }
    }

    /// Follows small differences and returns the time to show.
    fn now(&mut self, wall: i64, boot: i64) -> i64 {
        let measured = wall - boot;
        if !is_jump(measured - self.offset) {
            self.offset = measured;
        }
        boot + self.offset
    }

    /// Detects, cancels and confirms jumps.
    fn check(&mut self, wall: i64, boot: i64) -> Option<ClockJump> {
        self.now(wall, boot);
        let measured = wall - boot;
        let by = measured - self.offset;
        match self.jumped {
            None if is_jump(by) => {
                self.jumped = Some((boot, measured));
                Some(ClockJump::Jumped(by))
            }
            Some(_) if !is_jump(by) => {
                self.jumped = None;
                Some(ClockJump::TakenBack)
            }
            Some((_, at)) if is_jump(measured - at) => {
                self.jumped = Some((boot, measured));
                Some(ClockJump::Jumped(by))
            }
            Some((since, _)) if boot - since >= ms(CONFIRMED_AFTER) => Some(ClockJump::Confirmed(by)),
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

/// The daemon's clock; the module's documentation explains it.
#[derive(Debug)]
pub struct SteadyClock(Mutex<Timeline>);

impl SteadyClock {
    /// Shows the wall clock's time from now on.
    pub fn start() -> Self {
        let (wall, boot) = readings();
        Self(Mutex::new(Timeline::new(wall, boot)))
    }

    /// Detects jumps; must be called at least once a second.
    pub fn check(&self) -> Option<ClockJump> {
        let (wall, boot) = readings();
        self.timeline().check(wall, boot)
    }

    /// Shows the wall clock's time again. No task that keeps an instant in memory may be running.
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
        // While a task runs, the offset changes by a few seconds at most, so waiting by boot time is accurate enough.
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

/// Wall time and boot time, read together.
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
            assert_eq!(timeline.check(WALL + by + 500, 500), Some(ClockJump::Jumped(by)));
            for boot in [1_000, 3_000, 6_000] {
                assert_eq!(timeline.check(WALL + by + boot, boot), None);
                assert_eq!(timeline.now(WALL + by + boot, boot), WALL + boot, "time goes on as before");
                assert!(timeline.doubts_ages(boot));
            }
            assert_eq!(timeline.check(WALL + 7_000, 7_000), Some(ClockJump::TakenBack));
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
            assert_eq!(timeline.check(WALL + by + 10_000, 10_000), Some(ClockJump::Confirmed(by)));
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
        assert_eq!(timeline.check(WALL + 2 * HOUR + 9_000, 9_000), Some(ClockJump::Jumped(2 * HOUR)));
        assert_eq!(timeline.check(WALL + 2 * HOUR + 18_000, 18_000), None);
        assert_eq!(timeline.check(WALL + 2 * HOUR + 19_000, 19_000), Some(ClockJump::Confirmed(2 * HOUR)));
    }

    proptest! {
        /// Between two acceptances the time shown advances only with boot time and with the small differences that are followed.
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
