//! The loop's alarm clock: one that is armed already and rings early enough is left alone.
//!
//! Guards: it rings no later than it was last told. Setting a timer and taking it back costs about as much as a poll's
//! own work, and the loop is woken by answers far more often than by time; ringing once too early costs one turn of it.
//! Deliberately not here: when to ring (`poller`).

use std::future::poll_fn;
use std::task::Poll;

use crate::clock::{SharedClock, Sleep};
use crate::time::Timestamp;

/// Armed or not.
#[derive(Default)]
pub(super) struct Alarm {
    armed: Option<(Timestamp, Sleep)>,
}

impl Alarm {
    /// Rings at `at` or earlier.
    pub(super) fn ring_by(&mut self, at: Timestamp, clock: &SharedClock) {
        if self.armed.as_ref().is_none_or(|(armed, _)| *armed > at) {
            self.armed = Some((at, clock.sleep_until(at)));
        }
    }

    /// Ends when it rings; it is not armed any more then. Never ends when it was not armed.
    pub(super) async fn ringing(&mut self) {
        poll_fn(|context| match &mut self.armed {
            None => Poll::Pending,
            Some((_, sleep)) => sleep.as_mut().poll(context),
        })
        .await;
        self.armed = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;

    #[tokio::test]
    async fn it_rings_by_the_earliest_it_was_told_and_then_not_again() {
        let manual = ManualClock::at(Timestamp::from_ms(0));
        let clock: SharedClock = Arc::new(manual.clone());
        let mut alarm = Alarm::default();
        alarm.ring_by(Timestamp::from_ms(50), &clock);
        alarm.ring_by(Timestamp::from_ms(20), &clock);
        alarm.ring_by(Timestamp::from_ms(90), &clock);
        assert_eq!(manual.next_wake(), Some(Timestamp::from_ms(20)));
        manual.advance(Duration::from_millis(20));
        alarm.ringing().await;
        assert!(futures_util::FutureExt::now_or_never(alarm.ringing()).is_none());
        alarm.ring_by(Timestamp::from_ms(20), &clock);
        alarm.ringing().await;
    }
}
