//! The JSON of events: one snapshot for each type, the documented sample, and the limits.

use super::*;
use crate::ids::{MAX_ID_BYTES, WebhookName};
use crate::presence::event::{Envelope, MAX_BODY_BYTES};
use crate::presence::system::{self, AlertName, GapCause};

const ENVELOPE: Envelope<'static> = Envelope {
    source: SOURCE,
    sequence: 4217,
    recorded_at: Timestamp::from_ms(1_699_347_312_301),
    meeting: None,
};

fn body(event: &NewEvent) -> String {
    String::from_utf8(event.body(&ENVELOPE)).unwrap()
}

/// One event of each type, from one history and from the daemon itself.
fn one_of_each() -> BTreeMap<EventType, NewEvent> {
    let mut events = Vec::new();
    let mut user = TestUser::idle();
    events.extend(user.poll(10, &[record("a", 2)]).events);
    events.extend(user.poll(20, &[record("a", 4), active("b", 15)]).events);
    let host = Attendance { role: Role::Host, ..active("b", 15) };
    events.extend(user.poll(30, &[record("a", 4), host]).events);
    events.extend(user.without_poll(35, lifecycle::snapshot).events);
    user.poll(40, &[]);
    events.extend(user.poll(45, &[]).events);
    events.extend(user.poll(50, &[gone("b", 6, 15, 38)]).events);
    events.extend(user.without_poll(350, lifecycle::stale).events);
    events.extend(user.without_poll(360, lifecycle::rejected).events);
    events.extend(user.poll(400, &[]).events);
    let org = OrgName::default_name();
    events.push(system::system_gap(SOURCE, Some(&org), (at(0), at(90)), GapCause::Restart, 0));
    let summary = "80 % of the month's calls are spent";
    events.push(system::system_alert(SOURCE, Some(&org), AlertName::Budget, true, summary, at(95), 0));
    events.push(system::webhook_test(SOURCE, &WebhookName::parse("crm").unwrap(), at(99), 0));
    let mut first = BTreeMap::new();
    for event in events {
        first.entry(event.event_type).or_insert(event);
    }
    first
}

#[test]
fn one_event_of_every_type() {
    let events = one_of_each();
    let types: Vec<_> = events.keys().copied().collect();
    assert_eq!(types, EventType::ALL, "every type has its snapshot");
    for (event_type, event) in &events {
        insta::assert_json_snapshot!(event_type.name(), event.enveloped(&ENVELOPE));
    }
}

#[test]
fn the_documented_sample_byte_for_byte() {
    let mut user = TestUser::new(EMIT);
    let ms = Timestamp::from_ms;
    let mut seen = poll(0, &[]);
    seen.observed_at = ms(1_699_347_282_104);
    user.observe(&seen);
    let mut active = record("654058f2411fe90147e68780", 3);
    active.joined = Some(ms(1_699_347_295_876));
    let mut seen = poll(0, &[active]);
    seen.observed_at = ms(1_699_347_312_287);
    let transition = user.observe(&seen);
    let event = &transition.events[0];
    let visit = &transition.visits[0].id;
    let expected = [
        &format!(r#"{{"specversion":"1.0","id":"{}","source":"urn:presenced:7f3a1c52","#, event.id),
        r#""type":"meeting.participant_joined","subject":"default/2iPOLbpUNMLzB5LuwggiiqiPwiEiE","#,
        r#""time":"2023-11-07T08:54:55.876Z","timestamp":"2023-11-07T08:54:55.876Z","#,
        r#""recordedtime":"2023-11-07T08:55:12.301Z","sequence":"00000000000000004217","#,
        r#""partitionkey":"default/2iPOLbpUNMLzB5LuwggiiqiPwiEiE","datacontenttype":"application/json","#,
        r#""data":{"v":1,"org":"default","#,
        r#""user":{"union_id":"2iPOLbpUNMLzB5LuwggiiqiPwiEiE","name":"Li Wei","nick":"Test Name","groups":["ops"],"tags":{"site":"HZ"}},"#,
        r#""meeting":{"conference_id":"654058f2411fe90147e68780"},"#,
        &format!(r#""visit":{{"id":"{visit}","ordinal":1,"rejoin":false,"#),
        r#""joined_at":"2023-11-07T08:54:55.876Z","left_at":null,"left_reason":null,"duration_ms":null},"#,
        r#""member":{"role":"attendee","external":false,"by_phone":false,"device":"Win"},"#,
        r#""status":{"code":3,"name":"active","previous":null},"#,
        r#""presence":{"in_meeting":true,"meetings":["654058f2411fe90147e68780"]},"#,
        r#""timing":{"basis":"reported","earliest":"2023-11-07T08:54:55.876Z","latest":"2023-11-07T08:54:55.876Z","#,
        r#""observed_at":"2023-11-07T08:55:12.287Z","previous_poll_at":"2023-11-07T08:54:42.104Z","late":false},"#,
        r#""flags":[],"synthetic":false}}"#,
    ]
    .concat();
    assert_eq!(body(event), expected);
    assert_eq!(body(event), body(&event.clone()), "the same bytes every time");
}

#[test]
fn events_without_a_user_have_no_user() {
    for (event_type, event) in one_of_each() {
        let json: serde_json::Value = serde_json::from_str(&body(&event)).unwrap();
        let of = |prefix: &str| event_type.name().starts_with(prefix);
        let no_user = of("system.") || of("webhook.");
        assert_eq!(json["data"].get("user").is_none(), no_user, "{}", event_type.name());
        assert_eq!(json["subject"] == "system", no_user);
        for member in ["meeting", "member", "status"] {
            assert_eq!(json["data"].get(member).is_some(), of("meeting."), "{member} {}", event_type.name());
        }
    }
}

#[test]
fn a_nick_that_must_not_be_stored_is_in_no_event() {
    let mut user = TestUser::idle();
    user.info.store_nick = false;
    let seen = user.poll(10, &[active("a", 5), record("b", 1)]);
    assert!(seen.visits[0].nick.is_none());
    for event in &seen.events {
        assert!(!body(event).contains("nick") && !body(event).contains("Test Name"));
    }
    assert!(!serde_json::to_string(&user.state).unwrap().contains("Test Name"));
}

#[test]
fn a_device_not_reported_is_null_and_a_nick_absent() {
    let mut user = TestUser::idle();
    let bare = Attendance { device: None, nick: Some("\u{202e}".into()), ..active("a", 5) };
    let json: serde_json::Value = serde_json::from_str(&body(&user.poll(10, &[bare]).events[0])).unwrap();
    assert!(json["data"]["member"]["device"].is_null());
    assert!(json["data"]["user"].get("nick").is_none());
}

#[test]
fn the_largest_event_is_below_the_limit() {
    let quotes = |n: usize| "\"".repeat(n);
    let mut info = user_info();
    info.identity.union_id = UnionId::parse(&quotes(MAX_ID_BYTES)).unwrap();
    info.identity.org = OrgName::parse(&"o".repeat(MAX_ID_BYTES)).unwrap();
    info.name = quotes(9_999);
    info.groups = (0..99).map(|n| format!("{n}{}", quotes(999))).collect();
    info.tags = (0..99).map(|n| (format!("{n}{}", quotes(999)), quotes(999))).collect();
    let mut user = TestUser::idle();
    user.info = info;
    let large = |n: i64| Attendance {
        nick: Some(quotes(999)),
        device: Some(quotes(999)),
        ..active(&format!("{}{n:03}", quotes(MAX_ID_BYTES - 3)), 5)
    };
    let seen = user.poll(10, &(0..99).map(large).collect::<Vec<_>>());
    assert_eq!(seen.events.len(), 100);
    for event in &seen.events {
        assert!(body(event).len() <= MAX_BODY_BYTES, "{}", body(event).len());
        assert_eq!(flags(event), "truncated");
    }
    let alert = system::system_alert(SOURCE, None, AlertName::Auth, true, &quotes(99_999), at(0), 0);
    assert!(body(&alert).len() <= MAX_BODY_BYTES);
}
