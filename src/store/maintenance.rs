//! Maintenance of an open database: retention, backups, checkpoints, and the correction of stored times.
//!
//! Guards: nothing by itself; each operation is in a file of its own (`retention`, `backup`, `clock_change`).
//! Deliberately not here: when they run (`tasks::maintenance`, `tasks::database_monitor`).

use std::path::Path;
use std::time::Duration;

use super::backup::Copied;
use super::clock_change::StoredTime;
use super::database::Database;
use super::retention::{Limits, Pruned};
use super::{StoreError, backup, clock_change, connection, retention};
use crate::time::Timestamp;

/// Maintenance of an open database.
#[derive(Clone, Copy, Debug)]
pub struct Maintenance<'s> {
    pub(super) database: &'s Database,
}

impl Maintenance<'_> {
    /// Deletes rows that are older than their limit at `now`, in small transactions between which other writes run.
    pub async fn prune(self, limits: Limits, now: Timestamp) -> Result<Pruned, StoreError> {
        retention::prune(self.database, limits, now).await
    }

    /// Makes a verified copy. SQLite's locks in this process are released when any code in it closes the file, however
    /// it was opened (<https://sqlite.org/howtocorrupt.html>, section 2.2); so the header is not read here.
    pub async fn backup(self, to: &Path) -> Result<Copied, StoreError> {
        let _one = self.database.copying.lock().await;
        backup::of_open_database(&self.database.path, to).await
    }

    /// Moves the WAL into the database file as far as no reader blocks it.
    pub async fn checkpoint(self) -> Result<(), StoreError> {
        self.database
            .writer
            .write_outside_transaction(|connection| Box::pin(connection::checkpoint(connection)))
            .await
    }

    /// Compares the clock with stored times, before anything else is read. `jumped_ms`: by how much the running clock
    /// was just set. `longest_wait`: no delivery and no probe of a webhook is due later than this.
    pub async fn compare_clock(
        self,
        now: Timestamp,
        jumped_ms: i64,
        longest_wait: Duration,
    ) -> Result<StoredTime, StoreError> {
        self.database
            .writer
            .write(move |connection| {
                Box::pin(clock_change::compare(connection, now, jumped_ms, longest_wait))
            })
            .await
    }
}
