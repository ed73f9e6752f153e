//! The order of events inside one look, and ids.

use super::*;

#[test]
fn joins_and_lefts_come_by_time() {
    let mut watch = Watch::inside();
    let seen = watch.look(30, &[gone("a", 6, 5, 25), active("b", 15), gone("c", 6, 12, 28)]);
    assert_eq!(words(&seen), "joined joined left(left) left(left)");
    let times: Vec<_> = seen.events.iter().map(|event| event.time).collect();
    assert_eq!(times, [at(12), at(15), at(25), at(28)]);
}

#[test]
fn at_equal_times_lefts_come_first() {
    let mut watch = Watch::idle();
    watch.look(10, &[active("z", 5)]);
    let seen = watch.look(30, &[active("a", 20), gone("z", 6, 5, 20)]);
    assert_eq!(words(&seen), "left(left) joined");
}

#[test]
fn a_visit_without_length_still_joins_before_it_leaves() {
    let mut watch = Watch::idle();
    watch.look(10, &[active("z", 5)]);
    let seen = watch.look(30, &[gone("a", 6, 20, 20), gone("z", 6, 5, 20)]);
    assert_eq!(words(&seen), "left(left) joined left(left) presence=false");
    assert_eq!(seen.events[0].conference_id.as_ref().unwrap().as_str(), "z");
}

#[test]
fn roles_come_after_joins_and_lefts_and_presence_last() {
    let mut watch = Watch::idle();
    watch.look(10, &[active("a", 5)]);
    let host = Attendance { role: Role::CoHost, ..active("a", 5) };
    let seen = watch.look(30, &[host, active("b", 20), record("c", 1)]);
    assert_eq!(words(&seen), "joined invited role_changed");
    let seen = watch.look(40, &[gone("a", 6, 5, 35), gone("b", 6, 20, 35), record("c", 4)]);
    assert_eq!(words(&seen), "left(left) left(left) join_failed presence=false");
}

#[test]
fn every_event_of_a_look_holds_the_resulting_presence() {
    let mut watch = Watch::inside();
    let seen = watch.look(30, &[gone("a", 6, 5, 25), active("b", 15)]);
    for event in &seen.events {
        let presence = event.data.presence.as_ref().unwrap();
        assert_eq!(presence.in_meeting, Some(true));
        assert_eq!(presence.meetings.len(), 1);
        assert_eq!(presence.meetings[0].as_str(), "b");
    }
}

#[test]
fn presence_is_about_a_host_if_its_cause_is() {
    let mut watch = Watch::idle();
    let host = Attendance { role: Role::Host, ..active("a", 5) };
    assert!(watch.look(10, &[host]).events.iter().all(|event| event.host));
    assert!(Watch::idle().look(10, &[active("a", 5)]).events.iter().all(|event| !event.host));
}

#[test]
fn the_same_facts_give_the_same_id_and_others_another() {
    let join = |source: &str, org: &str, seconds, conference: &str| {
        let mut card = card();
        card.identity.org = OrgName::parse(org).unwrap();
        let idle = diff::observe(&Belief::default(), &look(0, &[]), &card, source, &EMIT).belief;
        let stored: Belief = serde_json::from_str(&serde_json::to_string(&idle).unwrap()).unwrap();
        let seen = look(seconds, &[active(conference, 5)]);
        diff::observe(&stored, &seen, &card, source, &EMIT).events[0].id.clone()
    };
    let id = join(SOURCE, "default", 10, "a");
    assert_eq!(id, join(SOURCE, "default", 11, "a"), "noticed a second later, after a crash");
    assert_ne!(id, join("urn:presenced:other", "default", 10, "a"));
    assert_ne!(id, join(SOURCE, "acme", 10, "a"));
    assert_ne!(id, join(SOURCE, "default", 10, "b"));
}
