//! Whether a loop still turns.
//!
//! Guards: a loop that has nothing to do can be asked to turn once; one that hangs cannot pretend to. Deliberately not
//! here: what follows from it (`tasks::watchdog`).

use std::sync::Arc;

use tokio::sync::{Notify, watch};

/// One loop's. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    asked: Notify,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    turns: u64,
    under_way: usize,
}

impl Pulse {
    /// The loop turned.
    pub fn turned(&self) {
        self.inner.progress.send_modify(|progress| progress.turns += 1);
    }

    /// The loop is about to wait, and so many things that it began are not done.
    pub fn waits_for(&self, under_way: usize) {
        self.inner.progress.send_if_modified(|progress| {
            let before = std::mem::replace(&mut progress.under_way, under_way);
            before != under_way
        });
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
        self.inner.progress.borrow().turns
    }

    /// Waits until the loop has dealt with the present: it has turned twice, and nothing that it began is under way.
    pub async fn settled(&self) {
        let mut progress = self.inner.progress.subscribe();
        let enough = self.turns() + 2;
        loop {
            let Progress { turns, under_way } = *progress.borrow_and_update();
            match (turns >= enough, under_way) {
                (true, 0) => return,
                (false, 0) => self.ask(),
                // What is under way makes the loop turn by itself.
                (_, _) => {}
            }
            // The sender lives as long as `self`, so this cannot fail.
            let _ = progress.changed().await;
        }
    }
}
