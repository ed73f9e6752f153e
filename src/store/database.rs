//! The shared state of an open database, which every handle of the store borrows.
//!
//! Guards: reads go through connections that cannot write; the files that were opened are known by inode. Deliberately
//! not here: opening and closing (`open`), the operations (each in the file of its handle).

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::SqlitePool;

use super::beside::FileId;
use super::disk_space::DiskSpaceGuard;
use super::lock::LockFile;
use super::writer::WriteQueue;
use crate::time::Timestamp;

#[derive(Debug)]
pub(super) struct Database {
    pub(super) path: PathBuf,
    /// The database and its WAL files, as they were opened.
    pub(super) files: Vec<(PathBuf, FileId)>,
    /// `urn:presenced:...`, created with the database.
    pub(super) source: String,
    /// When the database was created.
    pub(super) created: Timestamp,
    pub(super) writer: WriteQueue,
    /// Connections that cannot write. Keep reads short: an open reader stops the WAL from shrinking.
    pub(super) readers: SqlitePool,
    pub(super) disk_space: Arc<DiskSpaceGuard>,
    /// Ids of people who were erased since the start: a task that still has one in memory drops it.
    pub(super) erased: Mutex<HashSet<i64>>,
    /// `privacy.titles = "events"`: the writer puts titles of meetings into events.
    pub(super) titles_in_events: Arc<AtomicBool>,
    /// Held while a copy is made, and while a person is erased from all copies.
    pub(super) copying: tokio::sync::Mutex<()>,
    pub(super) lock: LockFile,
}

impl Database {
    pub(super) fn mark_erased(&self, person_id: i64) {
        self.erased.lock().unwrap_or_else(PoisonError::into_inner).insert(person_id);
    }

    pub(super) fn is_erased(&self, person_id: i64) -> bool {
        self.erased.lock().unwrap_or_else(PoisonError::into_inner).contains(&person_id)
    }
}
