//! Frames of the Stream protocol as text, and what an answer to one says.
//!
//! Guards: the members of documented frames, in their order. An answer counts as success only if both its code and the
//! status in its data do. Not here: when a frame is sent (`queue`, `server`).

use serde_json::Value;

use super::announcements::Event;
use crate::simulator::json::Object;
use crate::time::Timestamp;

/// The frame that pushes an event.
pub(super) fn event(event: &Event, message_id: &str, corp_id: &str, now: Timestamp) -> String {
    let headers = Object::new()
        .text("topic", "*")
        .text("messageId", message_id)
        .text("contentType", "application/json")
        .text("time", &now.as_ms().to_string())
        .text("eventType", event.kind)
        .text("eventId", &event.id)
        .text("eventCorpId", corp_id)
        .text("eventBornTime", &event.born.as_ms().to_string())
        .text("eventUnifiedAppId", "00000000-0000-0000-0000-000000000000")
        .end();
    frame("EVENT", &headers, &event.data)
}

/// A SYSTEM frame: `ping` or `disconnect`.
pub(super) fn system(topic: &str, message_id: &str, data: &str, now: Timestamp) -> String {
    let headers = Object::new()
        .text("topic", topic)
        .text("messageId", message_id)
        .text("contentType", "application/json")
        .text("time", &now.as_ms().to_string())
        .end();
    frame("SYSTEM", &headers, data)
}

fn frame(kind: &str, headers: &str, data: &str) -> String {
    Object::new()
        .text("specVersion", "1.0")
        .text("type", kind)
        .raw("headers", headers)
        .text("data", data)
        .end()
}

/// What a client answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) message_id: String,
    pub(super) is_success: bool,
    pub(super) is_later: bool,
}

/// Reads an answer; `None` if it is none.
pub(super) fn reply(text: &str) -> Option<Reply> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let message_id = answer.get("headers")?.get("messageId")?.as_str()?.to_owned();
    let data: Option<Value> =
        answer.get("data").and_then(Value::as_str).and_then(|data| serde_json::from_str(data).ok());
    let status = data.as_ref().and_then(|data| data.get("status")).and_then(Value::as_str);
    let is_later = status == Some("LATER");
    let is_success = answer.get("code").and_then(Value::as_i64) == Some(200) && !is_later;
    Some(Reply { message_id, is_success, is_later })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_ways_of_official_clients_to_answer_are_understood() {
        let with = |code, data: &str| {
            reply(&format!(r#"{{"code":{code},"headers":{{"messageId":"m"}},"message":"","data":{data:?}}}"#))
                .map(|reply| (reply.is_success, reply.is_later))
        };
        assert_eq!(with(200, r#"{"status":"SUCCESS"}"#), Some((true, false)));
        assert_eq!(with(200, r#"{"changeScene":"user_join"}"#), Some((true, false)));
        assert_eq!(with(200, r#"{"status":"LATER"}"#), Some((false, true)));
        assert_eq!(with(500, r#"{"status":"LATER"}"#), Some((false, true)));
        assert_eq!(with(404, "not implemented"), Some((false, false)));
        assert_eq!(reply("{}"), None);
    }
}
