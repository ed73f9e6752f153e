//! One look, written: snapshot, belief, visits, events with their sequence, deliveries.
//!
//! Guards: a batch of looks is a handful of statements, whatever its size; an id has one body for ever; the sequence has
//! no holes and is never given twice. Deliberately not here: the transaction around it (`writer`), what a look means
//! (`presence`).
//!
//! ```text
//! looks   what was seen of people: belief, snapshot, visits
//! events  what is told of it: number, body, deliveries, lanes
//! ```

mod events;
mod looks;

use std::collections::HashSet;
use std::sync::Arc;

use chrono_tz::Tz;
use sqlx::SqliteConnection;

use super::outbox::admin;
use super::{Outgoing, Recording, Store, StoreError, accounts};
use crate::clock::SharedClock;
use crate::ids::{OrgName, WebhookName};
use crate::policy::webhook_alert::SentAlert;

pub(super) use self::looks::{STRETCH_SNAPSHOTS, StretchRow};

impl Store {
    /// Writes one look; returns when it is committed, together with whatever else was ready.
    ///
    /// With `snapshot` a new row is begun (also when the same answer comes again after a long silence: the caller, who
    /// knows how long is too long, sends it as new). Without one, but with `looked_at`, the newest row is stretched, so
    /// that look must not come again in [`Store::flush`]. An event whose id is stored already is left out, with its
    /// deliveries: the first body stands. `next_poll` of `None` keeps the stored one while somebody is watched.
    pub async fn record(&self, recording: Recording) -> Result<(), StoreError> {
        self.note(Note::Look(Box::new(recording))).await
    }
}

/// What the scribe writes.
#[derive(Debug)]
pub(super) enum Note {
    /// About a person.
    Look(Box<Recording>),
    /// About nobody.
    System {
        /// `None`: the daemon.
        org: Option<OrgName>,
        /// In order.
        events: Vec<Outgoing>,
    },
    /// About a webhook's health: the alert, and that it was told.
    Alert {
        /// Whose.
        webhook: WebhookName,
        /// What is told.
        told: SentAlert,
        /// The alert.
        event: Box<Outgoing>,
    },
}

/// Keeps the sequence.
#[derive(Debug)]
pub(super) struct Scribe {
    source: Arc<str>,
    time_zone: Tz,
    clock: SharedClock,
    /// The last number given, once it was read; forgotten when a transaction may have failed.
    last_sequence: Option<u64>,
}

impl Scribe {
    pub(super) fn new(source: Arc<str>, time_zone: Tz, clock: SharedClock) -> Self {
        Self { source, time_zone, clock, last_sequence: None }
    }

    /// What was given last may not have been committed: look again before giving the next one.
    pub(super) fn forget_sequence(&mut self) {
        self.last_sequence = None;
    }

    /// Writes all of it inside the caller's transaction.
    pub(super) async fn write(
        &mut self,
        connection: &mut SqliteConnection,
        notes: &[Note],
    ) -> Result<(), StoreError> {
        let looks: Vec<&Recording> = notes
            .iter()
            .filter_map(|note| match note {
                Note::Look(recording) => Some(recording.as_ref()),
                Note::System { .. } | Note::Alert { .. } => None,
            })
            .collect();
        for round in rounds(&looks) {
            looks::write(connection, round, self.time_zone).await?;
        }
        let mut outgoing = Vec::new();
        for note in notes {
            let (org, person, events) = match note {
                Note::Look(look) => (Some(&look.org), Some(look.person_id), look.events.as_slice()),
                Note::System { org, events } => (org.as_ref(), None, events.as_slice()),
                Note::Alert { webhook, told, event } => {
                    admin::note_told(connection, webhook, *told).await?;
                    (None, None, std::slice::from_ref(event.as_ref()))
                }
            };
            outgoing.extend(events.iter().map(|event| (org, person, event)));
        }
        let written = self.write_events(connection, &outgoing).await?;
        accounts::count_system_events(connection, &written).await
    }
}

/// Stretches of looks in which nobody comes twice: a bulk update takes one row a person.
fn rounds<'a, 'r>(mut looks: &'a [&'r Recording]) -> Vec<&'a [&'r Recording]> {
    let mut rounds = Vec::new();
    while !looks.is_empty() {
        let mut seen = HashSet::with_capacity(looks.len());
        let length = looks.iter().take_while(|look| seen.insert(look.person_id)).count();
        let (round, rest) = looks.split_at(length);
        rounds.push(round);
        looks = rest;
    }
    rounds
}
