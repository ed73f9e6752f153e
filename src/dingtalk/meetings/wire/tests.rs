//! DingTalk's own samples, missing members, foreign bodies, and random bodies.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::presence::attendance::{AttendStatus, Attendance, Role};

const ID: &str = "67595244412cc3026ec4a260";
const NOW: Timestamp = Timestamp::from_ms(1_795_413_600_000);

/// A record that says nothing.
fn empty_record() -> Attendance {
    Attendance::without_times(id(), None)
}

fn id() -> ConferenceId {
    ConferenceId::parse(ID).unwrap()
}

fn bytes(body: &Value) -> Vec<u8> {
    body.to_string().into_bytes()
}

fn place<T: fmt::Debug>(read: Result<T, BodyError>) -> String {
    match read {
        Err(fault) => fault.to_string(),
        Ok(parsed) => panic!("understood as {parsed:?}"),
    }
}

/// The shape of the page's sample.
fn org_sample() -> Value {
    json!({"nextToken": "50742351870", "totalCount": 20, "hasMore": true, "onGoingConfList": [{
        "conferenceId": ID, "title": "a title", "roomCode": "841000003", "status": 2,
        "startTime": 1_733_879_547_000_i64, "endTime": 1_733_889_547_000_i64, "creatorId": "urC45iEiE",
        "creatorNick": "n", "bizType": "0"}]})
}

#[test]
fn the_organisations_meetings_are_understood() {
    let page = ongoing(&bytes(&org_sample())).unwrap();
    let started = Some(Timestamp::from_ms(1_733_879_547_000));
    let (title, creator) = (Title::parse("a title"), UnionId::parse("urC45iEiE").ok());
    assert_eq!(page.items, [OngoingMeeting { conference_id: id(), started, title, creator }]);
    assert_eq!(page.next, Some(PageToken("50742351870".into())));
    assert_eq!((page.has_more, page.total, page.evidence), (Some(true), Some(20), Evidence::Explicit));
}

#[test]
fn no_meetings_has_more_than_one_form() {
    for (body, evidence) in [
        (
            json!({"onGoingConfList": [], "hasMore": false, "totalCount": 0, "nextToken": ""}),
            Evidence::Explicit,
        ),
        (json!({"onGoingConfList": null}), Evidence::Weak),
        (json!({"hasMore": "false", "totalCount": "0"}), Evidence::Weak),
        (json!({}), Evidence::Weak),
    ] {
        let page = ongoing(&bytes(&body)).unwrap();
        assert_eq!((page.items.len(), page.next, page.evidence), (0, None, evidence), "{body}");
    }
}

#[test]
fn numbers_may_be_texts_and_a_token_a_number() {
    let body = json!({"nextToken": 7, "totalCount": "2", "hasMore": "true",
        "onGoingConfList": [{"conferenceId": ID, "startTime": "1733879547000.0"}, null]});
    let page = ongoing(&bytes(&body)).unwrap();
    assert_eq!((page.next, page.total, page.oddities), (Some(PageToken("7".into())), Some(2), 1));
    assert_eq!(page.items[0].started, Some(Timestamp::from_ms(1_733_879_547_000)));
}

#[test]
fn a_foreign_body_is_no_answer_about_meetings() {
    for body in [
        json!({"status": 1111, "wait": 5, "source": "x5", "punish": "deny", "uuid": "1"}),
        json!({"errcode": 404, "errmsg": "no"}),
        json!({"onGoingConfList": [], "infos": [], "confInfo": {}, "memberModels": [], "code": "x"}),
    ] {
        let body = bytes(&body);
        assert_eq!(ongoing(&body), Err(BodyError::Foreign));
        assert_eq!(batch(&body, &[id()]), Err(BodyError::Foreign));
        assert_eq!(info(&body, &id(), NOW), Err(BodyError::Foreign));
        assert_eq!(members(&body, &id()), Err(BodyError::Foreign));
    }
    assert_eq!(place(ongoing(br#"{"infos":[]}"#)), "onGoingConfList is not there");
    assert_eq!(place(batch(br#"{"onGoingConfList":[]}"#, &[])), "infos is not there");
    assert_eq!(place(info(b"{}", &id(), NOW)), "confInfo is not there");
}

#[test]
fn an_array_is_no_object_and_an_object_no_list() {
    for body in
        [r#"{"onGoingConfList":{}}"#, r#"{"onGoingConfList":[[]]}"#, r#"{"onGoingConfList":[1]}"#, "[]", ""]
    {
        assert!(matches!(ongoing(body.as_bytes()), Err(BodyError::Malformed(_))), "{body}");
    }
    assert!(matches!(info(br#"{"confInfo":[]}"#, &id(), NOW), Err(BodyError::Malformed(_))));
    assert!(matches!(members(br#"{"memberModels":[[]]}"#, &id()), Err(BodyError::Malformed(_))));
    assert!(matches!(batch(br#"{"infos":[{"conferenceId":1}]}"#, &[id()]), Err(BodyError::Malformed(_))));
}

#[test]
fn a_batch_has_its_users_with_their_status() {
    let body = json!({"infos": [{"conferenceId": ID, "title": "t", "status": 2, "mediaStatus": 0, "userList": [
        {"userId": "27SaQ3iEiE", "nick": "n", "attendStatus": 3, "cameraStatus": 2, "micStatus": 2, "rejectDescription": "busy"},
        {"userId": "user7", "attendStatus": "0"}, {"userId": "user8"}, {"nick": "x"}, null]}]});
    let (meetings, oddities) = batch(&bytes(&body), &[id()]).unwrap();
    assert_eq!(meetings[0].conference_id, id());
    let users: Vec<_> =
        meetings[0].users.iter().map(|user| (&*user.id, user.status.map(AttendStatus::code))).collect();
    assert_eq!(users, [("27SaQ3iEiE", Some(3)), ("user7", Some(0)), ("user8", None)]);
    assert_eq!(oddities, 2);
}

#[test]
fn a_batch_is_about_what_was_asked() {
    let other = ConferenceId::parse("other").unwrap();
    let body = bytes(&json!({"infos": [{"conferenceId": ID}]}));
    assert_eq!(place(batch(&body, &[other])), "infos: a meeting that was not asked for");
    let twice = bytes(&json!({"infos": [{"conferenceId": ID}, {"conferenceId": ID}]}));
    assert_eq!(place(batch(&twice, &[id()])), "infos: a meeting appears twice");
    let over = bytes(&json!({"infos": [{"conferenceId": ID, "status": 1, "userList": [{"userId": "u"}]}]}));
    assert_eq!(batch(&over, &[id()]), Ok((vec![], 0)));
    assert_eq!(batch(b"{\"infos\":null}", &[id()]), Ok((vec![], 0)));
}

#[test]
fn a_meeting_has_a_state() {
    let parsed = |body: Value| info(&bytes(&json!({ "confInfo": body })), &id(), NOW).unwrap();
    let over = parsed(json!({"activeNum": 0, "attendNum": 15, "confDuration": 1_000_000, "conferenceId": ID,
        "creatorId": "2iPOL", "externalLinkUrl": "https://meeting.dingtalk.com/app", "invitedNum": 20,
        "startTime": 1_663_293_270_000_i64, "status": 1, "title": "t", "roomCode": "4272",
        "endTime": 1_663_294_270_000_i64, "bizType": "0", "extensionAppSettings": [{"appId": "29"}]}));
    assert_eq!((over.state, over.ended), (MeetingState::Ended, Some(Timestamp::from_ms(1_663_294_270_000))));
    assert_eq!((over.observed_at, over.active, over.oddities), (NOW, Some(0), 0));
    assert_eq!(parsed(json!({"status": "2", "endTime": 0})).ended, None);
    assert_eq!(parsed(json!({"status": 2})).state, MeetingState::Started);
    assert_eq!(parsed(json!({"status": 0})).state, MeetingState::Initialized);
    assert_eq!(parsed(json!({"status": 9})).state, MeetingState::Unrecognized);
    assert_eq!(parsed(json!({})).state, MeetingState::Unrecognized);
    let other = bytes(&json!({"confInfo": {"conferenceId": "other"}}));
    assert_eq!(place(info(&other, &id(), NOW)), "confInfo: of another meeting");
}

#[test]
fn members_are_records_like_those_of_the_list() {
    let body = json!({"memberModels": [{"unionId": "2iPOL", "conferenceId": ID, "userNick": "n",
        "joinTime": 1_663_293_270_000_i64, "leaveTime": 1_663_293_280_000_i64, "duration": 10_000, "host": false,
        "attendStatus": 6, "outerOrgMember": true, "pstnJoin": false, "coHost": true}, {"unionId": ""}],
        "nextToken": "123000000", "totalCount": 20});
    let page = members(&bytes(&body), &id()).unwrap();
    let expected = Attendance {
        status: Some(6.into()),
        joined: Some(Timestamp::from_ms(1_663_293_270_000)),
        left: Some(Timestamp::from_ms(1_663_293_280_000)),
        duration_ms: Some(10_000),
        role: Role::CoHost,
        external: true,
        nick: Some("n".into()),
        ..empty_record()
    };
    assert_eq!(page.items[0], Member { union_id: UnionId::parse("2iPOL").ok(), attendance: expected });
    assert_eq!(page.items[1], Member { union_id: None, attendance: empty_record() });
    assert_eq!((page.next, page.total), (Some(PageToken("123000000".into())), Some(20)));
    let other = bytes(&json!({"memberModels": [{"conferenceId": "other"}]}));
    assert_eq!(place(members(&other, &id())), "memberModels: of another meeting");
}

#[test]
fn nothing_of_a_body_is_quoted() {
    let secret = "2iPOLsecret";
    for body in [
        format!(r#"{{"onGoingConfList":"{secret}"}}"#),
        format!(r#"{{"onGoingConfList":[{{"startTime":"{secret}"}}]}}"#),
        format!(r#"{{"hasMore":"{secret}"}}"#),
    ] {
        let text = place(ongoing(body.as_bytes()));
        assert!(!text.contains("secret"), "{text}");
    }
}

proptest! {
    #![proptest_config(crate::testing::cases())]

    #[test]
    fn no_body_panics(cut in 0_usize..400, at in 0_usize..400, byte in any::<u8>()) {
        let body = json!({"infos": [{"conferenceId": ID, "status": 2, "userList": [{"userId": "u", "attendStatus": 3}]}],
            "confInfo": {"status": 1, "endTime": 5}, "memberModels": [{"unionId": "u", "attendStatus": 6}],
            "onGoingConfList": [{"conferenceId": ID}], "hasMore": true, "totalCount": 3, "nextToken": "t"});
        let mut body = bytes(&body);
        body.truncate(cut);
        if let Some(place) = body.get_mut(at) {
            *place = byte;
        }
        let _ = (ongoing(&body), batch(&body, &[id()]), info(&body, &id(), NOW), members(&body, &id()));
    }
}
