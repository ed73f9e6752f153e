//! The members of an event's `data`, version 1, with their names and order in one place.
//!
//! Guards: the documented shape. Every text and list is bounded, so that a body has at most `event::MAX_BODY_BYTES`.
//! Deliberately not here: the envelope (`event`), which values an event has (`event_builder`).

use std::collections::BTreeMap;

use serde::Serialize;

use super::text::{clean, clean_option};
use super::visit::{Basis, LeftReason};
use crate::ids::{ConferenceId, EventId, Identity, OrgName, UnionId, VisitId};
use crate::time::Timestamp;

/// Version of `data`.
pub const VERSION: u8 = 1;
/// Maximum length of `user.name`.
pub const MAX_NAME_BYTES: usize = 256;
/// Maximum length of `user.nick`.
pub const MAX_NICK_BYTES: usize = 128;
/// Maximum length of a device, a group's name and a tag's value.
pub const MAX_LABEL_BYTES: usize = 128;
/// Maximum length of the title of a meeting.
pub const MAX_TITLE_BYTES: usize = 256;
/// Maximum length of a tag's key.
pub const MAX_TAG_KEY_BYTES: usize = 64;
/// Maximum number of groups of a user.
pub const MAX_GROUPS: usize = 16;
/// Maximum number of tags of a user.
pub const MAX_TAGS: usize = 16;
/// Maximum number of meetings in `presence.meetings`.
pub const MAX_MEETINGS: usize = 24;
/// Maximum length of an alert's summary.
pub const MAX_SUMMARY_BYTES: usize = 1024;

/// An event's `data`. A member that the event type does not have is left out; a member whose value is unknown is
/// null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Data {
    /// [`VERSION`].
    pub v: u8,
    /// The organisation; absent in events about the daemon itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgName>,
    /// The user; absent in `system.*` and `webhook.test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// The meeting; in `meeting.*` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meeting: Option<Meeting>,
    /// The visit; in `meeting.*` events about a visit only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visit: Option<VisitData>,
    /// The user's role and attributes in the meeting; in `meeting.*` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<Member>,
    /// DingTalk's `attendStatus`; in `meeting.*` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The resulting presence; in every event about a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<PresenceData>,
    /// When the change happened, as far as known.
    pub timing: Timing,
    /// The id of the event that caused this one; in `system.gap` the cause of the gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// The interval that was not observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// The alert; in `system.alert` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert>,
    /// The id of the event that this one corrects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<EventId>,
    /// The changed values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// Remarks on the event's evidence, in the order of [`Flag`].
    pub flags: Vec<Flag>,
    /// The event was requested and reports no change.
    pub synthetic: bool,
}

/// What the config says about a user, for `data.user`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// The organisation and the unionId.
    pub identity: Identity,
    /// The name in the config.
    pub name: String,
    /// The groups in the config.
    pub groups: Vec<String>,
    /// The tags in the config.
    pub tags: BTreeMap<String, String>,
    /// `privacy.store_nick`: whether events may contain `data.user.nick`.
    pub store_nick: bool,
}

/// A time as events write it: RFC 3339, UTC, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rfc3339(pub Timestamp);

impl Serialize for Rfc3339 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.rfc3339())
    }
}

/// `data.user`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct User {
    /// The user's unionId.
    pub union_id: UnionId,
    /// The name in the config.
    pub name: String,
    /// DingTalk's `userNick`; absent if unknown or if it must not be stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
    /// The first [`MAX_GROUPS`] groups in the config.
    pub groups: Vec<String>,
    /// The first [`MAX_TAGS`] tags in the config.
    pub tags: BTreeMap<String, String>,
}

impl User {
    /// Returns the user, and whether a value was cut.
    pub(super) fn new(info: &UserInfo, nick: Option<&str>) -> (Self, bool) {
        let label = |text: &String| clean(text, MAX_LABEL_BYTES);
        let user = Self {
            union_id: info.identity.union_id.clone(),
            name: clean(&info.name, MAX_NAME_BYTES),
            nick: clean_option(nick, MAX_NICK_BYTES).filter(|_| info.store_nick),
            groups: info.groups.iter().take(MAX_GROUPS).map(label).collect(),
            tags: info
                .tags
                .iter()
                .take(MAX_TAGS)
                .map(|(key, value)| (clean(key, MAX_TAG_KEY_BYTES), clean(value, MAX_LABEL_BYTES)))
                .collect(),
        };
        let cut = info.name.len() > MAX_NAME_BYTES
            || info.groups.len() > MAX_GROUPS
            || info.groups.iter().any(|group| group.len() > MAX_LABEL_BYTES)
            || info.tags.len() > MAX_TAGS
            || info.tags.iter().any(|(k, v)| k.len() > MAX_TAG_KEY_BYTES || v.len() > MAX_LABEL_BYTES);
        (user, cut)
    }
}

/// `data.meeting`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Meeting {
    /// DingTalk's conferenceId.
    pub conference_id: ConferenceId,
    /// The title; absent if unknown or not to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// When the meeting began; absent if unknown or not to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Rfc3339>,
}

/// `data.visit`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VisitData {
    /// The visit's id.
    pub id: VisitId,
    /// Number of this visit among the user's visits to this meeting, from 1.
    pub ordinal: u32,
    /// The ordinal is greater than 1.
    pub rejoin: bool,
    /// Time of the join.
    pub joined_at: Rfc3339,
    /// Time of the leave; null while the visit is open.
    pub left_at: Option<Rfc3339>,
    /// Why the visit ended; null while the visit is open.
    pub left_reason: Option<LeftReason>,
    /// `left_at` minus `joined_at`; null while the visit is open.
    pub duration_ms: Option<i64>,
}

/// `data.member`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Member {
    /// `host`, `co_host` or `attendee`.
    pub role: super::attendance::Role,
    /// The user belongs to another organisation.
    pub external: bool,
    /// The user joined by telephone.
    pub by_phone: bool,
    /// The device; null if not reported.
    pub device: Option<String>,
}

/// `data.status`: DingTalk's `attendStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The number; null if the record has none, or if there is no record.
    pub code: Option<i64>,
    /// The name of the number.
    pub name: Option<&'static str>,
    /// The previous recognized number.
    pub previous: Option<i64>,
}

/// `data.presence`: the state after the event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PresenceData {
    /// Whether the user is in a meeting; null if unknown.
    pub in_meeting: Option<bool>,
    /// The first [`MAX_MEETINGS`] meetings with an open visit.
    pub meetings: Vec<ConferenceId>,
}

/// `data.timing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// Source of the event's `time`.
    pub basis: Basis,
    /// Lower bound of the time; null if no earlier poll gives one.
    pub earliest: Option<Rfc3339>,
    /// Upper bound of the time.
    pub latest: Rfc3339,
    /// Time of the observation that produced the event.
    pub observed_at: Rfc3339,
    /// Time of the successful poll before it.
    pub previous_poll_at: Option<Rfc3339>,
    /// The daemon learned of the change only some time after it happened.
    pub late: bool,
}

/// `data.gap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Start of the gap.
    pub from: Rfc3339,
    /// End of the gap.
    pub to: Rfc3339,
}

impl Gap {
    /// A gap between two times; the end is never before the start.
    pub fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from: Rfc3339(from), to: Rfc3339(to.max(from)) }
    }
}

/// `data.alert`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// `budget`, `auth`, `upstream`, `config`, `webhook` or `database`.
    pub name: &'static str,
    /// `firing` or `resolved`.
    pub state: &'static str,
    /// A sentence for people.
    pub summary: String,
}

/// A changed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Changed<T> {
    /// The old value.
    pub from: T,
    /// The new value.
    pub to: T,
}

/// `data.changes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// The role; in `participant_role_changed` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Changed<super::attendance::Role>>,
    /// The join time; in `participant_corrected` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<Changed<Rfc3339>>,
    /// The leave time; in `participant_corrected` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Changed<Rfc3339>>,
    /// The reason of the leave; in `participant_corrected` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_reason: Option<Changed<LeftReason>>,
}

/// Remarks on the evidence of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The user was already inside at the first poll.
    FirstObservation,
    /// The visit started and ended between two polls.
    ShortVisit,
    /// The record has no status; its times decided.
    StatusMissing,
    /// The previous answer had an unrecognized status.
    StatusUnrecognized,
    /// DingTalk listed the meeting without a usable record.
    MemberRecordMissing,
    /// A new visit has the `joinTime` of an earlier one.
    JoinTimeNotReset,
    /// `joinTime` is later than the poll that saw it.
    JoinTimeImplausible,
    /// The record of the leave has no `leaveTime`.
    LeaveTimeMissing,
    /// `leaveTime` is before the join, in the future, or from an earlier visit.
    LeaveTimeImplausible,
    /// The answer that proved the absence was `{}`, or had a null or missing list.
    WeakEvidence,
    /// A sweep of the organisation saw the change; sweeps report no times.
    BySweep,
    /// A name, a list or a tag was cut to its limit.
    Truncated,
}
