//! How the truth is told: one knob for every question about live answers that the documents leave open.
//!
//! Guards: each default is the most plausible reading, each other position one that a client must survive.
//! Deliberately not here: the truth (`world`), errors and outages (`faults`).

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// The key of a record in `memberModelMap`. The documented example has the word `key`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapKey {
    /// The record's conference id.
    #[default]
    ConferenceId,
    /// The word `key`; further records get `key1`, `key2`.
    Key,
    /// The person's unionId; further records as above.
    UnionId,
    /// Something that says nothing.
    Random,
}

/// What `attendStatus` holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum AttendStatus {
    /// 1 to 6.
    #[default]
    #[serde(rename = "on")]
    On,
    /// It is absent, as in the documented example.
    #[serde(rename = "off")]
    Off,
    /// Always 0, which a sibling call documents as "undefined".
    #[serde(rename = "0")]
    Zero,
    /// Always 99.
    #[serde(rename = "99")]
    NinetyNine,
}

/// What `leaveTime` holds while the person is inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveTime {
    /// It is absent.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// 0.
    Zero,
    /// Something left over: the leave before the rejoin, else a moment after the join.
    Stale,
}

/// What `duration` holds while the person is inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurationInside {
    /// It is absent.
    #[default]
    Absent,
    /// 0.
    Zero,
    /// The time since the join: different in every answer.
    Growing,
}

/// Somebody who left a meeting that goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leavers {
    /// Keeps a record with status 5 or 6.
    #[default]
    Kept,
    /// Has neither id nor record.
    Dropped,
}

/// How "no meeting" is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoMeeting {
    /// With an empty list and an empty map.
    #[default]
    Lists,
    /// `{}`.
    Empty,
    /// With two nulls.
    Nulls,
}

/// How numbers and booleans of a record are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Numbers {
    /// As JSON has them.
    #[default]
    Plain,
    /// As strings: `"3"`, `"true"`.
    Strings,
    /// Numbers with a fraction of zero: `3.0`.
    Fractions,
}

/// `joinTime` after a rejoin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejoinTime {
    /// The rejoin's.
    #[default]
    New,
    /// The first join's.
    Kept,
}

/// Whether ids and records come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Records {
    /// They do.
    #[default]
    Full,
    /// The id is listed, its record is missing.
    Missing,
    /// The record is there, its id is not listed.
    Unlisted,
}

/// A unionId that nobody has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stranger {
    /// 400 `param.error`, as documented.
    #[default]
    Error,
    /// No meetings.
    Empty,
}

/// What asking again for a third-party app's token gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorpToken {
    /// A new one; the older ones hold on.
    #[default]
    New,
    /// The same one, renewed, as an internal app gets it.
    Same,
    /// A new one, and the older ones are worthless.
    Replaces,
}

/// Meetings that another organisation hosts, in the calls about meetings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignMeetings {
    /// They are not listed, and asking about one is refused: 403 `noPermission`.
    #[default]
    Missing,
    /// They are told like the organisation's own.
    Listed,
}

/// What `userId` holds in the batch call. Its text says userid, its example looks like a unionId.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchUser {
    /// The person's unionId.
    #[default]
    UnionId,
    /// Their userid in the contacts.
    UserId,
}

/// A meeting that is over, in the batch call, which is for ongoing ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedInBatch {
    /// It is left out.
    #[default]
    LeftOut,
    /// The whole call is refused: 400 `resourceClose`.
    Refused,
}

/// The members of a meeting that is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedMembers {
    /// Everybody who was in it, with status 6 (or 5) and a `leaveTime`.
    #[default]
    Kept,
    /// 400 `confClosed`.
    Refused,
}

/// What stands on the last page of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastPage {
    /// No `nextToken`.
    #[default]
    Plain,
    /// A `nextToken` all the same; behind it is an empty page.
    Token,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Knobs {
    /// The key of a record.
    pub map_key: MapKey,
    /// `attendStatus`.
    pub attend_status: AttendStatus,
    /// `leaveTime` while inside.
    pub leave_time: LeaveTime,
    /// `duration` while inside.
    pub duration: DurationInside,
    /// Somebody who left.
    pub leavers: Leavers,
    /// No meeting.
    pub no_meeting: NoMeeting,
    /// Numbers.
    pub numbers: Numbers,
    /// `joinTime` after a rejoin.
    pub rejoin_time: RejoinTime,
    /// Ids and records.
    pub records: Records,
    /// Tokens of third-party apps.
    pub corp_token: CorpToken,
    /// Unknown people.
    pub stranger: Stranger,
    /// Answers are so old.
    pub lag: Lag,
    /// The lag differs from second to second, between none and all of it, so that answers go back in time.
    pub lag_varies: bool,
    /// The calls about meetings.
    pub foreign_meetings: ForeignMeetings,
    /// `userId` in the batch call.
    pub batch_user: BatchUser,
    /// Meetings that are over, in the batch call.
    pub ended_in_batch: EndedInBatch,
    /// Members of meetings that are over.
    pub ended_members: EndedMembers,
    /// The end of several pages.
    pub last_page: LastPage,
    /// Answers about meetings are so old; `lag` is for those about people.
    pub meetings_lag: Lag,
    /// `deviceType` says another device every minute.
    pub device_flips: bool,
    /// Every answer and record has a member that no document names.
    pub extra_members: bool,
}

/// A duration as people write it; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag(pub Duration);

impl<'de> Deserialize<'de> for Lag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Self).map_err(serde::de::Error::custom)
    }
}
