//! The answer of `GET /v1.0/conference/users/lists`, written from the truth and the knobs.
//!
//! Guards: the names, types and units of the documents ("Query the list of ongoing meetings for a user"); the same
//! truth, instant and knobs give the same bytes. Deliberately not here: who may ask (`api`).

use super::facts::{Person, Role, Seat};
use super::json::{Object, array, quote};
use super::knobs::{
    AttendStatus, DurationInside, Knobs, LeaveTime, Leavers, MapKey, NoMeeting, Numbers, Records, RejoinTime,
};
use super::spread;
use super::world::World;
use crate::time::{Timestamp, duration_ms};

/// The body for this person at `now`, or `None` for a unionId that nobody has.
pub(super) fn answer(world: &World, union_id: &str, now: Timestamp, knobs: &Knobs) -> Option<String> {
    let (person, mut seats) = world.seats(union_id, seen_at(union_id, now, knobs))?;
    if knobs.leavers == Leavers::Dropped {
        seats.retain(|seat| seat.left.is_none());
    }
    Some(body(person, &seats, now, knobs))
}

/// "No meetings", as the knobs say it.
pub(super) fn nothing(knobs: &Knobs) -> String {
    match knobs.no_meeting {
        NoMeeting::Lists => Object::new().raw("onGoingConfIdList", "[]").raw("memberModelMap", "{}").end(),
        NoMeeting::Empty => Object::new().end(),
        NoMeeting::Nulls => {
            Object::new().raw("onGoingConfIdList", "null").raw("memberModelMap", "null").end()
        }
    }
}

/// The instant whose truth is told at `now`.
fn seen_at(union_id: &str, now: Timestamp, knobs: &Knobs) -> Timestamp {
    let lag = knobs.lag.0;
    if !knobs.lag_varies || lag.is_zero() {
        return now.minus(lag);
    }
    let second = now.as_ms().div_euclid(1000);
    let whole_ms = u64::try_from(duration_ms(lag)).unwrap_or(0);
    let lag_ms = spread(&[union_id.as_bytes(), &second.to_be_bytes()]) % whole_ms.saturating_add(1);
    now.minus(std::time::Duration::from_millis(lag_ms))
}

fn body(person: &Person, seats: &[Seat], now: Timestamp, knobs: &Knobs) -> String {
    if seats.is_empty() {
        return nothing(knobs);
    }
    let listed = match knobs.records {
        Records::Unlisted => "[]".to_owned(),
        Records::Full | Records::Missing => array(seats.iter().map(|seat| quote(&seat.conference_id))),
    };
    let mut records = Object::new();
    if knobs.records != Records::Missing {
        for (index, seat) in seats.iter().enumerate() {
            records = records.raw(
                &map_key(person, seat, index, knobs),
                &record(person, seat, Among::Meetings, now, knobs),
            );
        }
    }
    let mut answer = Object::new().raw("onGoingConfIdList", &listed).raw("memberModelMap", &records.end());
    if knobs.extra_members {
        answer = answer.text("somethingNew", "of a later release");
    }
    answer.end()
}

fn map_key(person: &Person, seat: &Seat, index: usize, knobs: &Knobs) -> String {
    let numbered = |name: &str| if index == 0 { name.to_owned() } else { format!("{name}{index}") };
    match knobs.map_key {
        MapKey::ConferenceId => seat.conference_id.clone(),
        MapKey::Key => numbered("key"),
        MapKey::UnionId => numbered(&person.union_id),
        MapKey::Random => {
            format!("{:016x}", spread(&[person.union_id.as_bytes(), seat.conference_id.as_bytes()]))
        }
    }
}

/// In whose answer a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    /// The list of somebody's meetings.
    Meetings,
    /// The members of a meeting: no `deviceType`, and `outerOrgMember` only where it is true.
    Members,
}

/// One member record.
pub(super) fn record(person: &Person, seat: &Seat, among: Among, now: Timestamp, knobs: &Knobs) -> String {
    let joined = match knobs.rejoin_time {
        RejoinTime::New => seat.joined,
        RejoinTime::Kept => seat.first_joined,
    };
    let mut record = Object::new()
        .text("unionId", &person.union_id)
        .text("conferenceId", &seat.conference_id)
        .text("userNick", &person.nick);
    if let Some(joined) = joined {
        record = number(record, "joinTime", joined.as_ms(), knobs);
    }
    record = leave_time(record, seat, knobs);
    record = duration(record, seat, joined, now, knobs);
    record = match knobs.attend_status {
        AttendStatus::On => number(record, "attendStatus", seat.status, knobs),
        AttendStatus::Zero => number(record, "attendStatus", 0, knobs),
        AttendStatus::NinetyNine => number(record, "attendStatus", 99, knobs),
        AttendStatus::Off => record,
    };
    record = boolean(record, "host", seat.role == Role::Host, knobs);
    record = boolean(record, "coHost", seat.role == Role::CoHost, knobs);
    if among == Among::Meetings || person.external {
        record = boolean(record, "outerOrgMember", person.external, knobs);
    }
    record = boolean(record, "pstnJoin", person.by_phone, knobs);
    if among == Among::Meetings
        && let Some(device) = device(seat, now, knobs)
    {
        record = record.text("deviceType", &device);
    }
    if knobs.extra_members {
        record = record.raw("participantId", "\"p-1\"");
    }
    record.end()
}

fn leave_time(record: Object, seat: &Seat, knobs: &Knobs) -> Object {
    if let Some(left) = seat.left {
        return number(record, "leaveTime", left.as_ms(), knobs);
    }
    match knobs.leave_time {
        LeaveTime::Absent => record,
        LeaveTime::Null => record.raw("leaveTime", "null"),
        LeaveTime::Zero => number(record, "leaveTime", 0, knobs),
        LeaveTime::Stale => {
            // One that is later than `joinTime` although they are inside, as DingTalk's own join sample has it.
            let moment_after_joining = seat.joined.map(|joined| joined.as_ms() + 1);
            match seat.previously_left.map(Timestamp::as_ms).or(moment_after_joining) {
                Some(stale_ms) => number(record, "leaveTime", stale_ms, knobs),
                None => record,
            }
        }
    }
}

fn duration(record: Object, seat: &Seat, joined: Option<Timestamp>, now: Timestamp, knobs: &Knobs) -> Object {
    match (joined, seat.left, knobs.duration) {
        (Some(joined), Some(left), _) => number(record, "duration", duration_ms(left.since(joined)), knobs),
        (Some(joined), None, DurationInside::Growing) => {
            number(record, "duration", duration_ms(now.since(joined)), knobs)
        }
        (_, _, DurationInside::Zero) => number(record, "duration", 0, knobs),
        _ => record,
    }
}

fn device(seat: &Seat, now: Timestamp, knobs: &Knobs) -> Option<String> {
    let minute = usize::try_from(now.as_ms().div_euclid(60_000)).unwrap_or(0);
    match seat.devices.as_slice() {
        [] => None,
        [only] if knobs.device_flips && minute % 2 == 1 => {
            Some(if only == "iOS" { "Android" } else { "iOS" }.to_owned())
        }
        devices if knobs.device_flips => devices.get(minute % devices.len()).cloned(),
        [first, ..] => Some(first.clone()),
    }
}

pub(super) fn number(record: Object, name: &str, value: i64, knobs: &Knobs) -> Object {
    match knobs.numbers {
        Numbers::Plain => record.number(name, value),
        Numbers::Strings => record.text(name, &value.to_string()),
        Numbers::Fractions => record.raw(name, &format!("{value}.0")),
    }
}

pub(super) fn boolean(record: Object, name: &str, value: bool, knobs: &Knobs) -> Object {
    match knobs.numbers {
        Numbers::Strings => record.text(name, if value { "true" } else { "false" }),
        Numbers::Plain | Numbers::Fractions => record.raw(name, if value { "true" } else { "false" }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::super::facts::Meeting;
    use super::super::knobs::Lag;
    use super::super::script::{Act, Happening, Step};
    use super::*;

    const START_MS: i64 = 1_700_000_000_000;
    const ID: &str = "654058f2411fe90147e68780";

    /// Ann is called (5 s), joins (10 s), leaves (20 s), comes back (30 s), is removed (40 s).
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
            |second: i64, act| Step { at_ms: second * 1000, meeting: 0, what: Happening::Does(0, act) };
        let steps = [
            step(5, Act::Call),
            step(10, Act::Join(None)),
            step(20, Act::Leave(None)),
            step(30, Act::Join(None)),
            step(40, Act::Kick),
        ];
        World::new(vec![ann], vec![meeting], &steps, Timestamp::from_ms(START_MS), None).unwrap()
    }

    fn told(second: i64, knobs: &Knobs) -> Value {
        let now = Timestamp::from_ms(START_MS + second * 1000);
        serde_json::from_str(&answer(&world(), "u-ann", now, knobs).unwrap()).unwrap()
    }

    /// The one record at that second.
    fn record_at(second: i64, knobs: &Knobs) -> Value {
        told(second, knobs)["memberModelMap"].as_object().unwrap().values().next().unwrap().clone()
    }

    fn with(turn: impl FnOnce(&mut Knobs)) -> Knobs {
        let mut knobs = Knobs::default();
        turn(&mut knobs);
        knobs
    }

    #[test]
    fn by_default_it_tells_the_plain_truth() {
        assert_eq!(
            told(15, &Knobs::default()),
            json!({"onGoingConfIdList": [ID], "memberModelMap": {ID: {
                "unionId": "u-ann", "conferenceId": ID, "userNick": "Ann \"A\" 安", "joinTime": START_MS + 10_000,
                "attendStatus": 3, "host": true, "coHost": false, "outerOrgMember": false, "pstnJoin": false,
                "deviceType": "Win"}}})
        );
        let left = record_at(25, &Knobs::default());
        assert_eq!(left["attendStatus"], 6);
        assert_eq!((&left["leaveTime"], &left["duration"]), (&json!(START_MS + 20_000), &json!(10_000)));
        assert_eq!(record_at(45, &Knobs::default())["attendStatus"], 5);
        let called = record_at(7, &Knobs::default());
        assert_eq!((&called["attendStatus"], &called["joinTime"]), (&json!(2), &Value::Null));
    }

    #[test]
    fn nobody_knows_a_stranger() {
        assert_eq!(answer(&world(), "u-bob", Timestamp::from_ms(START_MS), &Knobs::default()), None);
    }

    #[test]
    fn no_meeting_has_three_forms() {
        let form = |no_meeting| told(0, &with(|k| k.no_meeting = no_meeting));
        assert_eq!(form(NoMeeting::Lists), json!({"onGoingConfIdList": [], "memberModelMap": {}}));
        assert_eq!(form(NoMeeting::Empty), json!({}));
        assert_eq!(form(NoMeeting::Nulls), json!({"onGoingConfIdList": null, "memberModelMap": null}));
    }

    #[test]
    fn the_map_key_is_what_the_knob_says() {
        let key = |map_key| {
            let answer = told(15, &with(|k| k.map_key = map_key));
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
        assert_eq!(told(25, &dropped), json!({"onGoingConfIdList": [], "memberModelMap": {}}));
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
        let missing = told(15, &with(|k| k.records = Records::Missing));
        assert_eq!(missing, json!({"onGoingConfIdList": [ID], "memberModelMap": {}}));
        let unlisted = told(15, &with(|k| k.records = Records::Unlisted));
        assert_eq!(unlisted["onGoingConfIdList"], json!([]));
        assert_eq!(unlisted["memberModelMap"][ID]["attendStatus"], 3);
    }

    #[test]
    fn lag_tells_an_older_truth() {
        let lag = Lag(Duration::from_secs(6));
        assert_eq!(record_at(15, &with(|k| k.lag = lag))["attendStatus"], 2);
        assert_eq!(record_at(16, &with(|k| k.lag = lag))["attendStatus"], 3);
        // A lag that varies never tells the future, and no older truth than the whole lag.
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
        // The last record stands for ever, so any two minutes in a row will do.
        assert_ne!(device(120_000), device(180_000));
    }
}
