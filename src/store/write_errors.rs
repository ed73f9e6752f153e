//! Failed writes, for alerts.
//!
//! Guards: a failure that no caller waited for is counted. Deliberately not here: a full disk (`disk_space`), alerts
//! (`tasks`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::StoreError;

/// Failed groups of writes since the start.
#[derive(Debug, Default)]
pub(super) struct WriteErrors {
    count: AtomicU64,
    newest: Mutex<String>,
    damaged_events: AtomicU64,
}

impl WriteErrors {
    pub(super) fn record(&self, error: &StoreError) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
        self.count.fetch_add(1, Ordering::Release);
    }

    pub(super) fn count_and_newest(&self) -> (u64, String) {
        let count = self.count.load(Ordering::Acquire);
        (count, self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Counts events that were not sent because the disk changed them, and logs each.
    pub(super) fn record_damaged_events<'a>(&self, events: impl Iterator<Item = &'a String>) {
        for event in events {
            self.damaged_events.fetch_add(1, Ordering::Relaxed);
            tracing::error!(event, "the stored body of an event does not match its checksum; it is not sent");
        }
    }

    pub(super) fn damaged_events(&self) -> u64 {
        self.damaged_events.load(Ordering::Relaxed)
    }
}
