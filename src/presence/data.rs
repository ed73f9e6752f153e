//! The members of an event's `data`, version 1: typed, so that their names and order are fixed in one place.
//!
//! Guards: the documented shape; every text and list is bounded, so that a body stays under
//! `event::MAX_BODY_BYTES`. Deliberately not here: the envelope (`event`), which facts an event holds (`tell`).

use std::collections::BTreeMap;

use serde::Serialize;

use super::event::{Card, Rfc3339};
use super::text::{clean, clean_option};
use super::visit::{Basis, LeftReason};
use crate::ids::{ConferenceId, EventId, OrgName, UnionId, VisitId};
use crate::time::Timestamp;

/// The version of `data`.
pub const VERSION: u8 = 1;
/// Bytes of a name.
pub const MAX_NAME_BYTES: usize = 256;
/// Bytes of a nick.
pub const MAX_NICK_BYTES: usize = 128;
/// Bytes of a device, of a group's name, and of a tag's value.
pub const MAX_LABEL_BYTES: usize = 128;
/// Bytes of a tag's key.
pub const MAX_TAG_KEY_BYTES: usize = 64;
/// Groups of a person.
pub const MAX_GROUPS: usize = 16;
/// Tags of a person.
pub const MAX_TAGS: usize = 16;
/// Meetings somebody is in at once.
pub const MAX_MEETINGS: usize = 24;
/// Bytes of an alert's summary.
pub const MAX_SUMMARY_BYTES: usize = 1024;

/// An event's `data`. What an event type does not have is left out; what it has but is not known is null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Data {
    /// [`VERSION`].
    pub v: u8,
    /// The organisation; absent for what is about the daemon itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<OrgName>,
    /// Absent in `system.*` and `webhook.test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// In `meeting.*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meeting: Option<Meeting>,
    /// In `meeting.*` about a stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visit: Option<VisitData>,
    /// In `meeting.*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<Member>,
    /// In `meeting.*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// Whatever is about a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence: Option<PresenceData>,
    /// Always.
    pub timing: Timing,
    /// The id of the event behind this one, or in `system.gap` why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// When nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// In `system.alert`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert>,
    /// The id of the event this one corrects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<EventId>,
    /// What differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// Doubts and oddities, in the order of [`Flag`].
    pub flags: Vec<Flag>,
    /// Made on request, not by a change.
    pub synthetic: bool,
}

/// `data.user`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct User {
    /// Who.
    pub union_id: UnionId,
    /// By the config.
    pub name: String,
    /// By upstream; absent when unknown or not to be stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nick: Option<String>,
    /// By the config, the first [`MAX_GROUPS`].
    pub groups: Vec<String>,
    /// By the config, the first [`MAX_TAGS`].
    pub tags: BTreeMap<String, String>,
}

impl User {
    /// From the config's card. The second value: something had to be cut.
    pub(super) fn new(card: &Card, nick: Option<&str>) -> (Self, bool) {
        let label = |text: &String| clean(text, MAX_LABEL_BYTES);
        let user = Self {
            union_id: card.identity.union_id.clone(),
            name: clean(&card.name, MAX_NAME_BYTES),
            nick: clean_option(nick, MAX_NICK_BYTES).filter(|_| card.store_nick),
            groups: card.groups.iter().take(MAX_GROUPS).map(label).collect(),
            tags: card
                .tags
                .iter()
                .take(MAX_TAGS)
                .map(|(key, value)| (clean(key, MAX_TAG_KEY_BYTES), clean(value, MAX_LABEL_BYTES)))
                .collect(),
        };
        let cut = card.name.len() > MAX_NAME_BYTES
            || card.groups.len() > MAX_GROUPS
            || card.groups.iter().any(|group| group.len() > MAX_LABEL_BYTES)
            || card.tags.len() > MAX_TAGS
            || card.tags.iter().any(|(k, v)| k.len() > MAX_TAG_KEY_BYTES || v.len() > MAX_LABEL_BYTES);
        (user, cut)
    }
}

/// `data.meeting`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Meeting {
    /// Which.
    pub conference_id: ConferenceId,
}

/// `data.visit`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VisitData {
    /// Which.
    pub id: VisitId,
    /// The n-th of this person in this meeting, from 1.
    pub ordinal: u32,
    /// Not the first.
    pub rejoin: bool,
    /// When the stay began.
    pub joined_at: Rfc3339,
    /// When it ended; null while it goes on.
    pub left_at: Option<Rfc3339>,
    /// Why it ended; null while it goes on.
    pub left_reason: Option<LeftReason>,
    /// `left_at` - `joined_at`; null while it goes on.
    pub duration_ms: Option<i64>,
}

/// `data.member`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Member {
    /// `host`, `co_host` or `attendee`.
    pub role: super::attendance::Role,
    /// Of another organisation.
    pub external: bool,
    /// By telephone.
    pub by_phone: bool,
    /// Null when not reported.
    pub device: Option<String>,
}

/// `data.status`: DingTalk's `attendStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The number; null when the record had none, or when there is no record.
    pub code: Option<i64>,
    /// Its name.
    pub name: Option<&'static str>,
    /// The last number before that was understood.
    pub previous: Option<i64>,
}

/// `data.presence`: the full resulting state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PresenceData {
    /// Null: not known.
    pub in_meeting: Option<bool>,
    /// The meetings whose visit is open, the first [`MAX_MEETINGS`].
    pub meetings: Vec<ConferenceId>,
}

/// `data.timing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// Where the event's `time` comes from.
    pub basis: Basis,
    /// It happened at or after this; null: nobody looked before.
    pub earliest: Option<Rfc3339>,
    /// It happened at or before this.
    pub latest: Rfc3339,
    /// When it was noticed.
    pub observed_at: Rfc3339,
    /// The good look before.
    pub previous_poll_at: Option<Rfc3339>,
    /// Noticed only when it was already past for a while.
    pub late: bool,
}

/// `data.gap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Its beginning.
    pub from: Rfc3339,
    /// Its end.
    pub to: Rfc3339,
}

impl Gap {
    /// From one instant to another; never backwards.
    pub fn new(from: Timestamp, to: Timestamp) -> Self {
        Self { from: Rfc3339(from), to: Rfc3339(to.max(from)) }
    }
}

/// `data.alert`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alert {
    /// What: `budget`, `auth`, `upstream`, `config`, `webhook`, `database`.
    pub name: &'static str,
    /// `firing` or `resolved`.
    pub state: &'static str,
    /// For a person.
    pub summary: String,
}

/// A member that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Changed<T> {
    /// Until now.
    pub from: T,
    /// From now on.
    pub to: T,
}

/// `data.changes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// In `participant_role_changed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Changed<super::attendance::Role>>,
    /// In `participant_corrected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<Changed<Rfc3339>>,
    /// In `participant_corrected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Changed<Rfc3339>>,
    /// In `participant_corrected`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_reason: Option<Changed<LeftReason>>,
}

/// How doubt and oddity are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// Already so when this person was first looked at.
    FirstObservation,
    /// Came and went between two looks.
    ShortVisit,
    /// The record had no status; its times decided.
    StatusMissing,
    /// A status nobody knows stood there before.
    StatusUnrecognized,
    /// The meeting was listed without a usable record.
    MemberRecordMissing,
    /// A new stay under an old `joinTime`.
    JoinTimeNotReset,
    /// A `joinTime` later than the look that saw it.
    JoinTimeImplausible,
    /// An end without `leaveTime`.
    LeaveTimeMissing,
    /// A `leaveTime` before the join, in the future, or left over from an earlier stay.
    LeaveTimeImplausible,
    /// The absence was said weakly: `{}`, null or missing lists.
    WeakEvidence,
    /// Seen by a sweep of the organisation, which gives no times.
    BySweep,
    /// A name, a list or a tag was cut to fit.
    Truncated,
}
