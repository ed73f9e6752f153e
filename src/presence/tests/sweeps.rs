//! What sweeps may change, and how a later poll corrects it.

use std::collections::BTreeSet;

use super::*;
use crate::presence::sweep;
use crate::presence::sweep_view::{self, LeaveKind, MeetingStatuses, Sweep, SweepChange};

mod wrong_sweeps;

/// A sweep of all meetings, with the statuses of this user. The meetings `a` and `b` are ongoing.
fn sweep(seconds: i64, statuses: &[(&str, i64)]) -> (Sweep, MeetingStatuses) {
    let id = |name: &str| ConferenceId::parse(name).unwrap();
    let statuses: MeetingStatuses =
        statuses.iter().map(|(name, code)| (id(name), AttendStatus::from(*code))).collect();
    let sweep = Sweep {
        started_at: at(seconds),
        observed_at: at(seconds),
        requested: None,
        meetings: BTreeSet::from([id("a"), id("b")]),
        participants: BTreeMap::new(),
    };
    (sweep, statuses)
}

impl TestUser {
    fn sweep(&mut self, seconds: i64, statuses: &[(&str, i64)]) -> Transition {
        let (sweep, statuses) = sweep(seconds, statuses);
        self.apply(&sweep, &statuses)
    }

    fn apply(&mut self, sweep: &Sweep, statuses: &MeetingStatuses) -> Transition {
        let view = sweep.view(Some(statuses));
        let transition = sweep::observe(&self.state, &view, &self.info, SOURCE, &self.rules);
        self.take(transition)
    }

    fn changes(&self, seconds: i64, statuses: &[(&str, i64)]) -> Vec<SweepChange> {
        let (sweep, statuses) = sweep(seconds, statuses);
        sweep_view::changes(&self.state, &sweep.view(Some(&statuses)))
            .into_iter()
            .map(|(_, change)| change)
            .collect()
    }
}

#[test]
fn a_join_needs_two_sweeps_and_has_the_time_of_the_first() {
    let mut user = TestUser::idle();
    assert!(user.sweep(400, &[]).events.is_empty());
    let seen = user.sweep(700, &[("a", 3)]);
    assert!(seen.events.is_empty() && seen.needs_recheck);
    assert_eq!(user.state.presence(), Presence::Outside);
    let seen = user.sweep(730, &[("a", 3)]);
    assert_eq!(summary(&seen), "joined presence=true");
    assert_eq!(timing(&seen.events[0]), "700 observed (400, 700]");
    assert_eq!(flags(&seen.events[0]), "by_sweep");
    assert_eq!(flags(&seen.events[1]), "by_sweep");
    assert!(user.sweep(1000, &[("a", 3)]).events.is_empty());
}

#[test]
fn one_sweep_that_reports_a_join_emits_nothing() {
    let mut user = TestUser::idle();
    user.sweep(700, &[("a", 3)]);
    assert!(user.sweep(1000, &[]).events.is_empty());
    let seen = user.sweep(1300, &[("a", 3)]);
    assert!(seen.events.is_empty() && seen.needs_recheck, "the count starts again");
}

#[test]
fn a_leave_needs_leave_after_misses() {
    let mut user = TestUser::inside();
    user.sweep(500, &[("a", 3)]);
    let seen = user.sweep(800, &[]);
    assert!(seen.events.is_empty() && seen.needs_recheck);
    assert!(!user.state.is_settled(), "the next poll is compared in full");
    let seen = user.sweep(830, &[]);
    assert_eq!(summary(&seen), "left(vanished) presence=false");
    assert_eq!(timing(&seen.events[0]), "800 observed (500, 800]");
    assert_eq!(flags(&seen.events[0]), "by_sweep");
}

#[test]
fn a_status_gives_the_reason() {
    for (code, left) in [(6, "left(left)"), (5, "left(removed)")] {
        let mut user = TestUser::inside();
        user.sweep(800, &[("a", code)]);
        assert_eq!(summary(&user.sweep(830, &[("a", code)])), format!("{left} presence=false"));
    }
}

#[test]
fn a_missing_user_and_one_poll_are_enough() {
    let mut user = TestUser::inside();
    user.sweep(500, &[("a", 3)]);
    user.sweep(800, &[]);
    let seen = user.poll(830, &[]);
    assert_eq!(summary(&seen), "left(vanished) presence=false");
    assert_eq!(timing(&seen.events[0]), "800 inferred (500, 800]");
}

#[test]
fn a_sweep_cannot_miss_a_user_in_a_meeting_where_no_sweep_reported_them() {
    let mut user = TestUser::inside();
    for seconds in [500, 800, 1100] {
        assert!(user.sweep(seconds, &[]).events.is_empty());
    }
    assert_eq!(user.state.presence(), Presence::Inside);
}

#[test]
fn a_reported_user_can_be_missed_in_every_listed_meeting() {
    let listed = |name: &str| BTreeMap::from([(ConferenceId::parse(name).unwrap(), at(300))]);
    for (meeting, expected) in [("a", "left(vanished) presence=false"), ("b", "")] {
        let mut user = TestUser::inside();
        let listed = listed(meeting);
        let mut seen = Transition::default();
        for seconds in [800, 830] {
            let (sweep, statuses) = sweep(seconds, &[]);
            let view = sweep.view(Some(&statuses)).listed_in(&listed);
            seen = sweep::observe(&user.state, &view, &user.info, SOURCE, &user.rules);
            seen = user.take(seen);
        }
        assert_eq!(summary(&seen), expected, "{meeting}");
    }
}

#[test]
fn a_later_poll_corrects_the_join_time() {
    let mut user = TestUser::idle();
    user.sweep(700, &[("a", 3)]);
    let joined = user.sweep(730, &[("a", 3)]).events[0].clone();
    let seen = user.poll(900, &[active("a", 640)]);
    assert_eq!(summary(&seen), "corrected");
    assert_eq!(seen.events[0].data.supersedes.as_ref(), Some(&joined.id));
    assert_eq!(timing(&seen.events[0]), "640 reported (640, 640]");
    assert_eq!(seen.visits[0].joined, at(640));
}

#[test]
fn a_later_poll_corrects_both_times_of_an_ended_visit() {
    let mut user = TestUser::idle();
    user.sweep(700, &[("a", 3)]);
    user.sweep(730, &[("a", 3)]);
    user.sweep(1200, &[("a", 6)]);
    user.sweep(1230, &[("a", 6)]);
    let seen = user.poll(1300, &[gone("a", 6, 640, 1111)]);
    assert_eq!(summary(&seen), "corrected corrected");
    let changes: Vec<_> = seen.events.iter().map(|event| event.data.changes.unwrap()).collect();
    assert_eq!(changes[0].joined_at.unwrap().to.0, at(640));
    assert_eq!(changes[1].left_at.unwrap().to.0, at(1111));
    assert_eq!(seen.visits.len(), 1);
    assert_eq!((seen.visits[0].joined, seen.visits[0].end.unwrap().at), (at(640), at(1111)));
    assert!(user.poll(1400, &[gone("a", 6, 640, 1111)]).events.is_empty());
}

#[test]
fn a_poll_that_reports_the_next_visit_ends_this_one_before_it() {
    let mut user = TestUser::idle();
    user.sweep(700, &[("a", 3)]);
    user.sweep(730, &[("a", 3)]);
    user.sweep(1200, &[("a", 6)]);
    user.sweep(1230, &[("a", 6)]);
    let seen = user.poll(1300, &[gone("a", 6, 1000, 1100)]);
    assert_eq!(summary(&seen), "joined left(left) corrected");
    assert_eq!(seen.visits.len(), 2);
    let ends: Vec<_> = seen.visits.iter().map(|visit| visit.end.unwrap().at).collect();
    assert_eq!(ends, [at(1000), at(1100)]);
}

#[test]
fn soon_after_a_poll_a_sweep_only_leads_to_a_poll() {
    let user = TestUser::inside();
    let missed = |seconds| user.changes(seconds, &[("a", 6)]);
    assert_eq!(missed(9), [], "older than the poll");
    assert_eq!(missed(300), [SweepChange::NeedsPoll]);
    assert_eq!(missed(371), [SweepChange::Left(LeaveKind::Left)]);
    assert_eq!(
        user.changes(300, &[("b", 3)]),
        [SweepChange::StillInside, SweepChange::NeedsPoll][1..],
        "a second meeting"
    );
}

#[test]
fn a_sweep_needs_a_poll_before_it() {
    let mut user = TestUser::new(EMIT);
    assert_eq!(user.changes(700, &[("a", 3)]), [SweepChange::NeedsPoll]);
    user.sweep(700, &[("a", 3)]);
    assert!(user.sweep(730, &[("a", 3)]).events.is_empty());
    assert_eq!(user.state, UserState::default());
}

#[test]
fn after_an_unobserved_interval_a_poll_comes_first() {
    let mut user = TestUser::inside();
    user.mark_unobserved(20, 400);
    assert_eq!(user.changes(700, &[("a", 6)]), [SweepChange::NeedsPoll]);
    assert!(user.sweep(700, &[("a", 6)]).events.is_empty());
}

#[test]
fn polls_end_a_visit_that_only_sweeps_reported() {
    let mut user = TestUser::idle();
    user.sweep(700, &[("a", 3)]);
    assert_eq!(summary(&user.sweep(730, &[("a", 3)])), "joined presence=true");
    let seen = user.poll(900, &[]);
    assert!(seen.events.is_empty() && seen.needs_recheck, "one poll that lists nothing is not enough");
    let seen = user.poll(960, &[]);
    assert_eq!(summary(&seen), "left(vanished) presence=false");
    assert_eq!(timing(&seen.events[0]), "900 inferred (730, 900]");
    assert!(user.poll(1020, &[]).events.is_empty());
}

#[test]
fn a_record_of_an_earlier_visit_ends_one_that_only_sweeps_reported() {
    let mut user = TestUser::idle();
    user.poll(100, &[active("a", 90)]);
    user.poll(200, &[gone("a", 6, 90, 190)]);
    user.sweep(700, &[("a", 3)]);
    assert_eq!(summary(&user.sweep(730, &[("a", 3)])), "joined presence=true");
    let seen = user.poll(900, &[gone("a", 6, 90, 190)]);
    assert_eq!(summary(&seen), "left(left) presence=false");
    assert_eq!(timing(&seen.events[0]), "900 observed (730, 900]");
    assert_eq!(flags(&seen.events[0]), "leave_time_implausible");
    assert!(user.poll(960, &[gone("a", 6, 90, 190)]).events.is_empty());
}
