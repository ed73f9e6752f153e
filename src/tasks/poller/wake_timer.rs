//! The loop's timer. It is only set again for an earlier wake-up.
//!
//! Guards: it fires no later than the earliest instant that was set. Setting and cancelling a timer costs about as much
//! as a poll's own work, and answers wake the loop far more often than time; a wake-up that is too early costs one turn
//! of the loop. Not here: when to wake (`poller`).

use std::future::poll_fn;
use std::task::Poll;

use crate::clock::{SharedClock, Sleep};
use crate::time::Timestamp;

/// A timer that may be set.
#[derive(Default)]
pub(super) struct WakeTimer {
    armed: Option<(Timestamp, Sleep)>,
}

impl WakeTimer {
    /// Fires at `at` or earlier.
    pub(super) fn wake_by(&mut self, at: Timestamp, clock: &SharedClock) {
        if self.armed.as_ref().is_none_or(|(armed, _)| *armed > at) {
            self.armed = Some((at, clock.sleep_until(at)));
        }
    }

    /// Completes when it fires, which clears it. Never completes while it is not set.
    pub(super) async fn elapsed(&mut self) {
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
        let mut timer = WakeTimer::default();
        timer.wake_by(Timestamp::from_ms(50), &clock);
        timer.wake_by(Timestamp::from_ms(20), &clock);
        timer.wake_by(Timestamp::from_ms(90), &clock);
        assert_eq!(manual.next_wake(), Some(Timestamp::from_ms(20)));
        manual.advance(Duration::from_millis(20));
        timer.elapsed().await;
        assert!(futures_util::FutureExt::now_or_never(timer.elapsed()).is_none());
        timer.wake_by(Timestamp::from_ms(20), &clock);
        timer.elapsed().await;
    }
}
