//! Sweeps: what they may change, and how a later look mends it.

use std::collections::BTreeSet;

use super::*;
use crate::presence::glance::{self, Gone, Says, Seats, Sweep};
use crate::presence::sweep;

mod lies;

/// A sweep of everything: the statuses of this person, in a world where `a` and `b` go on.
fn sweep(seconds: i64, seats: &[(&str, i64)]) -> (Sweep, Seats) {
    let id = |name: &str| ConferenceId::parse(name).unwrap();
    let seats: Seats = seats.iter().map(|(name, code)| (id(name), AttendStatus::from(*code))).collect();
    let sweep = Sweep {
        asked_at: at(seconds),
        observed_at: at(seconds),
        asked: None,
        meetings: BTreeSet::from([id("a"), id("b")]),
        seats: BTreeMap::new(),
    };
    (sweep, seats)
}

impl Watch {
    fn sweep(&mut self, seconds: i64, seats: &[(&str, i64)]) -> Outcome {
        let (sweep, seats) = sweep(seconds, seats);
        self.glance(&sweep, &seats)
    }

    fn glance(&mut self, sweep: &Sweep, seats: &Seats) -> Outcome {
        let glance = sweep.about(Some(seats));
        let outcome = sweep::observe(&self.belief, &glance, &self.card, SOURCE, &self.rules);
        self.take(outcome)
    }

    fn says(&self, seconds: i64, seats: &[(&str, i64)]) -> Vec<Says> {
        let (sweep, seats) = sweep(seconds, seats);
        glance::says(&self.belief, &sweep.about(Some(&seats))).into_iter().map(|(_, says)| says).collect()
    }
}

#[test]
fn a_join_needs_two_sweeps_and_is_told_at_the_first() {
    let mut watch = Watch::idle();
    assert!(watch.sweep(400, &[]).events.is_empty());
    let seen = watch.sweep(700, &[("a", 3)]);
    assert!(seen.events.is_empty() && seen.confirm);
    assert_eq!(watch.belief.presence(), Presence::Outside);
    let seen = watch.sweep(730, &[("a", 3)]);
    assert_eq!(words(&seen), "joined presence=true");
    assert_eq!(timing(&seen.events[0]), "700 observed (400, 700]");
    assert_eq!(flags(&seen.events[0]), "by_sweep");
    assert_eq!(flags(&seen.events[1]), "by_sweep");
    assert!(watch.sweep(1000, &[("a", 3)]).events.is_empty());
}

#[test]
fn one_sweep_that_sees_somebody_says_nothing() {
    let mut watch = Watch::idle();
    watch.sweep(700, &[("a", 3)]);
    assert!(watch.sweep(1000, &[]).events.is_empty());
    let seen = watch.sweep(1300, &[("a", 3)]);
    assert!(seen.events.is_empty() && seen.confirm, "the count begins anew");
}

#[test]
fn a_leave_needs_the_misses_it_always_needs() {
    let mut watch = Watch::inside();
    watch.sweep(500, &[("a", 3)]);
    let seen = watch.sweep(800, &[]);
    assert!(seen.events.is_empty() && seen.confirm);
    assert!(!watch.belief.settled(), "the next look is not taken for one that says nothing new");
    let seen = watch.sweep(830, &[]);
    assert_eq!(words(&seen), "left(vanished) presence=false");
    assert_eq!(timing(&seen.events[0]), "800 observed (500, 800]");
    assert_eq!(flags(&seen.events[0]), "by_sweep");
}

#[test]
fn a_status_tells_why() {
    for (code, word) in [(6, "left(left)"), (5, "left(removed)")] {
        let mut watch = Watch::inside();
        watch.sweep(800, &[("a", code)]);
        assert_eq!(words(&watch.sweep(830, &[("a", code)])), format!("{word} presence=false"));
    }
}

#[test]
fn a_miss_and_one_look_are_enough() {
    let mut watch = Watch::inside();
    watch.sweep(500, &[("a", 3)]);
    watch.sweep(800, &[]);
    let seen = watch.look(830, &[]);
    assert_eq!(words(&seen), "left(vanished) presence=false");
    assert_eq!(timing(&seen.events[0]), "800 inferred (500, 800]");
}

#[test]
fn a_meeting_in_which_no_sweep_saw_them_is_none_it_can_miss() {
    let mut watch = Watch::inside();
    for seconds in [500, 800, 1100] {
        assert!(watch.sweep(seconds, &[]).events.is_empty());
    }
    assert_eq!(watch.belief.presence(), Presence::Inside);
}

#[test]
fn who_is_known_to_sweeps_is_missed_in_every_meeting_that_they_have_shown() {
    let shown = |name: &str| BTreeMap::from([(ConferenceId::parse(name).unwrap(), at(300))]);
    for (meeting, told) in [("a", "left(vanished) presence=false"), ("b", "")] {
        let mut watch = Watch::inside();
        let shown = shown(meeting);
        let mut seen = Outcome::default();
        for seconds in [800, 830] {
            let (sweep, seats) = sweep(seconds, &[]);
            let glance = sweep.about(Some(&seats)).known_to_sweeps(&shown);
            seen = sweep::observe(&watch.belief, &glance, &watch.card, SOURCE, &watch.rules);
            seen = watch.take(seen);
        }
        assert_eq!(words(&seen), told, "{meeting}");
    }
}

#[test]
fn a_later_look_tells_the_time_of_the_join() {
    let mut watch = Watch::idle();
    watch.sweep(700, &[("a", 3)]);
    let joined = watch.sweep(730, &[("a", 3)]).events[0].clone();
    let seen = watch.look(900, &[active("a", 640)]);
    assert_eq!(words(&seen), "corrected");
    assert_eq!(seen.events[0].data.supersedes.as_ref(), Some(&joined.id));
    assert_eq!(timing(&seen.events[0]), "640 reported (640, 640]");
    assert_eq!(seen.visits[0].joined, at(640));
}

#[test]
fn a_later_look_tells_both_times_of_a_stay_that_is_over() {
    let mut watch = Watch::idle();
    watch.sweep(700, &[("a", 3)]);
    watch.sweep(730, &[("a", 3)]);
    watch.sweep(1200, &[("a", 6)]);
    watch.sweep(1230, &[("a", 6)]);
    let seen = watch.look(1300, &[gone("a", 6, 640, 1111)]);
    assert_eq!(words(&seen), "corrected corrected");
    let changes: Vec<_> = seen.events.iter().map(|event| event.data.changes.unwrap()).collect();
    assert_eq!(changes[0].joined_at.unwrap().to.0, at(640));
    assert_eq!(changes[1].left_at.unwrap().to.0, at(1111));
    assert_eq!(seen.visits.len(), 1);
    assert_eq!((seen.visits[0].joined, seen.visits[0].end.unwrap().at), (at(640), at(1111)));
    assert!(watch.look(1400, &[gone("a", 6, 640, 1111)]).events.is_empty());
}

#[test]
fn a_look_that_tells_of_the_next_stay_ends_this_one_before_it() {
    let mut watch = Watch::idle();
    watch.sweep(700, &[("a", 3)]);
    watch.sweep(730, &[("a", 3)]);
    watch.sweep(1200, &[("a", 6)]);
    watch.sweep(1230, &[("a", 6)]);
    let seen = watch.look(1300, &[gone("a", 6, 1000, 1100)]);
    assert_eq!(words(&seen), "joined left(left) corrected");
    assert_eq!(seen.visits.len(), 2);
    let ends: Vec<_> = seen.visits.iter().map(|visit| visit.end.unwrap().at).collect();
    assert_eq!(ends, [at(1000), at(1100)]);
}

#[test]
fn soon_after_a_look_a_sweep_is_only_a_reason_to_look() {
    let watch = Watch::inside();
    let missed = |seconds| watch.says(seconds, &[("a", 6)]);
    assert_eq!(missed(9), [], "older than the look");
    assert_eq!(missed(300), [Says::Odd]);
    assert_eq!(missed(371), [Says::Left(Gone::Left)]);
    assert_eq!(watch.says(300, &[("b", 3)]), [Says::StillInside, Says::Odd][1..], "a second meeting");
}

#[test]
fn nobody_is_swept_who_was_never_looked_at() {
    let mut watch = Watch::new(EMIT);
    assert_eq!(watch.says(700, &[("a", 3)]), [Says::Odd]);
    watch.sweep(700, &[("a", 3)]);
    assert!(watch.sweep(730, &[("a", 3)]).events.is_empty());
    assert_eq!(watch.belief, Belief::default());
}

#[test]
fn after_an_interruption_a_look_comes_first() {
    let mut watch = Watch::inside();
    watch.interrupt(20, 400);
    assert_eq!(watch.says(700, &[("a", 6)]), [Says::Odd]);
    assert!(watch.sweep(700, &[("a", 6)]).events.is_empty());
}

#[test]
fn a_look_ends_a_stay_that_never_was_once_it_is_missed_often_enough() {
    let mut watch = Watch::idle();
    watch.sweep(700, &[("a", 3)]);
    assert_eq!(words(&watch.sweep(730, &[("a", 3)])), "joined presence=true");
    let seen = watch.look(900, &[]);
    assert!(seen.events.is_empty() && seen.confirm, "one look that lists nothing is not enough");
    let seen = watch.look(960, &[]);
    assert_eq!(words(&seen), "left(vanished) presence=false");
    assert_eq!(timing(&seen.events[0]), "900 inferred (730, 900]");
    assert!(watch.look(1020, &[]).events.is_empty());
}

#[test]
fn a_record_of_an_earlier_stay_ends_one_that_never_was_at_once() {
    let mut watch = Watch::idle();
    watch.look(100, &[active("a", 90)]);
    watch.look(200, &[gone("a", 6, 90, 190)]);
    watch.sweep(700, &[("a", 3)]);
    assert_eq!(words(&watch.sweep(730, &[("a", 3)])), "joined presence=true");
    let seen = watch.look(900, &[gone("a", 6, 90, 190)]);
    assert_eq!(words(&seen), "left(left) presence=false");
    assert_eq!(timing(&seen.events[0]), "900 observed (730, 900]");
    assert_eq!(flags(&seen.events[0]), "leave_time_implausible");
    assert!(watch.look(960, &[gone("a", 6, 90, 190)]).events.is_empty());
}
