//! The order of events of one poll, and their ids.

use super::*;

#[test]
fn joins_and_lefts_come_by_time() {
    let mut user = TestUser::inside();
    let seen = user.poll(30, &[gone("a", 6, 5, 25), active("b", 15), gone("c", 6, 12, 28)]);
    assert_eq!(summary(&seen), "joined joined left(left) left(left)");
    let times: Vec<_> = seen.events.iter().map(|event| event.time).collect();
    assert_eq!(times, [at(12), at(15), at(25), at(28)]);
}

#[test]
fn at_equal_times_lefts_come_first() {
    let mut user = TestUser::idle();
    user.poll(10, &[active("z", 5)]);
    let seen = user.poll(30, &[active("a", 20), gone("z", 6, 5, 20)]);
    assert_eq!(summary(&seen), "left(left) joined");
}

#[test]
fn a_visit_of_no_length_joins_before_it_leaves() {
    let mut user = TestUser::idle();
    user.poll(10, &[active("z", 5)]);
    let seen = user.poll(30, &[gone("a", 6, 20, 20), gone("z", 6, 5, 20)]);
    assert_eq!(summary(&seen), "left(left) joined left(left) presence=false");
    assert_eq!(seen.events[0].conference_id.as_ref().unwrap().as_str(), "z");
}

#[test]
fn roles_come_after_joins_and_lefts_and_presence_last() {
    let mut user = TestUser::idle();
    user.poll(10, &[active("a", 5)]);
    let host = Attendance { role: Role::CoHost, ..active("a", 5) };
    let seen = user.poll(30, &[host, active("b", 20), record("c", 1)]);
    assert_eq!(summary(&seen), "joined invited role_changed");
    let seen = user.poll(40, &[gone("a", 6, 5, 35), gone("b", 6, 20, 35), record("c", 4)]);
    assert_eq!(summary(&seen), "left(left) left(left) join_failed presence=false");
}

#[test]
fn every_event_of_a_poll_has_the_resulting_presence() {
    let mut user = TestUser::inside();
    let seen = user.poll(30, &[gone("a", 6, 5, 25), active("b", 15)]);
    for event in &seen.events {
        let presence = event.data.presence.as_ref().unwrap();
        assert_eq!(presence.in_meeting, Some(true));
        assert_eq!(presence.meetings.len(), 1);
        assert_eq!(presence.meetings[0].as_str(), "b");
    }
}

#[test]
fn presence_is_about_a_host_if_its_cause_is() {
    let mut user = TestUser::idle();
    let host = Attendance { role: Role::Host, ..active("a", 5) };
    assert!(user.poll(10, &[host]).events.iter().all(|event| event.host));
    assert!(TestUser::idle().poll(10, &[active("a", 5)]).events.iter().all(|event| !event.host));
}

#[test]
fn equal_facts_give_equal_ids_and_others_different_ones() {
    let join = |source: &str, org: &str, seconds, conference: &str| {
        let mut info = user_info();
        info.identity.org = OrgName::parse(org).unwrap();
        let idle = diff::observe(&UserState::default(), &poll(0, &[]), &info, source, &EMIT).state;
        let stored: UserState = serde_json::from_str(&serde_json::to_string(&idle).unwrap()).unwrap();
        let seen = poll(seconds, &[active(conference, 5)]);
        diff::observe(&stored, &seen, &info, source, &EMIT).events[0].id.clone()
    };
    let id = join(SOURCE, "default", 10, "a");
    assert_eq!(id, join(SOURCE, "default", 11, "a"), "observed a second later, after a crash");
    assert_ne!(id, join("urn:presenced:other", "default", 10, "a"));
    assert_ne!(id, join(SOURCE, "acme", 10, "a"));
    assert_ne!(id, join(SOURCE, "default", 10, "b"));
}
