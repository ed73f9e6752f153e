//! Writes the answer of `GET /v1.0/conference/users/lists`, from the truth and the options.
//!
//! Guards: names, types and units are those of the documents ("Query the list of ongoing meetings for a user"). The same
//! truth, instant and options give the same bytes. Not here: refusals (`gateway`).

use super::hash::stable_hash;
use super::json::{Object, array, quote};
use super::options::{
    AnswerOptions, AttendStatus, DurationInside, LeaveTime, Leavers, MapKey, NoMeeting, Numbers, Records,
    RejoinTime,
};
use super::types::{Participation, Person, Role};
use super::world::World;
use crate::time::{Timestamp, duration_ms};

/// The body for this person at `now`; `None` if the unionId is unknown.
pub(super) fn answer(
    world: &World,
    union_id: &str,
    now: Timestamp,
    options: &AnswerOptions,
) -> Option<String> {
    let (person, mut participations) = world.participations(union_id, seen_at(union_id, now, options))?;
    if options.leavers == Leavers::Dropped {
        participations.retain(|participation| participation.left.is_none());
    }
    Some(body(person, &participations, now, options))
}

/// The answer without a meeting, as the options say.
pub(super) fn nothing(options: &AnswerOptions) -> String {
    match options.no_meeting {
        NoMeeting::Lists => Object::new().raw("onGoingConfIdList", "[]").raw("memberModelMap", "{}").end(),
        NoMeeting::Empty => Object::new().end(),
        NoMeeting::Nulls => {
            Object::new().raw("onGoingConfIdList", "null").raw("memberModelMap", "null").end()
        }
    }
}

/// The instant whose truth the answer at `now` shows.
fn seen_at(union_id: &str, now: Timestamp, options: &AnswerOptions) -> Timestamp {
    let lag = options.lag.0;
    if !options.lag_varies || lag.is_zero() {
        return now.minus(lag);
    }
    let second = now.as_ms().div_euclid(1000);
    let whole_ms = u64::try_from(duration_ms(lag)).unwrap_or(0);
    let lag_ms = stable_hash(&[union_id.as_bytes(), &second.to_be_bytes()]) % whole_ms.saturating_add(1);
    now.minus(std::time::Duration::from_millis(lag_ms))
}

fn body(
    person: &Person,
    participations: &[Participation],
    now: Timestamp,
    options: &AnswerOptions,
) -> String {
    if participations.is_empty() {
        return nothing(options);
    }
    let listed = match options.records {
        Records::Unlisted => "[]".to_owned(),
        Records::Full | Records::Missing => {
            array(participations.iter().map(|participation| quote(&participation.conference_id)))
        }
    };
    let mut records = Object::new();
    if options.records != Records::Missing {
        for (index, participation) in participations.iter().enumerate() {
            records = records.raw(
                &map_key(person, participation, index, options),
                &record(person, participation, Among::Meetings, now, options),
            );
        }
    }
    let mut answer = Object::new().raw("onGoingConfIdList", &listed).raw("memberModelMap", &records.end());
    if options.extra_members {
        answer = answer.text("somethingNew", "of a later release");
    }
    answer.end()
}

fn map_key(person: &Person, participation: &Participation, index: usize, options: &AnswerOptions) -> String {
    let numbered = |name: &str| if index == 0 { name.to_owned() } else { format!("{name}{index}") };
    match options.map_key {
        MapKey::ConferenceId => participation.conference_id.clone(),
        MapKey::Key => numbered("key"),
        MapKey::UnionId => numbered(&person.union_id),
        MapKey::Random => {
            format!(
                "{:016x}",
                stable_hash(&[person.union_id.as_bytes(), participation.conference_id.as_bytes()])
            )
        }
    }
}

/// The answer that a record is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    /// The list of a user's meetings.
    Meetings,
    /// The members of a meeting: no `deviceType`, and `outerOrgMember` only if it is true.
    Members,
}

/// One member record.
pub(super) fn record(
    person: &Person,
    participation: &Participation,
    among: Among,
    now: Timestamp,
    options: &AnswerOptions,
) -> String {
    let joined = match options.rejoin_time {
        RejoinTime::New => participation.joined,
        RejoinTime::Kept => participation.first_joined,
    };
    let mut record = Object::new()
        .text("unionId", &person.union_id)
        .text("conferenceId", &participation.conference_id)
        .text("userNick", &person.nick);
    if let Some(joined) = joined {
        record = number(record, "joinTime", joined.as_ms(), options);
    }
    record = leave_time(record, participation, options);
    record = duration(record, participation, joined, now, options);
    record = match options.attend_status {
        AttendStatus::On => number(record, "attendStatus", participation.status, options),
        AttendStatus::Zero => number(record, "attendStatus", 0, options),
        AttendStatus::NinetyNine => number(record, "attendStatus", 99, options),
        AttendStatus::Off => record,
    };
    record = boolean(record, "host", participation.role == Role::Host, options);
    record = boolean(record, "coHost", participation.role == Role::CoHost, options);
    if among == Among::Meetings || person.external {
        record = boolean(record, "outerOrgMember", person.external, options);
    }
    record = boolean(record, "pstnJoin", person.by_phone, options);
    if among == Among::Meetings
        && let Some(device) = device(participation, now, options)
    {
        record = record.text("deviceType", &device);
    }
    if options.extra_members {
        record = record.raw("participantId", "\"p-1\"");
    }
    record.end()
}

fn leave_time(record: Object, participation: &Participation, options: &AnswerOptions) -> Object {
    if let Some(left) = participation.left {
        return number(record, "leaveTime", left.as_ms(), options);
    }
    match options.leave_time {
        LeaveTime::Absent => record,
        LeaveTime::Null => record.raw("leaveTime", "null"),
        LeaveTime::Zero => number(record, "leaveTime", 0, options),
        LeaveTime::Stale => {
            // Later than `joinTime` although the person is inside, as in DingTalk's own sample.
            let moment_after_joining = participation.joined.map(|joined| joined.as_ms() + 1);
            match participation.previously_left.map(Timestamp::as_ms).or(moment_after_joining) {
                Some(stale_ms) => number(record, "leaveTime", stale_ms, options),
                None => record,
            }
        }
    }
}

fn duration(
    record: Object,
    participation: &Participation,
    joined: Option<Timestamp>,
    now: Timestamp,
    options: &AnswerOptions,
) -> Object {
    match (joined, participation.left, options.duration) {
        (Some(joined), Some(left), _) => number(record, "duration", duration_ms(left.since(joined)), options),
        (Some(joined), None, DurationInside::Growing) => {
            number(record, "duration", duration_ms(now.since(joined)), options)
        }
        (_, _, DurationInside::Zero) => number(record, "duration", 0, options),
        _ => record,
    }
}

fn device(participation: &Participation, now: Timestamp, options: &AnswerOptions) -> Option<String> {
    let minute = usize::try_from(now.as_ms().div_euclid(60_000)).unwrap_or(0);
    match participation.devices.as_slice() {
        [] => None,
        [only] if options.device_flips && minute % 2 == 1 => {
            Some(if only == "iOS" { "Android" } else { "iOS" }.to_owned())
        }
        devices if options.device_flips => devices.get(minute % devices.len()).cloned(),
        [first, ..] => Some(first.clone()),
    }
}

pub(super) fn number(record: Object, name: &str, value: i64, options: &AnswerOptions) -> Object {
    match options.numbers {
        Numbers::Plain => record.number(name, value),
        Numbers::Strings => record.text(name, &value.to_string()),
        Numbers::Fractions => record.raw(name, &format!("{value}.0")),
    }
}

pub(super) fn boolean(record: Object, name: &str, value: bool, options: &AnswerOptions) -> Object {
    match options.numbers {
        Numbers::Strings => record.text(name, if value { "true" } else { "false" }),
        Numbers::Plain | Numbers::Fractions => record.raw(name, if value { "true" } else { "false" }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::super::options::Lag;
    use super::super::script::{Act, Step, StepKind};
    use super::super::types::Meeting;
    use super::*;

    const START_MS: i64 = 1_700_000_000_000;
    const ID: &str = "654058f2411fe90147e68780";

    /// Ann is called (5 s), joins (10 s), leaves (20 s), rejoins (30 s), is removed (40 s).
    fn world() -> World {
        let ann = Person {
            union_id: "u-ann".into(),
            nick: "Ann \"A\" 安".into(),
            device: "Win".into(),
            external: false,
            by_phone: false,
        };
        let meeting = Meeting { name: "m".into(), conference_id: Some(ID.into()), foreign: false };
        let step =
            |second: i64, act| Step { at_ms: second * 1000, meeting: 0, what: StepKind::Person(0, act) };
        let steps = [
            step(5, Act::Call),
            step(10, Act::Join(None)),
            step(20, Act::Leave(None)),
            step(30, Act::Join(None)),
            step(40, Act::Kick),
        ];
        World::new(vec![ann], vec![meeting], &steps, Timestamp::from_ms(START_MS), None).unwrap()
    }

    fn answer_at(second: i64, options: &AnswerOptions) -> Value {
        let now = Timestamp::from_ms(START_MS + second * 1000);
        serde_json::from_str(&answer(&world(), "u-ann", now, options).unwrap()).unwrap()
    }

    /// The only record at that second.
    fn record_at(second: i64, options: &AnswerOptions) -> Value {
        answer_at(second, options)["memberModelMap"].as_object().unwrap().values().next().unwrap().clone()
    }

    fn with(turn: impl FnOnce(&mut AnswerOptions)) -> AnswerOptions {
        let mut options = AnswerOptions::default();
        turn(&mut options);
        options
    }

    #[test]
    fn by_default_answers_show_the_plain_truth() {
        assert_eq!(
            answer_at(15, &AnswerOptions::default()),
            json!({"onGoingConfIdList": [ID], "memberModelMap": {ID: {
                "unionId": "u-ann", "conferenceId": ID, "userNick": "Ann \"A\" 安", "joinTime": START_MS + 10_000,
                "attendStatus": 3, "host": true, "coHost": false, "outerOrgMember": false, "pstnJoin": false,
                "deviceType": "Win"}}})
        );
        let left = record_at(25, &AnswerOptions::default());
        assert_eq!(left["attendStatus"], 6);
        assert_eq!((&left["leaveTime"], &left["duration"]), (&json!(START_MS + 20_000), &json!(10_000)));
        assert_eq!(record_at(45, &AnswerOptions::default())["attendStatus"], 5);
        let called = record_at(7, &AnswerOptions::default());
        assert_eq!((&called["attendStatus"], &called["joinTime"]), (&json!(2), &Value::Null));
    }

    #[test]
    fn an_unknown_union_id_has_no_answer() {
        assert_eq!(answer(&world(), "u-bob", Timestamp::from_ms(START_MS), &AnswerOptions::default()), None);
    }

    #[test]
    fn no_meeting_has_three_forms() {
        let answer_for = |no_meeting| answer_at(0, &with(|k| k.no_meeting = no_meeting));
        assert_eq!(answer_for(NoMeeting::Lists), json!({"onGoingConfIdList": [], "memberModelMap": {}}));
        assert_eq!(answer_for(NoMeeting::Empty), json!({}));
        assert_eq!(answer_for(NoMeeting::Nulls), json!({"onGoingConfIdList": null, "memberModelMap": null}));
    }

    #[test]
    fn the_map_key_follows_its_option() {
        let key = |map_key| {
            let answer = answer_at(15, &with(|k| k.map_key = map_key));
            answer["memberModelMap"].as_object().unwrap().keys().next().unwrap().clone()
        };
        assert_eq!(key(MapKey::Key), "key");
        assert_eq!(key(MapKey::UnionId), "u-ann");
        assert_eq!(key(MapKey::Random).len(), 16);
    }

    #[test]
    fn attend_status_can_be_absent_or_strange() {
        let status =
            |attend_status| record_at(15, &with(|k| k.attend_status = attend_status))["attendStatus"].clone();
        assert_eq!(status(AttendStatus::Off), Value::Null);
        assert_eq!(status(AttendStatus::Zero), 0);
        assert_eq!(status(AttendStatus::NinetyNine), 99);
    }

    #[test]
    fn leave_time_inside_has_four_forms() {
        let record = |leave_time, second| record_at(second, &with(|k| k.leave_time = leave_time));
        assert_eq!(record(LeaveTime::Absent, 15).get("leaveTime"), None);
        assert_eq!(record(LeaveTime::Null, 15).get("leaveTime"), Some(&Value::Null));
        assert_eq!(record(LeaveTime::Zero, 15)["leaveTime"], 0);
        assert_eq!(record(LeaveTime::Stale, 15)["leaveTime"], START_MS + 10_001);
        assert_eq!(record(LeaveTime::Stale, 35)["leaveTime"], START_MS + 20_000);
        assert_eq!(record(LeaveTime::Stale, 25)["leaveTime"], START_MS + 20_000);
    }

    #[test]
    fn duration_inside_has_three_forms() {
        let duration = |form| record_at(15, &with(|k| k.duration = form))["duration"].clone();
        assert_eq!(duration(DurationInside::Absent), Value::Null);
        assert_eq!(duration(DurationInside::Zero), 0);
        assert_eq!(duration(DurationInside::Growing), 5_000);
    }

    #[test]
    fn leavers_are_kept_or_dropped() {
        let dropped = with(|k| k.leavers = Leavers::Dropped);
        assert_eq!(answer_at(25, &dropped), json!({"onGoingConfIdList": [], "memberModelMap": {}}));
        assert_eq!(record_at(15, &dropped)["attendStatus"], 3);
    }

    #[test]
    fn numbers_can_be_strings_or_have_a_fraction() {
        let record = record_at(15, &with(|k| k.numbers = Numbers::Strings));
        assert_eq!((&record["attendStatus"], &record["host"]), (&json!("3"), &json!("true")));
        assert_eq!(record["joinTime"], (START_MS + 10_000).to_string());
        assert_eq!(record_at(15, &with(|k| k.numbers = Numbers::Fractions))["attendStatus"], 3.0);
    }

    #[test]
    fn a_rejoin_moves_the_join_time_or_does_not() {
        let joined = |rejoin_time| record_at(35, &with(|k| k.rejoin_time = rejoin_time))["joinTime"].clone();
        assert_eq!(joined(RejoinTime::New), START_MS + 30_000);
        assert_eq!(joined(RejoinTime::Kept), START_MS + 10_000);
    }

    #[test]
    fn ids_and_records_can_lack_each_other() {
        let missing = answer_at(15, &with(|k| k.records = Records::Missing));
        assert_eq!(missing, json!({"onGoingConfIdList": [ID], "memberModelMap": {}}));
        let unlisted = answer_at(15, &with(|k| k.records = Records::Unlisted));
        assert_eq!(unlisted["onGoingConfIdList"], json!([]));
        assert_eq!(unlisted["memberModelMap"][ID]["attendStatus"], 3);
    }

    #[test]
    fn lag_shows_an_older_truth() {
        let lag = Lag(Duration::from_secs(6));
        assert_eq!(record_at(15, &with(|k| k.lag = lag))["attendStatus"], 2);
        assert_eq!(record_at(16, &with(|k| k.lag = lag))["attendStatus"], 3);
        // A varying lag never shows the future, and no truth older than the whole lag.
        let varies = with(|k| {
            k.lag = lag;
            k.lag_varies = true;
        });
        assert_eq!(record_at(16, &varies)["attendStatus"], 3);
        let statuses: std::collections::BTreeSet<i64> =
            (11..16).map(|s| record_at(s, &varies)["attendStatus"].as_i64().unwrap()).collect();
        assert_eq!(statuses, [2, 3].into());
    }

    #[test]
    fn the_device_flips_every_minute() {
        let flips = with(|k| k.device_flips = true);
        let device = |ms: i64| {
            let text = answer(&world(), "u-ann", Timestamp::from_ms(START_MS + 10_000 + ms), &flips).unwrap();
            let read: Value = serde_json::from_str(&text).unwrap();
            read["memberModelMap"][ID]["deviceType"].clone()
        };
        // The last record stays for ever, so any two consecutive minutes will do.
        assert_ne!(device(120_000), device(180_000));
    }
}
