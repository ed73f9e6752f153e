//! Rejoins in all their shapes, and ends and joins that later evidence corrects.

use super::*;

#[test]
fn a_rejoin_has_the_next_ordinal() {
    let mut watch = Watch::inside();
    watch.look(20, &[gone("a", 6, 5, 15)]);
    let seen = watch.look(30, &[active("a", 25)]);
    assert_eq!(words(&seen), "joined presence=true");
    let visit = seen.events[0].data.visit.clone().unwrap();
    assert!(visit.rejoin && visit.ordinal == 2);
    assert_eq!(timing(&seen.events[0]), "25 reported (25, 25]");
}

#[test]
fn a_rejoin_under_the_old_join_time_is_anchored_at_the_look() {
    for status in [5, 6] {
        let mut watch = Watch::inside();
        watch.look(20, &[gone("a", status, 5, 15)]);
        let seen = watch.look(30, &[gone("a", 3, 5, 15)]);
        assert_eq!(words(&seen), "joined presence=true");
        assert_eq!(flags(&seen.events[0]), "join_time_not_reset");
        assert_eq!(timing(&seen.events[0]), "30 observed (20, 30]");
        assert_eq!(seen.visits[0].anchor, at(30));
        assert_eq!(words(&watch.look(40, &[gone("a", 3, 5, 15)])), "");
        let seen = watch.look(50, &[gone("a", 6, 5, 45)]);
        assert_eq!(timing(&seen.events[0]), "45 reported (45, 45]");
    }
}

#[test]
fn a_vanished_entry_that_comes_back_is_a_rejoin() {
    let mut watch = Watch::inside();
    watch.look(20, &[]);
    watch.look(25, &[]);
    let seen = watch.look(30, &[active("a", 5)]);
    assert_eq!(words(&seen), "joined presence=true");
    assert_eq!(flags(&seen.events[0]), "join_time_not_reset");
    assert_eq!(seen.events[0].data.visit.as_ref().unwrap().ordinal, 2);
}

#[test]
fn a_join_time_that_moved_while_inside_is_a_leave_and_a_join() {
    let mut watch = Watch::inside();
    let seen = watch.look(20, &[active("a", 17)]);
    assert_eq!(words(&seen), "left(rejoined) joined");
    assert_eq!(timing(&seen.events[0]), "17 inferred (10, 17]");
    assert_eq!(timing(&seen.events[1]), "17 reported (17, 17]");
    assert_eq!(seen.visits.len(), 2);
    assert_ne!(seen.visits[0].id, seen.visits[1].id);
    assert_eq!(words(&watch.look(30, &[active("a", 17)])), "");
}

#[test]
fn a_join_time_that_went_back_is_an_old_answer() {
    let mut watch = Watch::inside();
    watch.look(20, &[active("a", 17)]);
    assert_eq!(words(&watch.look(30, &[active("a", 5)])), "");
    assert_eq!(words(&watch.look(40, &[active("a", 17)])), "");
}

#[test]
fn left_rejoined_and_left_again_between_two_looks() {
    let mut watch = Watch::inside();
    let seen = watch.look(20, &[gone("a", 6, 14, 18)]);
    assert_eq!(words(&seen), "left(rejoined) joined left(left) presence=false");
    assert_eq!(flags(&seen.events[1]), "short_visit");
    assert_eq!(flags(&seen.events[2]), "short_visit");
    assert_eq!(seen.events[3].data.cause.as_deref(), Some(seen.events[2].id.as_str()));
}

#[test]
fn a_short_rejoin_replaces_the_ended_record() {
    let mut watch = Watch::inside();
    watch.look(20, &[gone("a", 6, 5, 15)]);
    let seen = watch.look(30, &[gone("a", 5, 22, 28)]);
    assert_eq!(words(&seen), "joined left(removed)");
    assert_eq!(seen.events[0].data.visit.as_ref().unwrap().ordinal, 2);
    assert_eq!(words(&watch.look(40, &[gone("a", 5, 22, 28)])), "");
}

#[test]
fn a_rejoin_after_the_meeting_was_listed_no_more_keeps_its_ordinal() {
    let mut watch = Watch::inside();
    watch.look(20, &[gone("a", 6, 5, 15)]);
    for seconds in [30, 40, 50] {
        watch.look(seconds, &[]);
    }
    let seen = watch.look(60, &[active("a", 55)]);
    assert_eq!(seen.events[0].data.visit.as_ref().unwrap().ordinal, 2);
}

#[test]
fn a_leave_time_that_comes_later_corrects_the_left() {
    let mut watch = Watch::inside();
    watch.look(20, &[]);
    let vanished = watch.look(25, &[]);
    let seen = watch.look(30, &[gone("a", 5, 5, 12)]);
    assert_eq!(words(&seen), "corrected");
    let data = &seen.events[0].data;
    assert_eq!(data.supersedes.as_ref(), Some(&vanished.events[0].id));
    let changes = serde_json::to_value(data.changes.unwrap()).unwrap();
    assert_eq!(changes["left_reason"]["from"], "vanished");
    assert_eq!(changes["left_reason"]["to"], "removed");
    assert_eq!(changes["left_at"]["to"], at(12).rfc3339());
    assert_eq!(seen.events[0].time, at(12));
    assert_eq!(seen.visits[0].end.unwrap().at, at(12));
    assert_eq!(words(&watch.look(40, &[gone("a", 5, 5, 12)])), "");
}

#[test]
fn a_leave_time_not_believed_once_is_not_believed_when_it_has_passed() {
    let mut watch = Watch::inside();
    assert_eq!(words(&watch.look(20, &[gone("a", 6, 5, 25)])), "left(left) presence=false");
    assert_eq!(words(&watch.look(30, &[gone("a", 6, 5, 25)])), "", "an unchanged answer says nothing");
}

#[test]
fn a_join_time_that_comes_later_corrects_the_join() {
    let mut watch = Watch::idle();
    let joined = watch.look(10, &[record("a", 3)]);
    let seen = watch.look(20, &[active("a", 4)]);
    assert_eq!(words(&seen), "corrected");
    assert_eq!(seen.events[0].data.supersedes.as_ref(), Some(&joined.events[0].id));
    assert_eq!(seen.visits[0].joined, at(4));
    assert_eq!(seen.visits[0].anchor, at(10), "the anchor is fixed when the visit opens");
    assert_eq!(words(&watch.look(30, &[active("a", 4)])), "");
}
