//! A visit: one continuous stay of one person in one meeting.
//!
//! Guards: a visit's id and anchor are fixed when it opens; a visit ends once. Deliberately not here: when a visit
//! opens or ends (`presence::diff`).

use serde::{Deserialize, Serialize};

use super::attendance::Role;
use crate::ids::{ConferenceId, VisitId};
use crate::time::Timestamp;

/// Where a time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Upstream gave it.
    Reported,
    /// First seen at this poll.
    Observed,
    /// Concluded.
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
    /// Status 6.
    Left,
    /// Status 5.
    Removed,
    /// The meeting itself ended.
    MeetingEnded,
    /// No record any more, nothing reported.
    Vanished,
    /// `joinTime` moved while inside.
    Rejoined,
    /// A gap hid it.
    Unobserved,
    /// Taken off the watch list.
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
pub struct End {
    /// When; never before the join.
    pub at: Timestamp,
    /// Why.
    pub reason: LeftReason,
    /// Where `at` comes from.
    pub basis: Basis,
    /// The leave lies at or after this.
    pub earliest: Timestamp,
    /// The leave lies at or before this.
    pub latest: Timestamp,
}

/// A visit as known now: one row of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// `vis_` and base32 of a hash over org, unionId, conferenceId, join anchor.
    pub id: VisitId,
    /// The meeting.
    pub conference_id: ConferenceId,
    /// The n-th visit of this person to this meeting, from 1.
    pub ordinal: u32,
    /// `joinTime`, else (and when it did not move on a rejoin) the poll that saw it.
    pub anchor: Timestamp,
    /// When the stay began, as far as known.
    pub joined: Timestamp,
    /// Where `joined` comes from.
    pub join_basis: Basis,
    /// `None` while inside.
    pub end: Option<End>,
    /// The newest role seen.
    pub role: Role,
    /// Of another organisation.
    pub external: bool,
    /// By telephone.
    pub by_phone: bool,
    /// The newest device seen.
    pub device: Option<String>,
    /// The newest nick seen.
    pub nick: Option<String>,
}
