//! How a stay ends, and what an end first seen afterwards means.
//!
//! Guards: no stay ends before it began or after the look that saw the end; a `leaveTime` is believed only between
//! join and now; a vanished entry ends a stay only when enough looks in a row missed it. Deliberately not here: how a
//! stay opens (`stay`), which stage leads to which (`diff`).

use super::attendance::{AttendStatus, Attendance};
use super::belief::{Closed, Known, Open, Stage};
use super::data::{Changed, Changes, Flag};
use super::event::{EventType, Rfc3339};
use super::mend::mend;
use super::stay::{Look, Step, enter, outside, refresh, take_join_time};
use super::tell::{About, Fact};
use super::visit::{Basis, End, LeftReason, Visit};
use crate::time::Timestamp;

/// Inside -> not inside, by a record. 3 -> 1, 2 and 4 are ends like 6: somebody who is being called is not inside.
pub(super) fn leave(
    known: &mut Known,
    mut open: Box<Open>,
    record: &Attendance,
    look: &Look<'_>,
    step: &mut Step,
) -> Stage {
    let mut short = false;
    if tells_of_a_stay(record)
        && let Some(moved_to) = take_join_time(known, &mut open, record, look, step)
    {
        // Left, came back and left again, all since the last look.
        rejoined(known, &open, moved_to, record, look, step);
        open = enter(known, record, look, step, true);
        short = true;
    }
    let (end, doubt) = end_of(&open, record, look);
    let mut flags = step.flags(doubt);
    flags.extend(short.then_some(Flag::ShortVisit));
    let mut visit = open.visit.clone();
    refresh(&mut visit, record, look.card.store_nick);
    visit.end = Some(end);
    known.ended = Some(end.at);
    let about = About::visit(&visit, record.status, known.status);
    let late = short || end.reason == LeftReason::Unobserved || look.is_late(end.at, end.basis);
    step.facts.push(Fact { late, ..Fact::left(end, about, flags) });
    step.note(&visit);
    outside(known, *open, visit, record.left)
}

/// Whether the record's times are those of a stay, not of an invitation.
fn tells_of_a_stay(record: &Attendance) -> bool {
    matches!(record.status, None | Some(AttendStatus::Removed | AttendStatus::Left))
}

/// When and why a record says that an open stay ended.
fn end_of(open: &Open, record: &Attendance, look: &Look<'_>) -> (End, &'static [Flag]) {
    let joined = open.visit.joined;
    let doubt: &'static [Flag] = match record.left {
        Some(at) if joined <= at && at <= look.now && open.stale_leave != Some(at) => {
            let reason = reason_of(record.status);
            return (End { at, reason, basis: Basis::Reported, earliest: at, latest: at }, &[]);
        }
        Some(_) => &[Flag::LeaveTimeImplausible],
        None => &[Flag::LeaveTimeMissing],
    };
    let earliest = open.last_seen().max(joined).min(look.now);
    let end = if open.hidden || look.blind.is_some() {
        End {
            at: earliest,
            reason: LeftReason::Unobserved,
            basis: Basis::Inferred,
            earliest,
            latest: look.now,
        }
    } else {
        let reason = reason_of(record.status);
        End { at: look.now, reason, basis: Basis::Observed, earliest, latest: look.now }
    };
    (end, doubt)
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

/// The end of a stay whose `joinTime` moved: somewhere after the last look that saw it, up to the new join.
pub(super) fn rejoined(
    known: &mut Known,
    open: &Open,
    moved_to: Timestamp,
    record: &Attendance,
    look: &Look<'_>,
    step: &mut Step,
) {
    let at = moved_to.min(look.now).max(open.visit.joined);
    // A joinTime before the last look means that upstream's answers lag, and that look proves nothing.
    let earliest = if moved_to > open.seen_at { open.seen_at } else { open.visit.joined };
    let end = End {
        at,
        reason: LeftReason::Rejoined,
        basis: Basis::Inferred,
        earliest: earliest.min(at),
        latest: at,
    };
    let mut visit = open.visit.clone();
    visit.end = Some(end);
    known.ended = Some(at);
    let about = About::visit(&visit, record.status, known.status);
    let late = look.is_late(at, end.basis);
    step.facts.push(Fact { late, ..Fact::left(end, about, step.flags(&[])) });
    step.note(&visit);
}

/// Inside, and this look misses the entry: an end once enough looks in a row did.
pub(super) fn vanish(known: &mut Known, mut open: Box<Open>, look: &Look<'_>, step: &mut Step) -> Stage {
    open.hidden |= look.blind.is_some() && open.missed_at.is_none();
    // A sweep that missed it before, and this look: that is enough.
    let missed_before = open.swept.missed.as_ref().map(|missed| missed.at);
    let missed_at = *open.missed_at.get_or_insert(missed_before.unwrap_or(look.now));
    known.misses = known.misses.saturating_add(1);
    if known.misses < look.misses_needed && missed_before.is_none() {
        step.confirm = true;
        return Stage::Inside(open);
    }
    let earliest = open.last_seen().max(open.visit.joined).min(missed_at);
    let (at, reason) = if open.hidden {
        (earliest, LeftReason::Unobserved)
    } else {
        (missed_at.max(open.visit.joined), LeftReason::Vanished)
    };
    let end = End { at, reason, basis: Basis::Inferred, earliest, latest: missed_at };
    let mut visit = open.visit.clone();
    visit.end = Some(end);
    known.ended = Some(at);
    let flags = step.flags(if look.weak { &[Flag::WeakEvidence] } else { &[] });
    let about = About::visit(&visit, None, known.status);
    step.facts.push(Fact { late: open.hidden, ..Fact::left(end, about, flags) });
    step.note(&visit);
    fade(known);
    outside(known, *open, visit, None)
}

/// Not inside, and enough looks missed the entry: only what a rejoin will need is remembered.
pub(super) fn fade(known: &mut Known) {
    known.listed = false;
    known.misses = 0;
    known.status = None;
    known.unreported = false;
    known.unrecognized = false;
}

/// Not inside before, not inside now: a refused call, a stay between two looks, a better end of the last stay, or
/// nothing new.
pub(super) fn ended(
    known: &mut Known,
    closed: Option<Box<Closed>>,
    record: &Attendance,
    look: &Look<'_>,
    step: &mut Step,
) -> Stage {
    if record.status == Some(AttendStatus::JoinFailed) {
        if look.previous.is_some() && known.status != Some(AttendStatus::JoinFailed) {
            let fact =
                Fact::at(EventType::ParticipantJoinFailed, look.now, "join_failed").since(look.previous);
            let flags = step.flags(&[]);
            step.facts.push(Fact { flags, ..fact.about(About::record(record, known.status)) });
        }
        return Stage::Outside(closed);
    }
    let closed = closed.map(|closed| mend(known, closed, record, look, step));
    if let Some((joined, left)) = unseen_stay(known, record, look.now) {
        return seen_afterwards(known, joined, left, record, look, step);
    }
    // Status 5 and 6 without usable times still mean one stay, so that the next is a rejoin.
    known.visits = known.visits.max(1);
    known.newest_join = known.newest_join.max(record.joined);
    match closed {
        Some(closed) => correct_end(known, closed, record, look, step),
        None => Stage::Outside(None),
    }
}

/// The times of a stay that the record reports and that no look saw: later than every stay known.
fn unseen_stay(known: &Known, record: &Attendance, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
    let (joined, left) = (record.joined?, record.left?);
    let is_new = known.newest_join.is_none_or(|newest| joined > newest)
        && known.ended.is_none_or(|ended| joined >= ended);
    (is_new && joined <= left && left <= now).then_some((joined, left))
}

/// A stay first seen when it was over. It is told if it lies wholly after the last look; else it only goes into the
/// history (it was over before anybody looked, or upstream's answers lag).
fn seen_afterwards(
    known: &mut Known,
    joined: Timestamp,
    left: Timestamp,
    record: &Attendance,
    look: &Look<'_>,
    step: &mut Step,
) -> Stage {
    let told = look.previous.is_some_and(|previous| joined > previous);
    let look = &Look { silent: !told, ..*look };
    let mut visit: Visit = enter(known, record, look, step, true).visit;
    let end = End {
        at: left,
        reason: reason_of(record.status),
        basis: Basis::Reported,
        earliest: left,
        latest: left,
    };
    visit.end = Some(end);
    known.ended = Some(known.ended.map_or(left, |ended| ended.max(left)));
    if told {
        let about = About::visit(&visit, record.status, known.status);
        step.facts.push(Fact { late: true, ..Fact::left(end, about, step.flags(&[Flag::ShortVisit])) });
    }
    step.note(&visit);
    Stage::Outside(None)
}

/// A `leaveTime` that came later than the end it belongs to.
fn correct_end(
    known: &mut Known,
    mut closed: Box<Closed>,
    record: &Attendance,
    look: &Look<'_>,
    step: &mut Step,
) -> Stage {
    let usable =
        |at: &Timestamp| closed.visit.joined <= *at && *at <= look.now && closed.leave_time != Some(*at);
    let Some(at) = record.left.filter(usable) else {
        // What was not believed now is not believed later for the mere passing of time.
        closed.leave_time = record.left.or(closed.leave_time);
        return Stage::Outside(Some(closed));
    };
    let reason = reason_of(record.status);
    let end = End { at, reason, basis: Basis::Reported, earliest: at, latest: at };
    better_end(known, closed, end, (record.status, &[]), look, step)
}

/// A better end of a stay that was told to have ended. One without a reported time can be bettered again.
pub(super) fn better_end(
    known: &mut Known,
    mut closed: Box<Closed>,
    end: End,
    (status, doubt): (Option<AttendStatus>, &[Flag]),
    look: &Look<'_>,
    step: &mut Step,
) -> Stage {
    let Some(old) = closed.visit.end.replace(end) else { return Stage::Outside(None) };
    let End { at, reason, basis, .. } = end;
    known.ended = Some(at);
    step.note(&closed.visit);
    let about = About::visit(&closed.visit, status, known.status);
    let left_event = closed.left_event.clone();
    let after = Stage::Outside((basis != Basis::Reported).then_some(closed));
    let unchanged = old.at == at && old.reason == reason;
    let Some(left_event) = left_event.filter(|_| !unchanged) else { return after };
    let changes = Changes {
        left_at: (old.at != at).then_some(Changed { from: Rfc3339(old.at), to: Rfc3339(at) }),
        left_reason: (old.reason != reason).then_some(Changed { from: old.reason, to: reason }),
        ..Changes::default()
    };
    let what = format!("left_at:{}:{}", at.as_ms(), reason.name());
    let fact = Fact::at(EventType::ParticipantCorrected, end.latest, what).since(Some(end.earliest));
    step.facts.push(Fact {
        time: at,
        basis,
        late: look.is_late(at, basis),
        flags: step.flags(doubt),
        supersedes: Some(left_event),
        changes: Some(changes),
        ..fact.about(about)
    });
    after
}
