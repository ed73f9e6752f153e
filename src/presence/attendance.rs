//! One user's record in one meeting as DingTalk reports it, and the phase that it reports.
//!
//! Guards: `attendStatus` takes precedence over `leaveTime`, because a stale `leaveTime` can remain after a rejoin.
//! Deliberately not here: what a record changes (`presence::diff`).

use serde::{Deserialize, Serialize};

use crate::ids::ConferenceId;
use crate::time::Timestamp;

/// DingTalk's `attendStatus` ("Query the list of ongoing meetings for a user").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub enum AttendStatus {
    /// 1: on the list of members, not yet called.
    Initialized,
    /// 2: being called.
    Calling,
    /// 3: in the meeting.
    Active,
    /// 4: failed to join, for example because the user rejected the call.
    JoinFailed,
    /// 5: removed by the host.
    Removed,
    /// 6: left.
    Left,
    /// Any other number; DingTalk's batch call also has 0. Passed through to events, never used for a decision.
    Unrecognized(i64),
}

impl AttendStatus {
    /// The number on the wire.
    pub fn code(self) -> i64 {
        match self {
            Self::Initialized => 1,
            Self::Calling => 2,
            Self::Active => 3,
            Self::JoinFailed => 4,
            Self::Removed => 5,
            Self::Left => 6,
            Self::Unrecognized(code) => code,
        }
    }

    /// The name in events and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initialized => "initialized",
            Self::Calling => "calling",
            Self::Active => "active",
            Self::JoinFailed => "join_failed",
            Self::Removed => "removed",
            Self::Left => "left",
            Self::Unrecognized(_) => "unrecognized",
        }
    }
}

impl From<i64> for AttendStatus {
    fn from(code: i64) -> Self {
        match code {
            1 => Self::Initialized,
            2 => Self::Calling,
            3 => Self::Active,
            4 => Self::JoinFailed,
            5 => Self::Removed,
            6 => Self::Left,
            other => Self::Unrecognized(other),
        }
    }
}

impl From<AttendStatus> for i64 {
    fn from(status: AttendStatus) -> Self {
        status.code()
    }
}

/// A user's role in a meeting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Neither host nor co-host.
    #[default]
    Attendee,
    /// `coHost` is set.
    CoHost,
    /// `host` is set.
    Host,
}

impl Role {
    /// The name in events and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attendee => "attendee",
            Self::CoHost => "co_host",
            Self::Host => "host",
        }
    }
}

/// One member record after parsing. Times that were absent, null or 0 are `None`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attendance {
    /// The meeting.
    pub conference_id: ConferenceId,
    /// `attendStatus`, when the record had one.
    pub status: Option<AttendStatus>,
    /// `joinTime`.
    pub joined: Option<Timestamp>,
    /// `leaveTime`; may belong to an earlier visit while `status` is active.
    pub left: Option<Timestamp>,
    /// `duration` in milliseconds; may change with every poll and is never compared.
    pub duration_ms: Option<i64>,
    /// From `host` and `coHost`.
    pub role: Role,
    /// `outerOrgMember`: the user belongs to another organisation.
    pub external: bool,
    /// `pstnJoin`: the user joined by telephone.
    pub by_phone: bool,
    /// `deviceType`, free text.
    pub device: Option<String>,
    /// `userNick`.
    pub nick: Option<String>,
}

/// The phase that a record reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttendancePhase {
    /// Invited or being called.
    Pending,
    /// In the meeting.
    Inside,
    /// Not in the meeting: never joined, removed, or left.
    Outside,
    /// The record does not say; the previous phase is kept.
    Unknown,
}

impl Attendance {
    /// A record as a sweep reports it: a status without times.
    pub fn without_times(conference_id: ConferenceId, status: Option<AttendStatus>) -> Self {
        Self {
            conference_id,
            status,
            joined: None,
            left: None,
            duration_ms: None,
            role: Role::Attendee,
            external: false,
            by_phone: false,
            device: None,
            nick: None,
        }
    }

    /// The phase that this record reports: by its status, or without a status by its times.
    pub fn phase(&self) -> AttendancePhase {
        match self.status {
            Some(AttendStatus::Active) => AttendancePhase::Inside,
            Some(AttendStatus::JoinFailed | AttendStatus::Removed | AttendStatus::Left) => {
                AttendancePhase::Outside
            }
            Some(AttendStatus::Initialized | AttendStatus::Calling) => AttendancePhase::Pending,
            Some(AttendStatus::Unrecognized(_)) => AttendancePhase::Unknown,
            None => match (self.joined, self.left) {
                (Some(joined), Some(left)) if left >= joined => AttendancePhase::Outside,
                (Some(_), _) => AttendancePhase::Inside,
                (None, _) => AttendancePhase::Unknown,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(status: Option<i64>, joined: Option<i64>, left: Option<i64>) -> AttendancePhase {
        let record = Attendance {
            joined: joined.map(Timestamp::from_ms),
            left: left.map(Timestamp::from_ms),
            ..Attendance::without_times(ConferenceId::parse("a").unwrap(), status.map(AttendStatus::from))
        };
        record.phase()
    }

    #[test]
    fn a_status_takes_precedence_over_the_times() {
        for (joined, left) in
            [(None, None), (Some(5), None), (Some(5), Some(9)), (Some(9), Some(5)), (None, Some(5))]
        {
            for (status, expected) in [
                (1, AttendancePhase::Pending),
                (2, AttendancePhase::Pending),
                (3, AttendancePhase::Inside),
                (4, AttendancePhase::Outside),
                (5, AttendancePhase::Outside),
                (6, AttendancePhase::Outside),
                (0, AttendancePhase::Unknown),
                (99, AttendancePhase::Unknown),
            ] {
                assert_eq!(phase(Some(status), joined, left), expected, "{status} {joined:?} {left:?}");
            }
        }
    }

    #[test]
    fn without_a_status_the_times_decide() {
        assert_eq!(phase(None, Some(5), Some(5)), AttendancePhase::Outside);
        assert_eq!(phase(None, Some(5), Some(4)), AttendancePhase::Inside, "left over from before");
        assert_eq!(phase(None, Some(5), None), AttendancePhase::Inside);
        assert_eq!(phase(None, None, Some(5)), AttendancePhase::Unknown);
        assert_eq!(phase(None, None, None), AttendancePhase::Unknown);
    }

    #[test]
    fn a_status_keeps_its_number() {
        for code in -1..10 {
            assert_eq!(AttendStatus::from(code).code(), code);
        }
    }
}
