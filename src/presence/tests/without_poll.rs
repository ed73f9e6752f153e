//! Changes without an answer: restarts, windows, stale and rejected users, removal from the watch list.

use super::*;

#[test]
fn removed_from_the_watch_list_while_inside() {
    let mut user = TestUser::inside();
    let seen = user.without_poll(20, lifecycle::unwatch);
    assert_eq!(summary(&seen), "left(unwatched) presence=null");
    assert_eq!(timing(&seen.events[0]), "20 inferred (10, 20]");
    assert_eq!(user.state.presence(), Presence::Unknown);
    assert_eq!(summary(&user.without_poll(30, lifecycle::unwatch)), "");
    let seen = user.poll(40, &[]);
    assert_eq!(summary(&seen), "presence=false", "the last event said null");
}

#[test]
fn removal_of_an_idle_user_emits_nothing() {
    let mut user = TestUser::idle();
    assert_eq!(summary(&user.without_poll(20, lifecycle::unwatch)), "");
    let seen = user.poll(40, &[active("a", 35)]);
    assert_eq!(flags(&seen.events[0]), "first_observation");
}

#[test]
fn an_end_during_a_restart_is_unobserved_unless_reported() {
    let mut user = TestUser::inside();
    user.mark_unobserved(10, 100);
    let seen = user.poll(101, &[gone("a", 6, 5, 50)]);
    assert_eq!(summary(&seen), "left(left) presence=false");
    assert_eq!(timing(&seen.events[0]), "50 reported (50, 50] late");

    let mut user = TestUser::inside();
    user.mark_unobserved(10, 100);
    let seen = user.poll(101, &[record("a", 6)]);
    assert_eq!(summary(&seen), "left(unobserved) presence=false");
    assert_eq!(timing(&seen.events[0]), "10 inferred (10, 101] late");

    let mut user = TestUser::inside();
    user.mark_unobserved(10, 100);
    assert!(user.poll(101, &[]).needs_recheck, "a leave during a restart needs a second poll too");
    let seen = user.poll(105, &[]);
    assert_eq!(summary(&seen), "left(unobserved) presence=false");
    assert_eq!(timing(&seen.events[0]), "10 inferred (10, 101] late");
}

#[test]
fn a_restart_while_inside_emits_nothing() {
    let mut user = TestUser::inside();
    user.mark_unobserved(10, 100);
    assert!(!user.state.is_settled());
    assert_eq!(summary(&user.poll(101, &[active("a", 5)])), "");
    assert!(user.state.is_settled());
    user.poll(110, &[]);
    assert_eq!(summary(&user.poll(115, &[])), "left(vanished) presence=false", "the gap has ended");
}

#[test]
fn a_miss_before_a_restart_counts() {
    let mut user = TestUser::inside();
    user.poll(20, &[]);
    user.mark_unobserved(20, 100);
    let seen = user.poll(101, &[]);
    assert_eq!(summary(&seen), "left(vanished) presence=false");
    assert_eq!(timing(&seen.events[0]), "20 inferred (10, 20]");
}

#[test]
fn an_answer_without_a_record_does_not_end_a_gap() {
    let mut user = TestUser::inside();
    user.mark_unobserved(10, 100);
    user.observe(&listed_only(poll(101, &[]), "a"));
    let seen = user.poll(110, &[record("a", 6)]);
    assert_eq!(summary(&seen), "left(unobserved) presence=false");
    assert_eq!(timing(&seen.events[0]), "10 inferred (10, 110] late");
}

#[test]
fn a_window_that_closes_leaves_the_visit_open_and_presence_unknown() {
    let mut user = TestUser::inside();
    let seen = user.without_poll(20, lifecycle::close_window);
    assert_eq!(summary(&seen), "presence=null");
    assert_eq!(user.state.open_visits().count(), 1);
    assert_eq!(summary(&user.poll(900, &[active("a", 5)])), "presence=true", "still the same visit");

    user.without_poll(910, lifecycle::close_window);
    assert_eq!(
        summary(&user.poll(2000, &[])),
        "",
        "an answer that misses the meeting does not make presence true"
    );
    let seen = user.poll(2010, &[]);
    assert_eq!(summary(&seen), "left(unobserved) presence=false");
    assert_eq!(timing(&seen.events[0]), "900 inferred (900, 2000] late");
}

#[test]
fn a_window_that_closes_on_an_idle_user_emits_nothing() {
    let mut user = TestUser::idle();
    assert_eq!(summary(&user.without_poll(20, lifecycle::close_window)), "");
    assert!(user.state.is_settled());
}

#[test]
fn a_watch_becomes_stale_once_and_then_recovers() {
    let mut user = TestUser::inside();
    let seen = user.without_poll(300, lifecycle::stale);
    assert_eq!(summary(&seen), "stale presence=null");
    assert_eq!(seen.events[1].data.cause.as_deref(), Some(seen.events[0].id.as_str()));
    assert!(seen.events[0].data.visit.is_none() && seen.events[0].data.status.is_none());
    assert!(user.state.is_stale());
    assert_eq!(summary(&user.without_poll(400, lifecycle::stale)), "");
    let seen = user.poll(500, &[active("a", 5)]);
    assert_eq!(summary(&seen), "recovered presence=true");
    let gap = seen.events[0].data.gap.unwrap();
    assert_eq!((gap.from.0, gap.to.0), (at(10), at(500)));
    assert_eq!(seen.events[1].data.cause.as_deref(), Some(seen.events[0].id.as_str()));
    assert_eq!(summary(&user.poll(510, &[active("a", 5)])), "");
}

#[test]
fn an_end_during_a_stale_watch_is_unobserved() {
    let mut user = TestUser::inside();
    user.without_poll(300, lifecycle::stale);
    assert_eq!(summary(&user.poll(500, &[record("a", 6)])), "recovered left(unobserved) presence=false");
}

#[test]
fn stale_before_the_first_poll() {
    let mut user = TestUser::new(EMIT);
    assert_eq!(summary(&user.without_poll(300, lifecycle::stale)), "stale");
    assert_eq!(summary(&user.poll(500, &[])), "recovered");
}

#[test]
fn a_rejected_user_emits_one_event_and_no_left() {
    let mut user = TestUser::inside();
    assert_eq!(summary(&user.without_poll(20, lifecycle::rejected)), "rejected");
    assert_eq!(summary(&user.without_poll(30, lifecycle::rejected)), "");
    assert_eq!(user.state.presence(), Presence::Inside);
    assert_eq!(summary(&user.poll(40, &[active("a", 5)])), "recovered");
    assert_eq!(summary(&user.without_poll(50, lifecycle::rejected)), "rejected");
}

#[test]
fn a_snapshot_is_synthetic_and_changes_nothing() {
    let mut user = TestUser::inside();
    let one = user.without_poll(20, lifecycle::snapshot);
    let two = user.without_poll(20, lifecycle::snapshot);
    assert_eq!(summary(&one), "presence_snapshot");
    assert!(one.events[0].data.synthetic);
    assert_ne!(one.events[0].id, two.events[0].id);
    assert_eq!(one.events[0].data.presence.as_ref().unwrap().in_meeting, Some(true));
    assert!(user.state.is_settled());
}

#[test]
fn an_unchanged_poll_changes_the_same_as_a_full_comparison() {
    let mut user = TestUser::idle();
    user.poll(10, &[active("a", 5), gone("b", 6, 1, 2), record("c", 1)]);
    let mut again = user.state.clone();
    assert!(again.is_settled());
    again.record_unchanged_poll(at(20));
    user.poll(20, &[active("a", 5), gone("b", 6, 1, 2), record("c", 1)]);
    assert_eq!(again, user.state);
}

#[test]
fn a_clock_that_is_set_back_does_not_move_a_poll_back() {
    let mut user = TestUser::inside();
    let seen = user.poll(-50, &[record("a", 6)]);
    assert_eq!(timing(&seen.events[0]), "10 observed (10, 10]");
    assert_eq!(user.state.last_poll(), Some(at(10)));
}
