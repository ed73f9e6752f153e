//! What goes in and out of the database, as the tasks see it.
//!
//! Guards: nothing, these are plain facts; their types were parsed at the edges. Deliberately not here: how they are
//! written (`recording`, `people`, `accounts`).

use std::sync::Arc;

use crate::ids::{Identity, OrgName, WebhookName};
use crate::presence::event::NewEvent;
use crate::presence::user_state::UserState;
use crate::presence::visit::Visit;
use crate::time::Timestamp;

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
    pub belief: UserState,
    /// The digest of the newest answer; `None`: whatever comes next is new.
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
    pub draft: NewEvent,
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
    /// `None` when the answer itself was not new: then the newest row is stretched to `looked_at`.
    pub snapshot: Option<NewSnapshot>,
    /// The belief from now on.
    pub belief: UserState,
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
