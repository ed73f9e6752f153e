//! Frames of the Stream protocol: what comes down, and the answers that go up.
//!
//! Guards: a frame counts only if it is understood; members of the wrong kind are treated as absent, unknown ones are ignored.
//! Not here: the data of an event (`event`), when an answer is sent (`machine`).

use std::fmt;

use serde_json::{Value, json};

/// The longest id that is kept, in bytes; usual ones have about 40.
const LONGEST_ID: usize = 256;

/// An event, before its data is read.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Names the push in its answer. A repeat has the same one.
    pub message_id: String,
    /// Names the event; also the same if it is pushed with another `message_id`.
    pub event_id: String,
    /// `eventType`.
    pub kind: String,
    /// `eventCorpId`: the organisation that the event is about.
    pub corp_id: Option<String>,
    /// `eventBornTime`, in milliseconds since 1970.
    pub born_ms: Option<i64>,
    /// The data, as JSON.
    pub data: String,
}

/// The data may hold a suite ticket or a meeting's title, so it does not print.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A frame from the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Asks for an answer with the same data.
    Ping {
        /// Names the ping in its answer.
        message_id: String,
        /// The data.
        data: String,
    },
    /// No more events come on this connection, and it is about to be closed.
    Disconnect,
    /// An event.
    Event(Envelope),
    /// A frame of another kind that wants an answer.
    Other {
        /// Names it in its answer.
        message_id: String,
    },
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// It is stored or needs nothing.
    Success,
    /// It could not be stored; the gateway repeats it.
    Later,
}

/// Reads a frame; `None` if it is not understood.
pub fn read(text: &str) -> Option<Frame> {
    let frame: Value = serde_json::from_str(text).ok()?;
    let headers = frame.get("headers")?;
    let header = |name: &str| headers.get(name).and_then(Value::as_str).and_then(id);
    let message_id = header("messageId");
    let data = || frame.get("data").and_then(Value::as_str).unwrap_or_default().to_owned();
    let topic = headers.get("topic").and_then(Value::as_str).unwrap_or_default();
    match (frame.get("type").and_then(Value::as_str)?, topic) {
        ("SYSTEM", "disconnect") => Some(Frame::Disconnect),
        ("SYSTEM", "ping") => Some(Frame::Ping { message_id: message_id?, data: data() }),
        ("EVENT", _) => {
            let message_id = message_id?;
            Some(Frame::Event(Envelope {
                event_id: header("eventId").unwrap_or_else(|| message_id.clone()),
                message_id,
                kind: header("eventType").unwrap_or_default(),
                corp_id: header("eventCorpId"),
                born_ms: header("eventBornTime").and_then(|ms| ms.trim().parse().ok()),
                data: data(),
            }))
        }
        _ => Some(Frame::Other { message_id: message_id? }),
    }
}

fn id(text: &str) -> Option<String> {
    (!text.is_empty() && text.len() <= LONGEST_ID).then(|| text.to_owned())
}

/// The answer to a ping.
pub fn pong(message_id: &str, data: &str) -> String {
    answer(200, message_id, "OK", data)
}

/// The answer to an event. The gateway repeats an event whose status is `LATER`.
pub fn acknowledgement(message_id: &str, ack: Ack) -> String {
    let status = match ack {
        Ack::Success => "SUCCESS",
        Ack::Later => "LATER",
    };
    answer(200, message_id, "OK", &json!({ "status": status }).to_string())
}

/// The answer to a frame of another kind.
pub fn not_implemented(message_id: &str) -> String {
    answer(404, message_id, "not implemented", "")
}

fn answer(code: u16, message_id: &str, message: &str, data: &str) -> String {
    let headers = json!({ "contentType": "application/json", "messageId": message_id });
    json!({ "code": code, "headers": headers, "message": message, "data": data }).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn documented_frames_are_read() {
        let ping = r#"{"specVersion":"1.0","type":"SYSTEM","headers":{"contentType":"application/json","messageId":"m1",
            "time":"1690362102194","topic":"ping"},"data":"{\"opaque\":\"o\"}"}"#;
        let wanted = Frame::Ping { message_id: "m1".into(), data: r#"{"opaque":"o"}"#.into() };
        assert_eq!(read(ping), Some(wanted));
        let answered: Value = serde_json::from_str(&pong("m1", r#"{"opaque":"o"}"#)).unwrap();
        assert_eq!((&answered["code"], &answered["data"]), (&json!(200), &json!(r#"{"opaque":"o"}"#)));
        let disconnect = r#"{"type":"SYSTEM","headers":{"topic":"disconnect","messageId":"m2"},"data":"{}"}"#;
        assert_eq!(read(disconnect), Some(Frame::Disconnect));
        let event = r#"{"type":"EVENT","headers":{"topic":"*","messageId":"m3","eventId":"e","eventType":"suite_ticket",
            "eventCorpId":"ding1","eventBornTime":"1"},"data":"{}","later":1}"#;
        let Some(Frame::Event(envelope)) = read(event) else { panic!("an event") };
        assert_eq!((envelope.kind.as_str(), envelope.corp_id.as_deref()), ("suite_ticket", Some("ding1")));
        let callback =
            r#"{"type":"CALLBACK","headers":{"topic":"/v1.0/im/bot/messages/get","messageId":"m4"}}"#;
        assert_eq!(read(callback), Some(Frame::Other { message_id: "m4".into() }));
    }

    #[test]
    fn what_names_no_message_or_is_no_frame_is_not_understood() {
        let endless = format!(r#"{{"type":"EVENT","headers":{{"messageId":"{}"}}}}"#, "m".repeat(300));
        for text in ["", "[]", "null", r#"{"type":"EVENT"}"#, r#"{"type":7,"headers":{}}"#, &endless] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn no_text_breaks_the_reader(text in ".*", kind in "[A-Z]{0,8}", topic in ".{0,12}", id in ".{0,12}") {
            let _ = read(&text);
            let frame = json!({ "type": kind, "headers": { "topic": topic, "messageId": id }, "data": text });
            let _ = read(&frame.to_string());
        }
    }
}
