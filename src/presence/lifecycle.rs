//! Changes to a user's state without an answer: removed from the watch list, stale, rejected, an unobserved interval, a
//! closed window, a requested snapshot.
//!
//! Guards: of these only the removal from the watch list, which the operator requests, ends a visit. Deliberately not
//! here: what an answer changes (`diff`).

use super::data::UserInfo;
use super::event::{EventType, NewEvent};
use super::event_builder::{EventBuilder, EventDraft};
use super::meeting_state::MeetingPhase;
use super::poll_context::{DiffOutput, Leave};
use super::transition::{Transition, presence_changed};
use super::user_state::{Presence, UnobservedInterval, UserState};
use super::visit::{Basis, LeftReason, VisitEnd};
use crate::time::Timestamp;

/// Removes the user from the watch list: every open visit ends (`unwatched`), and presence is unknown. Keeps what
/// ordinals and ids need. The next poll, if there is one, is a first poll again.
pub fn unwatch(state: &UserState, at: Timestamp, user: &UserInfo, source: &str) -> Transition {
    let mut next = state.clone();
    let mut output = DiffOutput::default();
    let at = state.last_poll.map_or(at, |last| last.max(at));
    for meeting in &mut next.meetings {
        match std::mem::take(&mut meeting.phase) {
            MeetingPhase::Inside(mut open) => {
                let joined = open.visit.joined;
                let end = VisitEnd {
                    at: at.max(joined),
                    reason: LeftReason::Unwatched,
                    basis: Basis::Inferred,
                    earliest: open.seen_at.max(joined).min(at),
                    latest: at,
                };
                let leave = Leave { end, status: None, flags: Vec::new(), late: false };
                output.end_visit(meeting, &mut open.visit, leave);
                meeting.phase = MeetingPhase::Outside(None);
            }
            MeetingPhase::Outside(_) => meeting.phase = MeetingPhase::Outside(None),
            MeetingPhase::Unseen | MeetingPhase::Pending => meeting.phase = MeetingPhase::Unseen,
        }
        meeting.unlist();
        meeting.undetermined = false;
    }
    next.drop_old_meetings();
    next.problems = None;
    next.last_poll = None;
    next.last_sweep = None;
    let events = emit_unknown(state, &mut next, at, (user, source), output.drafts, Presence::Inside);
    Transition { state: next, events, visits: output.visits, needs_recheck: false }
}

/// No poll succeeded for `stale_after`: emits `watch.stale` once, until the next successful poll.
pub fn stale(state: &UserState, at: Timestamp, user: &UserInfo, source: &str) -> Transition {
    let mut next = state.clone();
    if state.is_stale() {
        return Transition::unchanged(next);
    }
    next.problems_mut().stale_at = Some(at);
    let since = state.last_poll.map_or_else(String::new, |last| last.as_ms().to_string());
    let draft = EventDraft::at(EventType::WatchStale, at, format!("stale:{since}")).since(state.last_poll);
    let events = emit_unknown(state, &mut next, at, (user, source), vec![draft], Presence::Outside);
    Transition { state: next, events, ..Transition::default() }
}

/// DingTalk rejects this user as invalid: emits `watch.rejected` once, until the next successful poll. Presence does
/// not change.
pub fn rejected(state: &UserState, at: Timestamp, user: &UserInfo, source: &str) -> Transition {
    let mut next = state.clone();
    if state.is_rejected() {
        return Transition::unchanged(next);
    }
    next.problems_mut().rejected_at = Some(at);
    let draft = EventDraft::at(EventType::WatchRejected, at, "rejected").since(state.last_poll);
    emit_one(state, next, at, (user, source), draft)
}

/// No poll ran from `from` to `to`, because of a restart or an outage. Emits nothing: the next poll takes into account
/// that the end of a visit in this interval was not observed.
pub fn mark_unobserved(state: &UserState, from: Timestamp, to: Timestamp) -> UserState {
    let mut next = state.clone();
    if state.last_poll.is_some() {
        let unobserved = &mut next.problems_mut().unobserved;
        *unobserved = Some(match *unobserved {
            None => UnobservedInterval { from, to: Some(to.max(from)) },
            // An interval without an end keeps none.
            Some(old) => UnobservedInterval { from: old.from.min(from), to: old.to.map(|end| end.max(to)) },
        });
    }
    next
}

/// The polling window of the user closes, after overtime. Visits stay open; if one is open, presence is unknown until
/// the next poll.
pub fn close_window(state: &UserState, at: Timestamp, user: &UserInfo, source: &str) -> Transition {
    let mut next = state.clone();
    if state.inside().next().is_none() {
        return Transition::unchanged(next);
    }
    let from = state.last_poll.unwrap_or(at);
    next.problems_mut().unobserved = Some(UnobservedInterval { from, to: None });
    let events = emit_unknown(state, &mut next, at, (user, source), Vec::new(), Presence::Inside);
    Transition { state: next, events, ..Transition::default() }
}

/// The current presence as an event, on request (`data.synthetic`).
pub fn snapshot(state: &UserState, at: Timestamp, user: &UserInfo, source: &str) -> Transition {
    let draft = EventDraft {
        synthetic: true,
        ..EventDraft::at(EventType::PresenceSnapshot, at, "snapshot").since(state.last_poll)
    };
    emit_one(state, state.clone(), at, (user, source), draft)
}

/// Emits one event that leaves presence as it is.
fn emit_one(
    was: &UserState,
    mut next: UserState,
    at: Timestamp,
    (user, source): (&UserInfo, &str),
    draft: EventDraft,
) -> Transition {
    let builder = EventBuilder::new(user, source, at, was.last_poll, &next);
    let events = vec![builder.build(&mut next.counts, draft)];
    Transition { state: next, events, ..Transition::default() }
}

/// Emits the drafts, and sets presence to unknown. Emits `user.presence_changed` if presence was inside, and also if it
/// was outside where `least` is [`Presence::Outside`].
fn emit_unknown(
    was: &UserState,
    next: &mut UserState,
    at: Timestamp,
    (user, source): (&UserInfo, &str),
    drafts: Vec<EventDraft>,
    least: Presence,
) -> Vec<NewEvent> {
    next.presence = Presence::Unknown;
    let builder = EventBuilder::new(user, source, at, was.last_poll, next);
    let mut events: Vec<NewEvent> =
        drafts.into_iter().map(|draft| builder.build(&mut next.counts, draft)).collect();
    let changed = match was.presence {
        Presence::Unknown => false,
        Presence::Inside => true,
        Presence::Outside => least == Presence::Outside,
    };
    if changed {
        let what = "presence:unknown".to_owned();
        let draft = presence_changed(at, was.last_poll, what, events.last(), Vec::new());
        events.push(builder.build_after(&mut next.counts, draft, &events));
    }
    next.unknown_emitted = changed || was.unknown_emitted;
    events
}
