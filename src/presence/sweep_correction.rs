//! Corrects the times of an ended visit that a sweep opened or ended.
//!
//! Guards: sweeps report no times, later records do; each emitted event whose time changes gets a correction; the
//! record of another visit never sets a time of this one. Deliberately not here: corrections of ends that polls
//! observed without a time (`visit_end`).

use super::attendance::Attendance;
use super::data::{Changes, Flag};
use super::meeting_state::{ClosedVisit, MeetingState};
use super::poll_context::{Correction, DiffOutput, PollContext, changed_time};
use super::visit::{Basis, VisitEnd};
use crate::time::Timestamp;

/// Applies a record to the last visit, if a sweep opened or ended it.
pub(super) fn correct_visit(
    meeting: &mut MeetingState,
    mut closed: Box<ClosedVisit>,
    record: &Attendance,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) -> Box<ClosedVisit> {
    let (Some(bounds), Some(end), Some(joined)) = (closed.join_bounds, closed.visit.end, record.joined)
    else {
        return closed;
    };
    if joined > poll.now {
        return closed;
    }
    if joined > bounds.not_after {
        if joined < end.at {
            end_before_next(meeting, &mut closed, (end, joined), record, poll, output);
        }
    } else if joined >= bounds.not_before && joined <= end.at && closed.visit.join_basis != Basis::Reported {
        let event = closed.joined_event.take().filter(|_| closed.visit.joined != joined);
        output.correct_join(poll, meeting, &mut closed.visit, (joined, record.status), event);
    }
    closed
}

/// The record belongs to the next visit, which joined at `at`: this visit ended before.
fn end_before_next(
    meeting: &mut MeetingState,
    closed: &mut ClosedVisit,
    (old, at): (VisitEnd, Timestamp),
    record: &Attendance,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) {
    let end = VisitEnd { at, basis: Basis::Inferred, earliest: old.earliest.min(at), latest: at, ..old };
    closed.visit.end = Some(end);
    closed.join_bounds = None;
    meeting.ended = Some(at);
    output.record_visit(&closed.visit);
    let Some(supersedes) = closed.left_event.take() else { return };
    let correction = Correction {
        supersedes,
        changes: Changes { left_at: Some(changed_time(old.at, at)), ..Changes::default() },
        what: format!("left_at:{}", at.as_ms()),
        at,
        basis: Basis::Inferred,
        earliest: end.earliest,
        latest: at,
        status: record.status,
        flags: output.flags(&[Flag::BySweep]),
    };
    output.correct(poll, meeting, &closed.visit, correction);
}
