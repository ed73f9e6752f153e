//! One person's record in one meeting, as reported, and what it says: inside, not inside, pending, or nothing.
//!
//! Guards: `attendStatus` outranks `leaveTime`, because a stale `leaveTime` can linger after a rejoin.
//! Deliberately not here: what the record changes (`presence::diff`).

use serde::{Deserialize, Serialize};

use crate::ids::ConferenceId;
use crate::time::Timestamp;

/// DingTalk's `attendStatus` ("Query the list of ongoing meetings for a user").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub enum AttendStatus {
    /// 1: on the list, not yet called.
    Initialized,
    /// 2: being called.
    Calling,
    /// 3: in the meeting.
    Active,
    /// 4: failed to join, the call was rejected for example.
    JoinFailed,
    /// 5: removed by the host.
    Removed,
    /// 6: left.
    Left,
    /// Any other number; the sibling batch call has 0. Carried through, never decided upon.
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

/// What somebody is in a meeting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Anybody else.
    #[default]
    Attendee,
    /// Helps the host.
    CoHost,
    /// Runs the meeting.
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

/// One member record, already freed of its wire shape. Times that were absent, null or 0 are `None`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attendance {
    /// The meeting.
    pub conference_id: ConferenceId,
    /// `attendStatus`, when the record had one.
    pub status: Option<AttendStatus>,
    /// `joinTime`.
    pub joined: Option<Timestamp>,
    /// `leaveTime`; may be stale while `status` is active.
    pub left: Option<Timestamp>,
    /// `duration` in milliseconds; may tick with every poll and is never compared.
    pub duration_ms: Option<i64>,
    /// From `host` and `coHost`.
    pub role: Role,
    /// `outerOrgMember`: of another organisation.
    pub external: bool,
    /// `pstnJoin`: by telephone.
    pub by_phone: bool,
    /// `deviceType`, free text.
    pub device: Option<String>,
    /// `userNick`.
    pub nick: Option<String>,
}

/// What a record says about being in the meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Invited or being called.
    Pending,
    /// In the meeting.
    Inside,
    /// Not in the meeting: never joined, removed, or left.
    Outside,
    /// The record does not say; the previous belief stands.
    Unknown,
}

impl Attendance {
    /// All that a sweep knows: a status, without times.
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

    /// The phase this record reports. A status decides alone; without one the times do.
    pub fn phase(&self) -> Phase {
        match self.status {
            Some(AttendStatus::Active) => Phase::Inside,
            Some(AttendStatus::JoinFailed | AttendStatus::Removed | AttendStatus::Left) => Phase::Outside,
            Some(AttendStatus::Initialized | AttendStatus::Calling) => Phase::Pending,
            Some(AttendStatus::Unrecognized(_)) => Phase::Unknown,
            None => match (self.joined, self.left) {
                (Some(joined), Some(left)) if left >= joined => Phase::Outside,
                (Some(_), _) => Phase::Inside,
                (None, _) => Phase::Unknown,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(status: Option<i64>, joined: Option<i64>, left: Option<i64>) -> Phase {
        let record = Attendance {
            joined: joined.map(Timestamp::from_ms),
            left: left.map(Timestamp::from_ms),
            ..Attendance::without_times(ConferenceId::parse("a").unwrap(), status.map(AttendStatus::from))
        };
        record.phase()
    }

    #[test]
    fn a_status_decides_whatever_the_times_say() {
        for (joined, left) in
            [(None, None), (Some(5), None), (Some(5), Some(9)), (Some(9), Some(5)), (None, Some(5))]
        {
            for (status, expected) in [
                (1, Phase::Pending),
                (2, Phase::Pending),
                (3, Phase::Inside),
                (4, Phase::Outside),
                (5, Phase::Outside),
                (6, Phase::Outside),
                (0, Phase::Unknown),
                (99, Phase::Unknown),
            ] {
                assert_eq!(phase(Some(status), joined, left), expected, "{status} {joined:?} {left:?}");
            }
        }
    }

    #[test]
    fn without_a_status_the_times_decide() {
        assert_eq!(phase(None, Some(5), Some(5)), Phase::Outside);
        assert_eq!(phase(None, Some(5), Some(4)), Phase::Inside, "left over from before");
        assert_eq!(phase(None, Some(5), None), Phase::Inside);
        assert_eq!(phase(None, None, Some(5)), Phase::Unknown);
        assert_eq!(phase(None, None, None), Phase::Unknown);
    }

    #[test]
    fn numbers_and_statuses_are_the_same() {
        for code in -1..10 {
            assert_eq!(AttendStatus::from(code).code(), code);
        }
    }
}
