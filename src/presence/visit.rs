//! A visit: one continuous attendance of one user in one meeting.
//!
//! Guards: a visit's id and anchor are fixed when it opens; a visit ends once. Deliberately not here: when a visit
//! opens or ends (`presence::diff`).

use serde::{Deserialize, Serialize};

use super::attendance::Role;
use crate::ids::{ConferenceId, VisitId};
use crate::time::Timestamp;

/// The source of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// DingTalk reported the time.
    Reported,
    /// The time of the poll or sweep that first saw the change.
    Observed,
    /// Derived from other times.
    Inferred,
}

impl Basis {
    /// The name in events and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Observed => "observed",
            Self::Inferred => "inferred",
        }
    }
}

/// Why a visit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftReason {
    /// `attendStatus` 6.
    Left,
    /// `attendStatus` 5.
    Removed,
    /// The meeting ended.
    MeetingEnded,
    /// DingTalk no longer lists the meeting, and reported no leave.
    Vanished,
    /// `joinTime` changed while the user was inside.
    Rejoined,
    /// The leave lies in an unobserved interval.
    Unobserved,
    /// The user was removed from the watch list.
    Unwatched,
}

impl LeftReason {
    /// The name in events and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Removed => "removed",
            Self::MeetingEnded => "meeting_ended",
            Self::Vanished => "vanished",
            Self::Rejoined => "rejoined",
            Self::Unobserved => "unobserved",
            Self::Unwatched => "unwatched",
        }
    }
}

/// How a visit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitEnd {
    /// Time of the leave; never before the join.
    pub at: Timestamp,
    /// Why the visit ended.
    pub reason: LeftReason,
    /// Source of `at`.
    pub basis: Basis,
    /// The leave lies at or after this.
    pub earliest: Timestamp,
    /// The leave lies at or before this.
    pub latest: Timestamp,
}

/// The newest state of a visit: one row of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// `vis_` and base32 of a hash over org, unionId, conferenceId, anchor and ordinal.
    pub id: VisitId,
    /// The meeting.
    pub conference_id: ConferenceId,
    /// Number of this visit among the user's visits to this meeting, from 1.
    pub ordinal: u32,
    /// `joinTime`; without one, or if a rejoin did not change it, the time of the poll that saw the join.
    pub anchor: Timestamp,
    /// Best known time of the join.
    pub joined: Timestamp,
    /// Source of `joined`.
    pub join_basis: Basis,
    /// `None` while the visit is open.
    pub end: Option<VisitEnd>,
    /// The newest reported role.
    pub role: Role,
    /// The user belongs to another organisation.
    pub external: bool,
    /// The user joined by telephone.
    pub by_phone: bool,
    /// The newest reported device.
    pub device: Option<String>,
    /// The newest reported nick.
    pub nick: Option<String>,
}
