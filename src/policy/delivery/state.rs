//! State of a webhook: up, down, disabled or paused.
//!
//! Guards: each state has one name, in the database and in texts. Not here: what changes the state
//! (`policy::delivery`, `policy::operator_action`).

use crate::time::Timestamp;

/// This many `Unavailable` outcomes in a row, over all lanes, take a webhook down.
pub const DOWN_AFTER: u32 = 5;

/// Whether deliveries are sent to a webhook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WebhookState {
    /// Every due delivery is sent.
    #[default]
    Up,
    /// Only one delivery at a time is sent, as a probe.
    Down {
        /// Time of the failure that took it down.
        since: Timestamp,
        /// When the next probe may be sent.
        probe_at: Timestamp,
        /// Number of failed probes so far.
        probes: u32,
    },
    /// Nothing is sent; pending deliveries become dead letters.
    Disabled {
        /// Reason, shown to the operator.
        reason: String,
    },
    /// Nothing is sent; deliveries stay pending.
    Paused {
        /// Reason, shown to the operator.
        reason: String,
    },
}

impl WebhookState {
    /// Whether it is down, so that only probes are sent.
    pub fn is_down(&self) -> bool {
        matches!(self, Self::Down { .. })
    }

    /// Name in the database and in texts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down { .. } => "down",
            Self::Disabled { .. } => "disabled",
            Self::Paused { .. } => "paused",
        }
    }
}

/// This many refusals in a row, of at least `REFUSING_EVENTS` events, mean that the receiver refuses every event and
/// cause an alert.
pub const REFUSING_AFTER: u32 = 5;
/// See [`REFUSING_AFTER`].
const REFUSING_EVENTS: usize = 2;

/// Refusals since the last accepted delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    in_a_row: u32,
    /// Ids of distinct refused deliveries, at most [`REFUSING_EVENTS`].
    deliveries: Vec<i64>,
}

impl Refusals {
    /// Counts a refusal.
    pub fn add(&mut self, delivery_id: i64) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.deliveries.len() < REFUSING_EVENTS && !self.deliveries.contains(&delivery_id) {
            self.deliveries.push(delivery_id);
        }
    }

    /// Whether the receiver refuses every event, not just one.
    pub fn are_all(&self) -> bool {
        self.in_a_row >= REFUSING_AFTER && self.deliveries.len() >= REFUSING_EVENTS
    }
}

/// State of a webhook, with the counters that change it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether deliveries are sent.
    pub state: WebhookState,
    /// `Unavailable` outcomes in a row, over all lanes.
    pub failures: u32,
    /// Deliveries that got a strike during this row of failures, at most [`DOWN_AFTER`]. Kept in memory only: after a
    /// restart in the middle of a row its first strikes, at most four, are not taken back.
    pub counted_deliveries: Vec<i64>,
    /// Kept in memory only; `last_error` survives a restart.
    pub refusals: Refusals,
    /// What the receiver answers instead of accepting, while it is down or refuses every event.
    pub last_error: Option<String>,
}

impl Health {
    /// Whether it is up and its receiver refuses every event.
    pub fn is_refusing(&self) -> bool {
        self.state == WebhookState::Up && self.last_error.is_some()
    }

    /// Records the error of an attempt, if it failed; called after [`decide`](super::decide).
    pub fn note(&mut self, last_error: Option<String>) {
        match last_error {
            None => self.last_error = None,
            Some(text) if self.state.is_down() || self.refusals.are_all() => self.last_error = Some(text),
            Some(_) => {}
        }
    }
}
