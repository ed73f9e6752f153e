//! Requests to the writer that need the event sequence, and the order in which they are written.
//!
//! Guards: a user has at most one poll in a batch, because a bulk update takes one row per user. Deliberately not here:
//! the statements (`polls`, `events`).

use std::collections::HashSet;

use sqlx::SqliteConnection;

use super::events::EventWriter;
use super::{meetings, polls, system_counts};
use crate::ids::{OrgName, WebhookName};
use crate::policy::webhook_alert::SentAlert;
use crate::store::outbox::webhook_state;
use crate::store::{MeetingFacts, Outgoing, Recording, StoreError};

/// What the [`EventWriter`] writes.
#[derive(Debug)]
pub(in crate::store) enum WriteRequest {
    /// The result of a poll.
    Poll(Box<Recording>),
    /// What is known of meetings, apart from a poll.
    Meetings {
        /// The organisation.
        org: OrgName,
        /// The facts.
        facts: Vec<MeetingFacts>,
    },
    /// Events that are about no user.
    System {
        /// `None`: the daemon.
        org: Option<OrgName>,
        /// In order.
        events: Vec<Outgoing>,
    },
    /// An alert about a webhook, and that it was sent.
    Alert { webhook: WebhookName, told: SentAlert, event: Box<Outgoing> },
}

/// Writes all of them inside the caller's transaction.
pub(in crate::store) async fn write(
    connection: &mut SqliteConnection,
    event_writer: &mut EventWriter,
    requests: &[WriteRequest],
) -> Result<(), StoreError> {
    let polls: Vec<&Recording> = requests
        .iter()
        .filter_map(|request| match request {
            WriteRequest::Poll(recording) => Some(recording.as_ref()),
            WriteRequest::Meetings { .. } | WriteRequest::System { .. } | WriteRequest::Alert { .. } => None,
        })
        .collect();
    for run in without_repeats(&polls) {
        polls::write(connection, run, event_writer.time_zone()).await?;
    }
    // Before the events, which may tell a title.
    meetings::write_seen(connection, &polls).await?;
    for request in requests {
        match request {
            WriteRequest::Poll(poll) => meetings::write_facts(connection, &poll.org, &poll.meetings).await?,
            WriteRequest::Meetings { org, facts } => meetings::write_facts(connection, org, facts).await?,
            WriteRequest::System { .. } | WriteRequest::Alert { .. } => {}
        }
    }
    let mut outgoing = Vec::new();
    for request in requests {
        let (org, person, events) = match request {
            WriteRequest::Poll(poll) => (Some(&poll.org), Some(poll.person_id), poll.events.as_slice()),
            WriteRequest::Meetings { .. } => continue,
            WriteRequest::System { org, events } => (org.as_ref(), None, events.as_slice()),
            WriteRequest::Alert { webhook, told, event } => {
                webhook_state::set_sent_alert(connection, webhook, *told).await?;
                (None, None, std::slice::from_ref(event.as_ref()))
            }
        };
        outgoing.extend(events.iter().map(|event| (org, person, event)));
    }
    let written = event_writer.write_events(connection, &outgoing).await?;
    system_counts::add(connection, &written).await
}

/// Splits polls into runs in which no user occurs twice.
fn without_repeats<'a, 'r>(mut polls: &'a [&'r Recording]) -> Vec<&'a [&'r Recording]> {
    let mut runs = Vec::new();
    while !polls.is_empty() {
        let mut seen = HashSet::with_capacity(polls.len());
        let length = polls.iter().take_while(|poll| seen.insert(poll.person_id)).count();
        let (run, rest) = polls.split_at(length);
        runs.push(run);
        polls = rest;
    }
    runs
}
