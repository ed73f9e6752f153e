//! Options for how answers represent the truth: one for each question about live answers that the documents leave open.
//!
//! Guards: each default is the most plausible reading; each other value is one that a client must survive. Not here: the
//! truth (`world`), errors and outages (`faults`).

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
    /// A hash without a meaning.
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
    #[default]
    Absent,
    /// `null`.
    Null,
    /// 0.
    Zero,
    /// An old time: the leave before the rejoin, or else 1 ms after the join.
    Stale,
}

/// What `duration` holds while the person is inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DurationInside {
    #[default]
    Absent,
    /// 0.
    Zero,
    /// The time since the join, so it differs in every answer.
    Growing,
}

/// A person who has left an ongoing meeting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leavers {
    /// Keeps a record with status 5 or 6.
    #[default]
    Kept,
    /// Has neither id nor record.
    Dropped,
}

/// How an answer says that there is no meeting.
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
    /// As JSON numbers and booleans.
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
    #[default]
    New,
    /// The time of the first join.
    Kept,
}

/// Whether the list of ids and the map of records match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Records {
    /// They match.
    #[default]
    Full,
    /// The id is listed, its record is missing.
    Missing,
    /// The record is there, its id is not listed.
    Unlisted,
}

/// The answer for an unknown unionId.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stranger {
    /// 400 `param.error`, as documented.
    #[default]
    Error,
    /// No meetings.
    Empty,
}

/// What another token call of a third-party app returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CorpToken {
    /// A new token; the older ones stay valid.
    #[default]
    New,
    /// The same token with a new life, as for an internal app.
    Same,
    /// A new token; the older ones become invalid.
    Replaces,
}

/// Meetings that another organisation hosts, in the calls about meetings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForeignMeetings {
    /// They are not listed, and a call about one is refused: 403 `noPermission`.
    #[default]
    Missing,
    /// They are listed like the organisation's own.
    Listed,
}

/// What `userId` holds in the batch call. The documents say userid; their example looks like a unionId.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchUser {
    /// The person's unionId.
    #[default]
    UnionId,
    /// The person's userid in the contacts.
    UserId,
}

/// The answer of the batch call about a meeting that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedInBatch {
    #[default]
    LeftOut,
    /// The whole call is refused: 400 `resourceClose`.
    Refused,
}

/// The members of a meeting that has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedMembers {
    /// All who were in it, with status 6 (or 5) and a `leaveTime`.
    #[default]
    Kept,
    /// 400 `confClosed`.
    Refused,
}

/// The `nextToken` of the last of several pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastPage {
    /// None.
    #[default]
    Plain,
    /// One that leads to an empty page.
    Token,
}

/// All options. A scenario sets them in its table `[knobs]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerOptions {
    /// The key of a record in `memberModelMap`.
    pub map_key: MapKey,
    /// `attendStatus`.
    pub attend_status: AttendStatus,
    /// `leaveTime` while inside.
    pub leave_time: LeaveTime,
    /// `duration` while inside.
    pub duration: DurationInside,
    /// People who have left.
    pub leavers: Leavers,
    /// Answers without a meeting.
    pub no_meeting: NoMeeting,
    /// Numbers and booleans.
    pub numbers: Numbers,
    /// `joinTime` after a rejoin.
    pub rejoin_time: RejoinTime,
    /// Ids and records.
    pub records: Records,
    /// Tokens of third-party apps.
    pub corp_token: CorpToken,
    /// Unknown unionIds.
    pub stranger: Stranger,
    /// Answers show the truth of this long ago.
    pub lag: Lag,
    /// The lag changes every second between zero and `lag`, so that answers go back in time.
    pub lag_varies: bool,
    /// Meetings of other organisations.
    pub foreign_meetings: ForeignMeetings,
    /// `userId` in the batch call.
    pub batch_user: BatchUser,
    /// Ended meetings in the batch call.
    pub ended_in_batch: EndedInBatch,
    /// Members of ended meetings.
    pub ended_members: EndedMembers,
    /// The `nextToken` of the last page.
    pub last_page: LastPage,
    /// Answers about meetings show the truth of this long ago; `lag` applies to the list call.
    pub meetings_lag: Lag,
    /// `deviceType` names another device every minute.
    pub device_flips: bool,
    /// Every answer and record has a member that is not documented.
    pub extra_members: bool,
}

/// A duration in the notation of `humantime`, such as `5s`; zero by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag(pub Duration);

impl<'de> Deserialize<'de> for Lag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map(Self).map_err(serde::de::Error::custom)
    }
}
