//! What a belief becomes by sweeps: who is in which of the organisation's meetings, all at once; observations of second rank.
//!
//! Guards: a sweep gives no times, so it never outranks a look; nothing is told on the word of one sweep alone.
//! Deliberately not here: what one sweep says (`glance`), whether sweeps of an organisation are trusted and when to sweep
//! (`policy::sweep`).
//!
//! A join and a leave need two answers that agree (a leave `leave_after_misses`), the second of which may ask for a few
//! meetings only, or for their members; or one look. Within [`OUTRANKED_FOR`](super::glance::OUTRANKED_FOR) of a look or of
//! the last change, a sweep that says otherwise may simply be an old picture: it asks for a look and changes nothing.

use serde::{Deserialize, Serialize};

use super::attendance::{AttendStatus, Attendance};
use super::belief::{Belief, Closed, Known, Open, Presence, Stage};
use super::data::Flag;
use super::diff::{Outcome, Rules, presence_of, told};
use super::ending::fade;
use super::event::Card;
use super::glance::{Glance, Gone, Says, about};
use super::stay::{Look, Step, enter};
use super::tell::{About, Fact};
use super::visit::{Basis, End, LeftReason};
use crate::time::Timestamp;

/// So many sweeps must see somebody inside before a join is told.
const SIGHTINGS: u32 = 2;

/// What sweeps have said about an open visit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Swept {
    /// A sweep opened it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) opened: Option<Bounds>,
    /// The newest sweep that saw them inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seen_at: Option<Timestamp>,
    /// Sweeps in a row that did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missed: Option<Missed>,
}

impl Swept {
    pub(super) fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Between what the join of a stay lies that a sweep opened or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bounds {
    /// Not before this: an earlier stay ended then.
    pub(super) after: Timestamp,
    /// Inside by then, for sure: a `joinTime` after this is of another stay.
    pub(super) sure_at: Timestamp,
}

/// Sweeps in a row that did not see somebody inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Missed {
    /// The first of them.
    pub(super) at: Timestamp,
    /// How many.
    pub(super) count: u32,
}

/// A sweep that saw somebody newly inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sighting {
    /// The look or sweep before it.
    pub(super) since: Timestamp,
    /// The sweep.
    pub(super) at: Timestamp,
    /// How many saw them.
    pub(super) count: u32,
}

impl Open {
    /// The newest look or sweep that saw them inside.
    pub(super) fn last_seen(&self) -> Timestamp {
        self.swept.seen_at.map_or(self.seen_at, |swept| swept.max(self.seen_at))
    }
}

/// One trusted sweep. What is [odd](Says::Odd) in it changes nothing. `confirm`: something waits for a second answer.
pub fn observe(belief: &Belief, glance: &Glance<'_>, card: &Card, source: &str, rules: &Rules) -> Outcome {
    let mut next = belief.clone();
    let (Some(last_look), true) = (belief.last_look, belief.presence != Presence::Unknown) else {
        return Outcome { belief: next, ..Outcome::default() };
    };
    let since = belief.last_swept.map_or(last_look, |swept| swept.max(last_look));
    let now = glance.sweep.observed_at.max(since);
    if belief.trouble.is_some() || glance.sweep.asked_at <= last_look {
        return Outcome { belief: next, ..Outcome::default() };
    }
    let look = Look {
        now,
        previous: Some(since),
        silent: false,
        blind: None,
        swept: true,
        weak: false,
        misses_needed: rules.leave_after_misses.max(1),
        card,
    };
    let mut step = Step { flags: vec![Flag::BySweep], ..Step::default() };
    enlist(&mut next, glance);
    for known in &mut next.conferences {
        let says = about(belief, Some(known), &known.conference_id, glance);
        let covered = glance.sweep.covers(&known.conference_id);
        advance(known, says, covered, &look, &mut step);
    }
    next.conferences.retain(|known| known.listed || known.visits > 0 || known.is_in_question());
    if glance.sweep.asked.is_none() {
        next.last_swept = Some(now);
    }
    if step.facts.is_empty() {
        return Outcome { belief: next, events: Vec::new(), visits: step.visits, confirm: step.confirm };
    }
    next.presence = presence_of(belief.presence, &next);
    let mut facts = step.facts;
    facts.sort_by_key(Fact::order);
    let events = told(belief, &mut next, &look, facts, source);
    Outcome { belief: next, events, visits: step.visits, confirm: step.confirm }
}

/// Makes room for meetings somebody was never seen in; keeps the order by conference.
fn enlist(next: &mut Belief, glance: &Glance<'_>) {
    for (conference_id, status) in glance.seats.into_iter().flatten() {
        let place = next.conferences.binary_search_by(|known| known.conference_id.cmp(conference_id));
        if let (Err(place), AttendStatus::Active) = (place, status) {
            next.conferences.insert(place, Known::new(conference_id.clone()));
        }
    }
}

/// One sweep about one meeting.
fn advance(known: &mut Known, says: Says, covered: bool, look: &Look<'_>, step: &mut Step) {
    if covered && says != Says::Joined {
        known.sighted = None;
    }
    let stage = std::mem::take(&mut known.stage);
    known.stage = match (stage, says) {
        (Stage::Inside(mut open), Says::StillInside) => {
            open.swept.seen_at = Some(look.now);
            open.swept.missed = None;
            Stage::Inside(open)
        }
        (Stage::Inside(open), Says::Left(gone)) => leave(known, open, gone, look, step),
        (stage @ (Stage::Nothing | Stage::Pending | Stage::Outside(_)), Says::Joined) => {
            sight(known, stage, look, step)
        }
        (stage, Says::Nothing | Says::Odd | Says::StillInside | Says::Joined | Says::Left(_)) => stage,
    };
}

/// Newly inside: a join once enough sweeps saw it, at the first of them.
fn sight(known: &mut Known, stage: Stage, look: &Look<'_>, step: &mut Step) -> Stage {
    let since = look.previous.unwrap_or(look.now);
    let mut sighted = known.sighted.unwrap_or(Sighting { since, at: look.now, count: 0 });
    sighted.count += 1;
    if sighted.count < SIGHTINGS {
        known.sighted = Some(sighted);
        step.confirm = true;
        return stage;
    }
    known.sighted = None;
    let after = known.ended.unwrap_or_default().max(known.newest_join.unwrap_or_default());
    let first = Look { now: sighted.at, previous: Some(sighted.since), ..*look };
    let record = Attendance::without_times(known.conference_id.clone(), Some(AttendStatus::Active));
    let mut open = enter(known, &record, &first, step, false);
    // One sweep's word alone is none: they were inside for sure when the last of them saw it.
    open.seen_at = look.now;
    let opened = Some(Bounds { after, sure_at: look.now });
    open.swept = Swept { opened, seen_at: Some(look.now), missed: None };
    known.status = record.status;
    known.misses = 0;
    known.listed = true;
    known.doubt = false;
    Stage::Inside(open)
}

/// Gone: a leave once enough sweeps said so, at the first of them.
fn leave(known: &mut Known, mut open: Box<Open>, gone: Gone, look: &Look<'_>, step: &mut Step) -> Stage {
    let missed = open.swept.missed.get_or_insert(Missed { at: look.now, count: 0 });
    missed.count += 1;
    let missed = *missed;
    if missed.count < look.misses_needed {
        step.confirm = true;
        return Stage::Inside(open);
    }
    let (reason, status) = match gone {
        Gone::Left => (LeftReason::Left, Some(AttendStatus::Left)),
        Gone::Removed => (LeftReason::Removed, Some(AttendStatus::Removed)),
        Gone::Missing => (LeftReason::Vanished, None),
    };
    let at = missed.at.max(open.visit.joined);
    let earliest = open.last_seen().max(open.visit.joined).min(at);
    let mut visit = open.visit.clone();
    visit.end = Some(End { at, reason, basis: Basis::Observed, earliest, latest: at });
    known.ended = Some(at);
    let bounds = open.swept.opened.unwrap_or(Bounds { after: visit.joined, sure_at: visit.joined });
    known.newest_join = known.newest_join.max(Some(bounds.sure_at));
    let about = About::visit(&visit, status, known.status);
    let end = End { at, reason, basis: Basis::Observed, earliest, latest: at };
    step.facts.push(Fact::left(end, about, step.flags(&[])));
    step.note(&visit);
    if gone == Gone::Missing {
        fade(known);
    } else {
        known.status = status;
        known.misses = 0;
    }
    Stage::Outside(Some(Box::new(Closed {
        visit,
        leave_time: None,
        left_event: None,
        joined_event: open.joined_event,
        swept: Some(bounds),
    })))
}
