//! What happens to a belief without an answer: taken off the list, nothing heard for too long, refused by upstream,
//! a window closed, a restart, a snapshot asked for.
//!
//! Guards: none of these ends a visit but the removal from the watch list, the operator's own act. Deliberately not
//! here: what an answer changes (`diff`).

use super::belief::{Belief, Blind, Presence, Stage};
use super::diff::{Outcome, presence_changed};
use super::ending::fade;
use super::event::{Card, Draft, EventType};
use super::tell::{About, Fact, Teller};
use super::visit::{Basis, End, LeftReason};
use crate::time::Timestamp;

/// Taken off the watch list: every open visit ends (`unwatched`), and presence is unknown from now on. What is needed
/// for ordinals and ids stays; the next look, if there is one, is a first look again.
pub fn unwatch(belief: &Belief, at: Timestamp, card: &Card, source: &str) -> Outcome {
    let mut next = belief.clone();
    let mut outcome = Outcome::default();
    let mut facts = Vec::new();
    let at = belief.last_look.map_or(at, |last| last.max(at));
    for known in &mut next.conferences {
        match std::mem::take(&mut known.stage) {
            Stage::Inside(open) => {
                let mut visit = open.visit;
                let earliest = open.seen_at.max(visit.joined).min(at);
                let reason = LeftReason::Unwatched;
                let end =
                    End { at: at.max(visit.joined), reason, basis: Basis::Inferred, earliest, latest: at };
                visit.end = Some(end);
                known.ended = Some(end.at);
                facts.push(Fact::left(end, About::visit(&visit, None, known.status), Vec::new()));
                outcome.visits.push(visit);
                known.stage = Stage::Outside(None);
            }
            Stage::Outside(_) => known.stage = Stage::Outside(None),
            Stage::Nothing | Stage::Pending => known.stage = Stage::Nothing,
        }
        fade(known);
        known.doubt = false;
    }
    next.forget();
    next.trouble = None;
    next.last_look = None;
    next.last_swept = None;
    outcome.events = turn_unknown(belief, &mut next, at, card, source, facts, Presence::Inside);
    outcome.belief = next;
    outcome
}

/// No good look for `stale_after`: told once, until the next good look.
pub fn stale(belief: &Belief, at: Timestamp, card: &Card, source: &str) -> Outcome {
    let mut next = belief.clone();
    if belief.is_stale() {
        return Outcome { belief: next, ..Outcome::default() };
    }
    next.trouble_mut().stale_at = Some(at);
    let since = belief.last_look.map_or_else(String::new, |last| last.as_ms().to_string());
    let fact = Fact::at(EventType::WatchStale, at, format!("stale:{since}")).since(belief.last_look);
    let events = turn_unknown(belief, &mut next, at, card, source, vec![fact], Presence::Outside);
    Outcome { belief: next, events, ..Outcome::default() }
}

/// Upstream says this person is invalid: told once, until the next good look. It says nothing about presence.
pub fn rejected(belief: &Belief, at: Timestamp, card: &Card, source: &str) -> Outcome {
    let mut next = belief.clone();
    if belief.is_rejected() {
        return Outcome { belief: next, ..Outcome::default() };
    }
    next.trouble_mut().rejected_at = Some(at);
    let fact = Fact::at(EventType::WatchRejected, at, "rejected").since(belief.last_look);
    let teller = Teller::new(card, source, at, belief.last_look, &next);
    let events = vec![teller.draft(&mut next.counts, fact)];
    Outcome { belief: next, events, ..Outcome::default() }
}

/// Nobody looked from `from` to `to`: a restart, an outage. Says nothing by itself; the next look will know that it
/// could not see what ended meanwhile.
pub fn interrupt(belief: &Belief, from: Timestamp, to: Timestamp) -> Belief {
    let mut next = belief.clone();
    if belief.last_look.is_some() {
        let blind = &mut next.trouble_mut().blind;
        *blind = Some(match *blind {
            None => Blind { from, to: Some(to.max(from)) },
            // Open-ended stays open-ended.
            Some(old) => Blind { from: old.from.min(from), to: old.to.map(|end| end.max(to)) },
        });
    }
    next
}

/// The window closes for this person (after overtime). Visits stay open; whoever was inside is unknown until the next
/// look.
pub fn close_window(belief: &Belief, at: Timestamp, card: &Card, source: &str) -> Outcome {
    let mut next = belief.clone();
    if belief.inside().next().is_none() {
        return Outcome { belief: next, ..Outcome::default() };
    }
    let from = belief.last_look.unwrap_or(at);
    next.trouble_mut().blind = Some(Blind { from, to: None });
    let events = turn_unknown(belief, &mut next, at, card, source, Vec::new(), Presence::Inside);
    Outcome { belief: next, events, ..Outcome::default() }
}

/// How somebody stands now, on request (`data.synthetic`).
pub fn snapshot(belief: &Belief, at: Timestamp, card: &Card, source: &str) -> Outcome {
    let mut next = belief.clone();
    let fact = Fact {
        synthetic: true,
        ..Fact::at(EventType::PresenceSnapshot, at, "snapshot").since(belief.last_look)
    };
    let teller = Teller::new(card, source, at, belief.last_look, &next);
    let events = vec![teller.draft(&mut next.counts, fact)];
    Outcome { belief: next, events, ..Outcome::default() }
}

/// Tells `facts` and that presence is unknown from now on. `least`: what presence must have been for that to be worth
/// telling; `Outside` stands for both.
fn turn_unknown(
    was: &Belief,
    next: &mut Belief,
    at: Timestamp,
    card: &Card,
    source: &str,
    facts: Vec<Fact>,
    least: Presence,
) -> Vec<Draft> {
    next.presence = Presence::Unknown;
    let teller = Teller::new(card, source, at, was.last_look, next);
    let mut events: Vec<Draft> = facts.into_iter().map(|fact| teller.draft(&mut next.counts, fact)).collect();
    let turned = match was.presence {
        Presence::Unknown => false,
        Presence::Inside => true,
        Presence::Outside => least == Presence::Outside,
    };
    if turned {
        let what = "presence:unknown".to_owned();
        let fact = presence_changed(at, was.last_look, what, events.last(), Vec::new());
        events.push(teller.draft_after(&mut next.counts, fact, &events));
    }
    next.told_unknown = turned || was.told_unknown;
    events
}
