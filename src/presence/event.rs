//! Events: what is told to others, with ids that the same facts always give again.
//!
//! Guards: the catalogue and the envelope around `data` (a CloudEvents 1.0 structured event); a body is bounded.
//! Deliberately not here: which changes there are (`presence::diff`), the members of `data` (`presence::data`), how
//! ids are made (`tell`, `fingerprint`), signing and sending (`signature`, `webhook`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::data::Data;
use crate::ids::{ConferenceId, EventId, Identity};
use crate::time::Timestamp;

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)+) => {
        /// The catalogue.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventType {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl EventType {
            /// All of them, in the catalogue's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

event_types! {
    /// Not inside -> inside.
    ParticipantJoined => "meeting.participant_joined",
    /// Inside -> not inside.
    ParticipantLeft => "meeting.participant_left",
    /// Status 4 without having been inside.
    ParticipantJoinFailed => "meeting.participant_join_failed",
    /// Status became 1 or 2.
    ParticipantInvited => "meeting.participant_invited",
    /// The role differs inside an open visit.
    ParticipantRoleChanged => "meeting.participant_role_changed",
    /// Later evidence changes an event already sent.
    ParticipantCorrected => "meeting.participant_corrected",
    /// `in_meeting` turned true, false or unknown.
    PresenceChanged => "user.presence_changed",
    /// On request: how somebody stands now.
    PresenceSnapshot => "user.presence_snapshot",
    /// No good poll of this person for too long.
    WatchStale => "watch.stale",
    /// The first good one again.
    WatchRecovered => "watch.recovered",
    /// Upstream says this person is invalid.
    WatchRejected => "watch.rejected",
    /// Nobody looked for a while.
    SystemGap => "system.gap",
    /// The daemon's own health turned.
    SystemAlert => "system.alert",
    /// The operator asked for one.
    WebhookTest => "webhook.test",
}

/// What takes in all of a kind.
const FAMILIES: [&str; 5] = ["meeting.*", "user.*", "watch.*", "system.*", "webhook.*"];

impl EventType {
    /// The name or the pattern that is meant by somebody who writes a part of it: `joined`, `meeting.joined`, `meetings`.
    pub fn meant_by(text: &str) -> Option<&'static str> {
        let family = text.trim_end_matches(['*', '.', 's']);
        let last = text.rsplit('.').next().filter(|last| !last.is_empty())?;
        let ends_so =
            |name: &&str| name.strip_suffix(last).is_some_and(|before| before.ends_with(['.', '_']));
        let named = FAMILIES.into_iter().find(|pattern| pattern.strip_suffix(".*") == Some(family));
        named.or_else(|| Self::ALL.iter().map(|event| event.name()).find(ends_so))
    }
}

/// What the config says about a person, for `data.user`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Who.
    pub identity: Identity,
    /// By the config.
    pub name: String,
    /// By the config.
    pub groups: Vec<String>,
    /// By the config.
    pub tags: BTreeMap<String, String>,
    /// `privacy.store_nick`: whether `data.user.nick` may be there.
    pub store_nick: bool,
}

/// What is only known when the event is committed.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// `urn:presenced:...`
    pub source: &'a str,
    /// The counter given in the commit.
    pub sequence: u64,
    /// When it is written down.
    pub recorded_at: Timestamp,
}

/// An event that waits for its sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The same facts give the same id.
    pub id: EventId,
    /// From the catalogue.
    pub event_type: EventType,
    /// When it happened, as far as known.
    pub time: Timestamp,
    /// Whom it is about; `None` for `system.*` and `webhook.test`.
    pub identity: Option<Identity>,
    /// The meeting, where there is one.
    pub conference_id: Option<ConferenceId>,
    /// `timing.late`: for the filter `skip_late`.
    pub late: bool,
    /// The person hosts the meeting: for the filter `only_hosts`.
    pub host: bool,
    /// The envelope's `data`.
    pub data: Box<Data>,
}

/// No body is longer, whatever names, tags and meetings a person has: the bounds in `data` see to it.
pub const MAX_BODY_BYTES: usize = 20_000;

impl Draft {
    /// `org/unionId`, or `system` for what is about nobody: the lane receivers may order by.
    pub fn subject(&self) -> String {
        self.identity.as_ref().map_or_else(|| "system".to_owned(), ToString::to_string)
    }

    /// The bytes that are stored, signed and sent. Members in the order of the documented sample.
    pub fn body(&self, envelope: &Envelope<'_>) -> Vec<u8> {
        // Cannot fail: no map with keys that are not text, no writer that could refuse.
        serde_json::to_vec(&self.enveloped(envelope)).expect("an event is plain JSON")
    }

    /// The same before it is bytes.
    pub(super) fn enveloped<'a>(&'a self, envelope: &Envelope<'a>) -> impl Serialize + 'a {
        let subject = self.subject();
        Body {
            specversion: "1.0",
            id: &self.id,
            source: envelope.source,
            event_type: self.event_type.name(),
            partitionkey: subject.clone(),
            subject,
            time: Rfc3339(self.time),
            timestamp: Rfc3339(self.time),
            recordedtime: Rfc3339(envelope.recorded_at),
            sequence: format!("{:020}", envelope.sequence),
            datacontenttype: "application/json",
            data: &self.data,
        }
    }
}

/// An instant as events write it: RFC 3339, UTC, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rfc3339(pub Timestamp);

impl Serialize for Rfc3339 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.rfc3339())
    }
}

#[derive(Serialize)]
struct Body<'a> {
    specversion: &'static str,
    id: &'a EventId,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'static str,
    subject: String,
    time: Rfc3339,
    timestamp: Rfc3339,
    recordedtime: Rfc3339,
    sequence: String,
    partitionkey: String,
    datacontenttype: &'static str,
    data: &'a Data,
}
