//! Rejoins of every kind, and corrections of joins and ends.

use super::*;

#[test]
fn a_rejoin_has_the_next_ordinal() {
    let mut user = TestUser::inside();
    user.poll(20, &[gone("a", 6, 5, 15)]);
    let seen = user.poll(30, &[active("a", 25)]);
    assert_eq!(summary(&seen), "joined presence=true");
    let visit = seen.events[0].data.visit.clone().unwrap();
    assert!(visit.rejoin && visit.ordinal == 2);
    assert_eq!(timing(&seen.events[0]), "25 reported (25, 25]");
}

#[test]
fn a_rejoin_with_the_old_join_time_is_anchored_at_the_poll() {
    for status in [5, 6] {
        let mut user = TestUser::inside();
        user.poll(20, &[gone("a", status, 5, 15)]);
        let seen = user.poll(30, &[gone("a", 3, 5, 15)]);
        assert_eq!(summary(&seen), "joined presence=true");
        assert_eq!(flags(&seen.events[0]), "join_time_not_reset");
        assert_eq!(timing(&seen.events[0]), "30 observed (20, 30]");
        assert_eq!(seen.visits[0].anchor, at(30));
        assert_eq!(summary(&user.poll(40, &[gone("a", 3, 5, 15)])), "");
        let seen = user.poll(50, &[gone("a", 6, 5, 45)]);
        assert_eq!(timing(&seen.events[0]), "45 reported (45, 45]");
    }
}

#[test]
fn a_vanished_entry_that_comes_back_is_a_rejoin() {
    let mut user = TestUser::inside();
    user.poll(20, &[]);
    user.poll(25, &[]);
    let seen = user.poll(30, &[active("a", 5)]);
    assert_eq!(summary(&seen), "joined presence=true");
    assert_eq!(flags(&seen.events[0]), "join_time_not_reset");
    assert_eq!(seen.events[0].data.visit.as_ref().unwrap().ordinal, 2);
}

#[test]
fn a_join_time_that_changes_while_inside_is_a_leave_and_a_join() {
    let mut user = TestUser::inside();
    let seen = user.poll(20, &[active("a", 17)]);
    assert_eq!(summary(&seen), "left(rejoined) joined");
    assert_eq!(timing(&seen.events[0]), "17 inferred (10, 17]");
    assert_eq!(timing(&seen.events[1]), "17 reported (17, 17]");
    assert_eq!(seen.visits.len(), 2);
    assert_ne!(seen.visits[0].id, seen.visits[1].id);
    assert_eq!(summary(&user.poll(30, &[active("a", 17)])), "");
}

#[test]
fn a_join_time_that_decreases_is_ignored() {
    let mut user = TestUser::inside();
    user.poll(20, &[active("a", 17)]);
    assert_eq!(summary(&user.poll(30, &[active("a", 5)])), "");
    assert_eq!(summary(&user.poll(40, &[active("a", 17)])), "");
}

#[test]
fn left_rejoined_and_left_again_between_two_polls() {
    let mut user = TestUser::inside();
    let seen = user.poll(20, &[gone("a", 6, 14, 18)]);
    assert_eq!(summary(&seen), "left(rejoined) joined left(left) presence=false");
    assert_eq!(flags(&seen.events[1]), "short_visit");
    assert_eq!(flags(&seen.events[2]), "short_visit");
    assert_eq!(seen.events[3].data.cause.as_deref(), Some(seen.events[2].id.as_str()));
}

#[test]
fn a_short_rejoin_replaces_the_ended_record() {
    let mut user = TestUser::inside();
    user.poll(20, &[gone("a", 6, 5, 15)]);
    let seen = user.poll(30, &[gone("a", 5, 22, 28)]);
    assert_eq!(summary(&seen), "joined left(removed)");
    assert_eq!(seen.events[0].data.visit.as_ref().unwrap().ordinal, 2);
    assert_eq!(summary(&user.poll(40, &[gone("a", 5, 22, 28)])), "");
}

#[test]
fn a_rejoin_to_an_unlisted_meeting_keeps_its_ordinal() {
    let mut user = TestUser::inside();
    user.poll(20, &[gone("a", 6, 5, 15)]);
    for seconds in [30, 40, 50] {
        user.poll(seconds, &[]);
    }
    let seen = user.poll(60, &[active("a", 55)]);
    assert_eq!(seen.events[0].data.visit.as_ref().unwrap().ordinal, 2);
}

#[test]
fn a_leave_time_that_comes_later_corrects_the_left() {
    let mut user = TestUser::inside();
    user.poll(20, &[]);
    let vanished = user.poll(25, &[]);
    let seen = user.poll(30, &[gone("a", 5, 5, 12)]);
    assert_eq!(summary(&seen), "corrected");
    let data = &seen.events[0].data;
    assert_eq!(data.supersedes.as_ref(), Some(&vanished.events[0].id));
    let changes = serde_json::to_value(data.changes.unwrap()).unwrap();
    assert_eq!(changes["left_reason"]["from"], "vanished");
    assert_eq!(changes["left_reason"]["to"], "removed");
    assert_eq!(changes["left_at"]["to"], at(12).rfc3339());
    assert_eq!(seen.events[0].time, at(12));
    assert_eq!(seen.visits[0].end.unwrap().at, at(12));
    assert_eq!(summary(&user.poll(40, &[gone("a", 5, 5, 12)])), "");
}

#[test]
fn a_rejected_leave_time_stays_rejected_when_it_has_passed() {
    let mut user = TestUser::inside();
    assert_eq!(summary(&user.poll(20, &[gone("a", 6, 5, 25)])), "left(left) presence=false");
    assert_eq!(summary(&user.poll(30, &[gone("a", 6, 5, 25)])), "", "an unchanged answer emits nothing");
}

#[test]
fn a_join_time_that_comes_later_corrects_the_join() {
    let mut user = TestUser::idle();
    let joined = user.poll(10, &[record("a", 3)]);
    let seen = user.poll(20, &[active("a", 4)]);
    assert_eq!(summary(&seen), "corrected");
    assert_eq!(seen.events[0].data.supersedes.as_ref(), Some(&joined.events[0].id));
    assert_eq!(seen.visits[0].joined, at(4));
    assert_eq!(seen.visits[0].anchor, at(10), "the anchor is fixed when the visit opens");
    assert_eq!(summary(&user.poll(30, &[active("a", 4)])), "");
}
