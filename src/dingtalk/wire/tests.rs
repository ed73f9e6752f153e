//! DingTalk's own sample, and each open question about live data.

use serde_json::{Value, json};

use super::record::MAX_NICK_CHARS;
use super::*;
use crate::ids::ConferenceId;
use crate::presence::attendance::{AttendStatus, Attendance, AttendancePhase, Role};
use crate::presence::observation::Entry;

mod chance;

/// The example answer of DingTalk's page, unchanged.
pub(crate) const SAMPLE: &str = r#"{"onGoingConfIdList":["654058f2411fe90147e68780"],"memberModelMap":{"key":{"unionId":"2iPOLbpUNMLzB5LuwggiiqiPwiEiE","conferenceId":"654058f2411fe90147e68780","userNick":"Test Name","joinTime":1699347295876,"leaveTime":1699347395876,"duration":100000,"host":false,"coHost":false,"outerOrgMember":false,"pstnJoin":false,"deviceType":"Win"}}}"#;
const ME: &str = "2iPOLbpUNMLzB5LuwggiiqiPwiEiE";
const CONFERENCE: &str = "654058f2411fe90147e68780";
const NOW: Timestamp = Timestamp::from_ms(1_795_413_600_000);

fn me() -> UnionId {
    UnionId::parse(ME).unwrap()
}

fn parse(body: &[u8]) -> Result<Parsed, BodyError> {
    observation(body, &me(), NOW)
}

fn read(body: &Value) -> Result<Parsed, BodyError> {
    parse(body.to_string().as_bytes())
}

fn entry_of(body: &Value, conference: &str) -> Entry {
    read(body).unwrap().observation.entries.get(conference).unwrap().clone()
}

/// A body with one meeting that has this record.
fn with(record: impl Into<Value>) -> Value {
    let record: Value = record.into();
    json!({ "onGoingConfIdList": [CONFERENCE], "memberModelMap": { CONFERENCE: record } })
}

fn record(record: impl Into<Value>) -> Attendance {
    match entry_of(&with(record), CONFERENCE) {
        Entry::Record(record) => record,
        Entry::ListedOnly => panic!("no record"),
    }
}

fn is_malformed(body: &Value, place: &str) {
    match read(body) {
        Err(BodyError::Malformed(text)) => assert!(text.contains(place), "{text} for {body}"),
        other => panic!("{other:?} for {body}"),
    }
}

#[test]
fn the_pages_sample_is_understood() {
    let Parsed { observation, oddities } = parse(SAMPLE.as_bytes()).unwrap();
    assert_eq!((oddities, observation.evidence, observation.observed_at), (0, Evidence::Explicit, NOW));
    let expected = Attendance {
        conference_id: ConferenceId::parse(CONFERENCE).unwrap(),
        status: None,
        joined: Some(Timestamp::from_ms(1_699_347_295_876)),
        left: Some(Timestamp::from_ms(1_699_347_395_876)),
        duration_ms: Some(100_000),
        role: Role::Attendee,
        external: false,
        by_phone: false,
        device: Some("Win".into()),
        nick: Some("Test Name".into()),
    };
    assert_eq!(expected.phase(), AttendancePhase::Outside);
    let entries: Vec<_> = observation.entries.into_values().collect();
    assert_eq!(entries, [Entry::Record(expected)]);
}

#[test]
fn a_sample_cut_anywhere_is_an_error() {
    for end in 0..SAMPLE.len() {
        assert!(matches!(parse(&SAMPLE.as_bytes()[..end]), Err(BodyError::Malformed(_))), "cut at {end}");
    }
}

#[test]
fn every_attend_status_is_carried() {
    for code in [1, 2, 3, 4, 5, 6] {
        assert_eq!(record(json!({ "attendStatus": code })).status, Some(AttendStatus::from(code)));
        assert_eq!(
            record(json!({ "attendStatus": code.to_string() })).status,
            Some(AttendStatus::from(code))
        );
    }
    for code in [0, 99, -1] {
        let body = with(json!({ "attendStatus": code, "joinTime": 5 }));
        assert_eq!(read(&body).unwrap().oddities, 1);
        let Entry::Record(record) = entry_of(&body, CONFERENCE) else { panic!() };
        assert_eq!(record.status, Some(AttendStatus::Unrecognized(code)));
        assert_eq!(record.phase(), AttendancePhase::Unknown);
    }
    assert_eq!(record(json!({ "attendStatus": null })).status, None);
    // A broken status must not let the times decide.
    assert_eq!(record(json!({ "attendStatus": 3.5, "joinTime": 5 })).phase(), AttendancePhase::Unknown);
    assert_eq!(record(json!({ "attendStatus": 1e300, "joinTime": 5 })).phase(), AttendancePhase::Unknown);
}

#[test]
fn absent_null_and_zero_times_are_none() {
    for body in [
        json!({ "attendStatus": 3 }),
        json!({ "attendStatus": 3, "joinTime": null, "leaveTime": null, "duration": null }),
        json!({ "attendStatus": 3, "joinTime": 0, "leaveTime": "0" }),
        json!({ "attendStatus": 3, "joinTime": "", "leaveTime": 0.0 }),
    ] {
        let record = record(body);
        assert_eq!((record.joined, record.left, record.duration_ms), (None, None, None));
        assert_eq!(record.phase(), AttendancePhase::Inside);
    }
}

#[test]
fn a_stale_leave_time_stays_beside_an_active_status() {
    let record = record(json!({ "attendStatus": 3, "joinTime": 5, "leaveTime": 9 }));
    assert_eq!((record.left, record.phase()), (Some(Timestamp::from_ms(9)), AttendancePhase::Inside));
}

#[test]
fn times_out_of_range_are_left_out_and_counted() {
    let body = with(
        json!({ "attendStatus": 3, "joinTime": -5, "leaveTime": 253_402_300_800_000_i64, "duration": 1e300 }),
    );
    assert_eq!(read(&body).unwrap().oddities, 3);
    let Entry::Record(record) = entry_of(&body, CONFERENCE) else { panic!() };
    assert_eq!((record.joined, record.left, record.duration_ms), (None, None, None));
}

#[test]
fn strings_for_numbers_and_booleans_are_taken() {
    let record = record(json!({
        "joinTime": "1699347295876", "leaveTime": 1.699_347_395_876e12, "duration": "100000",
        "host": "true", "coHost": 0, "outerOrgMember": "1", "pstnJoin": 1,
    }));
    assert_eq!(record.joined, Some(Timestamp::from_ms(1_699_347_295_876)));
    assert_eq!(record.left, Some(Timestamp::from_ms(1_699_347_395_876)));
    assert_eq!(record.duration_ms, Some(100_000));
    assert_eq!((record.role, record.external, record.by_phone), (Role::Host, true, true));
}

#[test]
fn roles_come_from_two_flags() {
    for (host, co_host, role) in [
        (true, true, Role::Host),
        (true, false, Role::Host),
        (false, true, Role::CoHost),
        (false, false, Role::Attendee),
    ] {
        assert_eq!(record(json!({ "host": host, "coHost": co_host })).role, role);
    }
}

#[test]
fn names_and_devices_are_cleaned_and_cut() {
    let record =
        record(json!({ "userNick": format!("\u{202E}{}", "王".repeat(500)), "deviceType": "\u{7}iOS\n" }));
    assert_eq!(record.nick, Some("王".repeat(MAX_NICK_CHARS)));
    assert_eq!(record.device.as_deref(), Some("iOS"));
}

#[test]
fn half_an_emoji_in_a_name_does_not_cost_the_answer() {
    let body = SAMPLE.replace("Test Name", "Li \\ud83d");
    assert!(parse(body.as_bytes()).is_ok());
}

#[test]
fn identity_is_the_records_own_conference_id_first() {
    let body = json!({ "onGoingConfIdList": ["A", "B"], "memberModelMap": { "A": { "conferenceId": "B" } } });
    assert_eq!(entry_of(&body, "A"), Entry::ListedOnly);
    assert!(matches!(entry_of(&body, "B"), Entry::Record(_)));
}

#[test]
fn identity_is_the_map_key_next_if_it_is_listed() {
    let body = json!({ "onGoingConfIdList": ["A", "B"], "memberModelMap": { "B": { "attendStatus": 3 } } });
    assert!(matches!(entry_of(&body, "B"), Entry::Record(record) if record.conference_id.as_str() == "B"));
    assert_eq!(entry_of(&body, "A"), Entry::ListedOnly);
}

#[test]
fn one_id_and_one_record_are_a_pair() {
    let body =
        json!({ "onGoingConfIdList": ["A", "A"], "memberModelMap": { "key": { "conferenceId": "" } } });
    assert!(matches!(entry_of(&body, "A"), Entry::Record(record) if record.conference_id.as_str() == "A"));
    assert_eq!(read(&body).unwrap().observation.entries.len(), 1);
}

#[test]
fn otherwise_the_raw_key_stands_and_is_counted() {
    let body = json!({ "onGoingConfIdList": ["A", "B"], "memberModelMap": { "key": { "attendStatus": 3 } } });
    let parsed = read(&body).unwrap();
    assert_eq!(parsed.oddities, 1);
    assert_eq!(parsed.observation.entries.len(), 3);
    assert!(matches!(entry_of(&body, "key"), Entry::Record(_)));
}

#[test]
fn an_id_without_record_is_listed_only_and_a_record_without_id_is_a_record() {
    let listed = json!({ "onGoingConfIdList": ["A"], "memberModelMap": {} });
    assert_eq!(entry_of(&listed, "A"), Entry::ListedOnly);
    let recorded = json!({ "onGoingConfIdList": [], "memberModelMap": { "x": { "conferenceId": "A" } } });
    assert!(matches!(entry_of(&recorded, "A"), Entry::Record(_)));
    let null = json!({ "onGoingConfIdList": ["A"], "memberModelMap": { "A": null } });
    assert_eq!(entry_of(&null, "A"), Entry::ListedOnly);
}

#[test]
fn two_records_of_one_meeting_are_the_one_that_is_inside() {
    for (first, second) in [(6, 3), (3, 6)] {
        let body = json!({ "onGoingConfIdList": ["A"], "memberModelMap": {
            "phone": { "conferenceId": "A", "attendStatus": first },
            "desk": { "conferenceId": "A", "attendStatus": second },
        } });
        assert!(
            matches!(entry_of(&body, "A"), Entry::Record(record) if record.phase() == AttendancePhase::Inside)
        );
        assert_eq!(read(&body).unwrap().oddities, 1);
    }
}

#[test]
fn no_meetings_in_all_three_ways() {
    let explicit = read(&json!({ "onGoingConfIdList": [], "memberModelMap": {} })).unwrap().observation;
    assert_eq!((explicit.entries.len(), explicit.evidence), (0, Evidence::Explicit));
    for body in [
        json!({}),
        json!({ "onGoingConfIdList": null, "memberModelMap": null }),
        json!({ "onGoingConfIdList": null }),
        json!({ "memberModelMap": null }),
        json!({ "onGoingConfIdList": [] }),
        json!({ "memberModelMap": {} }),
    ] {
        let weak = read(&body).unwrap().observation;
        assert_eq!((weak.entries.len(), weak.evidence), (0, Evidence::Weak), "{body}");
    }
}

#[test]
fn a_record_of_another_user_spoils_the_answer() {
    is_malformed(&with(json!({ "unionId": "other", "attendStatus": 3 })), "another user");
    assert_eq!(record(json!({ "unionId": ME })).status, None);
    assert_eq!(record(json!({ "unionId": "" })).status, None);
    assert_eq!(record(json!({ "unionId": null })).status, None);
}

#[test]
fn each_foreign_key_makes_the_answer_foreign() {
    for key in FOREIGN_KEYS {
        for value in [json!(0), json!("x"), json!(null), json!({})] {
            let mut body: Value = serde_json::from_str(SAMPLE).unwrap();
            body[key] = value;
            assert_eq!(read(&body), Err(BodyError::Foreign), "{key}");
        }
    }
}

#[test]
fn unknown_keys_beside_known_ones_are_fine_and_alone_are_not() {
    let mut body: Value = serde_json::from_str(SAMPLE).unwrap();
    body["requestId"] = json!("x");
    body["memberModelMap"]["key"]["participantId"] = json!([1, { "status": 1 }]);
    assert_eq!(read(&body), parse(SAMPLE.as_bytes()));
    is_malformed(&json!({ "requestId": "x" }), "neither");
    is_malformed(&json!({ "ongoingconfidlist": [] }), "neither");
}

#[test]
fn shapes_that_are_not_understood_name_their_place() {
    is_malformed(&json!({ "onGoingConfIdList": "A" }), "onGoingConfIdList");
    is_malformed(&json!({ "onGoingConfIdList": {} }), "onGoingConfIdList");
    is_malformed(&json!({ "onGoingConfIdList": [1] }), "onGoingConfIdList");
    is_malformed(&json!({ "onGoingConfIdList": [null] }), "onGoingConfIdList");
    is_malformed(&json!({ "onGoingConfIdList": [""] }), "onGoingConfIdList is empty");
    is_malformed(&json!({ "onGoingConfIdList": ["a b"] }), "onGoingConfIdList contains");
    is_malformed(&json!({ "memberModelMap": [] }), "memberModelMap");
    is_malformed(&json!({ "memberModelMap": "x" }), "memberModelMap");
    is_malformed(&json!({ "memberModelMap": { "x": [] } }), "not a record");
    is_malformed(&json!({ "memberModelMap": { "x": "y" } }), "not a record");
    is_malformed(&json!({ "memberModelMap": { "": {} } }), "a key is empty");
    is_malformed(&with(json!({ "conferenceId": "a b" })), "conferenceId");
    is_malformed(&with(json!({ "conferenceId": 7 })), "conferenceId");
    is_malformed(&with(json!({ "joinTime": true })), "joinTime");
    is_malformed(&with(json!({ "leaveTime": "yesterday" })), "leaveTime");
    is_malformed(&with(json!({ "attendStatus": "active" })), "attendStatus");
    is_malformed(&with(json!({ "attendStatus": [3] })), "attendStatus");
    is_malformed(&with(json!({ "host": "maybe" })), "host");
    for top in ["null", "[]", "[[],{}]", "\"x\"", "7", "true", "", "   ", "\u{FEFF}{}"] {
        assert!(matches!(parse(top.as_bytes()), Err(BodyError::Malformed(_))), "{top}");
    }
}

#[test]
fn a_fault_quotes_nothing_of_the_body() {
    for body in [
        with(json!({ "joinTime": "SECRET" })),
        with(json!({ "host": "SECRET" })),
        with(json!({ "unionId": "SECRET" })),
        json!({ "onGoingConfIdList": "SECRET" }),
        json!({ "memberModelMap": "SECRET" }),
        json!({ "memberModelMap": { "SECRET": "SECRET" } }),
        json!({ "memberModelMap": { "SECRET SECRET": {} } }),
    ] {
        let Err(fault) = read(&body) else { panic!("{body} was accepted") };
        assert!(!fault.to_string().contains("SECRET"), "{fault}");
    }
}

#[test]
fn what_appears_twice_is_not_understood() {
    for body in [
        r#"{"onGoingConfIdList":["A"],"onGoingConfIdList":[]}"#,
        r#"{"memberModelMap":{},"memberModelMap":null}"#,
        r#"{"memberModelMap":{"A":{},"A":{}}}"#,
        r#"{"memberModelMap":{"A":{"attendStatus":3,"attendStatus":6}}}"#,
    ] {
        assert!(
            matches!(parse(body.as_bytes()), Err(BodyError::Malformed(text)) if text.contains("twice")),
            "{body}"
        );
    }
}

#[test]
fn at_most_two_hundred_meetings() {
    let ids = |from: usize, to: usize| (from..to).map(|n| format!("c{n}")).collect::<Vec<_>>();
    assert_eq!(read(&json!({ "onGoingConfIdList": ids(0, 200) })).unwrap().observation.entries.len(), 200);
    is_malformed(&json!({ "onGoingConfIdList": ids(0, 201) }), "too long");
    let records: serde_json::Map<_, _> = ids(100, 201).into_iter().map(|id| (id, json!({}))).collect();
    is_malformed(&json!({ "onGoingConfIdList": ids(0, 200), "memberModelMap": records }), "more than 200");
}

#[test]
fn deep_nesting_is_no_danger() {
    for open in ["[", "{\"a\":"] {
        let deep = open.repeat(150_000);
        for body in [
            format!("{{\"x\":{deep}"),
            format!("{{\"onGoingConfIdList\":{deep}"),
            format!("{{\"memberModelMap\":{{\"a\":{{\"x\":{deep}"),
            format!("{{\"memberModelMap\":{{\"a\":{{\"joinTime\":{deep}"),
            deep.clone(),
        ] {
            assert!(matches!(parse(body.as_bytes()), Err(BodyError::Malformed(_))));
        }
    }
    let closed = format!("{{\"memberModelMap\":{{}},\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(parse(closed.as_bytes()).is_ok());
}
