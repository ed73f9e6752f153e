//! Properties of every history, whatever the answers.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::ids::{EventId, VisitId};
use crate::presence::confirm::{MeetingAnswer, MeetingEnd, confirm};
use crate::presence::visit::{LeftReason, Visit};

/// Something that happens to a state, some seconds after the previous act.
#[derive(Clone, Debug)]
enum Act {
    Poll {
        weak: bool,
        entries: [Option<TestEntry>; 3],
    },
    /// The same answer as before.
    Again,
    Stale,
    Rejected,
    Interrupted,
    WindowClosed,
    Snapshot,
    /// The answer of the meeting `a`: whether it has ended, and a record.
    MeetingAnswered {
        over: bool,
        ended: Option<i64>,
        record: Option<TestEntry>,
    },
    /// Removed from the watch list, and added again.
    Unwatched,
}

/// An entry: listed only, or a record with times in seconds of the whole history.
#[derive(Clone, Debug)]
enum TestEntry {
    ListedOnly,
    Record { status: Option<i64>, joined: Option<i64>, left: Option<i64>, role: u8, device: bool },
}

fn test_entry() -> impl Strategy<Value = TestEntry> {
    let status = prop_oneof![
        4 => Just(Some(3)),
        2 => Just(Some(6)),
        1 => Just(Some(5)),
        2 => Just(None),
        2 => prop_oneof![Just(Some(0)), Just(Some(1)), Just(Some(2)), Just(Some(4)), Just(Some(99))],
    ];
    // Few distinct times, so that they repeat, decrease and equal the times of polls; some are in the future.
    let time =
        || prop_oneof![2 => Just(None), 5 => (0_i64..60).prop_map(|n| Some(n * 5)), 1 => Just(Some(10_000))];
    let record =
        (status, time(), time(), 0_u8..3, any::<bool>()).prop_map(|(status, joined, left, role, device)| {
            TestEntry::Record { status, joined, left, role, device }
        });
    prop_oneof![1 => Just(TestEntry::ListedOnly), 8 => record]
}

fn act() -> impl Strategy<Value = Act> {
    let entry = || prop_oneof![2 => Just(None), 3 => test_entry().prop_map(Some)];
    let poll = (any::<bool>(), entry(), entry(), entry())
        .prop_map(|(weak, a, b, c)| Act::Poll { weak, entries: [a, b, c] });
    prop_oneof![
        10 => poll,
        4 => Just(Act::Again),
        1 => Just(Act::Stale),
        1 => Just(Act::Rejected),
        1 => Just(Act::Interrupted),
        1 => Just(Act::WindowClosed),
        1 => Just(Act::Snapshot),
        4 => (any::<bool>(), prop::option::of((0_i64..60).prop_map(|n| n * 5)), prop::option::of(test_entry()))
            .prop_map(|(over, ended, record)| Act::MeetingAnswered { over, ended, record }),
        1 => Just(Act::Unwatched),
    ]
}

fn history() -> impl Strategy<Value = Vec<(i64, Act)>> {
    vec((0_i64..25, act()), 1..13)
}

fn rules() -> impl Strategy<Value = DiffRules> {
    (1_u32..4, any::<bool>()).prop_map(|(leave_after_misses, first_poll_silent)| DiffRules {
        leave_after_misses,
        first_poll_silent,
    })
}

fn answer(seconds: i64, weak: bool, entries: &[Option<TestEntry>; 3]) -> Observation {
    let mut seen = poll(seconds, &[]);
    seen.evidence = if weak { Evidence::Weak } else { Evidence::Explicit };
    for (name, test_entry) in ["a", "b", "c"].iter().zip(entries) {
        let entry = match test_entry {
            None => continue,
            Some(TestEntry::ListedOnly) => Entry::ListedOnly,
            Some(TestEntry::Record { status, joined, left, role, device }) => Entry::Record(Attendance {
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

/// Plays a history; `each` gets the state before, the answer, and the transition.
fn play(
    rules: DiffRules,
    history: &[(i64, Act)],
    stored: bool,
    mut each: impl FnMut(&UserState, Option<&Observation>, &Transition),
) -> Vec<NewEvent> {
    let mut user = TestUser::new(rules);
    let mut last = poll(0, &[]);
    let mut seconds = 0;
    let mut events = Vec::new();
    for (wait, act) in history {
        let from = seconds;
        seconds += wait;
        if stored {
            let json = serde_json::to_string(&user.state).unwrap();
            user.state = serde_json::from_str(&json).unwrap();
        }
        let before = user.state.clone();
        let mut seen = None;
        let transition = match act {
            Act::Poll { weak, entries } => {
                last = answer(seconds, *weak, entries);
                seen = Some(&last);
                user.observe(&last)
            }
            Act::Again => {
                last.observed_at = at(seconds);
                seen = Some(&last);
                user.observe(&last)
            }
            Act::Stale => user.without_poll(seconds, lifecycle::stale),
            Act::Rejected => user.without_poll(seconds, lifecycle::rejected),
            Act::WindowClosed => user.without_poll(seconds, lifecycle::close_window),
            Act::Snapshot => user.without_poll(seconds, lifecycle::snapshot),
            Act::MeetingAnswered { over, ended, record } => {
                let entries = [record.clone(), None, None];
                let entry = answer(seconds, false, &entries).entries.into_values().next();
                let answer = MeetingAnswer {
                    at: at(seconds),
                    end: if *over { MeetingEnd::Ended(ended.map(at)) } else { MeetingEnd::Ongoing },
                    record: entry.and_then(|entry| match entry {
                        Entry::Record(record) => Some(record),
                        Entry::ListedOnly => None,
                    }),
                };
                let conference = ConferenceId::parse("a").unwrap();
                let confirmed = confirm(&user.state, &conference, &answer, &user.info, SOURCE);
                let again = confirmed.as_ref().and_then(|confirmed| {
                    confirm(&confirmed.state, &conference, &answer, &user.info, SOURCE)
                });
                assert!(again.is_none_or(|again| again.events.is_empty()), "the same answer twice");
                user.take(
                    confirmed
                        .unwrap_or_else(|| Transition { state: before.clone(), ..Transition::default() }),
                )
            }
            // With `first_poll_silent`, receivers do not know the state after a removal from the watch list.
            Act::Unwatched if rules.first_poll_silent => {
                Transition { state: before.clone(), ..Transition::default() }
            }
            Act::Unwatched => user.without_poll(seconds, lifecycle::unwatch),
            Act::Interrupted => {
                user.mark_unobserved(from, seconds);
                Transition { state: user.state.clone(), ..Transition::default() }
            }
        };
        each(&before, seen, &transition);
        events.extend(transition.events);
    }
    let before = user.state.clone();
    let transition = user.without_poll(seconds, lifecycle::unwatch);
    each(&before, None, &transition);
    events.extend(transition.events);
    events
}

/// A receiver that derives the state from events alone, and checks them.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    ids: BTreeSet<EventId>,
    joined: BTreeSet<VisitId>,
    left: BTreeSet<VisitId>,
    pub(super) open: BTreeSet<VisitId>,
    presence: Option<Presence>,
}

impl Receiver {
    /// `silent`: visits that were opened without an event.
    pub(super) fn receive(&mut self, event: &NewEvent, silent: &BTreeSet<VisitId>) {
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

fn assert_order(events: &[NewEvent]) {
    let rank = |event: &NewEvent| match event.event_type {
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
        // The removal of an idle user emits nothing, so receivers may still have `false`.
        let mut relisted = false;
        play(rules, &history, false, |before, seen, transition| {
            let joins: BTreeSet<_> = transition.events.iter()
                .filter(|event| event.event_type == EventType::ParticipantJoined)
                .map(|event| event.data.visit.as_ref().unwrap().id.clone())
                .collect();
            relisted |= before.last_poll().is_some() && transition.state.last_poll().is_none();
            assert_rows(&transition.visits);
            for visit in &transition.visits {
                if rows.insert(visit.id.clone(), visit.clone()).is_none() && !joins.contains(&visit.id) {
                    assert!(before.last_poll().is_none() || visit.end.is_some(), "opened without an event: {visit:?}");
                    silent.insert(visit.id.clone());
                }
            }
            assert_order(&transition.events);
            for event in &transition.events {
                receiver.receive(event, &silent);
            }

            // Replaying the events gives the current state.
            let open: BTreeSet<_> = transition.state.open_visits().map(|visit| visit.id.clone()).collect();
            let replayed: BTreeSet<_> = open.difference(&silent).cloned().collect();
            assert_eq!(&replayed, &receiver.open);
            let stored: BTreeSet<_> =
                rows.values().filter(|visit| visit.end.is_none()).map(|visit| visit.id.clone()).collect();
            assert_eq!(&stored, &open, "the history's rows agree");
            let presence = transition.state.presence();
            assert!(presence != Presence::Inside || !open.is_empty(), "true with nothing open");
            assert!(presence != Presence::Outside || open.is_empty(), "false with something open");
            match receiver.presence {
                Some(emitted) if seen.is_some() => {
                    assert!(emitted == presence || (presence == Presence::Unknown && relisted), "{emitted:?} {presence:?}");
                }
                Some(_) => {}
                None => assert!(presence != Presence::Inside || !silent.is_empty(), "true without an event"),
            }

            // Only a poll, a meeting's answer about a vanished visit, or the removal from the watch list ends a visit.
            let has_vanished = before.vanished_visits().next().is_some();
            let ends = transition.events.iter().any(|event| event.data.visit.as_ref().is_some_and(
                |visit| visit.left_reason.is_some_and(|reason| reason != LeftReason::Unwatched)));
            assert!(seen.is_some() || has_vanished || !ends);

            // An unchanged answer emits nothing.
            if let Some(seen) = seen && transition.state.is_settled() {
                let mut seen = seen.clone();
                seen.observed_at = seen.observed_at.plus(std::time::Duration::from_secs(7));
                let again = diff::observe(&transition.state, &seen, &user_info(), SOURCE, &rules);
                assert!(again.events.is_empty() && again.visits.is_empty(), "{again:?}");
                let mut extended = transition.state.clone();
                extended.record_unchanged_poll(seen.observed_at);
                assert_eq!(extended, again.state);
            }
        });
        prop_assert!(receiver.open.is_empty());
        prop_assert!(rows.values().all(|visit| visit.end.is_some()));
        prop_assert!(receiver.joined.iter().all(|visit| receiver.left.contains(visit)));
    }

    #[test]
    fn equal_histories_give_equal_events_also_from_storage(rules in rules(), history in history()) {
        let direct = play(rules, &history, false, |_, _, _| {});
        prop_assert_eq!(&direct, &play(rules, &history, true, |_, _, _| {}));
    }
}
