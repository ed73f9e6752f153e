//! What went wrong with writing, for who tells the operator.
//!
//! Guards: a failure that nobody waited for is not forgotten; a database that was taken from under a daemon is still
//! known about after the restart that follows. Deliberately not here: a full disk (`room`), telling (`tasks`).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Store, StoreError, beside};

/// Failures of whole groups of writes, counted from the start.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: AtomicU64,
    newest: Mutex<String>,
    damaged_events: AtomicU64,
}

impl Failures {
    pub(super) fn note(&self, error: &StoreError) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = error.to_string();
        self.count.fetch_add(1, Ordering::Release);
    }
}

impl Store {
    /// How often writing has failed since the database was opened, and the newest reason. A full disk does not count.
    pub fn write_failures(&self) -> (u64, String) {
        let failures = self.inner.room.failures();
        let count = failures.count.load(Ordering::Acquire);
        (count, failures.newest.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Counts events that were not sent because they changed on the disk, and logs each.
    pub(super) fn note_damage<'a>(&self, events: impl Iterator<Item = &'a String>) {
        for event in events {
            self.inner.room.failures().damaged_events.fetch_add(1, Ordering::Relaxed);
            tracing::error!(event, "the stored body of an event does not match its checksum; it is not sent");
        }
    }

    /// How many deliveries ended since the database was opened because their event changed on the disk.
    pub fn damaged_events(&self) -> u64 {
        self.inner.room.failures().damaged_events.load(Ordering::Relaxed)
    }

    /// Leaves word beside the database that it was deleted or replaced while it was open: this daemon ends, and what it
    /// wrote now would be lost. That no word can be left is no reason to stay.
    pub fn leave_word(&self) {
        let _ = beside::note(&word(self.path()), "deleted or replaced while presenced had it open\n");
    }

    /// Whether word was left by an earlier daemon; it is not found twice.
    pub fn take_word(&self) -> bool {
        std::fs::remove_file(word(self.path())).is_ok()
    }
}

fn word(database: &Path) -> PathBuf {
    beside::named(database, ".replaced")
}
