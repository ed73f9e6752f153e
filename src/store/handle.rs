//! The handle to an open database: one accessor for each subject.
//!
//! Guards: cloning shares one database; a subject's handle borrows it and costs nothing. Deliberately not here: opening
//! and closing (`open`), the operations (each in the file of its handle).

use std::path::Path;
use std::sync::Arc;

use super::alert_state::Alerts;
use super::call_usage::CallUsage;
use super::database::Database;
use super::forget::Erasures;
use super::gaps::Gaps;
use super::health::DatabaseHealth;
use super::history::History;
use super::maintenance::Maintenance;
use super::outbox::{Outbox, OutboxReader};
use super::push_messages::PushMessages;
use super::recorder::Recorder;
use super::sweep_state::SweepStates;
use super::watch_list::WatchList;
use crate::time::Timestamp;

/// An open database. Cloning shares it. Dropping the last clone without [`Store::close`] acts like a crash, on purpose:
/// committed data is kept, uncommitted data is lost, the lock is free.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) database: Arc<Database>,
}

impl Store {
    /// `urn:presenced:...`, created with the database.
    pub fn source(&self) -> &str {
        &self.database.source
    }

    /// When the database was created.
    pub fn created(&self) -> Timestamp {
        self.database.created
    }

    /// The database file, with links resolved.
    pub fn path(&self) -> &Path {
        &self.database.path
    }

    /// Alerts: which fire, and which were sent about webhooks.
    pub fn alerts(&self) -> Alerts<'_> {
        Alerts { database: &self.database }
    }

    /// Calls to DingTalk by organisation and month.
    pub fn call_usage(&self) -> CallUsage<'_> {
        CallUsage { database: &self.database }
    }

    /// Events that DingTalk pushed, by organisation and month.
    pub fn push_messages(&self) -> PushMessages<'_> {
        PushMessages { database: &self.database }
    }

    /// Erasing people, and the list of erasures.
    pub fn erasures(&self) -> Erasures<'_> {
        Erasures { database: &self.database }
    }

    /// Unobserved time: gaps that are over, gaps that go on, closed windows.
    pub fn gaps(&self) -> Gaps<'_> {
        Gaps { database: &self.database }
    }

    /// Whether the database can be written: its files, the disk, locks of other programs, write errors.
    pub fn health(&self) -> DatabaseHealth<'_> {
        DatabaseHealth { database: &self.database }
    }

    /// Everything that was recorded, for reading.
    pub fn history(&self) -> History {
        History::new(self.database.readers.clone())
    }

    /// Retention, backups, checkpoints, and the correction of stored times.
    pub fn maintenance(&self) -> Maintenance<'_> {
        Maintenance { database: &self.database }
    }

    /// Deliveries to webhooks: taken, and written back.
    pub fn outbox(&self) -> Outbox<'_> {
        Outbox { database: &self.database }
    }

    /// Deliveries to webhooks, for reading.
    pub fn outbox_reader(&self) -> OutboxReader {
        OutboxReader::new(self.database.readers.clone())
    }

    /// Results of polls, and system events.
    pub fn recorder(&self) -> Recorder<'_> {
        Recorder { database: &self.database }
    }

    /// What the poller learned of sweeps.
    pub fn sweep_state(&self) -> SweepStates<'_> {
        SweepStates { database: &self.database }
    }

    /// The watched users, with the time and outcome of their polls.
    pub fn watch_list(&self) -> WatchList<'_> {
        WatchList { database: &self.database }
    }
}
