//! How a visit ends, and how a later record corrects the end.
//!
//! Guards: no visit ends before it starts or after the poll that saw the end; a `leaveTime` is used only between the
//! join and the poll; a missing meeting ends a visit only after enough polls in a row missed it. Deliberately not here:
//! how a visit opens (`visit_start`), which phase follows which (`diff`).

use super::attendance::{AttendStatus, Attendance};
use super::data::{Changed, Changes, Flag};
use super::event::EventType;
use super::event_builder::{EventDraft, MeetingContext};
use super::meeting_state::{ClosedVisit, MeetingPhase, MeetingState, OpenVisit};
use super::poll_context::{Correction, DiffOutput, Leave, PollContext, changed_time};
use super::sweep_correction::correct_visit;
use super::visit::{Basis, LeftReason, VisitEnd};
use super::visit_start::{apply_join_time, close_visit, end_by_rejoin, start_visit, update_attributes};
use crate::time::Timestamp;

/// Inside before, not inside now: ends the visit. A change from status 3 to 1, 2 or 4 is an end like one to 6, because
/// a user who is being called is not inside.
pub(super) fn leave(
    meeting: &mut MeetingState,
    mut open: Box<OpenVisit>,
    record: &Attendance,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) -> MeetingPhase {
    let mut short = false;
    if has_visit_times(record)
        && let Some(rejoined_at) = apply_join_time(meeting, &mut open, record, poll, output)
    {
        // The user left, joined and left again since the last poll.
        end_by_rejoin(meeting, &mut open, rejoined_at, record, poll, output);
        open = start_visit(meeting, record, poll, output, true);
        short = true;
    }
    let (end, doubt) = end_from_record(&open, record, poll);
    let mut flags = output.flags(doubt);
    flags.extend(short.then_some(Flag::ShortVisit));
    update_attributes(&mut open.visit, record, poll.user.store_nick);
    let late = short || end.reason == LeftReason::Unobserved || poll.is_late(end.at, end.basis);
    output.end_visit(meeting, &mut open.visit, Leave { end, status: record.status, flags, late });
    close_visit(meeting, *open, record.left)
}

/// Whether the record's times are those of a visit. With another status they may belong to an invitation.
fn has_visit_times(record: &Attendance) -> bool {
    matches!(record.status, None | Some(AttendStatus::Removed | AttendStatus::Left))
}

/// When and why an open visit ended, by a record.
fn end_from_record(
    open: &OpenVisit,
    record: &Attendance,
    poll: &PollContext<'_>,
) -> (VisitEnd, &'static [Flag]) {
    let joined = open.visit.joined;
    let doubt: &'static [Flag] = match record.left {
        Some(at) if joined <= at && at <= poll.now && open.stale_leave != Some(at) => {
            return (reported_end(at, record.status), &[]);
        }
        Some(_) => &[Flag::LeaveTimeImplausible],
        None => &[Flag::LeaveTimeMissing],
    };
    let earliest = open.last_seen().max(joined).min(poll.now);
    let (at, reason, basis) = if open.spans_gap || poll.unobserved.is_some() {
        (earliest, LeftReason::Unobserved, Basis::Inferred)
    } else {
        (poll.now, reason_of(record.status), Basis::Observed)
    };
    (VisitEnd { at, reason, basis, earliest, latest: poll.now }, doubt)
}

/// The end at a `leaveTime`.
fn reported_end(at: Timestamp, status: Option<AttendStatus>) -> VisitEnd {
    VisitEnd { at, reason: reason_of(status), basis: Basis::Reported, earliest: at, latest: at }
}

fn reason_of(status: Option<AttendStatus>) -> LeftReason {
    match status {
        Some(AttendStatus::Removed) => LeftReason::Removed,
        None
        | Some(
            AttendStatus::Initialized
            | AttendStatus::Calling
            | AttendStatus::Active
            | AttendStatus::JoinFailed
            | AttendStatus::Left
            | AttendStatus::Unrecognized(_),
        ) => LeftReason::Left,
    }
}

/// Inside before, and this poll misses the meeting: ends the visit once enough polls in a row missed it.
pub(super) fn count_vanished(
    meeting: &mut MeetingState,
    mut open: Box<OpenVisit>,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) -> MeetingPhase {
    open.spans_gap |= poll.unobserved.is_some() && open.missed_at.is_none();
    // One poll is enough if a sweep missed the user before it.
    let missed_before = open.sweeps.missed.as_ref().map(|missed| missed.first_at);
    let missed_at = *open.missed_at.get_or_insert(missed_before.unwrap_or(poll.now));
    meeting.misses = meeting.misses.saturating_add(1);
    if meeting.misses < poll.misses_required && missed_before.is_none() {
        output.needs_recheck = true;
        return MeetingPhase::Inside(open);
    }
    let earliest = open.last_seen().max(open.visit.joined).min(missed_at);
    let (at, reason) = if open.spans_gap {
        (earliest, LeftReason::Unobserved)
    } else {
        (missed_at.max(open.visit.joined), LeftReason::Vanished)
    };
    let end = VisitEnd { at, reason, basis: Basis::Inferred, earliest, latest: missed_at };
    let flags = output.flags(if poll.weak { &[Flag::WeakEvidence] } else { &[] });
    let leave = Leave { end, status: None, flags, late: open.spans_gap };
    output.end_visit(meeting, &mut open.visit, leave);
    meeting.unlist();
    close_visit(meeting, *open, None)
}

/// Not inside before, not inside now. The record may report a failed join, a visit between two polls, a better end of
/// the last visit, or nothing new.
pub(super) fn compare_outside(
    meeting: &mut MeetingState,
    closed: Option<Box<ClosedVisit>>,
    record: &Attendance,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) -> MeetingPhase {
    if record.status == Some(AttendStatus::JoinFailed) {
        if poll.previous.is_some() && meeting.status != Some(AttendStatus::JoinFailed) {
            let draft = EventDraft::at(EventType::ParticipantJoinFailed, poll.now, "join_failed");
            let context = MeetingContext::of_record(record, meeting.status);
            let flags = output.flags(&[]);
            output.drafts.push(EventDraft { flags, ..draft.since(poll.previous).with_meeting(context) });
        }
        return MeetingPhase::Outside(closed);
    }
    let closed = closed.map(|closed| correct_visit(meeting, closed, record, poll, output));
    if let Some(times) = past_visit(meeting, record, poll.now) {
        return add_past_visit(meeting, times, record, poll, output);
    }
    // A status of 5 or 6 without usable times still means that there was a visit, so that the next one is a rejoin.
    meeting.visits = meeting.visits.max(1);
    meeting.newest_join = meeting.newest_join.max(record.joined);
    match closed {
        Some(closed) => correct_end(meeting, closed, record, poll, output),
        None => MeetingPhase::Outside(None),
    }
}

/// The join and leave times of a visit that no poll saw: later than every known visit.
fn past_visit(meeting: &MeetingState, record: &Attendance, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let (joined, left) = (record.joined?, record.left?);
    let is_new = meeting.newest_join.is_none_or(|newest| joined > newest)
        && meeting.ended.is_none_or(|ended| joined >= ended);
    (is_new && joined <= left && left <= now).then_some((joined, left))
}

/// Adds a visit that had already ended when a poll first saw it. Emits events if it lies wholly after the previous
/// poll. Otherwise it only enters the history: it ended before the first poll, or DingTalk's answers lag.
fn add_past_visit(
    meeting: &mut MeetingState,
    (joined, left): (Timestamp, Timestamp),
    record: &Attendance,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) -> MeetingPhase {
    let is_emitted = poll.previous.is_some_and(|previous| joined > previous);
    let poll = &PollContext { silent: !is_emitted, ..*poll };
    let mut visit = start_visit(meeting, record, poll, output, true).visit;
    let end = reported_end(left, record.status);
    visit.end = Some(end);
    meeting.ended = Some(meeting.ended.map_or(left, |ended| ended.max(left)));
    if is_emitted {
        let context = MeetingContext::of_visit(&visit, record.status, meeting.status);
        let flags = output.flags(&[Flag::ShortVisit]);
        output.drafts.push(EventDraft { late: true, ..EventDraft::left(end, context, flags) });
    }
    output.record_visit(&visit);
    MeetingPhase::Outside(None)
}

/// Applies a `leaveTime` that arrives after the left event.
fn correct_end(
    meeting: &mut MeetingState,
    mut closed: Box<ClosedVisit>,
    record: &Attendance,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) -> MeetingPhase {
    let is_usable =
        |at: &Timestamp| closed.visit.joined <= *at && *at <= poll.now && closed.leave_time != Some(*at);
    let Some(at) = record.left.filter(is_usable) else {
        // A time that was rejected as implausible stays rejected when it has passed.
        closed.leave_time = record.left.or(closed.leave_time);
        return MeetingPhase::Outside(Some(closed));
    };
    let end = reported_end(at, record.status);
    improve_end(meeting, closed, end, (record.status, &[]), poll, output)
}

/// Replaces the end of a closed visit by a better one. An end without a reported time can be replaced again.
pub(super) fn improve_end(
    meeting: &mut MeetingState,
    mut closed: Box<ClosedVisit>,
    end: VisitEnd,
    (status, doubt): (Option<AttendStatus>, &[Flag]),
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) -> MeetingPhase {
    let Some(old) = closed.visit.end.replace(end) else { return MeetingPhase::Outside(None) };
    let VisitEnd { at, reason, basis, earliest, latest } = end;
    meeting.ended = Some(at);
    output.record_visit(&closed.visit);
    let is_changed = old.at != at || old.reason != reason;
    if let Some(supersedes) = closed.left_event.clone().filter(|_| is_changed) {
        let changes = Changes {
            left_at: (old.at != at).then(|| changed_time(old.at, at)),
            left_reason: (old.reason != reason).then_some(Changed { from: old.reason, to: reason }),
            ..Changes::default()
        };
        let what = format!("left_at:{}:{}", at.as_ms(), reason.name());
        let flags = output.flags(doubt);
        let correction = Correction { supersedes, changes, what, at, basis, earliest, latest, status, flags };
        output.correct(poll, meeting, &closed.visit, correction);
    }
    MeetingPhase::Outside((basis != Basis::Reported).then_some(closed))
}
