//! The situations of the public contract, one test each: joins, lefts, vanished entries, first looks.

use super::*;

#[test]
fn a_join_with_join_time_is_reported() {
    let mut watch = Watch::idle();
    let seen = watch.look(10, &[active("a", 5)]);
    assert_eq!(words(&seen), "joined presence=true");
    assert_eq!(timing(&seen.events[0]), "5 reported (5, 5]");
    assert_eq!(flags(&seen.events[0]), "");
    let presence = &seen.events[1];
    assert_eq!(presence.time, at(5), "presence has its cause's time");
    assert_eq!(presence.data.cause.as_deref(), Some(seen.events[0].id.as_str()));
    assert_eq!(seen.visits.len(), 1);
    assert_eq!((seen.visits[0].ordinal, seen.visits[0].anchor), (1, at(5)));
}

#[test]
fn a_join_without_join_time_is_observed_between_two_looks() {
    for before in [&[][..], &[record("a", 1)], &[record("a", 2)]] {
        let mut watch = Watch::idle();
        watch.look(7, before);
        let seen = watch.look(10, &[record("a", 3)]);
        assert_eq!(words(&seen), "joined presence=true");
        assert_eq!(timing(&seen.events[0]), "10 observed (7, 10]");
    }
}

#[test]
fn a_join_time_ahead_of_our_clock_is_the_look_and_flagged() {
    let mut watch = Watch::idle();
    let seen = watch.look(10, &[active("a", 99)]);
    assert_eq!(timing(&seen.events[0]), "10 observed (0, 10]");
    assert_eq!(flags(&seen.events[0]), "join_time_implausible");
    assert_eq!(words(&watch.look(20, &[active("a", 99)])), "", "the same skewed time is the same stay");
    let seen = watch.look(30, &[gone("a", 6, 99, 120)]);
    assert_eq!(words(&seen), "left(left) presence=false");
    assert_eq!(seen.events[0].data.visit.as_ref().unwrap().duration_ms, Some(20_000));
}

#[test]
fn left_and_removed_take_the_leave_time() {
    for (status, word) in [(6, "left(left)"), (5, "left(removed)"), (0, "left(left)")] {
        let mut watch = Watch::inside();
        let seen = watch.look(20, &[gone("a", status, 5, 15)]);
        assert_eq!(words(&seen), format!("{word} presence=false"));
        assert_eq!(timing(&seen.events[0]), "15 reported (15, 15]");
        let visit = seen.events[0].data.visit.as_ref().unwrap();
        assert_eq!((visit.duration_ms, visit.ordinal), (Some(10_000), 1));
        assert_eq!(seen.visits[0].end.unwrap().at, at(15));
    }
}

#[test]
fn a_leave_without_leave_time_is_the_look() {
    let mut watch = Watch::inside();
    let seen = watch.look(20, &[Attendance { joined: Some(at(5)), ..record("a", 6) }]);
    assert_eq!(timing(&seen.events[0]), "20 observed (10, 20]");
    assert_eq!(flags(&seen.events[0]), "leave_time_missing");
}

#[test]
fn an_implausible_leave_time_is_the_look() {
    for left in [4, 21] {
        let mut watch = Watch::inside();
        let seen = watch.look(20, &[gone("a", 6, 5, left)]);
        assert_eq!(timing(&seen.events[0]), "20 observed (10, 20]", "leaveTime {left}");
        assert_eq!(flags(&seen.events[0]), "leave_time_implausible");
    }
}

#[test]
fn a_leave_time_left_over_from_an_earlier_stay_is_not_believed() {
    let mut watch = Watch::idle();
    watch.look(10, &[gone("a", 3, 5, 7)]);
    let seen = watch.look(20, &[gone("a", 6, 5, 7)]);
    assert_eq!(timing(&seen.events[0]), "20 observed (10, 20]");
    assert_eq!(flags(&seen.events[0]), "leave_time_implausible");
}

#[test]
fn status_three_is_inside_whatever_leave_time_says() {
    let mut watch = Watch::idle();
    assert_eq!(words(&watch.look(10, &[gone("a", 3, 5, 8)])), "joined presence=true");
}

#[test]
fn without_status_the_times_decide() {
    let mut watch = Watch::idle();
    let seen = watch.look(10, &[Attendance { joined: Some(at(5)), ..record("a", 0) }]);
    assert_eq!(words(&seen), "joined presence=true");
    assert_eq!(flags(&seen.events[0]), "status_missing");
    let seen = watch.look(20, &[gone("a", 0, 5, 15)]);
    assert_eq!(words(&seen), "left(left) presence=false");
    assert_eq!(flags(&seen.events[0]), "status_missing");
}

#[test]
fn an_unknown_status_leaves_the_belief() {
    for status in [99, -1] {
        let mut watch = Watch::inside();
        let odd = Attendance { joined: Some(at(5)), ..record("a", status) };
        for seconds in [20, 30, 40] {
            assert_eq!(words(&watch.look(seconds, std::slice::from_ref(&odd))), "");
        }
        assert_eq!(watch.belief.presence(), Presence::Inside);
        let seen = watch.look(50, &[gone("a", 6, 5, 45)]);
        assert_eq!(words(&seen), "left(left) presence=false");
        assert_eq!(flags(&seen.events[0]), "status_unrecognized");

        let mut watch = Watch::idle();
        assert_eq!(words(&watch.look(10, &[odd])), "");
        assert_eq!(watch.belief.presence(), Presence::Outside);
    }
}

#[test]
fn status_zero_is_unrecognized_too() {
    let zero = Attendance { status: Some(AttendStatus::from(0)), ..active("a", 5) };
    let mut watch = Watch::inside();
    assert_eq!(words(&watch.look(20, &[zero])), "");
    assert_eq!(watch.belief.presence(), Presence::Inside);
}

#[test]
fn being_called_again_is_not_inside() {
    for status in [1, 2] {
        let mut watch = Watch::inside();
        let seen = watch.look(20, &[record("a", status)]);
        assert_eq!(words(&seen), "left(left) invited presence=false");
        assert_eq!(timing(&seen.events[0]), "20 observed (10, 20]");
        assert_eq!(seen.events[1].data.status.unwrap().previous, Some(3));
    }
    let mut watch = Watch::inside();
    assert_eq!(words(&watch.look(20, &[record("a", 4)])), "left(left) presence=false");
}

#[test]
fn a_short_visit_seen_afterwards_is_told_late() {
    for before in [&[][..], &[record("a", 2)]] {
        let mut watch = Watch::idle();
        watch.look(10, before);
        let seen = watch.look(20, &[gone("a", 6, 12, 18)]);
        assert_eq!(words(&seen), "joined left(left)");
        assert_eq!(timing(&seen.events[0]), "12 reported (12, 12] late");
        assert_eq!(timing(&seen.events[1]), "18 reported (18, 18] late");
        assert_eq!(flags(&seen.events[0]), "short_visit");
        assert_eq!(flags(&seen.events[1]), "short_visit");
        assert_eq!(seen.visits.len(), 1);
        assert_eq!(words(&watch.look(30, &[gone("a", 6, 12, 18)])), "");
    }
}

#[test]
fn an_ended_record_from_before_the_last_look_is_history_only() {
    let mut watch = Watch::idle();
    watch.look(10, &[]);
    let seen = watch.look(20, &[gone("a", 6, 9, 18)]);
    assert_eq!(words(&seen), "");
    assert_eq!(seen.visits.len(), 1);
}

#[test]
fn a_vanished_entry_is_a_left_only_when_confirmed() {
    let mut watch = Watch::inside();
    let first = watch.look(20, &[]);
    assert_eq!(words(&first), "");
    assert!(first.confirm);
    assert_eq!(watch.belief.presence(), Presence::Inside);
    assert!(!watch.belief.settled());
    let seen = watch.look(25, &[]);
    assert!(!seen.confirm);
    assert_eq!(words(&seen), "left(vanished) presence=false");
    assert_eq!(timing(&seen.events[0]), "20 inferred (10, 20]");
    let status = seen.events[0].data.status.unwrap();
    assert_eq!((status.code, status.previous), (None, Some(3)));
    assert!(watch.belief.settled());
    assert_eq!(words(&watch.look(30, &[])), "");
}

#[test]
fn one_miss_is_enough_if_the_operator_says_so() {
    let mut watch = Watch::inside();
    watch.rules.leave_after_misses = 1;
    let seen = watch.look(20, &[]);
    assert!(!seen.confirm);
    assert_eq!(words(&seen), "left(vanished) presence=false");
}

#[test]
fn misses_count_in_a_row_only() {
    let mut watch = Watch::inside();
    for seconds in [20, 40, 60] {
        assert_eq!(words(&watch.look(seconds, &[])), "");
        assert_eq!(words(&watch.look(seconds + 10, &[active("a", 5)])), "");
    }
    assert_eq!(watch.belief.presence(), Presence::Inside);
}

#[test]
fn weak_evidence_ends_a_stay_as_any_absence_does_and_says_so() {
    let mut watch = Watch::inside();
    assert!(watch.observe(&weak(look(20, &[]))).confirm);
    let seen = watch.observe(&weak(look(25, &[])));
    assert_eq!(words(&seen), "left(vanished) presence=false");
    assert_eq!(flags(&seen.events[0]), "weak_evidence");
}

#[test]
fn an_id_without_record_is_neither_a_left_nor_a_miss() {
    let mut watch = Watch::inside();
    for seconds in [20, 30, 40] {
        let seen = watch.observe(&listed_only(look(seconds, &[]), "a"));
        assert_eq!(words(&seen), "");
        assert!(!seen.confirm);
    }
    assert_eq!(watch.belief.presence(), Presence::Inside);
    let seen = watch.look(50, &[gone("a", 6, 5, 44)]);
    assert_eq!(flags(&seen.events[0]), "member_record_missing");
    assert_eq!(timing(&seen.events[0]), "44 reported (44, 44]");
}

#[test]
fn an_id_never_seen_with_a_record_leaves_presence_unknown() {
    let mut watch = Watch::idle();
    let seen = watch.observe(&listed_only(look(10, &[]), "a"));
    assert_eq!(words(&seen), "presence=null");
    assert_eq!(flags(&seen.events[0]), "member_record_missing");
    assert_eq!(words(&watch.observe(&listed_only(look(20, &[]), "a"))), "");
    assert_eq!(words(&watch.look(30, &[record("a", 2)])), "invited presence=false");
    watch.look(40, &[]);
    watch.look(50, &[]);
    let seen = watch.observe(&listed_only(look(60, &[]), "a"));
    assert_eq!(words(&seen), "presence=null", "listed anew");
    let mut first = Watch::new(EMIT);
    assert_eq!(words(&first.observe(&listed_only(look(0, &[]), "a"))), "");
    assert_eq!(first.belief.presence(), Presence::Unknown);
}

#[test]
fn several_meetings_are_several_visits_and_one_presence() {
    let mut watch = Watch::inside();
    let seen = watch.look(20, &[active("a", 5), active("b", 15)]);
    assert_eq!(words(&seen), "joined");
    assert_eq!(seen.events[0].data.presence.as_ref().unwrap().meetings.len(), 2);
    assert_eq!(words(&watch.look(30, &[gone("a", 6, 5, 25), active("b", 15)])), "left(left)");
    assert_eq!(
        words(&watch.look(40, &[gone("a", 6, 5, 25), gone("b", 6, 15, 35)])),
        "left(left) presence=false"
    );
}

#[test]
fn device_nick_duration_and_phone_are_no_events_and_the_row_keeps_the_newest() {
    let mut watch = Watch::inside();
    let mut newer = active("a", 5);
    newer.duration_ms = Some(77);
    let seen = watch.look(20, std::slice::from_ref(&newer));
    assert!(seen.events.is_empty() && seen.visits.is_empty(), "duration is never kept");
    newer.device = Some("iOS".into());
    newer.nick = Some("Other\u{202e} Name".into());
    newer.by_phone = true;
    newer.external = true;
    let seen = watch.look(30, std::slice::from_ref(&newer));
    assert_eq!(words(&seen), "");
    let row = &seen.visits[0];
    assert_eq!(row.device.as_deref(), Some("iOS"));
    assert_eq!(row.nick.as_deref(), Some("Other Name"));
    assert!(row.by_phone && row.external);
    newer.device = None;
    assert!(watch.look(40, &[newer]).visits.is_empty(), "what is left out stays");
}

#[test]
fn a_changed_role_is_told_inside_an_open_visit() {
    let mut watch = Watch::inside();
    let host = Attendance { role: Role::Host, ..active("a", 5) };
    let seen = watch.look(20, std::slice::from_ref(&host));
    assert_eq!(words(&seen), "role_changed");
    let change = seen.events[0].data.changes.unwrap().role.unwrap();
    assert_eq!((change.from, change.to), (Role::Attendee, Role::Host));
    assert!(seen.events[0].host);
    assert_eq!(seen.visits[0].role, Role::Host);
    assert_eq!(words(&watch.look(30, &[host])), "");
}

#[test]
fn a_refused_call_is_a_failed_join_once() {
    let mut watch = Watch::idle();
    assert_eq!(words(&watch.look(10, &[record("a", 1)])), "invited");
    assert_eq!(words(&watch.look(20, &[record("a", 2)])), "", "still pending");
    let seen = watch.look(30, &[record("a", 4)]);
    assert_eq!(words(&seen), "join_failed");
    assert_eq!(timing(&seen.events[0]), "30 observed (20, 30]");
    assert!(seen.visits.is_empty());
    assert_eq!(words(&watch.look(40, &[record("a", 4)])), "");
    assert_eq!(words(&watch.look(50, &[])), "");
    assert_eq!(words(&watch.look(60, &[record("a", 4)])), "", "a flicker is not a second refusal");
    let seen = watch.look(70, &[active("a", 65)]);
    assert_eq!(words(&seen), "joined presence=true");
    assert!(!seen.events[0].data.visit.as_ref().unwrap().rejoin);
}

#[test]
fn the_first_look_at_somebody_idle_is_silent() {
    let mut watch = Watch::new(EMIT);
    assert!(watch.look(0, &[]).events.is_empty());
    assert_eq!(watch.belief.presence(), Presence::Outside);
    let mut watch = Watch::new(EMIT);
    assert!(watch.look(0, &[record("a", 1), record("b", 4)]).events.is_empty());
    assert_eq!(watch.belief.presence(), Presence::Outside);
}

#[test]
fn the_first_look_at_somebody_inside_is_a_late_join() {
    let mut watch = Watch::new(EMIT);
    let seen = watch.look(10, &[active("a", 5)]);
    assert_eq!(words(&seen), "joined presence=true");
    assert_eq!(timing(&seen.events[0]), "5 reported (5, 5] late");
    assert_eq!(flags(&seen.events[0]), "first_observation");
    let mut watch = Watch::new(EMIT);
    let seen = watch.look(10, &[record("a", 3)]);
    assert_eq!(timing(&seen.events[0]), "10 observed (-, 10] late");
}

#[test]
fn a_silent_first_look_tells_nothing_but_the_later_left() {
    let mut watch = Watch::new(SILENT);
    let seen = watch.look(10, &[active("a", 5)]);
    assert!(seen.events.is_empty());
    assert_eq!(seen.visits.len(), 1, "the history has it");
    assert_eq!(watch.belief.presence(), Presence::Inside);
    assert_eq!(words(&watch.look(20, &[gone("a", 6, 5, 15)])), "left(left) presence=false");
    assert_eq!(words(&watch.look(30, &[active("a", 25)])), "joined presence=true");
}

#[test]
fn an_already_ended_record_at_the_first_look_is_stored_silently() {
    let mut watch = Watch::new(EMIT);
    let seen = watch.look(20, &[gone("a", 6, 5, 15)]);
    assert!(seen.events.is_empty());
    assert_eq!(seen.visits[0].end.unwrap().at, at(15));
    let seen = watch.look(30, &[active("a", 25)]);
    let visit = seen.events[0].data.visit.clone().unwrap();
    assert!(visit.rejoin && visit.ordinal == 2);
}

#[test]
fn the_seed_pages_example_is_understood() {
    let mut watch = Watch::idle();
    let mut example = record("654058f2411fe90147e68780", 0);
    example.joined = Some(Timestamp::from_ms(1_699_347_295_876));
    example.left = Some(Timestamp::from_ms(1_699_347_395_876));
    let seen = watch.look(600, &[example]);
    assert_eq!(words(&seen), "joined left(left)");
    assert_eq!(seen.events[1].data.visit.as_ref().unwrap().duration_ms, Some(100_000));
}
