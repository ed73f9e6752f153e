//! What must hold for every history, however strange the answers.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::ids::{EventId, VisitId};
use crate::presence::confirm::{Over, Testimony, confirm};
use crate::presence::visit::{LeftReason, Visit};

/// Something that happens to a belief, so many seconds after what happened before.
#[derive(Clone, Debug)]
enum Act {
    Look {
        weak: bool,
        entries: [Option<Shape>; 3],
    },
    /// The last answer once more.
    Again,
    Stale,
    Rejected,
    Interrupted,
    WindowClosed,
    Snapshot,
    /// The meeting's word about `a`: whether it is over, and a record.
    Word {
        over: bool,
        ended: Option<i64>,
        record: Option<Shape>,
    },
    /// Taken off the list, and put on it again.
    Unwatched,
}

/// An entry: listed only, or a record with times in seconds of the whole history.
#[derive(Clone, Debug)]
enum Shape {
    ListedOnly,
    Record { status: Option<i64>, joined: Option<i64>, left: Option<i64>, role: u8, device: bool },
}

fn shape() -> impl Strategy<Value = Shape> {
    let status = prop_oneof![
        4 => Just(Some(3)),
        2 => Just(Some(6)),
        1 => Just(Some(5)),
        2 => Just(None),
        2 => prop_oneof![Just(Some(0)), Just(Some(1)), Just(Some(2)), Just(Some(4)), Just(Some(99))],
    ];
    // Few distinct times, so that they repeat, stand still, go back and collide with looks; some in the future.
    let time =
        || prop_oneof![2 => Just(None), 5 => (0_i64..60).prop_map(|n| Some(n * 5)), 1 => Just(Some(10_000))];
    let record =
        (status, time(), time(), 0_u8..3, any::<bool>()).prop_map(|(status, joined, left, role, device)| {
            Shape::Record { status, joined, left, role, device }
        });
    prop_oneof![1 => Just(Shape::ListedOnly), 8 => record]
}

fn act() -> impl Strategy<Value = Act> {
    let entry = || prop_oneof![2 => Just(None), 3 => shape().prop_map(Some)];
    let look = (any::<bool>(), entry(), entry(), entry())
        .prop_map(|(weak, a, b, c)| Act::Look { weak, entries: [a, b, c] });
    prop_oneof![
        10 => look,
        4 => Just(Act::Again),
        1 => Just(Act::Stale),
        1 => Just(Act::Rejected),
        1 => Just(Act::Interrupted),
        1 => Just(Act::WindowClosed),
        1 => Just(Act::Snapshot),
        4 => (any::<bool>(), prop::option::of((0_i64..60).prop_map(|n| n * 5)), prop::option::of(shape()))
            .prop_map(|(over, ended, record)| Act::Word { over, ended, record }),
        1 => Just(Act::Unwatched),
    ]
}

fn history() -> impl Strategy<Value = Vec<(i64, Act)>> {
    vec((0_i64..25, act()), 1..13)
}

fn rules() -> impl Strategy<Value = Rules> {
    (1_u32..4, any::<bool>())
        .prop_map(|(leave_after_misses, first_poll_silent)| Rules { leave_after_misses, first_poll_silent })
}

fn answer(seconds: i64, weak: bool, entries: &[Option<Shape>; 3]) -> Observation {
    let mut seen = look(seconds, &[]);
    seen.evidence = if weak { Evidence::Weak } else { Evidence::Explicit };
    for (name, shape) in ["a", "b", "c"].iter().zip(entries) {
        let entry = match shape {
            None => continue,
            Some(Shape::ListedOnly) => Entry::ListedOnly,
            Some(Shape::Record { status, joined, left, role, device }) => Entry::Record(Attendance {
                status: status.map(AttendStatus::from),
                joined: joined.map(at),
                left: left.map(at),
                role: [Role::Attendee, Role::CoHost, Role::Host][usize::from(*role)],
                device: Some(if *device { "Win" } else { "iOS" }.into()),
                ..record(name, 3)
            }),
        };
        seen.entries.insert(ConferenceId::parse(name).unwrap(), entry);
    }
    seen
}

/// Plays a history; `each` sees what was believed, what was answered, and what followed.
fn play(
    rules: Rules,
    history: &[(i64, Act)],
    stored: bool,
    mut each: impl FnMut(&Belief, Option<&Observation>, &Outcome),
) -> Vec<Draft> {
    let mut watch = Watch::new(rules);
    let mut last = look(0, &[]);
    let mut seconds = 0;
    let mut events = Vec::new();
    for (wait, act) in history {
        let from = seconds;
        seconds += wait;
        if stored {
            let json = serde_json::to_string(&watch.belief).unwrap();
            watch.belief = serde_json::from_str(&json).unwrap();
        }
        let before = watch.belief.clone();
        let mut seen = None;
        let outcome = match act {
            Act::Look { weak, entries } => {
                last = answer(seconds, *weak, entries);
                seen = Some(&last);
                watch.observe(&last)
            }
            Act::Again => {
                last.observed_at = at(seconds);
                seen = Some(&last);
                watch.observe(&last)
            }
            Act::Stale => watch.upkeep(seconds, diff::stale),
            Act::Rejected => watch.upkeep(seconds, diff::rejected),
            Act::WindowClosed => watch.upkeep(seconds, diff::close_window),
            Act::Snapshot => watch.upkeep(seconds, diff::snapshot),
            Act::Word { over, ended, record } => {
                let entries = [record.clone(), None, None];
                let entry = answer(seconds, false, &entries).entries.into_values().next();
                let word = Testimony {
                    at: at(seconds),
                    over: if *over { Over::Yes(ended.map(at)) } else { Over::No },
                    record: entry.and_then(|entry| match entry {
                        Entry::Record(record) => Some(record),
                        Entry::ListedOnly => None,
                    }),
                };
                let conference = ConferenceId::parse("a").unwrap();
                let said = confirm(&watch.belief, &conference, &word, &watch.card, SOURCE);
                let again = said
                    .as_ref()
                    .and_then(|said| confirm(&said.belief, &conference, &word, &watch.card, SOURCE));
                assert!(again.is_none_or(|again| again.events.is_empty()), "the same word twice");
                watch.take(said.unwrap_or_else(|| Outcome { belief: before.clone(), ..Outcome::default() }))
            }
            // After a silent first look following an end of the watch, receivers know less than we do, by the operator's wish.
            Act::Unwatched if rules.first_poll_silent => {
                Outcome { belief: before.clone(), ..Outcome::default() }
            }
            Act::Unwatched => watch.upkeep(seconds, diff::unwatch),
            Act::Interrupted => {
                watch.interrupt(from, seconds);
                Outcome { belief: watch.belief.clone(), ..Outcome::default() }
            }
        };
        each(&before, seen, &outcome);
        events.extend(outcome.events);
    }
    let before = watch.belief.clone();
    let outcome = watch.upkeep(seconds, diff::unwatch);
    each(&before, None, &outcome);
    events.extend(outcome.events);
    events
}

/// A receiver that believes nothing but events, and complains.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    ids: BTreeSet<EventId>,
    joined: BTreeSet<VisitId>,
    left: BTreeSet<VisitId>,
    pub(super) open: BTreeSet<VisitId>,
    presence: Option<Presence>,
}

impl Receiver {
    /// `silent`: visits opened without an event.
    pub(super) fn receive(&mut self, event: &Draft, silent: &BTreeSet<VisitId>) {
        assert!(self.ids.insert(event.id.clone()), "an id twice: {event:?}");
        if let Some(earliest) = event.data.timing.earliest {
            assert!(earliest.0 <= event.data.timing.latest.0, "a window backwards: {event:?}");
        }
        assert!(event.time <= event.data.timing.observed_at.0, "from the future: {event:?}");
        match event.event_type {
            EventType::ParticipantJoined => {
                let id = &event.data.visit.as_ref().unwrap().id;
                assert!(self.joined.insert(id.clone()), "joined twice: {event:?}");
                self.open.insert(id.clone());
            }
            EventType::ParticipantLeft => {
                let visit = event.data.visit.as_ref().unwrap();
                assert!(
                    self.joined.contains(&visit.id) || silent.contains(&visit.id),
                    "no joined: {event:?}"
                );
                assert!(self.left.insert(visit.id.clone()), "left twice: {event:?}");
                assert!(visit.duration_ms.unwrap() >= 0 && visit.left_at.unwrap().0 >= visit.joined_at.0);
                self.open.remove(&visit.id);
            }
            EventType::PresenceChanged => {
                let presence = match event.data.presence.as_ref().unwrap().in_meeting {
                    None => Presence::Unknown,
                    Some(true) => Presence::Inside,
                    Some(false) => Presence::Outside,
                };
                assert_ne!(self.presence, Some(presence), "turned to the same: {event:?}");
                self.presence = Some(presence);
            }
            EventType::ParticipantCorrected => {
                assert!(
                    self.ids.contains(event.data.supersedes.as_ref().unwrap()),
                    "supersedes what: {event:?}"
                );
            }
            _ => {}
        }
    }
}

fn assert_order(events: &[Draft]) {
    let rank = |event: &Draft| match event.event_type {
        EventType::WatchRecovered | EventType::WatchStale => 0,
        EventType::ParticipantJoined | EventType::ParticipantLeft => 1,
        EventType::ParticipantRoleChanged => 3,
        EventType::PresenceChanged => 4,
        _ => 2,
    };
    for pair in events.windows(2) {
        assert!(rank(&pair[0]) <= rank(&pair[1]), "{pair:?}");
        if rank(&pair[0]) == 1 && rank(&pair[1]) == 1 {
            assert!(pair[0].time <= pair[1].time, "{pair:?}");
        }
    }
}

fn assert_rows(rows: &[Visit]) {
    let ids: BTreeSet<_> = rows.iter().map(|visit| &visit.id).collect();
    assert_eq!(ids.len(), rows.len(), "a visit twice: {rows:?}");
    for visit in rows {
        if let Some(end) = visit.end {
            assert!(end.at >= visit.joined && end.earliest <= end.latest, "{visit:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..crate::testing::cases() })]

    #[test]
    fn every_history_keeps_the_invariants(rules in rules(), history in history()) {
        let mut receiver = Receiver::default();
        let mut silent = BTreeSet::new();
        let mut rows = BTreeMap::new();
        // Taken off the list while idle: nothing is told, so receivers may still hold "false".
        let mut relisted = false;
        play(rules, &history, false, |before, seen, outcome| {
            let told: BTreeSet<_> = outcome.events.iter()
                .filter(|event| event.event_type == EventType::ParticipantJoined)
                .map(|event| event.data.visit.as_ref().unwrap().id.clone())
                .collect();
            relisted |= before.last_look().is_some() && outcome.belief.last_look().is_none();
            assert_rows(&outcome.visits);
            for visit in &outcome.visits {
                if rows.insert(visit.id.clone(), visit.clone()).is_none() && !told.contains(&visit.id) {
                    assert!(before.last_look().is_none() || visit.end.is_some(), "opened without a word: {visit:?}");
                    silent.insert(visit.id.clone());
                }
            }
            assert_order(&outcome.events);
            for event in &outcome.events {
                receiver.receive(event, &silent);
            }

            // Replaying the events gives the current state.
            let believed: BTreeSet<_> = outcome.belief.open_visits().map(|visit| visit.id.clone()).collect();
            let replayed: BTreeSet<_> = believed.difference(&silent).cloned().collect();
            assert_eq!(&replayed, &receiver.open);
            let stored: BTreeSet<_> =
                rows.values().filter(|visit| visit.end.is_none()).map(|visit| visit.id.clone()).collect();
            assert_eq!(&stored, &believed, "the history's rows agree");
            let presence = outcome.belief.presence();
            assert!(presence != Presence::Inside || !believed.is_empty(), "true with nothing open");
            assert!(presence != Presence::Outside || believed.is_empty(), "false with something open");
            match receiver.presence {
                Some(told) if seen.is_some() => {
                    assert!(told == presence || (presence == Presence::Unknown && relisted), "{told:?} {presence:?}");
                }
                Some(_) => {}
                None => assert!(presence != Presence::Inside || !silent.is_empty(), "true without a word"),
            }

            // Only an answer, the meeting's word about somebody who vanished, or the operator's own act, ends a visit.
            let spoken_of = before.vanished().next().is_some();
            let ends = outcome.events.iter().any(|event| event.data.visit.as_ref().is_some_and(
                |visit| visit.left_reason.is_some_and(|reason| reason != LeftReason::Unwatched)));
            assert!(seen.is_some() || spoken_of || !ends);

            // An unchanged answer says nothing.
            if let Some(seen) = seen && outcome.belief.settled() {
                let mut seen = seen.clone();
                seen.observed_at = seen.observed_at.plus(std::time::Duration::from_secs(7));
                let again = diff::observe(&outcome.belief, &seen, &card(), SOURCE, &rules);
                assert!(again.events.is_empty() && again.visits.is_empty(), "{again:?}");
                let mut stretched = outcome.belief.clone();
                stretched.saw_again(seen.observed_at);
                assert_eq!(stretched, again.belief);
            }
        });
        prop_assert!(receiver.open.is_empty());
        prop_assert!(rows.values().all(|visit| visit.end.is_some()));
        prop_assert!(receiver.joined.iter().all(|visit| receiver.left.contains(visit)));
    }

    #[test]
    fn the_same_facts_give_the_same_events_also_from_storage(rules in rules(), history in history()) {
        let kept = play(rules, &history, false, |_, _, _| {});
        prop_assert_eq!(&kept, &play(rules, &history, true, |_, _, _| {}));
    }
}
