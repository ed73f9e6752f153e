//! A wall clock that jumps, over a clock that only a test moves: what `clock::steady` is over the machine's clocks.
//!
//! Guards: a wait that has begun is not moved by any jump. Deliberately not here: which differences are jumps
//! (`clock::steady`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use presenced::clock::steady::DOUBTED_FOR;
use presenced::clock::{Clock, ManualClock, Sleep};
use presenced::time::Timestamp;

#[derive(Clone, Debug)]
pub(super) struct WallClock {
    boot: ManualClock,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    offset_ms: i64,
    accepted_ms: i64,
    doubted_until: Timestamp,
}

impl WallClock {
    pub(super) fn over(boot: ManualClock) -> Self {
        Self { boot, state: Arc::default() }
    }

    /// A new process reads it for the first time.
    pub(super) fn starts(&self) {
        let mut state = self.state();
        *state = State { offset_ms: state.offset_ms, ..State::default() };
    }

    /// Set by so much, without anything that notices.
    pub(super) fn set_by(&self, ms: i64) {
        self.state().offset_ms += ms;
    }

    /// A jump that has lasted is accepted.
    pub(super) fn accept(&self, ms: i64) {
        self.set_by(ms);
        self.state().accepted_ms = ms;
        if ms > 0 {
            self.doubt_ages();
        }
    }

    pub(super) fn offset_ms(&self) -> i64 {
        self.state().offset_ms
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.boot.now().as_ms() + self.offset_ms())
    }

    fn sleep_until(&self, instant: Timestamp) -> Sleep {
        self.boot.sleep_until(Timestamp::from_ms(instant.as_ms().saturating_sub(self.offset_ms())))
    }

    fn doubts_ages(&self) -> bool {
        self.boot.now() < self.state().doubted_until
    }

    fn doubt_ages(&self) {
        self.state().doubted_until = self.boot.now().plus(DOUBTED_FOR);
    }

    fn jumped_ms(&self) -> i64 {
        self.state().accepted_ms
    }
}
