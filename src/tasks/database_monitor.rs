//! Checks every few seconds that the database is still the opened file, and whether the disk has space again.
//!
//! Guards: a deleted or replaced database or WAL ends the daemon within ten seconds, before more writes are lost; a
//! write lock of another program is reported within ten seconds; polling resumes when a full disk has space again;
//! readers of the main file alone see all but the last minute. Not here: what pauses while the disk is full (`poller`),
//! the alert (`alerts_database`).

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::alerts_database::DatabaseAlert;
use crate::clock::SharedClock;
use crate::store::gaps::Why;
use crate::store::{Store, StoreError};
use crate::telemetry::health::Health;
use crate::time::Timestamp;

/// Half of the promised ten seconds, so that one late check keeps the promise.
const EVERY: Duration = Duration::from_secs(5);

/// How long an empty write may take before the writer is asked whether it waits for a lock: twice its own bound.
const WRITE_TIME: Duration = Duration::from_secs(2);
/// How often the WAL is checkpointed.
const CHECKPOINT_EVERY: Duration = Duration::from_mins(1);

/// The task that checks the database.
#[derive(Debug)]
pub struct DatabaseMonitor {
    store: Store,
    /// The machine's clock, which files use.
    clock: SharedClock,
    /// The daemon's clock, for stored times.
    stamps: SharedClock,
    full_since: Option<Timestamp>,
    alert: Option<DatabaseAlert>,
    health: Arc<Health>,
    next_checkpoint: Timestamp,
}

impl DatabaseMonitor {
    /// For an open database. `clock` is the machine's, `stamps` the daemon's.
    pub fn new(store: Store, clock: SharedClock, stamps: SharedClock, health: Arc<Health>) -> Self {
        let next_checkpoint = clock.now().plus(CHECKPOINT_EVERY);
        Self { store, clock, stamps, full_since: None, alert: None, health, next_checkpoint }
    }

    /// Also updates this alert.
    #[must_use]
    pub fn with_alert(mut self, alert: DatabaseAlert) -> Self {
        self.alert = Some(alert);
        self
    }

    /// Runs until `stop`, or until the file is gone.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), StoreError> {
        loop {
            let wake = self.step().await?;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = self.clock.sleep_until(wake) => {}
            }
        }
    }

    /// Checks once; returns when to check again.
    pub async fn step(&mut self) -> Result<Timestamp, StoreError> {
        self.store.health().check_files().inspect_err(|_| self.store.health().leave_notice())?;
        let held = self.is_locked().await;
        self.health.lock_held(held);
        if held {
            // Everything below writes.
            return Ok(self.clock.now().plus(EVERY));
        }
        // Before the check for space: a disk that was full for a moment is reported.
        if let Some(alert) = &mut self.alert
            && let Err(error) = alert.step(self.stamps.now()).await
        {
            tracing::debug!(%error, "the alert about the database cannot be written yet; retrying");
        }
        if self.store.health().is_disk_full() {
            self.full_since.get_or_insert(self.stamps.now().minus(EVERY));
        }
        if !self.store.health().recheck_disk_space()
            && let Some(from) = self.full_since.take()
            && let Err(error) = self.store.gaps().note_for_all(from, self.stamps.now(), Why::DiskFull).await
        {
            tracing::warn!(%error, "the gap of a full disk could not be written to the history");
        }
        let now = self.clock.now();
        if now >= self.next_checkpoint && !self.store.health().is_disk_full() {
            self.next_checkpoint = now.plus(CHECKPOINT_EVERY);
            if let Err(error) = self.store.maintenance().checkpoint().await {
                tracing::debug!(%error, "the WAL checkpoint failed; retrying in a minute");
            }
        }
        Ok(now.plus(EVERY))
    }

    /// Whether another program holds the write lock: an empty write does not return, and the writer waits for the lock.
    async fn is_locked(&self) -> bool {
        let until = self.clock.now().plus(WRITE_TIME);
        tokio::select! {
            biased;
            // A refused write is an answer, too.
            _ = self.store.recorder().record_system(None, Vec::new()) => {}
            () = self.clock.sleep_until(until) => {}
        }
        self.store.health().waits_for_lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};

    #[tokio::test]
    async fn a_file_that_was_replaced_or_deleted_ends_the_watch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("presence.db");
        let clock = ManualClock::default();
        let store = Store::open(&path, chrono_tz::UTC, Arc::new(clock.clone())).await.unwrap();
        let machine = Arc::new(clock.clone());
        let mut monitor = DatabaseMonitor::new(store.clone(), machine.clone(), machine, Health::new());
        assert!(monitor.step().await.unwrap() <= clock.now().plus(Duration::from_secs(10)));
        let aside = folder.path().join("aside");
        std::fs::rename(&path, &aside).unwrap();
        assert!(matches!(monitor.step().await, Err(StoreError::Replaced { .. })));
        std::fs::copy(&aside, &path).unwrap();
        assert!(
            matches!(monitor.step().await, Err(StoreError::Replaced { .. })),
            "another file of the same bytes"
        );
        std::fs::rename(&aside, &path).unwrap();
        monitor.step().await.unwrap();
        store.close().await.unwrap();
    }
}
