//! The database: one SQLite file, one writer, some readers.
//!
//! Guards: snapshot, visits, events and deliveries are written together or not at all; one daemon a file; a newer
//! schema is refused untouched; times are UTC milliseconds. Deliberately not here: what is written (`presence`), when
//! deliveries are tried (`policy::delivery`).

pub mod history;

use std::path::Path;
use std::sync::Arc;

use chrono_tz::Tz;

use crate::clock::SharedClock;
use crate::ids::{Identity, OrgName, WebhookName};
use crate::presence::belief::Belief;
use crate::presence::event::Draft;
use crate::presence::visit::Visit;
use crate::time::Timestamp;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not there yet.
    #[error("not built")]
    NotBuilt,
    /// SQLite said no.
    #[error("database: {0}")]
    Sqlite(#[from] sqlx::Error),
}

/// An open database. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Store {}

/// A person on the watch list, to be matched with what is stored.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Who.
    pub identity: Identity,
    /// The name now.
    pub name: String,
}

/// What is stored about somebody.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// The row.
    pub person_id: i64,
    /// Who.
    pub identity: Identity,
    /// The name.
    pub name: String,
    /// What was believed last.
    pub belief: Belief,
    /// The digest of the newest snapshot.
    pub digest: Option<i64>,
    /// When the next look is due.
    pub next_poll: Option<Timestamp>,
    /// The last look, good or not.
    pub last_poll: Option<Timestamp>,
    /// The last good look.
    pub last_ok: Option<Timestamp>,
}

/// An event and who gets it.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The event.
    pub draft: Draft,
    /// The webhooks whose filters let it through.
    pub webhooks: Arc<[WebhookName]>,
}

/// A new answer, to be kept.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    /// When it arrived.
    pub at: Timestamp,
    /// `Observation::digest`.
    pub digest: i64,
    /// How many meetings it lists.
    pub meetings: u32,
    /// As JSON.
    pub body: String,
}

/// All that one look changed about one person. Written in one transaction.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The row.
    pub person_id: i64,
    /// The organisation.
    pub org: OrgName,
    /// `None` when the answer itself was not new.
    pub snapshot: Option<NewSnapshot>,
    /// The belief from now on.
    pub belief: Belief,
    /// Visits opened, changed, ended.
    pub visits: Vec<Visit>,
    /// In order.
    pub events: Vec<Outgoing>,
    /// Still on the watch list.
    pub watched: bool,
    /// When this was seen; `None` when no look is behind it.
    pub looked_at: Option<Timestamp>,
    /// When the next look is due.
    pub next_poll: Option<Timestamp>,
}

/// Unchanged answers since the last flush.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// The row.
    pub person_id: i64,
    /// The newest of them.
    pub last_ok: Timestamp,
    /// How many.
    pub polls: u32,
    /// When the next look is due.
    pub next_poll: Timestamp,
}

/// A failed look.
#[derive(Clone, Debug)]
pub struct Miss {
    /// The row.
    pub person_id: i64,
    /// The organisation.
    pub org: OrgName,
    /// When.
    pub at: Timestamp,
    /// `CallError::class`.
    pub class: &'static str,
    /// `CallError` as text.
    pub text: String,
    /// When the next look is due.
    pub next_poll: Timestamp,
}

/// A month's spending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Charged or reserved.
    pub used: u64,
    /// Refused by a rate limit.
    pub throttled: u64,
}

impl Store {
    /// Opens or creates the database for writing: takes the lock file, refuses a newer schema, migrates.
    pub async fn open(_path: &Path, _time_zone: Tz, _clock: SharedClock) -> Result<Self, StoreError> {
        Err(StoreError::NotBuilt)
    }

    /// `urn:presenced:...`, made with the database.
    pub fn source(&self) -> &str {
        ""
    }

    /// Matches the whole watch list with what is stored, in its order; adds who is new. The second list is who was
    /// watched until now and is not any more (still to be ended by a `Recording` with `watched: false`).
    pub async fn enroll(&self, _list: Vec<Enrolment>) -> Result<(Vec<Enrolled>, Vec<Enrolled>), StoreError> {
        Err(StoreError::NotBuilt)
    }

    /// Writes one look; returns when it is committed, together with whatever else was ready.
    pub async fn record(&self, _recording: Recording) -> Result<(), StoreError> {
        Err(StoreError::NotBuilt)
    }

    /// Writes events about nobody (`system.*`, `webhook.test`).
    pub async fn record_system(
        &self,
        _org: Option<OrgName>,
        _events: Vec<Outgoing>,
    ) -> Result<(), StoreError> {
        Err(StoreError::NotBuilt)
    }

    /// How often each kind of system event was made for an organisation (`None`: the daemon): part of their ids.
    pub async fn system_counts(
        &self,
        _org: Option<OrgName>,
    ) -> Result<std::collections::BTreeMap<crate::presence::event::EventType, u64>, StoreError> {
        Err(StoreError::NotBuilt)
    }

    /// Stretches snapshots and notes failures, in one transaction.
    pub async fn flush(&self, _stretches: Vec<Stretch>, _misses: Vec<Miss>) -> Result<(), StoreError> {
        Err(StoreError::NotBuilt)
    }

    /// Notes a stretch of time in which nobody looked.
    pub async fn note_gap(
        &self,
        _org: OrgName,
        _person_id: Option<i64>,
        _from: Timestamp,
        _to: Timestamp,
        _why: &'static str,
    ) -> Result<(), StoreError> {
        Err(StoreError::NotBuilt)
    }

    /// The spending of a month (`2026-11`).
    pub async fn usage(&self, _org: OrgName, _month: String) -> Result<Usage, StoreError> {
        Err(StoreError::NotBuilt)
    }

    /// Sets the spending of a month; `used` includes calls reserved but not made yet, so that a crash never makes the
    /// count too low.
    pub async fn set_usage(
        &self,
        _org: OrgName,
        _month: String,
        _usage: Usage,
        _limit: Option<u64>,
        _projected: Option<u64>,
    ) -> Result<(), StoreError> {
        Err(StoreError::NotBuilt)
    }

    /// Checkpoints, leaves the file readable by hand (`journal_mode=DELETE`), releases the lock.
    pub async fn close(&self) -> Result<(), StoreError> {
        Err(StoreError::NotBuilt)
    }
}
