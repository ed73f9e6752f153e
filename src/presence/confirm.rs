//! Applies a meeting's own answer about a user whose entry vanished: how the visit ended, and when.
//!
//! Guards: the answer only explains an absence that a poll observed. It never ends a visit that polls still see, never
//! opens one, and never replaces an end that DingTalk reported. Deliberately not here: the calls (`dingtalk`, `tasks`),
//! which meetings may be requested (`policy::confirm`).

use std::time::Duration;

use super::attendance::{AttendStatus, Attendance};
use super::data::{Flag, UserInfo};
use super::meeting_state::{ClosedVisit, MeetingPhase, MeetingState, OpenVisit};
use super::poll_context::{DiffOutput, Leave, PollContext};
use super::transition::{Transition, emit_events, next_presence};
use super::user_state::{Presence, UserState};
use super::visit::{Basis, LeftReason, Visit, VisitEnd};
use super::visit_end::improve_end;
use super::visit_start::close_visit;
use crate::ids::{ConferenceId, VisitId};
use crate::time::Timestamp;

/// A leave this shortly before the end of the meeting counts as part of the end, and so does an end this shortly after
/// the poll that missed the entry: DingTalk removes the participants one by one, and its clock differs from ours.
const END_MARGIN: Duration = Duration::from_secs(2);

/// What a meeting's own answer reports about one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingAnswer {
    /// Time the answer arrived.
    pub at: Timestamp,
    /// Whether the meeting has ended.
    pub end: MeetingEnd,
    /// The user's record among the members, if there is one.
    pub record: Option<Attendance>,
}

/// Whether a meeting has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeetingEnd {
    /// The meeting is ongoing.
    Ongoing,
    /// The meeting ended, at this time if DingTalk reports one.
    Ended(Option<Timestamp>),
}

/// A visit whose entry vanished, and whose end DingTalk has not reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VanishedVisit {
    /// The meeting.
    pub conference_id: ConferenceId,
    /// The visit.
    pub visit: VisitId,
    /// Time of the first poll that missed it.
    pub since: Timestamp,
}

impl UserState {
    /// The visits whose entry vanished and whose end DingTalk has not reported, with or without a left event.
    pub fn vanished_visits(&self) -> impl Iterator<Item = VanishedVisit> {
        self.meetings.iter().filter_map(|meeting| {
            let unconfirmed = UnconfirmedVisit::of(meeting)?;
            Some(VanishedVisit {
                conference_id: meeting.conference_id.clone(),
                visit: unconfirmed.visit.id.clone(),
                since: unconfirmed.missed_at,
            })
        })
    }
}

/// Applies the answer of a meeting. `None`: it explains nothing, and the state does not change.
pub fn confirm(
    state: &UserState,
    conference_id: &ConferenceId,
    answer: &MeetingAnswer,
    user: &UserInfo,
    source: &str,
) -> Option<Transition> {
    let mut next = state.clone();
    let meeting = next.meetings.iter_mut().find(|meeting| meeting.conference_id == *conference_id)?;
    let now = state.last_poll.map_or(answer.at, |last| last.max(answer.at));
    let confirmed = UnconfirmedVisit::of(meeting)?.end_by(answer, now)?;
    let poll = PollContext {
        now,
        previous: state.last_poll,
        silent: false,
        unobserved: None,
        by_sweep: false,
        weak: false,
        misses_required: 1,
        user,
    };
    let mut output = DiffOutput::default();
    let status = answer.record.as_ref().and_then(|record| record.status);
    meeting.phase = match std::mem::take(&mut meeting.phase) {
        MeetingPhase::Inside(open) => leave(meeting, *open, confirmed, status, &mut output),
        MeetingPhase::Outside(Some(closed)) => {
            improve_end(meeting, closed, confirmed.end, (status, confirmed.flags), &poll, &mut output)
        }
        // `UnconfirmedVisit::of` excludes the other phases.
        phase => phase,
    };
    // The answer is about one visit only, so an unknown presence stays unknown until the next poll.
    if state.presence != Presence::Unknown {
        next.presence = next_presence(state.presence, &next);
    }
    let events = emit_events(state, &mut next, &poll, output.drafts, source);
    Some(Transition { state: next, events, visits: output.visits, needs_recheck: false })
}

/// A visit whose end a meeting's answer may confirm.
#[derive(Clone, Copy, Debug)]
struct UnconfirmedVisit<'a> {
    visit: &'a Visit,
    /// The last poll that saw the user inside.
    seen_at: Timestamp,
    /// The first poll that missed the user.
    missed_at: Timestamp,
    /// A `leaveTime` of an earlier visit.
    stale_leave: Option<Timestamp>,
    /// An unobserved interval lies between the two polls, so that only a reported time improves the end.
    spans_gap: bool,
}

/// The end of a visit by a meeting's answer.
#[derive(Clone, Copy, Debug)]
struct ConfirmedEnd {
    end: VisitEnd,
    flags: &'static [Flag],
}

impl<'a> UnconfirmedVisit<'a> {
    fn of(meeting: &'a MeetingState) -> Option<Self> {
        match &meeting.phase {
            MeetingPhase::Inside(open) => {
                let OpenVisit { visit, seen_at, missed_at, stale_leave, spans_gap, .. } = &**open;
                let (seen_at, stale_leave, spans_gap) = (*seen_at, *stale_leave, *spans_gap);
                Some(Self { visit, seen_at, missed_at: (*missed_at)?, stale_leave, spans_gap })
            }
            MeetingPhase::Outside(Some(closed)) => {
                let ClosedVisit { visit, leave_time, .. } = &**closed;
                let end = visit.end?;
                let spans_gap = end.reason == LeftReason::Unobserved;
                let is_open_to_answer = end.reason == LeftReason::Vanished || spans_gap;
                let unconfirmed = Self {
                    visit,
                    seen_at: end.earliest,
                    missed_at: end.latest,
                    stale_leave: *leave_time,
                    spans_gap,
                };
                is_open_to_answer.then_some(unconfirmed)
            }
            MeetingPhase::Unseen | MeetingPhase::Pending | MeetingPhase::Outside(None) => None,
        }
    }

    fn end_by(self, answer: &MeetingAnswer, now: Timestamp) -> Option<ConfirmedEnd> {
        let is_plausible = |at: &Timestamp| self.visit.joined <= *at && *at <= now;
        // A record with a later join belongs to a visit that no poll saw.
        let record = answer.record.as_ref().filter(|record| {
            record.joined.is_none_or(|joined| joined <= self.seen_at.max(self.visit.joined))
        });
        let reason = match record.and_then(|record| record.status) {
            Some(AttendStatus::Removed) => Some(LeftReason::Removed),
            Some(AttendStatus::Left) => Some(LeftReason::Left),
            _ => None,
        };
        let reported = record.filter(|_| reason.is_some()).and_then(|record| record.left);
        let left = reported.filter(is_plausible).filter(|at| self.stale_leave != Some(*at));
        let meeting_ended = match answer.end {
            MeetingEnd::Ongoing => None,
            MeetingEnd::Ended(ended) => {
                let ended = ended.filter(is_plausible);
                self.stayed_to_end(reason, left, ended).then_some(ended)
            }
        };
        let (reason, at, flags): (_, _, &'static [Flag]) = match (meeting_ended, reason, left) {
            (Some(ended), _, _) => (LeftReason::MeetingEnded, ended, &[]),
            (None, Some(reason), Some(left)) => (reason, Some(left), &[]),
            (None, Some(reason), None) if reported.is_some() => (reason, None, &[Flag::LeaveTimeImplausible]),
            (None, Some(reason), None) => (reason, None, &[Flag::LeaveTimeMissing]),
            (None, None, _) => return None,
        };
        let end = match at {
            Some(at) => VisitEnd { at, reason, basis: Basis::Reported, earliest: at, latest: at },
            None if self.spans_gap => return None,
            None => {
                let at = self.missed_at.max(self.visit.joined);
                let earliest = self.seen_at.max(self.visit.joined).min(at);
                VisitEnd { at, reason, basis: Basis::Inferred, earliest, latest: at }
            }
        };
        Some(ConfirmedEnd { end, flags })
    }

    /// Whether the user stayed until the meeting ended.
    fn stayed_to_end(
        self,
        reason: Option<LeftReason>,
        left: Option<Timestamp>,
        ended: Option<Timestamp>,
    ) -> bool {
        match (reason, left, ended) {
            (Some(LeftReason::Removed), _, _) | (_, Some(_), None) => false,
            (_, Some(left), Some(end)) => left.plus(END_MARGIN) >= end,
            // The entry of a user without a record vanished because the meeting ended, if it had ended by then.
            (_, None, Some(end)) => end <= self.missed_at.plus(END_MARGIN),
            (_, None, None) => true,
        }
    }
}

/// Ends a visit that has no left event yet.
fn leave(
    meeting: &mut MeetingState,
    mut open: OpenVisit,
    confirmed: ConfirmedEnd,
    status: Option<AttendStatus>,
    output: &mut DiffOutput,
) -> MeetingPhase {
    let ConfirmedEnd { end, flags } = confirmed;
    let leave = Leave { end, status, flags: flags.to_vec(), late: open.spans_gap };
    output.end_visit(meeting, &mut open.visit, leave);
    meeting.status = status.or(meeting.status);
    close_visit(meeting, open, None)
}
