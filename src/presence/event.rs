//! Events: the types, and the envelope around `data` (a CloudEvents 1.0 structured event).
//!
//! Guards: the list of event types and the shape of the envelope; a body has at most [`MAX_BODY_BYTES`]. Deliberately
//! not here: which change produces which event (`diff`), the members of `data` (`data`), how ids are made
//! (`event_builder`, `fingerprint`), signing and sending (`signature`, `webhook`).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::data::Data;
pub use super::data::{Rfc3339, UserInfo};
use crate::ids::{ConferenceId, EventId, Identity};
use crate::time::Timestamp;

macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)+) => {
        /// The types of events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum EventType {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl EventType {
            /// All types, in the documented order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in events and tables.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

event_types! {
    /// The user joined a meeting.
    ParticipantJoined => "meeting.participant_joined",
    /// The user left a meeting.
    ParticipantLeft => "meeting.participant_left",
    /// The user did not join: status 4 without a visit.
    ParticipantJoinFailed => "meeting.participant_join_failed",
    /// The user was invited or is being called: status 1 or 2.
    ParticipantInvited => "meeting.participant_invited",
    /// The role changed during a visit.
    ParticipantRoleChanged => "meeting.participant_role_changed",
    /// A later answer corrects an event that was already emitted.
    ParticipantCorrected => "meeting.participant_corrected",
    /// `in_meeting` changed to true, false or null.
    PresenceChanged => "user.presence_changed",
    /// The current presence, on request.
    PresenceSnapshot => "user.presence_snapshot",
    /// No poll of this user has succeeded for too long.
    WatchStale => "watch.stale",
    /// The first successful poll after `watch.stale` or `watch.rejected`.
    WatchRecovered => "watch.recovered",
    /// DingTalk rejects this user as invalid.
    WatchRejected => "watch.rejected",
    /// No poll ran for a while.
    SystemGap => "system.gap",
    /// An alert about the daemon's own health started or ended.
    SystemAlert => "system.alert",
    /// The operator requested a test event.
    WebhookTest => "webhook.test",
}

/// Patterns that match all types of a kind.
const FAMILIES: [&str; 5] = ["meeting.*", "user.*", "watch.*", "system.*", "webhook.*"];

impl EventType {
    /// The type or pattern to suggest for an incomplete name: `joined`, `meeting.joined`, `meetings`.
    pub fn suggestion_for(text: &str) -> Option<&'static str> {
        let family = text.trim_end_matches(['*', '.', 's']);
        let last = text.rsplit('.').next().filter(|last| !last.is_empty())?;
        let ends_so =
            |name: &&str| name.strip_suffix(last).is_some_and(|before| before.ends_with(['.', '_']));
        let named = FAMILIES.into_iter().find(|pattern| pattern.strip_suffix(".*") == Some(family));
        named.or_else(|| Self::ALL.iter().map(|event| event.name()).find(ends_so))
    }
}

/// Values that are only known when the event is committed.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// `urn:presenced:...`, the installation.
    pub source: &'a str,
    /// The number that the commit assigns.
    pub sequence: u64,
    /// Time of the commit.
    pub recorded_at: Timestamp,
    /// What `data.meeting` tells beside the id; `None`: nothing.
    pub meeting: Option<&'a MeetingLabel>,
}

/// What events may tell of a meeting (`privacy.titles = "events"`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeetingLabel {
    /// The title.
    pub title: Option<String>,
    /// When the meeting began.
    pub started: Option<Timestamp>,
}

/// An event without a sequence number. The commit assigns it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// A hash; the same facts give the same id.
    pub id: EventId,
    /// The type of the event.
    pub event_type: EventType,
    /// Time of the change, as far as known.
    pub time: Timestamp,
    /// The user; `None` in `system.*` and `webhook.test`.
    pub identity: Option<Identity>,
    /// The meeting, in events about one.
    pub conference_id: Option<ConferenceId>,
    /// `timing.late`, for the filter `skip_late`.
    pub late: bool,
    /// The user hosts the meeting, for the filter `only_hosts`.
    pub host: bool,
    /// The envelope's `data`.
    pub data: Box<Data>,
}

/// Maximum length of a body. The limits in `data` keep every body below it.
pub const MAX_BODY_BYTES: usize = 20_000;

impl NewEvent {
    /// `org/unionId`, or `system` in events without a user. Receivers may order by it.
    pub fn subject(&self) -> String {
        self.identity.as_ref().map_or_else(|| "system".to_owned(), ToString::to_string)
    }

    /// The bytes that are stored, signed and sent. The members have the documented order.
    pub fn body(&self, envelope: &Envelope<'_>) -> Vec<u8> {
        // Cannot fail: no map with keys that are not text, no writer that could refuse.
        serde_json::to_vec(&self.enveloped(envelope)).expect("an event is plain JSON")
    }

    /// The body before serialization.
    pub(super) fn enveloped<'a>(&'a self, envelope: &Envelope<'a>) -> impl Serialize + 'a {
        let subject = self.subject();
        let mut data = Cow::Borrowed(&*self.data);
        if let Some(label) = envelope.meeting
            && let Some(meeting) = &mut data.to_mut().meeting
        {
            meeting.title.clone_from(&label.title);
            meeting.started_at = label.started.map(Rfc3339);
        }
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
            data,
        }
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
    data: Cow<'a, Data>,
}
