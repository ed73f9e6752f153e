//! What the meeting's word makes of a vanished entry, one test a rule.

use super::*;
use crate::presence::confirm::{Over, Testimony, confirm};

fn word(seconds: i64, over: Over, record: Option<Attendance>) -> Testimony {
    Testimony { at: at(seconds), over, record }
}

fn ask(watch: &mut Watch, word: &Testimony) -> Option<Outcome> {
    let conference = ConferenceId::parse("a").unwrap();
    let outcome = confirm(&watch.belief, &conference, word, &watch.card, SOURCE)?;
    Some(watch.take(outcome))
}

/// Inside since second 5, seen at 10, missed at 20.
fn missed() -> Watch {
    let mut watch = Watch::inside();
    assert_eq!(words(&watch.look(20, &[])), "");
    watch
}

/// The same, missed again at 25: told as vanished.
fn vanished() -> Watch {
    let mut watch = missed();
    assert_eq!(words(&watch.look(25, &[])), "left(vanished) presence=false");
    watch
}

fn timing(outcome: &Outcome) -> (Timestamp, &'static str) {
    let event = &outcome.events[0];
    (event.time, event.data.timing.basis.name())
}

#[test]
fn left_removed_and_ended_are_told_with_the_reported_time() {
    let over = |end| Over::Yes(Some(at(end)));
    for (over, record, expected, time) in [
        (Over::No, Some(gone("a", 6, 5, 14)), "left(left) presence=false", 14),
        (Over::No, Some(gone("a", 5, 5, 15)), "left(removed) presence=false", 15),
        (over(18), Some(gone("a", 6, 5, 18)), "left(meeting_ended) presence=false", 18),
        (over(18), Some(gone("a", 6, 5, 17)), "left(meeting_ended) presence=false", 18),
        (over(18), Some(gone("a", 6, 5, 12)), "left(left) presence=false", 12),
        (over(18), Some(gone("a", 5, 5, 17)), "left(removed) presence=false", 17),
        (over(18), None, "left(meeting_ended) presence=false", 18),
    ] {
        let mut watch = missed();
        let told = ask(&mut watch, &word(21, over, record.clone())).unwrap();
        assert_eq!(words(&told), expected, "{over:?} {record:?}");
        assert_eq!(timing(&told), (at(time), "reported"), "{over:?} {record:?}");
        assert_eq!(told.visits[0].end.unwrap().at, at(time));
        assert!(!told.events[0].late);
        // The looks after it find nothing new.
        for seconds in [25, 30, 35] {
            assert_eq!(words(&watch.look(seconds, &[])), "");
        }
        assert!(watch.belief.settled());
    }
}

#[test]
fn a_reason_without_a_time_has_the_time_of_the_look_that_missed_them() {
    for (over, record, expected, flag) in [
        (Over::No, Some(record("a", 6)), "left(left) presence=false", "leave_time_missing"),
        (Over::No, Some(gone("a", 6, 5, 99)), "left(left) presence=false", "leave_time_implausible"),
        (Over::Yes(None), None, "left(meeting_ended) presence=false", ""),
    ] {
        let mut watch = missed();
        let told = ask(&mut watch, &word(21, over, record)).unwrap();
        assert_eq!(words(&told), expected);
        assert_eq!(timing(&told), (at(20), "inferred"));
        assert_eq!(flags(&told.events[0]), flag);
        assert_eq!(told.events[0].data.timing.earliest.map(|earliest| earliest.0), Some(at(10)));
    }
}

#[test]
fn what_explains_nothing_leaves_the_absence_as_it_is() {
    for (over, record) in [
        (Over::No, None),
        (Over::No, Some(active("a", 5))),
        (Over::No, Some(record("a", 2))),
        (Over::No, Some(record("a", 0))),
        (Over::No, Some(record("a", 99))),
        // A stay that came after the one that was seen.
        (Over::No, Some(gone("a", 6, 15, 18))),
        // They were gone long before the meeting ended.
        (Over::Yes(Some(at(60))), None),
    ] {
        let mut watch = missed();
        assert_eq!(ask(&mut watch, &word(70, over, record.clone())), None, "{over:?} {record:?}");
        assert_eq!(words(&watch.look(75, &[])), "left(vanished) presence=false");
    }
}

#[test]
fn a_word_after_the_left_corrects_it() {
    let mut watch = missed();
    let left = watch.look(25, &[]);
    let told = ask(&mut watch, &word(26, Over::No, Some(gone("a", 5, 5, 14)))).unwrap();
    assert_eq!(words(&told), "corrected");
    let data = &told.events[0].data;
    assert_eq!(data.supersedes.as_ref(), Some(&left.events[0].id));
    let changes = serde_json::to_value(data.changes.unwrap()).unwrap();
    assert_eq!(changes["left_reason"], serde_json::json!({"from": "vanished", "to": "removed"}));
    assert_eq!(changes["left_at"]["from"], at(20).rfc3339());
    assert_eq!(changes["left_at"]["to"], at(14).rfc3339());
    assert_eq!(timing(&told), (at(14), "reported"));
    let end = told.visits[0].end.unwrap();
    assert_eq!((end.at, end.reason.name()), (at(14), "removed"));
    assert_eq!(ask(&mut watch, &word(27, Over::No, Some(gone("a", 5, 5, 14)))), None, "told once");
}

#[test]
fn a_correction_without_a_time_changes_the_reason_and_can_be_bettered() {
    let mut watch = vanished();
    let told = ask(&mut watch, &word(26, Over::Yes(None), None)).unwrap();
    assert_eq!(words(&told), "corrected");
    let changes = serde_json::to_value(told.events[0].data.changes.unwrap()).unwrap();
    assert_eq!(changes["left_reason"]["to"], "meeting_ended");
    assert_eq!(changes.get("left_at"), None);
    assert_eq!(words(&watch.look(30, &[gone("a", 6, 5, 12)])), "corrected");
}

#[test]
fn nobody_who_is_seen_or_whose_end_was_told_is_ended_by_a_word() {
    let left = word(40, Over::Yes(Some(at(15))), Some(gone("a", 6, 5, 14)));
    assert_eq!(ask(&mut Watch::inside(), &left), None);
    assert_eq!(ask(&mut Watch::idle(), &left), None);
    let mut back = missed();
    back.look(30, &[active("a", 5)]);
    assert_eq!(ask(&mut back, &left), None);
    let mut told = Watch::inside();
    told.look(20, &[gone("a", 6, 5, 18)]);
    assert_eq!(ask(&mut told, &left), None);
    let mut lingers = Watch::inside();
    lingers.look(20, &[record("a", 6)]);
    assert_eq!(ask(&mut lingers, &left), None, "only an absence is explained");
}

#[test]
fn an_end_hidden_by_a_gap_is_told_by_a_time_only() {
    let hidden = || {
        let mut watch = Watch::inside();
        watch.interrupt(11, 19);
        watch.look(20, &[]);
        watch
    };
    assert_eq!(ask(&mut hidden(), &word(21, Over::No, Some(record("a", 6)))), None);
    let told = ask(&mut hidden(), &word(21, Over::No, Some(gone("a", 6, 5, 14)))).unwrap();
    assert_eq!(words(&told), "left(left) presence=false");
    assert!(told.events[0].late);
}

#[test]
fn another_meeting_keeps_presence_and_an_unknown_one_stays_unknown() {
    let mut watch = Watch::idle();
    watch.look(10, &[active("a", 5), active("b", 6)]);
    watch.look(20, &[active("b", 6)]);
    let left = word(21, Over::No, Some(gone("a", 6, 5, 14)));
    assert_eq!(words(&ask(&mut watch, &left).unwrap()), "left(left)");
    let mut closed = missed();
    closed.upkeep(22, diff::close_window);
    assert_eq!(words(&ask(&mut closed, &left).unwrap()), "left(left)");
    assert_eq!(closed.belief.presence(), Presence::Unknown);
}

#[test]
fn what_vanished_is_listed_until_its_end_is_told() {
    let list = |watch: &Watch| watch.belief.vanished().map(|one| one.since).collect::<Vec<_>>();
    assert_eq!(list(&Watch::inside()), []);
    assert_eq!(list(&missed()), [at(20)]);
    let mut watch = vanished();
    assert_eq!(list(&watch), [at(20)]);
    ask(&mut watch, &word(26, Over::No, Some(gone("a", 6, 5, 14)))).unwrap();
    assert_eq!(list(&watch), []);
}
