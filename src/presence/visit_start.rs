//! How a visit opens and continues: its id, its times and its attributes.
//!
//! Guards: a visit's id, ordinal and anchor are fixed when it opens; no join is later than the poll that saw it; a
//! `joinTime` that changes while the user is inside is never ignored. Deliberately not here: how a visit ends
//! (`visit_end`), which phase follows which (`diff`).

use super::attendance::{Attendance, Role};
use super::data::{Changed, Changes, Flag, MAX_LABEL_BYTES, MAX_NICK_BYTES, UserInfo};
use super::event::EventType;
use super::event_builder::{EventDraft, MeetingContext};
use super::fingerprint::Fingerprint;
use super::meeting_state::{ClosedVisit, MeetingPhase, MeetingState, OpenVisit, SweepEvidence};
use super::poll_context::{DiffOutput, Leave, PollContext};
use super::text::clean_option;
use super::visit::{Basis, LeftReason, Visit, VisitEnd};
use crate::ids::VisitId;
use crate::time::Timestamp;

/// Opens a visit. `is_past`: the visit has already ended, and no poll saw it (`short_visit`).
pub(super) fn start_visit(
    meeting: &mut MeetingState,
    record: &Attendance,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
    is_past: bool,
) -> Box<OpenVisit> {
    let start = VisitStart::of(meeting, record, poll);
    meeting.visits = meeting.visits.saturating_add(1);
    meeting.newest_join = meeting.newest_join.max(record.joined);
    let mut visit = Visit {
        id: visit_id(poll.user, meeting, start.anchor),
        conference_id: meeting.conference_id.clone(),
        ordinal: meeting.visits,
        anchor: start.anchor,
        joined: start.joined,
        join_basis: start.basis,
        end: None,
        role: record.role,
        external: record.external,
        by_phone: record.by_phone,
        device: None,
        nick: None,
    };
    update_attributes(&mut visit, record, poll.user.store_nick);
    output.record_visit(&visit);
    if !poll.silent {
        let context = MeetingContext::of_visit(&visit, record.status, meeting.status);
        let flags = output.flags(start.flags);
        output.drafts.push(start.joined_draft(context, flags, poll, is_past));
    }
    Box::new(OpenVisit {
        visit,
        seen_at: poll.now,
        join_time: record.joined,
        stale_leave: record.left.filter(|_| !is_past),
        missed_at: None,
        spans_gap: false,
        joined_event: None,
        sweeps: SweepEvidence::default(),
    })
}

/// The start of a visit, as far as the record and earlier visits determine it.
struct VisitStart {
    anchor: Timestamp,
    joined: Timestamp,
    basis: Basis,
    flags: &'static [Flag],
}

impl VisitStart {
    fn of(meeting: &MeetingState, record: &Attendance, poll: &PollContext<'_>) -> Self {
        let now = poll.now;
        let observed = |anchor, flags| Self { anchor, joined: now, basis: Basis::Observed, flags };
        match record.joined {
            None => observed(now, &[]),
            // The `joinTime` of an earlier visit says nothing about this one.
            Some(time) if meeting.newest_join.is_some_and(|newest| time <= newest) => {
                observed(now, &[Flag::JoinTimeNotReset])
            }
            // DingTalk's clock is ahead of ours, or the number is wrong. It still distinguishes this visit from the
            // next.
            Some(time) if time > now => observed(time, &[Flag::JoinTimeImplausible]),
            Some(time) => Self { anchor: time, joined: time, basis: Basis::Reported, flags: &[] },
        }
    }

    fn joined_draft(
        &self,
        context: MeetingContext,
        mut flags: Vec<Flag>,
        poll: &PollContext<'_>,
        is_past: bool,
    ) -> EventDraft {
        let first = poll.previous.is_none();
        flags.extend(first.then_some(Flag::FirstObservation));
        flags.extend(is_past.then_some(Flag::ShortVisit));
        let (earliest, latest) = match self.basis {
            Basis::Reported => (Some(self.joined), self.joined),
            Basis::Observed | Basis::Inferred => (poll.previous, poll.now),
        };
        EventDraft {
            time: self.joined,
            basis: self.basis,
            late: first || is_past || poll.is_late(self.joined, self.basis),
            flags,
            ..EventDraft::at(EventType::ParticipantJoined, latest, "joined")
                .since(earliest)
                .with_meeting(context)
        }
    }
}

/// The ordinal is hashed too: DingTalk may later report a `joinTime` for another visit that equals an observed anchor.
fn visit_id(user: &UserInfo, meeting: &MeetingState, anchor: Timestamp) -> VisitId {
    Fingerprint::default()
        .text(user.identity.org.as_str())
        .text(user.identity.union_id.as_str())
        .text(meeting.conference_id.as_str())
        .number(anchor.as_ms())
        .number(i64::from(meeting.visits))
        .visit_id()
}

/// Inside before and now: continues the visit, or starts the next one if `joinTime` changed.
pub(super) fn continue_visit(
    meeting: &mut MeetingState,
    mut open: Box<OpenVisit>,
    record: &Attendance,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) -> MeetingPhase {
    if let Some(rejoined_at) = apply_join_time(meeting, &mut open, record, poll, output) {
        end_by_rejoin(meeting, &mut open, rejoined_at, record, poll, output);
        return MeetingPhase::Inside(start_visit(meeting, record, poll, output, false));
    }
    open.seen_at = poll.now;
    open.missed_at = None;
    open.spans_gap = false;
    open.sweeps.missed = None;
    open.stale_leave = record.left;
    let role = open.visit.role;
    if update_attributes(&mut open.visit, record, poll.user.store_nick) {
        output.record_visit(&open.visit);
    }
    if open.visit.role != role {
        let context = MeetingContext::of_visit(&open.visit, record.status, meeting.status);
        let draft = role_draft(role, open.visit.role, poll).with_meeting(context);
        output.drafts.push(EventDraft { flags: output.flags(&[]), ..draft });
    }
    MeetingPhase::Inside(open)
}

fn role_draft(from: Role, to: Role, poll: &PollContext<'_>) -> EventDraft {
    let what = format!("role:{}>{}", from.name(), to.name());
    EventDraft {
        changes: Some(Changes { role: Some(Changed { from, to }), ..Changes::default() }),
        ..EventDraft::at(EventType::ParticipantRoleChanged, poll.now, what).since(poll.previous)
    }
}

/// The listed meeting has no record, or one with an unrecognized status: keeps the visit, but does not count it as
/// seen.
pub(super) fn continue_unseen(mut open: Box<OpenVisit>, poll: &PollContext<'_>) -> MeetingPhase {
    open.spans_gap |= poll.unobserved.is_some() && open.missed_at.is_none();
    open.missed_at = None;
    MeetingPhase::Inside(open)
}

/// Applies a record's `joinTime` to the open visit. Returns it if it belongs to another visit, which means that the
/// user left and joined again. A `joinTime` that decreases comes from an outdated answer and changes nothing.
pub(super) fn apply_join_time(
    meeting: &mut MeetingState,
    open: &mut OpenVisit,
    record: &Attendance,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) -> Option<Timestamp> {
    let time = record.joined?;
    let has_changed = match open.join_time {
        Some(reported) => time > reported && time > open.visit.joined,
        // The first `joinTime` of this visit. Later than the last poll that saw the user, it belongs to another visit.
        None => time > open.seen_at,
    };
    if has_changed {
        return Some(time);
    }
    let is_new = meeting.newest_join.is_none_or(|newest| time > newest);
    let is_better = time < open.visit.joined || open.sweeps.opened.is_some();
    let fits = is_better && meeting.ended.is_none_or(|ended| ended <= time);
    if is_new && fits && open.visit.join_basis != Basis::Reported {
        // A visit that opened silently has no joined event to correct.
        let event = open.joined_event.clone();
        output.correct_join(poll, meeting, &mut open.visit, (time, record.status), event);
    }
    if is_new || open.join_time.is_none() {
        meeting.newest_join = meeting.newest_join.max(Some(time));
        open.join_time = Some(time);
    }
    None
}

/// Ends a visit whose `joinTime` changed: after the last poll that saw it, and at the new join at the latest.
pub(super) fn end_by_rejoin(
    meeting: &mut MeetingState,
    open: &mut OpenVisit,
    rejoined_at: Timestamp,
    record: &Attendance,
    poll: &PollContext<'_>,
    output: &mut DiffOutput,
) {
    let at = rejoined_at.min(poll.now).max(open.visit.joined);
    // A `joinTime` before the last poll means that DingTalk's answers lag, so that poll proves nothing.
    let earliest = if rejoined_at > open.seen_at { open.seen_at } else { open.visit.joined };
    let (reason, basis) = (LeftReason::Rejoined, Basis::Inferred);
    let end = VisitEnd { at, reason, basis, earliest: earliest.min(at), latest: at };
    let late = poll.is_late(at, basis);
    let leave = Leave { end, status: record.status, flags: output.flags(&[]), late };
    output.end_visit(meeting, &mut open.visit, leave);
}

/// Takes the newest role, device, nick and marks from a record; keeps what the record leaves out. Returns whether
/// anything changed.
pub(super) fn update_attributes(visit: &mut Visit, record: &Attendance, store_nick: bool) -> bool {
    let device = clean_option(record.device.as_deref(), MAX_LABEL_BYTES).or_else(|| visit.device.clone());
    let nick = clean_option(record.nick.as_deref(), MAX_NICK_BYTES).or_else(|| visit.nick.clone());
    let nick = nick.filter(|_| store_nick);
    let differs = visit.role != record.role
        || visit.external != record.external
        || visit.by_phone != record.by_phone
        || visit.device != device
        || visit.nick != nick;
    visit.role = record.role;
    visit.external = record.external;
    visit.by_phone = record.by_phone;
    visit.device = device;
    visit.nick = nick;
    differs
}

/// The phase after the end of a visit. Keeps the visit for corrections unless DingTalk reported its end.
pub(super) fn close_visit(
    meeting: &mut MeetingState,
    open: OpenVisit,
    leave_time: Option<Timestamp>,
) -> MeetingPhase {
    let OpenVisit { visit, joined_event, sweeps, .. } = open;
    let join_bounds = sweeps.opened.filter(|_| visit.join_basis != Basis::Reported);
    if let Some(bounds) = join_bounds {
        meeting.newest_join = meeting.newest_join.max(Some(bounds.not_after));
    }
    let reported = visit.end.is_some_and(|end| end.basis == Basis::Reported);
    let closed = ClosedVisit { visit, leave_time, left_event: None, joined_event, join_bounds };
    MeetingPhase::Outside((!reported).then(|| Box::new(closed)))
}
