//! Whether a loop still turns.
//!
//! Guards: a loop that has nothing to do can be asked to turn once; one that hangs cannot pretend to. Deliberately not
//! here: what follows from it (`tasks::watchdog`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// One loop's. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    asked: Notify,
    turns: AtomicU64,
    under_way: AtomicUsize,
}

impl Pulse {
    /// The loop turned.
    pub fn turned(&self) {
        self.inner.turns.fetch_add(1, Ordering::Release);
    }

    /// The loop is about to wait, and so many things that it began are not done.
    pub fn waits_for(&self, under_way: usize) {
        self.inner.under_way.store(under_way, Ordering::Release);
    }

    /// How many things were not done when the loop waited last.
    pub fn under_way(&self) -> usize {
        self.inner.under_way.load(Ordering::Acquire)
    }

    /// For the loop to wait on beside everything else: somebody wants to see it turn. An ask is not lost.
    pub async fn asked(&self) {
        self.inner.asked.notified().await;
    }

    /// Makes the loop turn, if it can.
    pub fn ask(&self) {
        self.inner.asked.notify_one();
    }

    /// How often it has turned.
    pub fn turns(&self) -> u64 {
        self.inner.turns.load(Ordering::Acquire)
    }
}
