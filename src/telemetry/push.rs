//! The state of a push connection, for status and metrics.
//!
//! Guards: no text holds a ticket, a secret or a URL. Not here: the connection (`stream`).

use crate::time::Timestamp;

/// The state of the push connection of one organisation. It does not affect readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushHealth {
    /// Why it is down, as a word; `None`: it is up.
    pub down: Option<&'static str>,
    /// The last failure, as text.
    pub why: Option<String>,
    /// Since when it is up or down.
    pub since: Timestamp,
    /// When the next attempt is made, if none is under way.
    pub next: Option<Timestamp>,
    /// Connections that were made since the start.
    pub connections: u64,
    /// Events that came since the start, repeats included.
    pub events: u64,
    /// Frames and events that were not understood since the start.
    pub not_understood: u64,
    /// When the newest suite ticket came since the start.
    pub ticket: Option<Timestamp>,
}
