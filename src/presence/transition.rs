//! The result of a comparison: the next state, and the events between the two states.
//!
//! Guards: `user.presence_changed` is emitted once for each change of `in_meeting`, after its cause. Deliberately not
//! here: what a poll (`diff`), a sweep (`sweep`), a meeting's answer (`confirm`) or anything else (`lifecycle`)
//! changes.

use super::data::Flag;
use super::event::{EventType, NewEvent};
use super::event_builder::{EventBuilder, EventDraft};
use super::poll_context::PollContext;
use super::user_state::{Presence, UserState};
use super::visit::Visit;
use crate::time::Timestamp;

/// The operator's settings for comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffRules {
    /// Number of observations in a row that must miss a meeting before the visit ends; at least 1.
    pub leave_after_misses: u32,
    /// The first poll opens visits without emitting events.
    pub first_poll_silent: bool,
}

/// What follows from a poll, a sweep, or another change to a user's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Transition {
    /// The next state.
    pub state: UserState,
    /// The events, in the order of delivery.
    pub events: Vec<NewEvent>,
    /// Each visit that was opened, changed or ended, in its newest state.
    pub visits: Vec<Visit>,
    /// The answer needs a second one to confirm it: poll again after `min_interval`.
    pub needs_recheck: bool,
}

impl Transition {
    /// No change.
    pub(super) fn unchanged(state: UserState) -> Self {
        Self { state, ..Self::default() }
    }
}

/// The presence that follows from all meetings: inside if a visit is open, unknown if a meeting is undetermined, else
/// outside. An unknown presence becomes inside only when an answer itself reports the user inside.
pub(super) fn next_presence(was: Presence, state: &UserState) -> Presence {
    if state.inside().next().is_some() {
        match was {
            Presence::Unknown if !state.saw_inside() => Presence::Unknown,
            Presence::Unknown | Presence::Inside | Presence::Outside => Presence::Inside,
        }
    } else if state.meetings.iter().any(|meeting| meeting.undetermined) {
        Presence::Unknown
    } else {
        Presence::Outside
    }
}

/// Builds the events of a poll or sweep: those of the drafts, then `user.presence_changed` if presence changed.
pub(super) fn emit_events(
    was: &UserState,
    next: &mut UserState,
    poll: &PollContext<'_>,
    drafts: Vec<EventDraft>,
    source: &str,
) -> Vec<NewEvent> {
    let builder = EventBuilder::new(poll.user, source, poll.now, poll.previous, next);
    let mut events = Vec::new();
    for draft in drafts {
        let visit = draft.visit_id().cloned();
        let event = builder.build(&mut next.counts, draft);
        if let Some(visit) = visit {
            next.link_event(event.event_type, &visit, &event.id);
        }
        events.push(event);
    }
    let changed = match (was.presence, next.presence) {
        (Presence::Unknown, Presence::Outside) => was.unknown_emitted,
        // A silent first poll emits nothing, unless the last event said that presence is unknown.
        (Presence::Unknown, Presence::Inside) => !poll.silent || was.unknown_emitted,
        (Presence::Inside, Presence::Outside | Presence::Unknown)
        | (Presence::Outside, Presence::Inside | Presence::Unknown) => true,
        (Presence::Unknown, Presence::Unknown)
        | (Presence::Inside, Presence::Inside)
        | (Presence::Outside, Presence::Outside) => false,
    };
    if changed {
        let draft = presence_draft(next, poll, &events);
        events.push(builder.build_after(&mut next.counts, draft, &events));
    }
    next.unknown_emitted = next.presence == Presence::Unknown && (changed || was.unknown_emitted);
    events
}

fn presence_draft(next: &UserState, poll: &PollContext<'_>, events: &[NewEvent]) -> EventDraft {
    let of = |wanted: EventType| events.iter().filter(move |event| event.event_type == wanted);
    let opened = |event: &&NewEvent| {
        event.data.visit.as_ref().is_some_and(|joined| next.open_visits().any(|visit| visit.id == joined.id))
    };
    let recovered = of(EventType::WatchRecovered).next();
    let cause = match next.presence {
        Presence::Inside => of(EventType::ParticipantJoined).find(opened).or(recovered),
        Presence::Outside => of(EventType::ParticipantLeft).next_back().or(recovered),
        Presence::Unknown => None,
    };
    let no_record = next.presence == Presence::Unknown;
    let what = format!("presence:{}", next.presence.name());
    let mut flags = if no_record { vec![Flag::MemberRecordMissing] } else { Vec::new() };
    flags.extend(poll.by_sweep.then_some(Flag::BySweep));
    presence_changed(poll.now, poll.previous, what, cause, flags)
}

/// `user.presence_changed`, with the times of its cause.
pub(super) fn presence_changed(
    now: Timestamp,
    previous: Option<Timestamp>,
    what: String,
    cause: Option<&NewEvent>,
    flags: Vec<Flag>,
) -> EventDraft {
    let plain = EventDraft { flags, ..EventDraft::at(EventType::PresenceChanged, now, what).since(previous) };
    let Some(cause) = cause else { return plain };
    let timing = cause.data.timing;
    EventDraft {
        time: cause.time,
        basis: timing.basis,
        earliest: timing.earliest.map(|earliest| earliest.0),
        latest: timing.latest.0,
        late: cause.late,
        cause: Some(cause.id.clone()),
        ..plain
    }
}
