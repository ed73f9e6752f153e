//! What happens without an answer: restarts, windows, stale and refused watches, the end of a watch.

use super::*;

#[test]
fn taken_off_the_list_while_inside() {
    let mut watch = Watch::inside();
    let seen = watch.upkeep(20, diff::unwatch);
    assert_eq!(words(&seen), "left(unwatched) presence=null");
    assert_eq!(timing(&seen.events[0]), "20 inferred (10, 20]");
    assert_eq!(watch.belief.presence(), Presence::Unknown);
    assert_eq!(words(&watch.upkeep(30, diff::unwatch)), "");
    let seen = watch.look(40, &[]);
    assert_eq!(words(&seen), "presence=false", "receivers were told null");
}

#[test]
fn taken_off_the_list_while_idle_says_nothing() {
    let mut watch = Watch::idle();
    assert_eq!(words(&watch.upkeep(20, diff::unwatch)), "");
    let seen = watch.look(40, &[active("a", 35)]);
    assert_eq!(flags(&seen.events[0]), "first_observation");
}

#[test]
fn a_restart_hides_the_end_unless_times_are_reported() {
    let mut watch = Watch::inside();
    watch.interrupt(10, 100);
    let seen = watch.look(101, &[gone("a", 6, 5, 50)]);
    assert_eq!(words(&seen), "left(left) presence=false");
    assert_eq!(timing(&seen.events[0]), "50 reported (50, 50] late");

    let mut watch = Watch::inside();
    watch.interrupt(10, 100);
    let seen = watch.look(101, &[record("a", 6)]);
    assert_eq!(words(&seen), "left(unobserved) presence=false");
    assert_eq!(timing(&seen.events[0]), "10 inferred (10, 101] late");

    let mut watch = Watch::inside();
    watch.interrupt(10, 100);
    assert!(watch.look(101, &[]).confirm, "a restart needs its confirmation too");
    let seen = watch.look(105, &[]);
    assert_eq!(words(&seen), "left(unobserved) presence=false");
    assert_eq!(timing(&seen.events[0]), "10 inferred (10, 101] late");
}

#[test]
fn a_restart_while_still_inside_says_nothing() {
    let mut watch = Watch::inside();
    watch.interrupt(10, 100);
    assert!(!watch.belief.settled());
    assert_eq!(words(&watch.look(101, &[active("a", 5)])), "");
    assert!(watch.belief.settled());
    watch.look(110, &[]);
    assert_eq!(words(&watch.look(115, &[])), "left(vanished) presence=false", "the gap is over");
}

#[test]
fn a_restart_does_not_hide_a_miss_before_it() {
    let mut watch = Watch::inside();
    watch.look(20, &[]);
    watch.interrupt(20, 100);
    let seen = watch.look(101, &[]);
    assert_eq!(words(&seen), "left(vanished) presence=false");
    assert_eq!(timing(&seen.events[0]), "20 inferred (10, 20]");
}

#[test]
fn a_gap_stays_in_mind_over_an_answer_without_record() {
    let mut watch = Watch::inside();
    watch.interrupt(10, 100);
    watch.observe(&listed_only(look(101, &[]), "a"));
    let seen = watch.look(110, &[record("a", 6)]);
    assert_eq!(words(&seen), "left(unobserved) presence=false");
    assert_eq!(timing(&seen.events[0]), "10 inferred (10, 110] late");
}

#[test]
fn a_window_that_closes_leaves_the_visit_open_and_presence_unknown() {
    let mut watch = Watch::inside();
    let seen = watch.upkeep(20, diff::close_window);
    assert_eq!(words(&seen), "presence=null");
    assert_eq!(watch.belief.open_visits().count(), 1);
    assert_eq!(words(&watch.look(900, &[active("a", 5)])), "presence=true", "still the same stay");

    watch.upkeep(910, diff::close_window);
    assert_eq!(words(&watch.look(2000, &[])), "", "a missing entry turns nothing to true");
    let seen = watch.look(2010, &[]);
    assert_eq!(words(&seen), "left(unobserved) presence=false");
    assert_eq!(timing(&seen.events[0]), "900 inferred (900, 2000] late");
}

#[test]
fn a_window_that_closes_on_somebody_idle_says_nothing() {
    let mut watch = Watch::idle();
    assert_eq!(words(&watch.upkeep(20, diff::close_window)), "");
    assert!(watch.belief.settled());
}

#[test]
fn nothing_heard_for_long_is_stale_once_and_then_recovered() {
    let mut watch = Watch::inside();
    let seen = watch.upkeep(300, diff::stale);
    assert_eq!(words(&seen), "stale presence=null");
    assert_eq!(seen.events[1].data.cause.as_deref(), Some(seen.events[0].id.as_str()));
    assert!(seen.events[0].data.visit.is_none() && seen.events[0].data.status.is_none());
    assert!(watch.belief.is_stale());
    assert_eq!(words(&watch.upkeep(400, diff::stale)), "");
    let seen = watch.look(500, &[active("a", 5)]);
    assert_eq!(words(&seen), "recovered presence=true");
    let gap = seen.events[0].data.gap.unwrap();
    assert_eq!((gap.from.0, gap.to.0), (at(10), at(500)));
    assert_eq!(seen.events[1].data.cause.as_deref(), Some(seen.events[0].id.as_str()));
    assert_eq!(words(&watch.look(510, &[active("a", 5)])), "");
}

#[test]
fn a_stale_watch_hides_the_end() {
    let mut watch = Watch::inside();
    watch.upkeep(300, diff::stale);
    assert_eq!(words(&watch.look(500, &[record("a", 6)])), "recovered left(unobserved) presence=false");
}

#[test]
fn stale_before_the_first_look() {
    let mut watch = Watch::new(EMIT);
    assert_eq!(words(&watch.upkeep(300, diff::stale)), "stale");
    assert_eq!(words(&watch.look(500, &[])), "recovered");
}

#[test]
fn a_refused_person_is_told_once_and_never_left() {
    let mut watch = Watch::inside();
    assert_eq!(words(&watch.upkeep(20, diff::rejected)), "rejected");
    assert_eq!(words(&watch.upkeep(30, diff::rejected)), "");
    assert_eq!(watch.belief.presence(), Presence::Inside);
    assert_eq!(words(&watch.look(40, &[active("a", 5)])), "recovered");
    assert_eq!(words(&watch.upkeep(50, diff::rejected)), "rejected");
}

#[test]
fn a_snapshot_is_synthetic_and_changes_nothing() {
    let mut watch = Watch::inside();
    let one = watch.upkeep(20, diff::snapshot);
    let two = watch.upkeep(20, diff::snapshot);
    assert_eq!(words(&one), "presence_snapshot");
    assert!(one.events[0].data.synthetic);
    assert_ne!(one.events[0].id, two.events[0].id);
    assert_eq!(one.events[0].data.presence.as_ref().unwrap().in_meeting, Some(true));
    assert!(watch.belief.settled());
}

#[test]
fn seeing_the_same_again_is_what_a_full_look_would_have_done() {
    let mut watch = Watch::idle();
    watch.look(10, &[active("a", 5), gone("b", 6, 1, 2), record("c", 1)]);
    let mut again = watch.belief.clone();
    assert!(again.settled());
    again.saw_again(at(20));
    watch.look(20, &[active("a", 5), gone("b", 6, 1, 2), record("c", 1)]);
    assert_eq!(again, watch.belief);
}

#[test]
fn a_clock_set_back_never_turns_a_look_back() {
    let mut watch = Watch::inside();
    let seen = watch.look(-50, &[record("a", 6)]);
    assert_eq!(timing(&seen.events[0]), "10 observed (10, 10]");
    assert_eq!(watch.belief.last_look(), Some(at(10)));
}
