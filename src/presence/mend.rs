//! Better times for a stay that a sweep opened or ended.
//!
//! Guards: a sweep knows no times, a later record does: what was told gets its correction, and a record of another stay
//! never becomes a time of this one. Deliberately not here: ends that looks saw without a time (`ending`).

use super::attendance::Attendance;
use super::belief::{Closed, Known};
use super::data::{Changed, Changes, Flag};
use super::event::{EventType, Rfc3339};
use super::stay::{Look, Step};
use super::tell::{About, Fact};
use super::visit::{Basis, End};
use crate::time::Timestamp;

/// What a record says about the last stay, if a sweep opened or ended that.
pub(super) fn mend(
    known: &mut Known,
    mut closed: Box<Closed>,
    record: &Attendance,
    look: &Look<'_>,
    step: &mut Step,
) -> Box<Closed> {
    let (Some(bounds), Some(end), Some(joined)) = (closed.swept, closed.visit.end, record.joined) else {
        return closed;
    };
    if joined > look.now {
        return closed;
    }
    if joined > bounds.sure_at {
        if joined < end.at {
            cut(known, &mut closed, end, joined, record, look, step);
        }
    } else if joined >= bounds.after && joined <= end.at && closed.visit.join_basis != Basis::Reported {
        mend_join(known, &mut closed, joined, record, look, step);
    }
    closed
}

/// The record is of the stay after this one: this one was over before that began.
fn cut(
    known: &mut Known,
    closed: &mut Closed,
    old: End,
    at: Timestamp,
    record: &Attendance,
    look: &Look<'_>,
    step: &mut Step,
) {
    let end = End { at, basis: Basis::Inferred, earliest: old.earliest.min(at), latest: at, ..old };
    closed.visit.end = Some(end);
    closed.swept = None;
    known.ended = Some(at);
    step.note(&closed.visit);
    let Some(left_event) = closed.left_event.take() else { return };
    let changes = Changes { left_at: Some(changed(old.at, at)), ..Changes::default() };
    let fact = Fact::at(EventType::ParticipantCorrected, at, format!("left_at:{}", at.as_ms()));
    step.facts.push(Fact {
        basis: Basis::Inferred,
        late: look.is_late(at, Basis::Inferred),
        flags: step.flags(&[Flag::BySweep]),
        supersedes: Some(left_event),
        changes: Some(changes),
        ..fact.since(Some(end.earliest)).about(About::visit(&closed.visit, record.status, known.status))
    });
}

/// The time of the join that a sweep saw.
fn mend_join(
    known: &Known,
    closed: &mut Closed,
    at: Timestamp,
    record: &Attendance,
    look: &Look<'_>,
    step: &mut Step,
) {
    let from = closed.visit.joined;
    closed.visit.joined = at;
    closed.visit.join_basis = Basis::Reported;
    step.note(&closed.visit);
    let Some(joined_event) = closed.joined_event.take().filter(|_| from != at) else { return };
    let changes = Changes { joined_at: Some(changed(from, at)), ..Changes::default() };
    let fact = Fact::at(EventType::ParticipantCorrected, at, format!("joined_at:{}", at.as_ms()));
    step.facts.push(Fact {
        basis: Basis::Reported,
        late: look.is_late(at, Basis::Reported),
        flags: step.flags(&[]),
        supersedes: Some(joined_event),
        changes: Some(changes),
        ..fact.since(Some(at)).about(About::visit(&closed.visit, record.status, known.status))
    });
}

fn changed(from: Timestamp, to: Timestamp) -> Changed<Rfc3339> {
    Changed { from: Rfc3339(from), to: Rfc3339(to) }
}
