//! Shows whether a loop still runs.
//!
//! Guards: an idle loop can be asked for a beat; a hanging loop cannot fake one. Not here: what follows from missing
//! beats (`tasks::watchdog`).

use std::sync::Arc;

use tokio::sync::{Notify, watch};

/// The heartbeat of one loop. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    requested: Notify,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    beats: u64,
    in_flight: usize,
}

impl Heartbeat {
    /// The loop has completed a turn.
    pub fn beat(&self) {
        self.inner.progress.send_modify(|progress| progress.beats += 1);
    }

    /// The loop is about to wait with this many operations in flight.
    pub fn set_in_flight(&self, in_flight: usize) {
        self.inner.progress.send_if_modified(|progress| {
            let before = std::mem::replace(&mut progress.in_flight, in_flight);
            before != in_flight
        });
    }

    /// Completes when a beat is requested; the loop waits for it beside everything else. A request is never lost.
    pub async fn requested(&self) {
        self.inner.requested.notified().await;
    }

    /// Requests a beat.
    pub fn request(&self) {
        self.inner.requested.notify_one();
    }

    /// Number of beats.
    pub fn beats(&self) -> u64 {
        self.inner.progress.borrow().beats
    }

    /// Waits until the loop is idle: two more beats, and nothing in flight.
    pub async fn idle(&self) {
        let mut progress = self.inner.progress.subscribe();
        let enough = self.beats() + 2;
        loop {
            let Progress { beats, in_flight } = *progress.borrow_and_update();
            match (beats >= enough, in_flight) {
                (true, 0) => return,
                (false, 0) => self.request(),
                // Operations in flight wake the loop when they end.
                (_, _) => {}
            }
            // The sender lives as long as `self`, so this cannot fail.
            let _ = progress.changed().await;
        }
    }
}
