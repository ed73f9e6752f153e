//! The metadata of a request that holds one event or several, as its headers send it.
//!
//! Guards: the same events get the same id. Not here: the body (`webhook::format`).

use sha2::{Digest, Sha256};

use crate::policy::delivery::Trigger;

/// The value of `presenced-event` for events of several types.
const MIXED: &str = "batch";

/// An event to send.
#[derive(Clone, Debug)]
pub struct Message {
    /// The event's id, sent as `webhook-id`.
    pub event_id: String,
    /// `presenced-event`.
    pub event_type: String,
    /// `presenced-trigger`.
    pub trigger: Trigger,
    /// `presenced-attempt`: 1 for the first.
    pub attempt: u32,
    /// The stored bytes.
    pub body: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct RequestMeta {
    /// `webhook-id`.
    pub(super) id: String,
    /// `presenced-event`.
    pub(super) event_type: String,
    /// `presenced-trigger`.
    pub(super) trigger: Trigger,
    /// `presenced-attempt`.
    pub(super) attempt: u32,
}

impl RequestMeta {
    /// A single event uses its own values. Several events get an id that depends only on the events, so that a receiver can
    /// drop a request that is sent again.
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
    let digest = format!("{:x}", hash.finalize());
    format!("bat_{}", &digest[..32])
}
