//! The stored state of one user in one meeting.
//!
//! Guards: what the next comparison needs is kept here, including what sweeps reported and no poll has confirmed. The
//! stored JSON keeps its member names, so that a newer release reads it. Deliberately not here: the state over all
//! meetings (`user_state`), how either changes (`diff`, `sweep`).

use serde::{Deserialize, Serialize};

use super::attendance::AttendStatus;
use super::visit::Visit;
use crate::ids::{ConferenceId, EventId};
use crate::time::Timestamp;

/// The state of one user in one meeting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct MeetingState {
    pub(super) conference_id: ConferenceId,
    #[serde(rename = "stage")]
    pub(super) phase: MeetingPhase,
    /// The last status that is not [`AttendStatus::Unrecognized`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<AttendStatus>,
    /// Number of visits, the open one included; also the ordinal of the newest visit.
    #[serde(default)]
    pub(super) visits: u32,
    /// The newest `joinTime` of a visit. A later `joinTime` belongs to a new visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) newest_join: Option<Timestamp>,
    /// End of the newest ended visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<Timestamp>,
    /// The newest answer lists the meeting, or too few answers in a row missed it.
    #[serde(default)]
    pub(super) listed: bool,
    /// Number of answers in a row that missed the meeting.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) misses: u32,
    /// The newest answer lists the meeting without a usable record.
    #[serde(rename = "unreported", default, skip_serializing_if = "is_false")]
    pub(super) no_record: bool,
    /// The newest answer has an unrecognized status.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) unrecognized: bool,
    /// No answer so far says whether the user is in the meeting.
    #[serde(rename = "doubt", default, skip_serializing_if = "is_false")]
    pub(super) undetermined: bool,
    /// Sweeps saw a join that neither enough sweeps nor a poll have confirmed.
    #[serde(rename = "sighted", default, skip_serializing_if = "Option::is_none")]
    pub(super) pending_join: Option<PendingJoin>,
}

/// Where a user is with respect to one meeting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum MeetingPhase {
    /// Neither invited nor inside, and no visit is known that an answer could correct.
    #[default]
    #[serde(rename = "nothing")]
    Unseen,
    /// Invited or being called.
    Pending,
    /// In the meeting.
    Inside(Box<OpenVisit>),
    /// Not in the meeting. Holds the last visit as long as a later answer may correct its end.
    Outside(Option<Box<ClosedVisit>>),
}

/// An open visit, and what is needed to end it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct OpenVisit {
    pub(super) visit: Visit,
    /// The newest poll that saw the user inside.
    pub(super) seen_at: Timestamp,
    /// The `joinTime` of the visit's records, once a record has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) join_time: Option<Timestamp>,
    /// A `leaveTime` that a record had while the user was inside; it belongs to an earlier visit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stale_leave: Option<Timestamp>,
    /// The first of the latest polls in a row that missed the meeting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) missed_at: Option<Timestamp>,
    /// An unobserved interval lies between `seen_at` and the next answer that can end the visit.
    #[serde(rename = "hidden", default, skip_serializing_if = "is_false")]
    pub(super) spans_gap: bool,
    /// Id of the joined event; `None` if the first poll opened the visit without an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) joined_event: Option<EventId>,
    #[serde(rename = "swept", default, skip_serializing_if = "SweepEvidence::is_empty")]
    pub(super) sweeps: SweepEvidence,
}

/// An ended visit whose end DingTalk has not reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct ClosedVisit {
    pub(super) visit: Visit,
    /// A `leaveTime` that was rejected as implausible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) leave_time: Option<Timestamp>,
    /// Id of the left event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) left_event: Option<EventId>,
    /// Id of the joined event, as long as a later answer may correct its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) joined_event: Option<EventId>,
    /// Set if a sweep opened or ended the visit: the times of a later record then correct it.
    #[serde(rename = "swept", default, skip_serializing_if = "Option::is_none")]
    pub(super) join_bounds: Option<JoinBounds>,
}

/// What sweeps have reported about an open visit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SweepEvidence {
    /// Set if a sweep opened the visit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) opened: Option<JoinBounds>,
    /// The newest sweep that saw the user inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seen_at: Option<Timestamp>,
    /// The latest sweeps in a row that did not see the user inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missed: Option<MissedSweeps>,
}

/// The range of join times that belong to a visit which a sweep opened or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JoinBounds {
    /// An earlier visit ended at this time.
    #[serde(rename = "after")]
    pub(super) not_before: Timestamp,
    /// The user was inside at this time; a later `joinTime` belongs to another visit.
    #[serde(rename = "sure_at")]
    pub(super) not_after: Timestamp,
}

/// Sweeps in a row that did not see a user inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MissedSweeps {
    /// Time of the first of them.
    #[serde(rename = "at")]
    pub(super) first_at: Timestamp,
    pub(super) count: u32,
}

/// Sweeps in a row that saw a user inside a meeting they had not been in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PendingJoin {
    /// The poll or sweep before the first of them.
    pub(super) since: Timestamp,
    /// Time of the first of them.
    #[serde(rename = "at")]
    pub(super) first_at: Timestamp,
    pub(super) count: u32,
}

impl MeetingState {
    /// The state before any answer lists the meeting.
    pub(super) fn new(conference_id: ConferenceId) -> Self {
        Self {
            conference_id,
            phase: MeetingPhase::Unseen,
            status: None,
            visits: 0,
            newest_join: None,
            ended: None,
            listed: false,
            misses: 0,
            no_record: false,
            unrecognized: false,
            undetermined: false,
            pending_join: None,
        }
    }

    /// The open visit.
    pub(super) fn open(&self) -> Option<&OpenVisit> {
        match &self.phase {
            MeetingPhase::Inside(open) => Some(open),
            MeetingPhase::Unseen | MeetingPhase::Pending | MeetingPhase::Outside(_) => None,
        }
    }

    /// A sweep reported a join or a leave that neither a second sweep nor a poll has confirmed.
    pub(super) fn awaits_sweep_confirmation(&self) -> bool {
        self.pending_join.is_some() || self.open().is_some_and(|open| open.sweeps.missed.is_some())
    }

    /// The newest poll's answer itself reported this phase.
    pub(super) fn is_current(&self) -> bool {
        self.listed && self.misses == 0 && !self.no_record && !self.unrecognized
    }

    /// Neither listed nor open: kept only for the ordinal and the `joinTime` of the next visit.
    pub(super) fn is_over(&self) -> bool {
        !self.listed && self.open().is_none()
    }

    /// Enough answers missed the meeting: keeps only what the next visit to it needs.
    pub(super) fn unlist(&mut self) {
        self.listed = false;
        self.misses = 0;
        self.status = None;
        self.no_record = false;
        self.unrecognized = false;
    }
}

impl OpenVisit {
    /// The newest poll or sweep that saw the user inside.
    pub(super) fn last_seen(&self) -> Timestamp {
        self.sweeps.seen_at.map_or(self.seen_at, |swept| swept.max(self.seen_at))
    }
}

impl SweepEvidence {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}
