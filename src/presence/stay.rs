//! How a stay opens and goes on: its times, its id, its attributes.
//!
//! Guards: a visit's id, ordinal and anchor are fixed when it opens; no join lies after the look that saw it; a
//! `joinTime` that moved while inside is never lost. Deliberately not here: how a stay ends (`ending`), which stage
//! leads to which (`diff`).

use super::attendance::{Attendance, Role};
use super::belief::{Blind, Closed, Known, Open, Stage};
use super::data::{Changed, Changes, Flag, MAX_LABEL_BYTES, MAX_NICK_BYTES};
use super::ending;
use super::event::{Card, EventType, Rfc3339};
use super::fingerprint::Fingerprint;
use super::sweep::Swept;
use super::tell::{About, Fact};
use super::text::clean_option;
use super::visit::{Basis, Visit};
use crate::ids::VisitId;
use crate::time::Timestamp;

/// One look, as far as all its meetings share it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    /// When; never before the look before it, even if the clock was set back.
    pub(super) now: Timestamp,
    /// The good look before; `None`: this is the first.
    pub(super) previous: Option<Timestamp>,
    /// Who is inside is noted without an event.
    pub(super) silent: bool,
    /// Nobody looked for a while in between.
    pub(super) blind: Option<Blind>,
    /// It is a sweep, not a look.
    pub(super) swept: bool,
    /// Absence is said weakly.
    pub(super) weak: bool,
    /// Looks in a row that must miss an entry.
    pub(super) misses_needed: u32,
    /// The person.
    pub(super) card: &'a Card,
}

impl Look<'_> {
    /// What happened at `time` happened while nobody looked. What was first seen at this very look did not.
    pub(super) fn is_late(&self, time: Timestamp, basis: Basis) -> bool {
        basis != Basis::Observed && self.blind.is_some_and(|blind| time <= blind.to.unwrap_or(self.now))
    }
}

/// What one look gathers.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) facts: Vec<Fact>,
    pub(super) visits: Vec<Visit>,
    /// A vanished entry waits for confirmation.
    pub(super) confirm: bool,
    /// The doubts that hang on the meeting at hand.
    pub(super) flags: Vec<Flag>,
}

impl Step {
    /// Notes a visit's newest state.
    pub(super) fn note(&mut self, visit: &Visit) {
        match self.visits.iter_mut().find(|noted| noted.id == visit.id) {
            Some(noted) => noted.clone_from(visit),
            None => self.visits.push(visit.clone()),
        }
    }

    /// The flags of the meeting at hand, and these.
    pub(super) fn flags(&self, more: &[Flag]) -> Vec<Flag> {
        self.flags.iter().chain(more).copied().collect()
    }
}

/// Not inside -> inside: opens a stay. `seen_after`: it is over already, and only now known (`short_visit`).
pub(super) fn enter(
    known: &mut Known,
    record: &Attendance,
    look: &Look<'_>,
    step: &mut Step,
    seen_after: bool,
) -> Box<Open> {
    let begin = Begin::of(known, record, look);
    known.visits = known.visits.saturating_add(1);
    known.newest_join = known.newest_join.max(record.joined);
    let mut visit = Visit {
        id: visit_id(look.card, known, begin.anchor),
        conference_id: known.conference_id.clone(),
        ordinal: known.visits,
        anchor: begin.anchor,
        joined: begin.joined,
        join_basis: begin.basis,
        end: None,
        role: record.role,
        external: record.external,
        by_phone: record.by_phone,
        device: None,
        nick: None,
    };
    refresh(&mut visit, record, look.card.store_nick);
    step.note(&visit);
    if !look.silent {
        step.facts.push(joined_fact(known, &visit, record, look, step, &begin, seen_after));
    }
    Box::new(Open {
        visit,
        seen_at: look.now,
        join_time: record.joined,
        stale_leave: record.left.filter(|_| !seen_after),
        missed_at: None,
        hidden: false,
        joined_event: None,
        swept: Swept::default(),
    })
}

fn joined_fact(
    known: &Known,
    visit: &Visit,
    record: &Attendance,
    look: &Look<'_>,
    step: &Step,
    begin: &Begin,
    seen_after: bool,
) -> Fact {
    let first = look.previous.is_none();
    let mut flags = step.flags(begin.flags);
    flags.extend(first.then_some(Flag::FirstObservation));
    flags.extend(seen_after.then_some(Flag::ShortVisit));
    let (earliest, latest) = match begin.basis {
        Basis::Reported => (Some(visit.joined), visit.joined),
        Basis::Observed | Basis::Inferred => (look.previous, look.now),
    };
    Fact {
        time: visit.joined,
        basis: begin.basis,
        late: first || seen_after || look.is_late(visit.joined, begin.basis),
        flags,
        ..Fact::at(EventType::ParticipantJoined, latest, "joined").since(earliest).about(About::visit(
            visit,
            record.status,
            known.status,
        ))
    }
}

/// When a stay began, as far as the record and what was known before say.
struct Begin {
    anchor: Timestamp,
    joined: Timestamp,
    basis: Basis,
    flags: &'static [Flag],
}

impl Begin {
    fn of(known: &Known, record: &Attendance, look: &Look<'_>) -> Self {
        let now = look.now;
        let observed = |anchor, flags| Self { anchor, joined: now, basis: Basis::Observed, flags };
        match record.joined {
            None => observed(now, &[]),
            // The joinTime of an earlier stay, or one before it: it says nothing about this stay.
            Some(time) if known.newest_join.is_some_and(|newest| time <= newest) => {
                observed(now, &[Flag::JoinTimeNotReset])
            }
            // Upstream's clock is ahead of ours, or the number is wrong: it still tells this stay from the next.
            Some(time) if time > now => observed(time, &[Flag::JoinTimeImplausible]),
            Some(time) => Self { anchor: time, joined: time, basis: Basis::Reported, flags: &[] },
        }
    }
}

/// The ordinal is hashed too: a stay anchored at a look may meet a `joinTime` reported later for another one.
fn visit_id(card: &Card, known: &Known, anchor: Timestamp) -> VisitId {
    Fingerprint::default()
        .text(card.identity.org.as_str())
        .text(card.identity.union_id.as_str())
        .text(known.conference_id.as_str())
        .number(anchor.as_ms())
        .number(i64::from(known.visits))
        .visit_id()
}

/// Inside -> inside: the stay goes on, or its `joinTime` says that it is another one.
pub(super) fn remain(
    known: &mut Known,
    mut open: Box<Open>,
    record: &Attendance,
    look: &Look<'_>,
    step: &mut Step,
) -> Stage {
    if let Some(moved_to) = take_join_time(known, &mut open, record, look, step) {
        ending::rejoined(known, &open, moved_to, record, look, step);
        return Stage::Inside(enter(known, record, look, step, false));
    }
    open.seen_at = look.now;
    open.missed_at = None;
    open.hidden = false;
    open.swept.missed = None;
    open.stale_leave = record.left;
    let role = open.visit.role;
    if refresh(&mut open.visit, record, look.card.store_nick) {
        step.note(&open.visit);
    }
    if open.visit.role != role {
        step.facts.push(role_fact(known, &open.visit, role, record, look, step));
    }
    Stage::Inside(open)
}

fn role_fact(
    known: &Known,
    visit: &Visit,
    from: Role,
    record: &Attendance,
    look: &Look<'_>,
    step: &Step,
) -> Fact {
    let to = visit.role;
    let what = format!("role:{}>{}", from.name(), to.name());
    Fact {
        flags: step.flags(&[]),
        changes: Some(Changes { role: Some(Changed { from, to }), ..Changes::default() }),
        ..Fact::at(EventType::ParticipantRoleChanged, look.now, what)
            .since(look.previous)
            .about(About::visit(visit, record.status, known.status))
    }
}

/// Takes note of a record's `joinTime` while a stay is open. `Some`: it moved, so there was a leave and a join.
///
/// A `joinTime` that goes backwards is an older answer from some cache, and is left alone.
pub(super) fn take_join_time(
    known: &mut Known,
    open: &mut Open,
    record: &Attendance,
    look: &Look<'_>,
    step: &mut Step,
) -> Option<Timestamp> {
    let time = record.joined?;
    let moved = match open.join_time {
        Some(reported) => time > reported && time > open.visit.joined,
        // The first one of this stay: later than the last look that saw them, it must be of another stay.
        None => time > open.seen_at,
    };
    if moved {
        return Some(time);
    }
    let is_new = known.newest_join.is_none_or(|newest| time > newest);
    let earlier = time < open.visit.joined || open.swept.opened.is_some();
    let fits = earlier && known.ended.is_none_or(|ended| ended <= time);
    if is_new && fits && open.visit.join_basis != Basis::Reported {
        correct_join(known, open, time, record, look, step);
    }
    if is_new || open.join_time.is_none() {
        known.newest_join = known.newest_join.max(Some(time));
        open.join_time = Some(time);
    }
    None
}

/// A better time for a join that was first seen without a usable one. Nothing is told about a silent one.
fn correct_join(
    known: &Known,
    open: &mut Open,
    time: Timestamp,
    record: &Attendance,
    look: &Look<'_>,
    step: &mut Step,
) {
    let from = open.visit.joined;
    open.visit.joined = time;
    open.visit.join_basis = Basis::Reported;
    step.note(&open.visit);
    let Some(joined_event) = open.joined_event.clone() else { return };
    let joined_at = Some(Changed { from: Rfc3339(from), to: Rfc3339(time) });
    let fact = Fact::at(EventType::ParticipantCorrected, time, format!("joined_at:{}", time.as_ms()));
    step.facts.push(Fact {
        basis: Basis::Reported,
        late: look.is_late(time, Basis::Reported),
        flags: step.flags(&[]),
        supersedes: Some(joined_event),
        changes: Some(Changes { joined_at, ..Changes::default() }),
        ..fact.since(Some(time)).about(About::visit(&open.visit, record.status, known.status))
    });
}

/// A record that lists nothing to decide upon, or one not understood: the stay stands, but was not seen.
pub(super) fn linger(mut open: Box<Open>, look: &Look<'_>) -> Stage {
    open.hidden |= look.blind.is_some() && open.missed_at.is_none();
    open.missed_at = None;
    Stage::Inside(open)
}

/// Takes over the newest role, device, nick and marks; what a record leaves out stays. Whether anything differs.
pub(super) fn refresh(visit: &mut Visit, record: &Attendance, store_nick: bool) -> bool {
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

/// The stage after an end: kept correctable unless upstream itself gave both times.
pub(super) fn outside(known: &mut Known, open: Open, visit: Visit, leave_time: Option<Timestamp>) -> Stage {
    let swept = open.swept.opened.filter(|_| visit.join_basis != Basis::Reported);
    if let Some(bounds) = swept {
        known.newest_join = known.newest_join.max(Some(bounds.sure_at));
    }
    let reported = visit.end.is_some_and(|end| end.basis == Basis::Reported);
    let closed = Closed { visit, leave_time, left_event: None, joined_event: open.joined_event, swept };
    Stage::Outside((!reported).then(|| Box::new(closed)))
}
