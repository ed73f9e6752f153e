//! What one sweep of an organisation reports about one user, compared with the user's state.
//!
//! Guards: a sweep reports only the organisation's own meetings, so it can miss a user only in a meeting in which
//! sweeps have reported them. A sweep that may be older than the state needs a poll and changes nothing. An error, a
//! ban or a sweep that lacks a page is not a [`Sweep`]. Deliberately not here: how a sweep changes the state
//! (`sweep`), the wire format (`dingtalk`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::attendance::AttendStatus;
use super::meeting_state::MeetingState;
use super::user_state::{Presence, UserState};
use crate::ids::ConferenceId;
use crate::time::Timestamp;

/// How long a poll, or a change that a sweep made, takes precedence: a sweep that contradicts it within this time only
/// leads to a poll. DingTalk's data about an organisation may be minutes old.
pub const POLL_PRECEDENCE: Duration = Duration::from_mins(6);

/// One complete and understood sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Time of its first call. A poll after this time is newer.
    pub started_at: Timestamp,
    /// Time its last answer arrived.
    pub observed_at: Timestamp,
    /// `None`: all ongoing meetings were requested. `Some`: only these, for a recheck.
    pub requested: Option<BTreeSet<ConferenceId>>,
    /// The ongoing meetings.
    pub meetings: BTreeSet<ConferenceId>,
    /// The participants of the meetings, by the id that DingTalk reports: a unionId or a userid.
    pub participants: BTreeMap<String, MeetingStatuses>,
}

/// The statuses of one user, by meeting.
pub type MeetingStatuses = BTreeMap<ConferenceId, AttendStatus>;

impl Sweep {
    /// Whether the sweep reports this meeting if it is ongoing.
    pub fn covers(&self, conference: &ConferenceId) -> bool {
        self.requested.as_ref().is_none_or(|requested| requested.contains(conference))
    }

    /// What the sweep reports about the user with these statuses.
    pub fn view<'a>(&'a self, statuses: Option<&'a MeetingStatuses>) -> SweepView<'a> {
        SweepView { sweep: self, statuses, listed: None }
    }
}

/// Meetings that sweeps have listed, and when they last did.
pub type ListedMeetings = BTreeMap<ConferenceId, Timestamp>;

/// What one sweep reports about one user.
#[derive(Clone, Copy, Debug)]
pub struct SweepView<'a> {
    pub(super) sweep: &'a Sweep,
    pub(super) statuses: Option<&'a MeetingStatuses>,
    listed: Option<&'a ListedMeetings>,
}

impl<'a> SweepView<'a> {
    /// For a user that sweeps are known to report: a sweep can then miss the user in any of the listed meetings.
    #[must_use]
    pub fn listed_in(self, listed: &'a ListedMeetings) -> Self {
        Self { listed: Some(listed), ..self }
    }

    fn has_listed(&self, conference: &ConferenceId) -> bool {
        self.listed.is_some_and(|listed| listed.contains_key(conference))
    }

    fn status(&self, conference: &ConferenceId) -> Option<AttendStatus> {
        self.statuses.and_then(|statuses| statuses.get(conference)).copied()
    }
}

/// How a sweep differs from the state in one meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SweepChange {
    /// The sweep agrees with the state, or reports nothing.
    Unchanged,
    /// The user is still inside.
    StillInside,
    /// The user joined.
    Joined,
    /// The user left.
    Left(LeaveKind),
    /// The sweep contradicts the state, and only a poll can decide.
    NeedsPoll,
}

/// How a sweep reports a leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeaveKind {
    /// Status 6.
    Left,
    /// Status 5.
    Removed,
    /// The user or the meeting is not listed any more.
    Missing,
}

/// All differences between a sweep and the state, by meeting. Leaves out [`SweepChange::Unchanged`].
pub fn changes(state: &UserState, view: &SweepView<'_>) -> Vec<(ConferenceId, SweepChange)> {
    let known = state.meetings.iter().map(|meeting| &meeting.conference_id);
    let reported = view.statuses.into_iter().flat_map(BTreeMap::keys);
    let new = reported.filter(|conference| state.meeting(conference).is_none());
    known
        .chain(new)
        .map(|conference| (conference.clone(), change_in(state, state.meeting(conference), conference, view)))
        .filter(|(_, change)| *change != SweepChange::Unchanged)
        .collect()
}

/// The difference in one meeting.
pub(super) fn change_in(
    state: &UserState,
    meeting: Option<&MeetingState>,
    conference: &ConferenceId,
    view: &SweepView<'_>,
) -> SweepChange {
    let status = view.status(conference);
    let change = compare(meeting, status, view.sweep.covers(conference), view.has_listed(conference));
    let is_change = match change {
        SweepChange::Unchanged | SweepChange::NeedsPoll => return change,
        SweepChange::StillInside => false,
        SweepChange::Joined | SweepChange::Left(_) => true,
    };
    let undecided = if is_change { SweepChange::NeedsPoll } else { SweepChange::Unchanged };
    let Some(last_poll) = state.last_poll else { return undecided };
    if view.sweep.started_at <= last_poll {
        return SweepChange::Unchanged;
    }
    let is_certain = state.problems.is_none() && state.presence != Presence::Unknown;
    if !is_certain || (is_change && is_recent(meeting, last_poll, view.sweep.observed_at)) {
        return undecided;
    }
    change
}

/// The table of differences, without regard to time. `covered`: the sweep reports the meeting if it is ongoing.
/// `listed`: sweeps report this user in this meeting.
fn compare(
    meeting: Option<&MeetingState>,
    status: Option<AttendStatus>,
    covered: bool,
    listed: bool,
) -> SweepChange {
    let open = meeting.and_then(MeetingState::open);
    match (open, status) {
        (Some(_), Some(AttendStatus::Active)) => SweepChange::StillInside,
        (Some(_), Some(AttendStatus::Left)) => SweepChange::Left(LeaveKind::Left),
        (Some(_), Some(AttendStatus::Removed)) => SweepChange::Left(LeaveKind::Removed),
        (Some(_), Some(AttendStatus::Initialized | AttendStatus::Calling | AttendStatus::JoinFailed)) => {
            SweepChange::NeedsPoll
        }
        (Some(open), None) if covered && (listed || open.sweeps.seen_at.is_some()) => {
            SweepChange::Left(LeaveKind::Missing)
        }
        (None, Some(AttendStatus::Active)) => SweepChange::Joined,
        (Some(_), Some(AttendStatus::Unrecognized(_)) | None)
        | (
            None,
            Some(
                AttendStatus::Initialized
                | AttendStatus::Calling
                | AttendStatus::JoinFailed
                | AttendStatus::Left
                | AttendStatus::Removed
                | AttendStatus::Unrecognized(_),
            )
            | None,
        ) => SweepChange::Unchanged,
    }
}

/// Whether the last poll or change is within [`POLL_PRECEDENCE`].
fn is_recent(meeting: Option<&MeetingState>, last_poll: Timestamp, now: Timestamp) -> bool {
    let changed = meeting.and_then(|meeting| match meeting.open() {
        Some(open) => Some(open.visit.joined.max(open.visit.anchor)),
        None => meeting.ended,
    });
    now < changed.map_or(last_poll, |changed| changed.max(last_poll)).plus(POLL_PRECEDENCE)
}

/// Whether an earlier sweep reported a join to a meeting that this sweep covers, and this one does not report the user
/// in it.
pub fn retracts_join(state: &UserState, view: &SweepView<'_>) -> bool {
    state.meetings.iter().any(|meeting| {
        meeting.pending_join.is_some()
            && view.sweep.covers(&meeting.conference_id)
            && view.status(&meeting.conference_id) != Some(AttendStatus::Active)
    })
}
