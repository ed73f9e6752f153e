//! The instant of the dispatcher's next timed action.
//!
//! Guards: dropping the wait keeps the sleep. Deliberately not here: which instant (the room above).

use crate::clock::{SharedClock, Sleep};
use crate::time::Timestamp;

/// A sleep that is kept while its instant stays the same.
#[derive(Default)]
pub(super) struct Alarm(Option<(Timestamp, Sleep)>);

impl Alarm {
    pub(super) fn set(&mut self, at: Option<Timestamp>, clock: &SharedClock) {
        if self.0.as_ref().map(|(set, _)| *set) != at {
            self.0 = at.map(|at| (at, clock.sleep_until(at)));
        }
    }

    pub(super) async fn rings(&mut self) {
        match &mut self.0 {
            Some((_, sleep)) => {
                sleep.await;
                self.0 = None;
            }
            None => std::future::pending().await,
        }
    }
}
