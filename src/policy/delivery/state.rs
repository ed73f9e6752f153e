//! How a webhook stands: up, down, disabled or paused.
//!
//! Guards: a word for each in the database and in texts. Deliberately not here: what changes it (the room above, and
//! `policy::by_hand`).

use crate::time::Timestamp;

/// Unavailable so often in a row, over all lanes, puts a webhook down.
pub const DOWN_AFTER: u32 = 5;

/// Whether a webhook is sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WebhookState {
    /// Everything that is due goes out.
    #[default]
    Up,
    /// One probe at a time.
    Down {
        /// When the last of the failures in a row came.
        since: Timestamp,
        /// When the next probe may go out.
        probe_at: Timestamp,
        /// Probes that failed so far.
        probes: u32,
    },
    /// Nothing goes out; what waits becomes dead letters.
    Disabled {
        /// For the operator.
        reason: String,
    },
    /// Nothing goes out; what waits goes on waiting.
    Paused {
        /// For the operator.
        reason: String,
    },
}

impl WebhookState {
    /// Down, with a probe now and then.
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Down { .. })
    }

    /// The word in the database and in texts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down { .. } => "down",
            Self::Disabled { .. } => "disabled",
            Self::Paused { .. } => "paused",
        }
    }
}

/// Refused so often in a row, over at least `REFUSING_EVENTS` events, a webhook takes nothing: worth an alert.
pub const REFUSING_AFTER: u32 = 5;
/// See [`REFUSING_AFTER`].
const REFUSING_EVENTS: usize = 2;

/// Refusals since the last accepted delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    in_a_row: u32,
    /// Distinct deliveries, as many as matter.
    deliveries: Vec<i64>,
}

impl Refusals {
    /// One more.
    pub fn add(&mut self, delivery_id: i64) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.deliveries.len() < REFUSING_EVENTS && !self.deliveries.contains(&delivery_id) {
            self.deliveries.push(delivery_id);
        }
    }

    /// Whether the receiver refuses whatever it gets, not one bad event.
    pub fn are_all(&self) -> bool {
        self.in_a_row >= REFUSING_AFTER && self.deliveries.len() >= REFUSING_EVENTS
    }
}

/// A webhook's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether it is sent to.
    pub state: WebhookState,
    /// Unavailable in a row, over all lanes.
    pub failures: u32,
    /// Whose strikes are part of that row, at most [`DOWN_AFTER`]. Kept in memory only: after a restart in the middle
    /// of a row its first strikes stay, which is at most four.
    pub counted_deliveries: Vec<i64>,
    /// Kept in memory only; `last_error` outlives a restart.
    pub refusals: Refusals,
    /// What the receiver answers instead of accepting, while it is down or refuses every event.
    pub last_error: Option<String>,
}

impl Health {
    /// Sent to, and refuses every event.
    pub fn is_refusing(&self) -> bool {
        self.state == WebhookState::Up && self.last_error.is_some()
    }

    /// Notes what an attempt was answered, after [`decide`](super::decide).
    pub fn note(&mut self, last_error: Option<String>) {
        match last_error {
            None => self.last_error = None,
            Some(text) if self.state.is_down() || self.refusals.are_all() => self.last_error = Some(text),
            Some(_) => {}
        }
    }
}
