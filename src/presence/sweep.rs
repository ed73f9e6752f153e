//! Applies a sweep of the organisation to one user's state.
//!
//! Guards: a sweep reports no times, so it never takes precedence over a poll, and no event is emitted because of one
//! sweep alone. Deliberately not here: what one sweep reports (`sweep_view`), whether an organisation's sweeps are
//! trusted and when to sweep (`policy::sweep`).
//!
//! A join needs two answers that agree, a leave `leave_after_misses`; the second sweep may request only a few meetings
//! or their members. One poll that agrees is enough. Within [`POLL_PRECEDENCE`](super::sweep_view::POLL_PRECEDENCE) of
//! a poll or of the last change, a sweep that contradicts the state may be outdated: it leads to a poll and changes
//! nothing.

use super::attendance::{AttendStatus, Attendance};
use super::data::{Flag, UserInfo};
use super::event_builder::EventDraft;
use super::meeting_state::{
    ClosedVisit, JoinBounds, MeetingPhase, MeetingState, MissedSweeps, OpenVisit, PendingJoin, SweepEvidence,
};
use super::poll_context::{DiffOutput, Leave, PollContext};
use super::sweep_view::{LeaveKind, SweepChange, SweepView, change_in};
use super::transition::{DiffRules, Transition, emit_events, next_presence};
use super::user_state::{Presence, UserState};
use super::visit::{Basis, LeftReason, VisitEnd};
use super::visit_start::start_visit;
use crate::time::Timestamp;

/// Number of sweeps in a row that must see a user inside before a join is emitted.
const SWEEPS_PER_JOIN: u32 = 2;

/// Applies one trusted sweep. A difference that [needs a poll](SweepChange::NeedsPoll) changes nothing.
pub fn observe(
    state: &UserState,
    view: &SweepView<'_>,
    user: &UserInfo,
    source: &str,
    rules: &DiffRules,
) -> Transition {
    let mut next = state.clone();
    let Some(previous) = previous_answer(state, view) else { return Transition::unchanged(next) };
    let now = view.sweep.observed_at.max(previous);
    let poll = PollContext {
        now,
        previous: Some(previous),
        silent: false,
        unobserved: None,
        by_sweep: true,
        weak: false,
        misses_required: rules.leave_after_misses.max(1),
        user,
    };
    let mut output = DiffOutput { flags: vec![Flag::BySweep], ..DiffOutput::default() };
    for (conference_id, status) in view.statuses.into_iter().flatten() {
        if *status == AttendStatus::Active {
            next.add_meeting(conference_id);
        }
    }
    for meeting in &mut next.meetings {
        let change = change_in(state, Some(meeting), &meeting.conference_id, view);
        let covered = view.sweep.covers(&meeting.conference_id);
        advance(meeting, change, covered, &poll, &mut output);
    }
    next.meetings
        .retain(|meeting| meeting.listed || meeting.visits > 0 || meeting.awaits_sweep_confirmation());
    if view.sweep.requested.is_none() {
        next.last_sweep = Some(now);
    }
    let DiffOutput { mut drafts, visits, needs_recheck, .. } = output;
    let mut events = Vec::new();
    if !drafts.is_empty() {
        next.presence = next_presence(state.presence, &next);
        drafts.sort_by_key(EventDraft::order);
        events = emit_events(state, &mut next, &poll, drafts, source);
    }
    Transition { state: next, events, visits, needs_recheck }
}

/// The newest poll or sweep before this one. `None` if the sweep must not be applied: it is older than the last poll,
/// or the presence is unknown.
fn previous_answer(state: &UserState, view: &SweepView<'_>) -> Option<Timestamp> {
    let last_poll = state.last_poll?;
    let is_applicable =
        state.presence != Presence::Unknown && state.problems.is_none() && view.sweep.started_at > last_poll;
    is_applicable.then(|| state.last_sweep.map_or(last_poll, |swept| swept.max(last_poll)))
}

/// Applies one sweep to one meeting.
fn advance(
    meeting: &mut MeetingState,
    change: SweepChange,
    covered: bool,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) {
    if covered && change != SweepChange::Joined {
        meeting.pending_join = None;
    }
    let phase = std::mem::take(&mut meeting.phase);
    meeting.phase = match (phase, change) {
        (MeetingPhase::Inside(mut open), SweepChange::StillInside) => {
            open.sweeps.seen_at = Some(poll.now);
            open.sweeps.missed = None;
            MeetingPhase::Inside(open)
        }
        (MeetingPhase::Inside(open), SweepChange::Left(kind)) => leave(meeting, open, kind, poll, output),
        (
            phase @ (MeetingPhase::Unseen | MeetingPhase::Pending | MeetingPhase::Outside(_)),
            SweepChange::Joined,
        ) => join(meeting, phase, poll, output),
        (
            phase,
            SweepChange::Unchanged
            | SweepChange::NeedsPoll
            | SweepChange::StillInside
            | SweepChange::Joined
            | SweepChange::Left(_),
        ) => phase,
    };
}

/// Opens a visit once enough sweeps saw the user inside. The join has the time of the first of them.
fn join(
    meeting: &mut MeetingState,
    phase: MeetingPhase,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) -> MeetingPhase {
    let since = poll.previous.unwrap_or(poll.now);
    let mut pending = meeting.pending_join.unwrap_or(PendingJoin { since, first_at: poll.now, count: 0 });
    pending.count += 1;
    if pending.count < SWEEPS_PER_JOIN {
        meeting.pending_join = Some(pending);
        output.needs_recheck = true;
        return phase;
    }
    meeting.pending_join = None;
    let not_before = meeting.ended.unwrap_or_default().max(meeting.newest_join.unwrap_or_default());
    let first = PollContext { now: pending.first_at, previous: Some(pending.since), ..*poll };
    let record = Attendance::without_times(meeting.conference_id.clone(), Some(AttendStatus::Active));
    let mut open = start_visit(meeting, &record, &first, output, false);
    // One sweep alone proves nothing: the user was certainly inside when the last of the sweeps saw them.
    open.seen_at = poll.now;
    let opened = Some(JoinBounds { not_before, not_after: poll.now });
    open.sweeps = SweepEvidence { opened, seen_at: Some(poll.now), missed: None };
    meeting.status = record.status;
    meeting.misses = 0;
    meeting.listed = true;
    meeting.undetermined = false;
    MeetingPhase::Inside(open)
}

/// Ends a visit once enough sweeps reported the leave. It has the time of the first of them.
fn leave(
    meeting: &mut MeetingState,
    mut open: Box<OpenVisit>,
    kind: LeaveKind,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) -> MeetingPhase {
    let missed = open.sweeps.missed.get_or_insert(MissedSweeps { first_at: poll.now, count: 0 });
    missed.count += 1;
    let missed = *missed;
    if missed.count < poll.misses_required {
        output.needs_recheck = true;
        return MeetingPhase::Inside(open);
    }
    let (reason, status) = match kind {
        LeaveKind::Left => (LeftReason::Left, Some(AttendStatus::Left)),
        LeaveKind::Removed => (LeftReason::Removed, Some(AttendStatus::Removed)),
        LeaveKind::Missing => (LeftReason::Vanished, None),
    };
    let joined = open.visit.joined;
    let at = missed.first_at.max(joined);
    let earliest = open.last_seen().max(joined).min(at);
    let bounds = open.sweeps.opened.unwrap_or(JoinBounds { not_before: joined, not_after: joined });
    meeting.newest_join = meeting.newest_join.max(Some(bounds.not_after));
    let end = VisitEnd { at, reason, basis: Basis::Observed, earliest, latest: at };
    let leave = Leave { end, status, flags: output.flags(&[]), late: false };
    output.end_visit(meeting, &mut open.visit, leave);
    if kind == LeaveKind::Missing {
        meeting.unlist();
    } else {
        meeting.status = status;
        meeting.misses = 0;
    }
    let OpenVisit { visit, joined_event, .. } = *open;
    MeetingPhase::Outside(Some(Box::new(ClosedVisit {
        visit,
        leave_time: None,
        left_event: None,
        joined_event,
        join_bounds: Some(bounds),
    })))
}
