//! The types that script, world and answers share: people, meetings, participations, changes.
//!
//! Guards: types only, without behaviour. Not here: how they arise (`script`), what is true at an instant (`world`), their
//! JSON (`record`).

use crate::time::Timestamp;

// The values of `attendStatus` in the documents.
pub(super) const INVITED: i64 = 1;
pub(super) const CALLING: i64 = 2;
pub(super) const INSIDE: i64 = 3;
pub(super) const REJECTED: i64 = 4;
pub(super) const KICKED: i64 = 5;
pub(super) const LEFT: i64 = 6;

/// A person who can be in meetings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The person's unionId.
    pub union_id: String,
    /// The name that others see.
    pub nick: String,
    /// The device for joins that name none.
    pub device: String,
    /// Belongs to another organisation.
    pub external: bool,
    /// Joins by phone.
    pub by_phone: bool,
}

/// A meeting that can take place several times, each time with its own conference id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Its name in the script.
    pub name: String,
    /// The conference id of the first time; the ids of the others are generated.
    pub conference_id: Option<String>,
    /// Hosted by another organisation.
    pub foreign: bool,
}

/// A role, which the wire format writes as two booleans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Neither host nor co-host.
    #[default]
    Attendee,
    /// `coHost`.
    CoHost,
    /// `host`.
    Host,
}

/// The state of one person in one meeting at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participation {
    pub conference_id: String,
    /// `attendStatus`, 1 to 6.
    pub status: i64,
    /// The latest join.
    pub joined: Option<Timestamp>,
    /// The first join of this meeting.
    pub first_joined: Option<Timestamp>,
    /// The time of leaving, if the person is not inside.
    pub left: Option<Timestamp>,
    /// The time of the leave before the latest join.
    pub previously_left: Option<Timestamp>,
    /// The person's role.
    pub role: Role,
    /// The devices in the order of joining; outside, the last one only.
    pub devices: Vec<String>,
}

impl Participation {
    /// Whether the person is in the meeting.
    pub fn is_inside(&self) -> bool {
        self.status == INSIDE
    }
}

/// The kind of a presence change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    Joined,
    Left,
    /// Was removed by the host.
    Kicked,
    /// Was inside when the meeting ended.
    Ended,
}

/// A join or leave of the script, the truth that answers represent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrueChange {
    /// When it happened.
    pub at: Timestamp,
    /// The person's unionId.
    pub union_id: String,
    /// The meeting's conference id.
    pub conference_id: String,
    pub change: Change,
}
