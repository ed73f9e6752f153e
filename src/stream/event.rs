//! The data of the events that this program knows.
//!
//! Guards: only an event that is fully understood counts; numbers may be written as text, unknown members are ignored. The
//! change follows from `changeScene`, because the documented status of a created meeting is that of an ended one. Not here:
//! frames (`frame`).

use serde_json::Value;

use super::frame::Envelope;
use crate::secret::Secret;

/// The longest text that is taken from an event, in bytes.
const LONGEST_TEXT: usize = 1024;

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// `meeting_status_change`.
    Meeting(MeetingEvent),
    /// `meeting_member_status_change`.
    Members(MemberEvent),
    /// `suite_ticket`: a new ticket, which voids the one before.
    SuiteTicket(Secret),
    /// An event of another type.
    Other,
}

/// What happened to a meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeetingScene {
    /// It began.
    Created,
    /// It ended.
    Closed,
}

/// A meeting began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingEvent {
    /// The meeting's conference id.
    pub conference_id: String,
    /// What happened.
    pub scene: MeetingScene,
    /// `statusSeqNum`: orders the events of one meeting.
    pub sequence: Option<i64>,
    /// The meeting's title.
    pub title: Option<String>,
}

/// What a member did, or what was done to the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberScene {
    /// Joined.
    Joined,
    /// Left.
    Left,
    /// Was invited.
    Invited,
    /// Was removed by the host.
    Kicked,
}

/// Members of a meeting joined or left it, or were invited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberEvent {
    /// The meeting's conference id.
    pub conference_id: String,
    /// What happened.
    pub scene: MemberScene,
    /// `statusSeqNum`: orders the events of one meeting.
    pub sequence: Option<i64>,
    /// The unionIds of the members; people of other organisations have none.
    pub union_ids: Vec<String>,
}

/// Reads an event; `None` if its data is not understood.
pub fn read(envelope: &Envelope) -> Option<Event> {
    let data = || serde_json::from_str::<Value>(&envelope.data).ok();
    match envelope.kind.as_str() {
        "meeting_status_change" => meeting(&data()?).map(Event::Meeting),
        "meeting_member_status_change" => members(&data()?).map(Event::Members),
        "suite_ticket" => {
            let data = data()?;
            Some(Event::SuiteTicket(Secret::new(&text(&data, "suiteTicket")?)))
        }
        _ => Some(Event::Other),
    }
}

fn meeting(data: &Value) -> Option<MeetingEvent> {
    let model = data.get("openConfModel")?;
    let scene = match data.get("changeScene")?.as_str()? {
        "conference_created" => MeetingScene::Created,
        "conference_closed" => MeetingScene::Closed,
        _ => return None,
    };
    Some(MeetingEvent {
        conference_id: text(model, "conferenceId")?,
        scene,
        sequence: number(data, "statusSeqNum"),
        title: text(model, "title"),
    })
}

fn members(data: &Value) -> Option<MemberEvent> {
    let models = data.get("openMemberModels")?.as_array()?;
    let scene = match data.get("changeScene")?.as_str()? {
        "user_join" => MemberScene::Joined,
        "user_leave" => MemberScene::Left,
        "user_invited" => MemberScene::Invited,
        "user_kicked" => MemberScene::Kicked,
        _ => return None,
    };
    let conference_id = text(models.first()?, "conferenceId")?;
    let of_one_meeting =
        models.iter().all(|model| text(model, "conferenceId").as_deref() == Some(conference_id.as_str()));
    of_one_meeting.then(|| MemberEvent {
        conference_id,
        scene,
        sequence: number(data, "statusSeqNum"),
        union_ids: models.iter().filter_map(|model| text(model, "userId")).collect(),
    })
}

/// A text that is neither empty nor endless.
fn text(object: &Value, name: &str) -> Option<String> {
    let text = object.get(name)?.as_str()?;
    (!text.is_empty() && text.len() <= LONGEST_TEXT).then(|| text.to_owned())
}

/// A number, also if it is written as text or with a fraction of zero.
fn number(object: &Value, name: &str) -> Option<i64> {
    match object.get(name)? {
        Value::Number(number) => {
            number.as_i64().or_else(|| number.to_string().strip_suffix(".0")?.parse().ok())
        }
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn envelope(kind: &str, data: &str) -> Envelope {
        Envelope {
            message_id: "m".into(),
            event_id: "e".into(),
            kind: kind.into(),
            corp_id: None,
            born_ms: None,
            data: data.into(),
        }
    }

    #[test]
    fn a_created_meeting_is_one_whatever_its_status_says() {
        for number in ["7", "\"7\"", "7.0"] {
            let data = format!(
                r#"{{"openConfModel":{{"conferenceId":"c","title":"Daily","status":1}},"statusSeqNum":{number},
                "changeScene":"conference_created"}}"#
            );
            let wanted = MeetingEvent {
                conference_id: "c".into(),
                scene: MeetingScene::Created,
                sequence: Some(7),
                title: Some("Daily".into()),
            };
            assert_eq!(read(&envelope("meeting_status_change", &data)), Some(Event::Meeting(wanted)));
        }
    }

    #[test]
    fn a_join_names_those_who_have_a_union_id() {
        let data = r#"{"openMemberModels":[{"userId":"u-1","conferenceId":"c","leaveTime":1},
            {"userId":"","conferenceId":"c"}],"statusSeqNum":3,"changeScene":"user_join"}"#;
        let Some(Event::Members(event)) = read(&envelope("meeting_member_status_change", data)) else {
            panic!("a member event")
        };
        assert_eq!((event.scene, event.union_ids), (MemberScene::Joined, vec!["u-1".to_owned()]));
    }

    #[test]
    fn half_understood_is_not_understood() {
        for (kind, data) in [
            (
                "meeting_status_change",
                r#"{"openConfModel":{"conferenceId":"c"},"statusSeqNum":1,"changeScene":"x"}"#,
            ),
            (
                "meeting_status_change",
                r#"{"openConfModel":{},"statusSeqNum":1,"changeScene":"conference_closed"}"#,
            ),
            ("meeting_status_change", "no JSON"),
            ("meeting_member_status_change", r#"{"openMemberModels":[],"changeScene":"user_join"}"#),
            (
                "meeting_member_status_change",
                r#"{"openMemberModels":[{"conferenceId":"c"},{"conferenceId":"d"}],"changeScene":"user_join"}"#,
            ),
            ("suite_ticket", r#"{"suiteTicket":""}"#),
            ("suite_ticket", r#"{"suiteTicket":5}"#),
        ] {
            assert_eq!(read(&envelope(kind, data)), None, "{data}");
        }
        assert_eq!(read(&envelope("org_dept_create", "no JSON")), Some(Event::Other));
    }

    #[test]
    fn a_suite_ticket_does_not_print() {
        let read = read(&envelope("suite_ticket", r#"{"suiteTicket":"hunter2"}"#));
        assert!(matches!(&read, Some(Event::SuiteTicket(ticket)) if ticket.reveal() == "hunter2"));
        assert!(!format!("{read:?}").contains("hunter2"));
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn no_data_breaks_the_reader(data in ".*") {
            for kind in ["meeting_status_change", "meeting_member_status_change", "suite_ticket", "x"] {
                let _ = read(&envelope(kind, &data));
            }
        }
    }
}
