//! The outbox: which deliveries wait, who has taken them, what became of them.
//!
//! Guards: a lane's head is taken once, and finished once, by who took it; a lane is freed, moved on or removed in the
//! transaction that finishes its head; nothing here scans a table while deliveries flow, so a backlog of a million
//! costs no more per delivery than one of ten. Deliberately not here: times and outcomes (`policy::delivery` decides,
//! SQL only compares), the writing of new deliveries (`recording`), requests (a transaction never spans one).

pub mod admin;
mod claim;
pub mod replay;
mod turn;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Store, StoreError};
use crate::ids::WebhookName;
use crate::policy::delivery::{Health, Trigger};
use crate::time::Timestamp;

/// Which delivery was taken, and from which lane. Only [`Store::turn`] makes one, and [`Finished`] takes it away.
#[derive(Debug)]
pub struct Ticket {
    /// Whose delivery.
    pub webhook: WebhookName,
    /// The row.
    pub delivery_id: i64,
    /// Requests so far.
    pub attempts: u32,
    /// Those that count towards giving up.
    pub strikes: u32,
    org: String,
    person_id: i64,
}

/// A delivery that was taken: it is sent, then finished.
#[derive(Debug)]
pub struct Claimed {
    /// To finish it with.
    pub ticket: Ticket,
    /// The event's id.
    pub event_id: String,
    /// The event's type, by name.
    pub event_type: String,
    /// Why it is sent.
    pub trigger: Trigger,
    /// When the event was written down.
    pub recorded: Timestamp,
    /// The stored bytes.
    pub body: Vec<u8>,
    /// What comes next in the same lane, in order, each with nothing behind it. The lane is leased for all of them, and
    /// they are sent one after the other: whoever does not get that far forgets the rest, and frees the lane.
    pub behind: VecDeque<Claimed>,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The receiver has it.
    Delivered,
    /// Given up.
    Dead,
    /// Too old to be sent.
    Expired,
    /// Not ended: again, not before this.
    Retry(Timestamp),
    /// Not ended: given back as it was taken.
    Released,
}

/// What a request led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// HTTP status, where a head arrived.
    pub status: Option<u16>,
    /// Why it failed, where it did.
    pub error: Option<String>,
}

/// A delivery to be written back.
#[derive(Debug)]
pub struct Finished {
    /// Which.
    pub ticket: Ticket,
    /// How.
    pub ending: Ending,
    /// `None`: no request was made.
    pub attempt: Option<Attempted>,
    /// Strikes from now on.
    pub strikes: u32,
    /// When.
    pub at: Timestamp,
    /// The lane stays taken, because what comes next in it is in hand already.
    pub keeps_lane: bool,
}

/// A webhook that could send more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which.
    pub webhook: WebhookName,
    /// At most so many.
    pub max: u32,
    /// Up to so many of a lane: its head and what is [behind it](Claimed::behind).
    pub run: u32,
    /// Leases run until then.
    pub lease_until: Timestamp,
    /// It is down: one head is taken as a probe, ready or not.
    pub probe: bool,
}

/// Everything a dispatcher has to say and to ask at one moment: one transaction.
#[derive(Debug, Default)]
pub struct Turn {
    /// The present.
    pub at: Timestamp,
    /// Deliveries to write back.
    pub finished: Vec<Finished>,
    /// Deliveries that get a strike back.
    pub forgiven: Vec<i64>,
    /// Webhooks whose state changed.
    pub states: Vec<(WebhookName, Health)>,
    /// Webhooks whose lanes do not wait out their back-off any more.
    pub hurried: Vec<WebhookName>,
    /// Webhooks that could send more.
    pub asks: Vec<Ask>,
}

impl Turn {
    /// Nothing to say and nothing to ask.
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
    /// Who asked.
    pub webhook: WebhookName,
    /// Longest waiting first.
    pub claimed: Vec<Claimed>,
    /// Ids of events that changed on the disk: their deliveries are dead letters now.
    pub damaged: Vec<String>,
    /// When the next free lane is ready; may be past when there was more than asked for. `None`: no lane is free.
    pub next_ready: Option<Timestamp>,
}

/// What a turn did.
#[derive(Debug, Default)]
pub struct Turned {
    /// In the order of the asks.
    pub granted: Vec<Granted>,
    /// Finished deliveries that were not there any more (erased, pruned or buried meanwhile).
    pub missing: u64,
    /// Hurried webhooks of which more lanes wait than one transaction moves.
    pub unhurried: Vec<WebhookName>,
}

/// A turn that was not written. It changed nothing, and can be tried again.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct TurnFailed {
    /// Why.
    pub error: StoreError,
    /// The turn itself, unless somebody still holds it.
    pub turn: Option<Turn>,
}

impl Store {
    /// Frees what an earlier daemon had taken. For the start only: the lock file says that nobody else sends.
    pub async fn free_leases(&self) -> Result<u64, StoreError> {
        self.write(|connection| Box::pin(turn::free_all(connection))).await
    }

    /// The state of every webhook that ever had one.
    pub async fn webhook_states(&self) -> Result<Vec<(WebhookName, Health)>, StoreError> {
        turn::states(&mut *self.readers().acquire().await?).await
    }

    /// Writes back what is finished, then takes what is asked for, in one transaction.
    pub async fn turn(&self, turn: Turn) -> Result<Turned, TurnFailed> {
        let turn = Arc::new(turn);
        let shared = Arc::clone(&turn);
        let job =
            self.write(move |connection| Box::pin(async move { turn::take_turn(connection, &shared).await }));
        let turned = job.await.map_err(|error| TurnFailed { error, turn: Arc::into_inner(turn) })?;
        self.note_damage(turned.granted.iter().flat_map(|granted| &granted.damaged));
        Ok(turned)
    }

    /// Takes up to `max` heads of free lanes that are ready at `now`.
    pub async fn claim(
        &self,
        webhook: WebhookName,
        now: Timestamp,
        lease_until: Timestamp,
        max: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let ask = Ask { webhook, max, run: 1, lease_until, probe: false };
        self.write(move |connection| {
            Box::pin(async move {
                let granted = claim::grant(connection, std::slice::from_ref(&ask), now).await?;
                Ok(granted.into_iter().flat_map(|one| one.claimed).collect())
            })
        })
        .await
    }

    /// Writes back what is finished; returns how many of them were not there any more.
    pub async fn finish(&self, finished: Vec<Finished>) -> Result<u64, StoreError> {
        self.write(move |connection| Box::pin(async move { turn::write_back(connection, &finished).await }))
            .await
    }

    /// When the next free lane of a webhook is ready; `None` when nothing waits.
    pub async fn next_ready(&self, webhook: &WebhookName) -> Result<Option<Timestamp>, StoreError> {
        let ready = claim::next_ready(&mut *self.readers().acquire().await?, &[webhook]).await?;
        Ok(ready.into_iter().next().flatten())
    }

    /// Makes everything that waits for a webhook a dead letter; returns how many. Nothing of it may be in flight.
    pub async fn bury(&self, webhook: WebhookName, reason: String, at: Timestamp) -> Result<u64, StoreError> {
        let mut buried = 0;
        loop {
            let (webhook, reason) = (webhook.clone(), reason.clone());
            let some = self
                .write(move |connection| {
                    Box::pin(async move { turn::bury_some(connection, &webhook, &reason, at).await })
                })
                .await?;
            buried += some;
            if some < turn::BURIED_AT_ONCE {
                return Ok(buried);
            }
        }
    }
}
