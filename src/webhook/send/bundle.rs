//! What the headers of a request say when it holds one event, or several.
//!
//! Guards: the same events make the same id. Deliberately not here: the body (`webhook::format`).

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::Message;
use crate::policy::delivery::Trigger;

/// `presenced-event` of a request that holds events of several types.
const MIXED: &str = "batch";

/// What one request is about.
#[derive(Debug)]
pub(super) struct Bundle {
    /// `webhook-id`.
    pub(super) id: String,
    /// `presenced-event`.
    pub(super) event_type: String,
    /// `presenced-trigger`.
    pub(super) trigger: Trigger,
    /// `presenced-attempt`.
    pub(super) attempt: u32,
}

impl Bundle {
    /// One event is itself. Several have an id of their own, which is the same for the same events, so that a receiver
    /// can drop a request that was sent again.
    pub(super) fn of(messages: &[Message]) -> Self {
        let first = messages.first();
        let id_of = |message: &Message| message.event_id.clone();
        let id = match messages {
            [_, _, ..] => batch_id(messages),
            _ => first.map(id_of).unwrap_or_default(),
        };
        let type_of = |message: &Message| message.event_type.clone();
        let mixed = messages.windows(2).any(|two| two[0].event_type != two[1].event_type);
        let event_type = if mixed { MIXED.to_owned() } else { first.map(type_of).unwrap_or_default() };
        let same = messages.windows(2).all(|two| two[0].trigger == two[1].trigger);
        let trigger = first.filter(|_| same).map_or(Trigger::Event, |message| message.trigger);
        let attempt = messages.iter().map(|message| message.attempt).max().unwrap_or(1);
        Self { id, event_type, trigger, attempt }
    }
}

fn batch_id(messages: &[Message]) -> String {
    let mut hash = Sha256::new();
    for message in messages {
        hash.update(&message.event_id);
        hash.update(b"\n");
    }
    let mut id = "bat_".to_owned();
    for byte in hash.finalize().iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}
