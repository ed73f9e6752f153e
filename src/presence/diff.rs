//! From belief and observation to the next belief and the events between them.
//!
//! Guards: joins and lefts of a visit come in pairs; the same answer is silent; a phase without a decision does not
//! compile. Deliberately not here: how a stay opens and ends (`stay`, `ending`), what happens without an answer
//! (`upkeep`), where observations come from, where events go.

use super::attendance::{Attendance, Phase};
use super::belief::{Belief, Blind, Known, Presence, Stage, Trouble};
use super::data::{Flag, Gap};
use super::ending::{ended, fade, leave, vanish};
use super::event::{Card, Draft, EventType};
use super::mend::mend;
use super::observation::{Entry, Evidence, Observation};
use super::stay::{Look, Step, enter, linger, remain};
use super::tell::{About, Fact, Teller};
use super::visit::Visit;
use crate::ids::EventId;
use crate::time::Timestamp;

pub use super::upkeep::{close_window, interrupt, rejected, snapshot, stale, unwatch};

/// The operator's say in decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Observations in a row that must miss a vanished entry; at least 1.
    pub leave_after_misses: u32,
    /// Who is inside at the first look is noted without an event.
    pub first_poll_silent: bool,
}

/// What follows from a look, or from something else that happened to a belief.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// From now on.
    pub belief: Belief,
    /// In order.
    pub events: Vec<Draft>,
    /// Visits opened, changed, ended: each once, in its newest state.
    pub visits: Vec<Visit>,
    /// A vanished entry waits for confirmation: look again soon (`min_interval`).
    pub confirm: bool,
}

/// One look. `source` is the installation's; it is part of every id.
pub fn observe(belief: &Belief, seen: &Observation, card: &Card, source: &str, rules: &Rules) -> Outcome {
    let mut next = belief.clone();
    let trouble = next.trouble.take();
    let look = look_of(belief, trouble.as_deref(), seen, card, *rules);
    let mut step = Step::default();

    enlist(&mut next, seen);
    for known in &mut next.conferences {
        advance(known, &Now::of(known, seen), &look, &mut step);
    }
    next.forget();
    next.last_look = Some(look.now);
    next.presence = presence_of(belief.presence, &next);

    let recovery = trouble.and_then(|trouble| recovered(&trouble, &look));
    let mut facts = step.facts;
    facts.sort_by_key(Fact::order);
    facts.splice(0..0, recovery);
    let events = told(belief, &mut next, &look, facts, source);
    Outcome { belief: next, events, visits: step.visits, confirm: step.confirm }
}

fn look_of<'a>(
    belief: &Belief,
    trouble: Option<&Trouble>,
    seen: &Observation,
    card: &'a Card,
    rules: Rules,
) -> Look<'a> {
    let previous = belief.last_look;
    // A watch that went stale is a stretch in which nobody looked, like a restart.
    let stale = trouble.and_then(|trouble| trouble.stale_at).and(previous);
    let blind = trouble
        .and_then(|trouble| trouble.blind)
        .or(stale.map(|from| Blind { from, to: None }))
        // Before the first look there is nothing to be hidden.
        .filter(|_| previous.is_some());
    Look {
        now: previous.map_or(seen.observed_at, |previous| previous.max(seen.observed_at)),
        previous,
        silent: previous.is_none() && rules.first_poll_silent,
        blind,
        swept: false,
        weak: seen.evidence == Evidence::Weak,
        misses_needed: rules.leave_after_misses.max(1),
        card,
    }
}

/// Makes room for meetings never seen before; keeps the order by conference.
fn enlist(next: &mut Belief, seen: &Observation) {
    for conference_id in seen.entries.keys() {
        let place = next.conferences.binary_search_by(|known| known.conference_id.cmp(conference_id));
        if let Err(place) = place {
            next.conferences.insert(place, Known::new(conference_id.clone()));
        }
    }
}

/// What this look says about one meeting.
enum Now<'a> {
    Pending(&'a Attendance),
    Inside(&'a Attendance),
    Outside(&'a Attendance),
    /// A status nobody knows.
    Unrecognized,
    /// Listed, but without a record, or with one that says nothing.
    Unreported,
    /// Not there.
    Missing,
}

impl<'a> Now<'a> {
    fn of(known: &Known, seen: &'a Observation) -> Self {
        let record = match seen.entries.get(&known.conference_id) {
            None => return Self::Missing,
            Some(Entry::ListedOnly) => return Self::Unreported,
            Some(Entry::Record(record)) => record,
        };
        match record.phase() {
            Phase::Pending => Self::Pending(record),
            Phase::Inside => Self::Inside(record),
            Phase::Outside => Self::Outside(record),
            Phase::Unknown if record.status.is_some() => Self::Unrecognized,
            Phase::Unknown => Self::Unreported,
        }
    }

    fn record(&self) -> Option<&'a Attendance> {
        match self {
            Self::Pending(record) | Self::Inside(record) | Self::Outside(record) => Some(record),
            Self::Unrecognized | Self::Unreported | Self::Missing => None,
        }
    }
}

/// One look at one meeting: the table of the whole program.
fn advance(known: &mut Known, now: &Now<'_>, look: &Look<'_>, step: &mut Step) {
    step.flags = doubts(known, now);
    known.doubt = is_in_doubt(known, now, look);
    if !matches!(now, Now::Missing) {
        known.misses = 0;
        known.listed = true;
    }
    known.sighted = None;
    let stage = std::mem::take(&mut known.stage);
    known.stage = match (stage, now) {
        (Stage::Inside(open), Now::Inside(record)) => remain(known, open, record, look, step),
        (Stage::Inside(open), Now::Outside(record)) => leave(known, open, record, look, step),
        (Stage::Inside(open), Now::Pending(record)) => {
            let _ended = leave(known, open, record, look, step);
            invite(known, record, look, step)
        }
        (Stage::Inside(open), Now::Missing) => vanish(known, open, look, step),
        (Stage::Inside(open), Now::Unrecognized | Now::Unreported) => linger(open, look),

        (Stage::Outside(Some(closed)), Now::Inside(record)) => {
            let _mended = mend(known, closed, record, look, step);
            Stage::Inside(enter(known, record, look, step, false))
        }
        (Stage::Nothing | Stage::Pending | Stage::Outside(None), Now::Inside(record)) => {
            Stage::Inside(enter(known, record, look, step, false))
        }
        (Stage::Nothing | Stage::Pending, Now::Outside(record)) => ended(known, None, record, look, step),
        (Stage::Outside(closed), Now::Outside(record)) => ended(known, closed, record, look, step),

        (Stage::Nothing | Stage::Outside(_), Now::Pending(record)) => invite(known, record, look, step),
        (Stage::Pending, Now::Pending(_)) => Stage::Pending,

        (stage @ (Stage::Nothing | Stage::Pending | Stage::Outside(_)), Now::Missing) => {
            missing(known, stage, look)
        }
        (
            stage @ (Stage::Nothing | Stage::Pending | Stage::Outside(_)),
            Now::Unrecognized | Now::Unreported,
        ) => stage,
    };
    remember(known, now);
}

/// The doubts that hang on a meeting: those that stood there until now, and a record without a status.
fn doubts(known: &Known, now: &Now<'_>) -> Vec<Flag> {
    let mut flags = Vec::new();
    flags.extend(known.unreported.then_some(Flag::MemberRecordMissing));
    flags.extend(known.unrecognized.then_some(Flag::StatusUnrecognized));
    flags.extend(now.record().is_some_and(|record| record.status.is_none()).then_some(Flag::StatusMissing));
    flags
}

/// Whether nothing at all is known: newly listed without a record. A status nobody knows leaves what was believed,
/// which is "not there" unless this is the first look.
fn is_in_doubt(known: &Known, now: &Now<'_>, look: &Look<'_>) -> bool {
    let still = known.doubt || look.previous.is_none();
    match (&known.stage, now) {
        (Stage::Nothing, Now::Unreported) => true,
        (Stage::Pending | Stage::Outside(_), Now::Unreported) => still || !known.listed,
        (Stage::Nothing | Stage::Pending | Stage::Outside(_), Now::Unrecognized) => still,
        (Stage::Inside(_), Now::Unreported | Now::Unrecognized)
        | (
            Stage::Nothing | Stage::Pending | Stage::Inside(_) | Stage::Outside(_),
            Now::Pending(_) | Now::Inside(_) | Now::Outside(_) | Now::Missing,
        ) => false,
    }
}

/// What the next look will want to know of this one.
fn remember(known: &mut Known, now: &Now<'_>) {
    match now {
        Now::Missing => {}
        Now::Pending(record) | Now::Inside(record) | Now::Outside(record) => {
            known.status = record.status;
            known.unreported = false;
            known.unrecognized = false;
        }
        Now::Unrecognized => known.unrecognized = true,
        Now::Unreported => known.unreported = true,
    }
}

/// Not pending -> pending. At the first look nobody knows when the invitation came: nothing is told.
fn invite(known: &Known, record: &Attendance, look: &Look<'_>, step: &mut Step) -> Stage {
    if look.previous.is_some() {
        let what = record.status.map_or("pending", |status| status.name());
        let fact = Fact::at(EventType::ParticipantInvited, look.now, what).since(look.previous);
        let flags = step.flags(&[]);
        step.facts.push(Fact { flags, ..fact.about(About::record(record, known.status)) });
    }
    Stage::Pending
}

/// Not inside, and not listed: forgotten after as many misses as end a stay, so that a flickering answer says nothing
/// twice.
fn missing(known: &mut Known, stage: Stage, look: &Look<'_>) -> Stage {
    if !known.listed {
        return stage;
    }
    known.misses = known.misses.saturating_add(1);
    if known.misses < look.misses_needed {
        return stage;
    }
    fade(known);
    match stage {
        Stage::Pending => Stage::Nothing,
        Stage::Nothing | Stage::Inside(_) | Stage::Outside(_) => stage,
    }
}

/// Three-valued "or" over the meetings. After an unknown stretch, an open visit counts again once it was seen again: an
/// answer that misses it, or has no record of it, turns nothing to true.
pub(super) fn presence_of(was: Presence, belief: &Belief) -> Presence {
    if belief.inside().next().is_some() {
        match was {
            Presence::Unknown if !belief.sees_inside() => Presence::Unknown,
            Presence::Unknown | Presence::Inside | Presence::Outside => Presence::Inside,
        }
    } else if belief.conferences.iter().any(|known| known.doubt) {
        Presence::Unknown
    } else {
        Presence::Outside
    }
}

fn recovered(trouble: &Trouble, look: &Look<'_>) -> Option<Fact> {
    let told_at = trouble.stale_at.or(trouble.rejected_at)?;
    let from = look.previous.unwrap_or(told_at);
    let fact = Fact::at(EventType::WatchRecovered, look.now, format!("recovered:{}", from.as_ms()));
    Some(Fact { gap: Some(Gap::new(from, look.now)), ..fact.since(look.previous) })
}

/// The events of a look: its facts, then presence if that turned.
pub(super) fn told(
    was: &Belief,
    next: &mut Belief,
    look: &Look<'_>,
    facts: Vec<Fact>,
    source: &str,
) -> Vec<Draft> {
    let teller = Teller::new(look.card, source, look.now, look.previous, next);
    let mut events = Vec::new();
    for fact in facts {
        let visit =
            fact.meeting.as_ref().and_then(|about| about.visit.as_ref()).map(|visit| visit.id.clone());
        let event = teller.draft(&mut next.counts, fact);
        if let Some(visit) = visit {
            next.note_event(event.event_type, &visit, &event.id);
        }
        events.push(event);
    }
    let turned = match (was.presence, next.presence) {
        (Presence::Unknown, Presence::Outside) => was.told_unknown,
        // Nothing is told of a silent first look, unless receivers were told before that nothing is known.
        (Presence::Unknown, Presence::Inside) => !look.silent || was.told_unknown,
        (Presence::Inside, Presence::Outside | Presence::Unknown)
        | (Presence::Outside, Presence::Inside | Presence::Unknown) => true,
        (Presence::Unknown, Presence::Unknown)
        | (Presence::Inside, Presence::Inside)
        | (Presence::Outside, Presence::Outside) => false,
    };
    if turned {
        let fact = presence_fact(next, look, &events);
        events.push(teller.draft_after(&mut next.counts, fact, &events));
    }
    next.told_unknown = next.presence == Presence::Unknown && (turned || was.told_unknown);
    events
}

fn presence_fact(next: &Belief, look: &Look<'_>, events: &[Draft]) -> Fact {
    let of = |wanted: EventType| events.iter().filter(move |event| event.event_type == wanted);
    let opened = |event: &&Draft| {
        event.data.visit.as_ref().is_some_and(|told| next.open_visits().any(|visit| visit.id == told.id))
    };
    let recovered = of(EventType::WatchRecovered).next();
    let cause = match next.presence {
        Presence::Inside => of(EventType::ParticipantJoined).find(opened).or(recovered),
        Presence::Outside => of(EventType::ParticipantLeft).next_back().or(recovered),
        Presence::Unknown => None,
    };
    let doubt = next.presence == Presence::Unknown;
    let what = format!("presence:{}", next.presence.name());
    let mut flags = if doubt { vec![Flag::MemberRecordMissing] } else { Vec::new() };
    flags.extend(look.swept.then_some(Flag::BySweep));
    presence_changed(look.now, look.previous, what, cause, flags)
}

/// `user.presence_changed`, with the times of the event behind it.
pub(super) fn presence_changed(
    now: Timestamp,
    previous: Option<Timestamp>,
    what: String,
    cause: Option<&Draft>,
    flags: Vec<Flag>,
) -> Fact {
    let plain = Fact { flags, ..Fact::at(EventType::PresenceChanged, now, what).since(previous) };
    let Some(cause) = cause else { return plain };
    let timing = cause.data.timing;
    Fact {
        time: cause.time,
        basis: timing.basis,
        earliest: timing.earliest.map(|earliest| earliest.0),
        latest: timing.latest.0,
        late: cause.late,
        cause: Some(cause.id.clone()),
        ..plain
    }
}

impl Belief {
    /// Keeps the id of a visit's event where a later correction will name it.
    fn note_event(&mut self, event_type: EventType, visit: &crate::ids::VisitId, id: &EventId) {
        for known in &mut self.conferences {
            match (&mut known.stage, event_type) {
                (Stage::Inside(open), EventType::ParticipantJoined) if open.visit.id == *visit => {
                    open.joined_event = Some(id.clone());
                }
                (Stage::Outside(Some(closed)), EventType::ParticipantLeft) if closed.visit.id == *visit => {
                    closed.left_event = Some(id.clone());
                }
                _ => {}
            }
        }
    }
}
