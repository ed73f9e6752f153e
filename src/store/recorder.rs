//! Recording: results of polls, and system events.
//!
//! Guards: nothing by itself; each call returns after the commit. Deliberately not here: the statements (`recording`).

use std::sync::atomic::Ordering;

use super::database::Database;
use super::recording::{Counts, WriteRequest, system_counts};
use super::{MeetingFacts, Outgoing, Recording, StoreError};
use crate::ids::OrgName;

/// Recording: results of polls, and system events.
#[derive(Clone, Copy, Debug)]
pub struct Recorder<'s> {
    pub(super) database: &'s Database,
}

impl Recorder<'_> {
    /// Writes the result of one poll; returns when it is committed, together with all other writes that were ready.
    ///
    /// With `snapshot` a new snapshot begins. The caller also sends an unchanged answer as new after a long silence,
    /// because only it knows how long is too long. Without `snapshot`, but with `polled_at`, the newest snapshot is
    /// extended, so this poll must not be part of [`WatchList::flush`](super::WatchList::flush) as well. An event whose
    /// id is already stored is skipped, with its deliveries: the first body stays. `next_poll` of `None` keeps the
    /// stored one while the user is watched.
    pub async fn record(self, recording: Recording) -> Result<(), StoreError> {
        self.database.writer.request(WriteRequest::Poll(Box::new(recording))).await
    }

    /// Writes what answers say of meetings. Meetings that no watched user was in are left out.
    pub async fn record_meetings(self, org: OrgName, facts: Vec<MeetingFacts>) -> Result<(), StoreError> {
        self.database.writer.request(WriteRequest::Meetings { org, facts }).await
    }

    /// Whether events tell the title and the start of their meeting, as far as known (`privacy.titles = "events"`).
    pub fn put_titles_in_events(self, yes: bool) {
        self.database.titles_in_events.store(yes, Ordering::Relaxed);
    }

    /// Writes events that are about no user (`system.*`, `webhook.test`). An event whose id is already stored is
    /// skipped.
    pub async fn record_system(self, org: Option<OrgName>, events: Vec<Outgoing>) -> Result<(), StoreError> {
        self.database.writer.request(WriteRequest::System { org, events }).await
    }

    /// How many system events of each type were created for an organisation (`None`: the daemon); the count is part of
    /// their ids.
    pub async fn system_counts(self, org: Option<OrgName>) -> Result<Counts, StoreError> {
        let mut connection = self.database.readers.acquire().await?;
        system_counts::read(&mut connection, org.as_ref()).await
    }
}
