//! What the calls about meetings return.
//!
//! Guards: each type says whether all of the answer was read and how many calls it cost. Not here: bodies (`wire`), calls
//! (`meetings`).

use crate::ids::{ConferenceId, UnionId};
use crate::presence::attendance::{AttendStatus, Attendance};
use crate::presence::observation::Evidence;
use crate::presence::title::Title;
use crate::time::Timestamp;

/// An ongoing meeting of the organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OngoingMeeting {
    /// Its conference id.
    pub conference_id: ConferenceId,
    /// When it began, if the answer says so.
    pub started: Option<Timestamp>,
    /// `title`.
    pub title: Option<Title>,
    /// `creatorId`.
    pub creator: Option<UnionId>,
}

/// The organisation's ongoing meetings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OngoingMeetings {
    /// When the last page arrived.
    pub observed_at: Timestamp,
    /// Each meeting once, in the order of the answer.
    pub meetings: Vec<OngoingMeeting>,
    /// Whether every page was read; otherwise there may be more.
    pub complete: bool,
    /// Whether the list was present or missing.
    pub evidence: Evidence,
    /// Calls that count against the month.
    pub calls: u32,
    /// How many entries were invalid and left out; the first one deserves a warning.
    pub oddities: u32,
}

/// A user in the answer of the batch call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingUser {
    /// `userId`: a userid by the documents' text, a unionId by their example.
    pub id: String,
    /// `attendStatus`; 0 is [`AttendStatus::Unrecognized`].
    pub status: Option<AttendStatus>,
}

/// An ongoing meeting with its users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingUsers {
    /// Its conference id, one of those that were asked for.
    pub conference_id: ConferenceId,
    /// All users in the answer, including those who have left.
    pub users: Vec<MeetingUser>,
}

/// The answer of the batch call. A requested meeting that is missing has ended, or this app may not see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingBatch {
    /// When the answer arrived; of several, the last.
    pub observed_at: Timestamp,
    /// The ongoing ones, each once.
    pub meetings: Vec<MeetingUsers>,
    /// Calls that count against the month.
    pub calls: u32,
    /// How many entries were invalid and left out.
    pub oddities: u32,
}

/// The state of a meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeetingState {
    /// Status 0.
    Initialized,
    /// Status 1.
    Ended,
    /// Status 2.
    Started,
    /// Another status, or none.
    Unrecognized,
}

/// One meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingInfo {
    /// When the answer arrived.
    pub observed_at: Timestamp,
    /// Its state.
    pub state: MeetingState,
    /// `startTime`.
    pub started: Option<Timestamp>,
    /// `endTime`, present only after the end.
    pub ended: Option<Timestamp>,
    /// `activeNum`: how many users are in it now.
    pub active: Option<i64>,
    /// `title`.
    pub title: Option<Title>,
    /// `creatorId`.
    pub creator: Option<UnionId>,
    /// Calls that count against the month.
    pub calls: u32,
    /// How many values were invalid and left out.
    pub oddities: u32,
}

/// A user who was invited to a meeting, is in it or has left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The user; missing for some users of other organisations.
    pub union_id: Option<UnionId>,
    /// The user's record.
    pub attendance: Attendance,
}

/// The members of a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingMembers {
    /// When the last page arrived.
    pub observed_at: Timestamp,
    /// In the order of the answer.
    pub members: Vec<Member>,
    /// Whether every page was read; otherwise a missing user may still be a member.
    pub complete: bool,
    /// Calls that count against the month.
    pub calls: u32,
    /// How many entries were invalid and left out.
    pub oddities: u32,
}

impl MeetingMembers {
    /// The record of a user. Of several (perhaps several devices), one that says inside counts first, then the latest times.
    pub fn of(&self, union_id: &UnionId) -> Option<&Attendance> {
        let records = self.members.iter().filter(|member| member.union_id.as_ref() == Some(union_id));
        records
            .map(|member| &member.attendance)
            .max_by_key(|record| (record.status == Some(AttendStatus::Active), record.joined, record.left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_records_the_one_inside_counts_else_the_latest() {
        let union_id = UnionId::parse("u").unwrap();
        let record = |joined, status: i64| Member {
            union_id: Some(union_id.clone()),
            attendance: Attendance {
                joined: Some(Timestamp::from_ms(joined)),
                status: Some(status.into()),
                ..Attendance::without_times(ConferenceId::parse("c").unwrap(), None)
            },
        };
        let of = |members: Vec<Member>| {
            let answer = MeetingMembers {
                observed_at: Timestamp::from_ms(0),
                members,
                complete: true,
                calls: 1,
                oddities: 0,
            };
            answer.of(&union_id).and_then(|record| record.status).map(AttendStatus::code)
        };
        assert_eq!(of(vec![record(1, 3), record(2, 6)]), Some(3));
        assert_eq!(of(vec![record(2, 5), record(1, 6)]), Some(5));
        assert_eq!(of(vec![]), None);
    }
}
