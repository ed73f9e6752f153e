//! What the dispatcher and the outbox exchange: deliveries that were taken, their outcomes, requests for more.
//!
//! Guards: a ticket is made by a claim and consumed when its delivery is finished, so a delivery is finished once.
//! Deliberately not here: the statements (`claim`, `turn`).

use std::collections::VecDeque;
use std::time::Duration;

use crate::ids::WebhookName;
use crate::policy::delivery::{Health, Trigger};
use crate::store::StoreError;
use crate::time::Timestamp;

/// Identifies a delivery that was taken, and its lane. Only [`Outbox::turn`](super::Outbox::turn) creates one, and
/// [`Finished`] consumes it.
#[derive(Debug)]
pub struct Ticket {
    pub webhook: WebhookName,
    /// Id of the delivery's row.
    pub delivery_id: i64,
    /// Requests so far.
    pub attempts: u32,
    /// Requests that count towards giving up.
    pub strikes: u32,
    pub(super) org: String,
    pub(super) person_id: i64,
}

impl Ticket {
    pub(super) fn lane(&self) -> (&str, i64, &str) {
        (self.webhook.as_str(), self.person_id, &self.org)
    }
}

/// A delivery that was taken: to be sent, then finished.
#[derive(Debug)]
pub struct Claimed {
    /// Needed to finish the delivery.
    pub ticket: Ticket,
    /// The event's id.
    pub event_id: String,
    /// The event's type, by name.
    pub event_type: String,
    /// What caused it.
    pub trigger: Trigger,
    /// When the event was recorded.
    pub recorded: Timestamp,
    /// The stored bytes.
    pub body: Vec<u8>,
    /// The next deliveries of the same lane, in order, each with nothing behind it. The lane is leased for all of them,
    /// and they are sent one after the other. A dispatcher that stops earlier drops the rest and frees the lane.
    pub behind: VecDeque<Claimed>,
}

/// The outcome of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The receiver accepted it.
    Delivered,
    /// Given up.
    Dead,
    /// Too old to be sent.
    Expired,
    /// Not ended: retried, not before this time.
    Retry(Timestamp),
    /// Not ended: released unchanged.
    Released,
}

/// The result of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempted {
    /// HTTP status, if a response arrived.
    pub status: Option<u16>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl Attempted {
    /// From the parts of an answer.
    pub fn new(status: Option<u16>, error: Option<&str>, took: Duration) -> Self {
        Self { status, error: error.map(str::to_owned), took }
    }
}

/// A delivery to be written back.
#[derive(Debug)]
pub struct Finished {
    /// The delivery, or the webhook.
    pub ticket: Ticket,
    pub ending: Ending,
    /// `None`: no request was made.
    pub attempt: Option<Attempted>,
    pub strikes: u32,
    /// When it was finished.
    pub at: Timestamp,
    /// The lane stays leased, because the next delivery of it is in memory already.
    pub keeps_lane: bool,
}

/// A request for deliveries of one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub webhook: WebhookName,
    /// The most lanes.
    pub max: u32,
    /// The most deliveries of a lane: its head and those [behind it](Claimed::behind).
    pub run: u32,
    /// When the leases end.
    pub lease_until: Timestamp,
    /// The webhook is down: one head is taken as a probe, ready or not.
    pub probe: bool,
}

/// Everything that the dispatcher writes and requests at one moment, in one transaction.
#[derive(Debug, Default)]
pub struct Turn {
    /// The present.
    pub at: Timestamp,
    /// Deliveries to write back.
    pub finished: Vec<Finished>,
    /// Deliveries of which a strike is refunded.
    pub forgiven: Vec<i64>,
    /// Webhooks whose state changed.
    pub states: Vec<(WebhookName, Health)>,
    /// Webhooks whose lanes become ready at once, without waiting for their backoff.
    pub hurried: Vec<WebhookName>,
    /// Requests for deliveries.
    pub asks: Vec<Ask>,
}

impl Turn {
    /// Whether there is nothing to write and nothing to request.
    pub fn is_empty(&self) -> bool {
        let Self { at: _, finished, forgiven, states, hurried, asks } = self;
        finished.is_empty()
            && forgiven.is_empty()
            && states.is_empty()
            && hurried.is_empty()
            && asks.is_empty()
    }
}

/// The answer to an [`Ask`].
#[derive(Debug)]
pub struct Granted {
    pub webhook: WebhookName,
    /// The deliveries, longest waiting first.
    pub claimed: Vec<Claimed>,
    /// Ids of events that the disk changed: their deliveries are dead letters now.
    pub damaged: Vec<String>,
    /// When the next free lane is ready; in the past if there was more than requested. `None`: no lane is free.
    pub next_ready: Option<Timestamp>,
}

/// The result of a turn.
#[derive(Debug, Default)]
pub struct Turned {
    /// In the order of the requests.
    pub granted: Vec<Granted>,
    /// Finished deliveries that no longer exist or no longer wait (erased, pruned or given up meanwhile).
    pub missing: u64,
    /// Webhooks in `hurried` with more lanes than one transaction changes.
    pub unfinished: Vec<WebhookName>,
}

/// A turn that failed. It changed nothing and can be retried.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct TurnFailed {
    pub error: StoreError,
    /// The turn itself, unless it is still shared.
    pub turn: Option<Turn>,
}
