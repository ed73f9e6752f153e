//! The documented situations, one test each: joins, lefts, vanished entries, first polls.

use super::*;

#[test]
fn a_join_with_join_time_is_reported() {
    let mut user = TestUser::idle();
    let seen = user.poll(10, &[active("a", 5)]);
    assert_eq!(summary(&seen), "joined presence=true");
    assert_eq!(timing(&seen.events[0]), "5 reported (5, 5]");
    assert_eq!(flags(&seen.events[0]), "");
    let presence = &seen.events[1];
    assert_eq!(presence.time, at(5), "presence has its cause's time");
    assert_eq!(presence.data.cause.as_deref(), Some(seen.events[0].id.as_str()));
    assert_eq!(seen.visits.len(), 1);
    assert_eq!((seen.visits[0].ordinal, seen.visits[0].anchor), (1, at(5)));
}

#[test]
fn a_join_without_join_time_is_observed_between_two_polls() {
    for before in [&[][..], &[record("a", 1)], &[record("a", 2)]] {
        let mut user = TestUser::idle();
        user.poll(7, before);
        let seen = user.poll(10, &[record("a", 3)]);
        assert_eq!(summary(&seen), "joined presence=true");
        assert_eq!(timing(&seen.events[0]), "10 observed (7, 10]");
    }
}

#[test]
fn a_join_time_in_the_future_becomes_the_poll_time_with_a_flag() {
    let mut user = TestUser::idle();
    let seen = user.poll(10, &[active("a", 99)]);
    assert_eq!(timing(&seen.events[0]), "10 observed (0, 10]");
    assert_eq!(flags(&seen.events[0]), "join_time_implausible");
    assert_eq!(summary(&user.poll(20, &[active("a", 99)])), "", "the same skewed time is the same visit");
    let seen = user.poll(30, &[gone("a", 6, 99, 120)]);
    assert_eq!(summary(&seen), "left(left) presence=false");
    assert_eq!(seen.events[0].data.visit.as_ref().unwrap().duration_ms, Some(20_000));
}

#[test]
fn left_and_removed_take_the_leave_time() {
    for (status, left) in [(6, "left(left)"), (5, "left(removed)"), (0, "left(left)")] {
        let mut user = TestUser::inside();
        let seen = user.poll(20, &[gone("a", status, 5, 15)]);
        assert_eq!(summary(&seen), format!("{left} presence=false"));
        assert_eq!(timing(&seen.events[0]), "15 reported (15, 15]");
        let visit = seen.events[0].data.visit.as_ref().unwrap();
        assert_eq!((visit.duration_ms, visit.ordinal), (Some(10_000), 1));
        assert_eq!(seen.visits[0].end.unwrap().at, at(15));
    }
}

#[test]
fn a_leave_without_leave_time_has_the_poll_time() {
    let mut user = TestUser::inside();
    let seen = user.poll(20, &[Attendance { joined: Some(at(5)), ..record("a", 6) }]);
    assert_eq!(timing(&seen.events[0]), "20 observed (10, 20]");
    assert_eq!(flags(&seen.events[0]), "leave_time_missing");
}

#[test]
fn an_implausible_leave_time_becomes_the_poll_time() {
    for left in [4, 21] {
        let mut user = TestUser::inside();
        let seen = user.poll(20, &[gone("a", 6, 5, left)]);
        assert_eq!(timing(&seen.events[0]), "20 observed (10, 20]", "leaveTime {left}");
        assert_eq!(flags(&seen.events[0]), "leave_time_implausible");
    }
}

#[test]
fn a_leave_time_of_an_earlier_visit_is_ignored() {
    let mut user = TestUser::idle();
    user.poll(10, &[gone("a", 3, 5, 7)]);
    let seen = user.poll(20, &[gone("a", 6, 5, 7)]);
    assert_eq!(timing(&seen.events[0]), "20 observed (10, 20]");
    assert_eq!(flags(&seen.events[0]), "leave_time_implausible");
}

#[test]
fn status_three_is_inside_despite_a_leave_time() {
    let mut user = TestUser::idle();
    assert_eq!(summary(&user.poll(10, &[gone("a", 3, 5, 8)])), "joined presence=true");
}

#[test]
fn without_status_the_times_decide() {
    let mut user = TestUser::idle();
    let seen = user.poll(10, &[Attendance { joined: Some(at(5)), ..record("a", 0) }]);
    assert_eq!(summary(&seen), "joined presence=true");
    assert_eq!(flags(&seen.events[0]), "status_missing");
    let seen = user.poll(20, &[gone("a", 0, 5, 15)]);
    assert_eq!(summary(&seen), "left(left) presence=false");
    assert_eq!(flags(&seen.events[0]), "status_missing");
}

#[test]
fn an_unrecognized_status_keeps_the_phase() {
    for status in [99, -1] {
        let mut user = TestUser::inside();
        let odd = Attendance { joined: Some(at(5)), ..record("a", status) };
        for seconds in [20, 30, 40] {
            assert_eq!(summary(&user.poll(seconds, std::slice::from_ref(&odd))), "");
        }
        assert_eq!(user.state.presence(), Presence::Inside);
        let seen = user.poll(50, &[gone("a", 6, 5, 45)]);
        assert_eq!(summary(&seen), "left(left) presence=false");
        assert_eq!(flags(&seen.events[0]), "status_unrecognized");

        let mut user = TestUser::idle();
        assert_eq!(summary(&user.poll(10, &[odd])), "");
        assert_eq!(user.state.presence(), Presence::Outside);
    }
}

#[test]
fn status_zero_is_unrecognized_too() {
    let zero = Attendance { status: Some(AttendStatus::from(0)), ..active("a", 5) };
    let mut user = TestUser::inside();
    assert_eq!(summary(&user.poll(20, &[zero])), "");
    assert_eq!(user.state.presence(), Presence::Inside);
}

#[test]
fn being_called_again_is_not_inside() {
    for status in [1, 2] {
        let mut user = TestUser::inside();
        let seen = user.poll(20, &[record("a", status)]);
        assert_eq!(summary(&seen), "left(left) invited presence=false");
        assert_eq!(timing(&seen.events[0]), "20 observed (10, 20]");
        assert_eq!(seen.events[1].data.status.unwrap().previous, Some(3));
    }
    let mut user = TestUser::inside();
    assert_eq!(summary(&user.poll(20, &[record("a", 4)])), "left(left) presence=false");
}

#[test]
fn the_events_of_a_short_visit_are_late() {
    for before in [&[][..], &[record("a", 2)]] {
        let mut user = TestUser::idle();
        user.poll(10, before);
        let seen = user.poll(20, &[gone("a", 6, 12, 18)]);
        assert_eq!(summary(&seen), "joined left(left)");
        assert_eq!(timing(&seen.events[0]), "12 reported (12, 12] late");
        assert_eq!(timing(&seen.events[1]), "18 reported (18, 18] late");
        assert_eq!(flags(&seen.events[0]), "short_visit");
        assert_eq!(flags(&seen.events[1]), "short_visit");
        assert_eq!(seen.visits.len(), 1);
        assert_eq!(summary(&user.poll(30, &[gone("a", 6, 12, 18)])), "");
    }
}

#[test]
fn a_visit_that_ended_before_the_last_poll_emits_no_event() {
    let mut user = TestUser::idle();
    user.poll(10, &[]);
    let seen = user.poll(20, &[gone("a", 6, 9, 18)]);
    assert_eq!(summary(&seen), "");
    assert_eq!(seen.visits.len(), 1);
}

#[test]
fn a_vanished_entry_is_a_left_only_when_confirmed() {
    let mut user = TestUser::inside();
    let first = user.poll(20, &[]);
    assert_eq!(summary(&first), "");
    assert!(first.needs_recheck);
    assert_eq!(user.state.presence(), Presence::Inside);
    assert!(!user.state.is_settled());
    let seen = user.poll(25, &[]);
    assert!(!seen.needs_recheck);
    assert_eq!(summary(&seen), "left(vanished) presence=false");
    assert_eq!(timing(&seen.events[0]), "20 inferred (10, 20]");
    let status = seen.events[0].data.status.unwrap();
    assert_eq!((status.code, status.previous), (None, Some(3)));
    assert!(user.state.is_settled());
    assert_eq!(summary(&user.poll(30, &[])), "");
}

#[test]
fn one_miss_is_enough_with_leave_after_misses_one() {
    let mut user = TestUser::inside();
    user.rules.leave_after_misses = 1;
    let seen = user.poll(20, &[]);
    assert!(!seen.needs_recheck);
    assert_eq!(summary(&seen), "left(vanished) presence=false");
}

#[test]
fn only_misses_in_a_row_count() {
    let mut user = TestUser::inside();
    for seconds in [20, 40, 60] {
        assert_eq!(summary(&user.poll(seconds, &[])), "");
        assert_eq!(summary(&user.poll(seconds + 10, &[active("a", 5)])), "");
    }
    assert_eq!(user.state.presence(), Presence::Inside);
}

#[test]
fn weak_evidence_ends_a_visit_with_a_flag() {
    let mut user = TestUser::inside();
    assert!(user.observe(&weak(poll(20, &[]))).needs_recheck);
    let seen = user.observe(&weak(poll(25, &[])));
    assert_eq!(summary(&seen), "left(vanished) presence=false");
    assert_eq!(flags(&seen.events[0]), "weak_evidence");
}

#[test]
fn an_id_without_record_is_neither_a_left_nor_a_miss() {
    let mut user = TestUser::inside();
    for seconds in [20, 30, 40] {
        let seen = user.observe(&listed_only(poll(seconds, &[]), "a"));
        assert_eq!(summary(&seen), "");
        assert!(!seen.needs_recheck);
    }
    assert_eq!(user.state.presence(), Presence::Inside);
    let seen = user.poll(50, &[gone("a", 6, 5, 44)]);
    assert_eq!(flags(&seen.events[0]), "member_record_missing");
    assert_eq!(timing(&seen.events[0]), "44 reported (44, 44]");
}

#[test]
fn an_id_never_seen_with_a_record_leaves_presence_unknown() {
    let mut user = TestUser::idle();
    let seen = user.observe(&listed_only(poll(10, &[]), "a"));
    assert_eq!(summary(&seen), "presence=null");
    assert_eq!(flags(&seen.events[0]), "member_record_missing");
    assert_eq!(summary(&user.observe(&listed_only(poll(20, &[]), "a"))), "");
    assert_eq!(summary(&user.poll(30, &[record("a", 2)])), "invited presence=false");
    user.poll(40, &[]);
    user.poll(50, &[]);
    let seen = user.observe(&listed_only(poll(60, &[]), "a"));
    assert_eq!(summary(&seen), "presence=null", "listed again");
    let mut first = TestUser::new(EMIT);
    assert_eq!(summary(&first.observe(&listed_only(poll(0, &[]), "a"))), "");
    assert_eq!(first.state.presence(), Presence::Unknown);
}

#[test]
fn several_meetings_are_several_visits_and_one_presence() {
    let mut user = TestUser::inside();
    let seen = user.poll(20, &[active("a", 5), active("b", 15)]);
    assert_eq!(summary(&seen), "joined");
    assert_eq!(seen.events[0].data.presence.as_ref().unwrap().meetings.len(), 2);
    assert_eq!(summary(&user.poll(30, &[gone("a", 6, 5, 25), active("b", 15)])), "left(left)");
    assert_eq!(
        summary(&user.poll(40, &[gone("a", 6, 5, 25), gone("b", 6, 15, 35)])),
        "left(left) presence=false"
    );
}

#[test]
fn device_nick_duration_and_phone_emit_no_events_and_update_the_visit() {
    let mut user = TestUser::inside();
    let mut newer = active("a", 5);
    newer.duration_ms = Some(77);
    let seen = user.poll(20, std::slice::from_ref(&newer));
    assert!(seen.events.is_empty() && seen.visits.is_empty(), "the duration is not stored");
    newer.device = Some("iOS".into());
    newer.nick = Some("Other\u{202e} Name".into());
    newer.by_phone = true;
    newer.external = true;
    let seen = user.poll(30, std::slice::from_ref(&newer));
    assert_eq!(summary(&seen), "");
    let row = &seen.visits[0];
    assert_eq!(row.device.as_deref(), Some("iOS"));
    assert_eq!(row.nick.as_deref(), Some("Other Name"));
    assert!(row.by_phone && row.external);
    newer.device = None;
    assert!(user.poll(40, &[newer]).visits.is_empty(), "values that are left out are kept");
}

#[test]
fn a_changed_role_emits_an_event_during_an_open_visit() {
    let mut user = TestUser::inside();
    let host = Attendance { role: Role::Host, ..active("a", 5) };
    let seen = user.poll(20, std::slice::from_ref(&host));
    assert_eq!(summary(&seen), "role_changed");
    let change = seen.events[0].data.changes.unwrap().role.unwrap();
    assert_eq!((change.from, change.to), (Role::Attendee, Role::Host));
    assert!(seen.events[0].host);
    assert_eq!(seen.visits[0].role, Role::Host);
    assert_eq!(summary(&user.poll(30, &[host])), "");
}

#[test]
fn a_rejected_call_is_one_failed_join() {
    let mut user = TestUser::idle();
    assert_eq!(summary(&user.poll(10, &[record("a", 1)])), "invited");
    assert_eq!(summary(&user.poll(20, &[record("a", 2)])), "", "still pending");
    let seen = user.poll(30, &[record("a", 4)]);
    assert_eq!(summary(&seen), "join_failed");
    assert_eq!(timing(&seen.events[0]), "30 observed (20, 30]");
    assert!(seen.visits.is_empty());
    assert_eq!(summary(&user.poll(40, &[record("a", 4)])), "");
    assert_eq!(summary(&user.poll(50, &[])), "");
    assert_eq!(
        summary(&user.poll(60, &[record("a", 4)])),
        "",
        "an entry that disappears for one poll is not a second failed join"
    );
    let seen = user.poll(70, &[active("a", 65)]);
    assert_eq!(summary(&seen), "joined presence=true");
    assert!(!seen.events[0].data.visit.as_ref().unwrap().rejoin);
}

#[test]
fn the_first_poll_of_an_idle_user_is_silent() {
    let mut user = TestUser::new(EMIT);
    assert!(user.poll(0, &[]).events.is_empty());
    assert_eq!(user.state.presence(), Presence::Outside);
    let mut user = TestUser::new(EMIT);
    assert!(user.poll(0, &[record("a", 1), record("b", 4)]).events.is_empty());
    assert_eq!(user.state.presence(), Presence::Outside);
}

#[test]
fn the_first_poll_of_a_user_inside_is_a_late_join() {
    let mut user = TestUser::new(EMIT);
    let seen = user.poll(10, &[active("a", 5)]);
    assert_eq!(summary(&seen), "joined presence=true");
    assert_eq!(timing(&seen.events[0]), "5 reported (5, 5] late");
    assert_eq!(flags(&seen.events[0]), "first_observation");
    let mut user = TestUser::new(EMIT);
    let seen = user.poll(10, &[record("a", 3)]);
    assert_eq!(timing(&seen.events[0]), "10 observed (-, 10] late");
}

#[test]
fn a_silent_first_poll_emits_only_the_later_left() {
    let mut user = TestUser::new(SILENT);
    let seen = user.poll(10, &[active("a", 5)]);
    assert!(seen.events.is_empty());
    assert_eq!(seen.visits.len(), 1, "the history has it");
    assert_eq!(user.state.presence(), Presence::Inside);
    assert_eq!(summary(&user.poll(20, &[gone("a", 6, 5, 15)])), "left(left) presence=false");
    assert_eq!(summary(&user.poll(30, &[active("a", 25)])), "joined presence=true");
}

#[test]
fn a_visit_that_ended_before_the_first_poll_is_stored_silently() {
    let mut user = TestUser::new(EMIT);
    let seen = user.poll(20, &[gone("a", 6, 5, 15)]);
    assert!(seen.events.is_empty());
    assert_eq!(seen.visits[0].end.unwrap().at, at(15));
    let seen = user.poll(30, &[active("a", 25)]);
    let visit = seen.events[0].data.visit.clone().unwrap();
    assert!(visit.rejoin && visit.ordinal == 2);
}

#[test]
fn the_documented_example_of_dingtalk_is_understood() {
    let mut user = TestUser::idle();
    let mut example = record("654058f2411fe90147e68780", 0);
    example.joined = Some(Timestamp::from_ms(1_699_347_295_876));
    example.left = Some(Timestamp::from_ms(1_699_347_395_876));
    let seen = user.poll(600, &[example]);
    assert_eq!(summary(&seen), "joined left(left)");
    assert_eq!(seen.events[1].data.visit.as_ref().unwrap().duration_ms, Some(100_000));
}
