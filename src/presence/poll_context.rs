//! What the comparisons of all meetings share: the poll or sweep that is compared, and the output they collect.
//!
//! Guards: one event for the end of a visit and one for a correction, whichever answer leads to it; the newest state of
//! each changed visit is collected once. Deliberately not here: which visits end or are corrected (`visit_start`,
//! `visit_end`, `sweep_correction`, `sweep`, `confirm`, `lifecycle`).

use super::attendance::AttendStatus;
use super::data::{Changed, Changes, Flag, Rfc3339, UserInfo};
use super::event::EventType;
use super::event_builder::{EventDraft, MeetingContext};
use super::meeting_state::MeetingState;
use super::user_state::UnobservedInterval;
use super::visit::{Basis, Visit, VisitEnd};
use crate::ids::EventId;
use crate::time::Timestamp;

/// A poll or sweep that is compared with the state.
#[derive(Clone, Copy, Debug)]
pub(super) struct PollContext<'a> {
    /// Time of the answer; never before `previous`, even if the clock was set back.
    pub(super) now: Timestamp,
    /// Time of the successful poll before it; `None` at the first poll.
    pub(super) previous: Option<Timestamp>,
    /// Open visits without a joined event: `first_poll_silent`.
    pub(super) silent: bool,
    /// The interval without polls since `previous`.
    pub(super) unobserved: Option<UnobservedInterval>,
    /// The answer is a sweep, not a poll.
    pub(super) by_sweep: bool,
    /// The answer proves absence weakly.
    pub(super) weak: bool,
    /// Number of answers in a row that must miss a meeting before the visit ends.
    pub(super) misses_required: u32,
    /// The polled user.
    pub(super) user: &'a UserInfo,
}

impl PollContext<'_> {
    /// Whether a change at `time` lies in the unobserved interval. A change with an observed time does not.
    pub(super) fn is_late(&self, time: Timestamp, basis: Basis) -> bool {
        basis != Basis::Observed
            && self.unobserved.is_some_and(|interval| time <= interval.to.unwrap_or(self.now))
    }
}

/// What the comparisons collect.
#[derive(Debug, Default)]
pub(super) struct DiffOutput {
    pub(super) drafts: Vec<EventDraft>,
    pub(super) visits: Vec<Visit>,
    /// A missed meeting or a join seen by a sweep awaits a second answer.
    pub(super) needs_recheck: bool,
    /// Flags for every event of the meeting that is being compared.
    pub(super) flags: Vec<Flag>,
}

/// The end of a visit, and the evidence for it.
#[derive(Debug)]
pub(super) struct Leave {
    pub(super) end: VisitEnd,
    /// The status of the record that reported the end, if there is one.
    pub(super) status: Option<AttendStatus>,
    pub(super) flags: Vec<Flag>,
    pub(super) late: bool,
}

/// New values for an event that was emitted.
#[derive(Debug)]
pub(super) struct Correction {
    /// The event to correct.
    pub(super) supersedes: EventId,
    pub(super) changes: Changes,
    /// What changed, for the id.
    pub(super) what: String,
    pub(super) at: Timestamp,
    pub(super) basis: Basis,
    pub(super) earliest: Timestamp,
    pub(super) latest: Timestamp,
    /// The status of the record that corrects, if there is one.
    pub(super) status: Option<AttendStatus>,
    pub(super) flags: Vec<Flag>,
}

impl DiffOutput {
    /// Collects the newest state of a visit.
    pub(super) fn record_visit(&mut self, visit: &Visit) {
        match self.visits.iter_mut().find(|recorded| recorded.id == visit.id) {
            Some(recorded) => recorded.clone_from(visit),
            None => self.visits.push(visit.clone()),
        }
    }

    /// The flags of the meeting that is being compared, and `more`.
    pub(super) fn flags(&self, more: &[Flag]) -> Vec<Flag> {
        self.flags.iter().chain(more).copied().collect()
    }

    /// Ends a visit and adds its left event.
    pub(super) fn end_visit(&mut self, meeting: &mut MeetingState, visit: &mut Visit, leave: Leave) {
        let Leave { end, status, flags, late } = leave;
        visit.end = Some(end);
        meeting.ended = Some(end.at);
        let context = MeetingContext::of_visit(visit, status, meeting.status);
        self.drafts.push(EventDraft { late, ..EventDraft::left(end, context, flags) });
        self.record_visit(visit);
    }

    /// Adds the event that corrects an earlier event about a visit.
    pub(super) fn correct(
        &mut self,
        poll: &PollContext<'_>,
        meeting: &MeetingState,
        visit: &Visit,
        correction: Correction,
    ) {
        let Correction { supersedes, changes, what, at, basis, earliest, latest, status, flags } = correction;
        let draft = EventDraft::at(EventType::ParticipantCorrected, latest, what).since(Some(earliest));
        self.drafts.push(EventDraft {
            time: at,
            basis,
            late: poll.is_late(at, basis),
            flags,
            supersedes: Some(supersedes),
            changes: Some(changes),
            ..draft.with_meeting(MeetingContext::of_visit(visit, status, meeting.status))
        });
    }

    /// Replaces the join time of a visit by a reported one, and corrects the joined event if one is given.
    pub(super) fn correct_join(
        &mut self,
        poll: &PollContext<'_>,
        meeting: &MeetingState,
        visit: &mut Visit,
        (at, status): (Timestamp, Option<AttendStatus>),
        joined_event: Option<EventId>,
    ) {
        let from = visit.joined;
        visit.joined = at;
        visit.join_basis = Basis::Reported;
        self.record_visit(visit);
        let Some(supersedes) = joined_event else { return };
        let joined_at = Some(changed_time(from, at));
        let correction = Correction {
            supersedes,
            changes: Changes { joined_at, ..Changes::default() },
            what: format!("joined_at:{}", at.as_ms()),
            at,
            basis: Basis::Reported,
            earliest: at,
            latest: at,
            status,
            flags: self.flags(&[]),
        };
        self.correct(poll, meeting, visit, correction);
    }
}

/// A changed time, as events write it.
pub(super) fn changed_time(from: Timestamp, to: Timestamp) -> Changed<Rfc3339> {
    Changed { from: Rfc3339(from), to: Rfc3339(to) }
}
