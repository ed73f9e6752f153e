//! What there is and what can be true of it: people, meetings, somebody's seat in one, a join or a leave.
//!
//! Guards: words only, so that the script, the world and the answers can share them. Deliberately not here: how any of it
//! comes about (`script`), when it is so (`world`), how it is written (`record`).

use crate::time::Timestamp;

// `attendStatus`, as the documents number it.
pub(super) const INVITED: i64 = 1;
pub(super) const CALLING: i64 = 2;
pub(super) const INSIDE: i64 = 3;
pub(super) const REJECTED: i64 = 4;
pub(super) const KICKED: i64 = 5;
pub(super) const LEFT: i64 = 6;

/// Somebody who can be in meetings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// DingTalk's name for them.
    pub union_id: String,
    /// What others see.
    pub nick: String,
    /// What they join with when a step does not say.
    pub device: String,
    /// Of another organisation.
    pub external: bool,
    /// Joins by telephone.
    pub by_phone: bool,
}

/// A meeting that can take place, also several times: each time has its own conference id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Its name in the script.
    pub name: String,
    /// The conference id of its first time; the others are made.
    pub conference_id: Option<String>,
    /// Another organisation hosts it.
    pub foreign: bool,
}

/// A role, as the wire's two booleans say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Neither.
    #[default]
    Attendee,
    /// `coHost`.
    CoHost,
    /// `host`.
    Host,
}

/// What is true about one person in one meeting at an instant. Times are instants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The meeting.
    pub conference_id: String,
    /// `attendStatus`, 1 to 6.
    pub status: i64,
    /// The latest join.
    pub joined: Option<Timestamp>,
    /// The first join of this meeting.
    pub first_joined: Option<Timestamp>,
    /// When they left, if they are not inside.
    pub left: Option<Timestamp>,
    /// When they had left before they came back.
    pub previously_left: Option<Timestamp>,
    /// Their role.
    pub role: Role,
    /// The devices, in the order of joining; when they are not inside, the last one.
    pub devices: Vec<String>,
}

impl Seat {
    /// Whether they are in the meeting.
    pub fn is_inside(&self) -> bool {
        self.status == INSIDE
    }
}

/// Why and how presence changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Came in.
    Joined,
    /// Left.
    Left,
    /// Was removed.
    Kicked,
    /// Was inside when the meeting ended.
    Ended,
}

/// A join or a leave that really happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrueChange {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub union_id: String,
    /// Where.
    pub conference_id: String,
    /// What.
    pub change: Change,
}
