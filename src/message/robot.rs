//! The request body of a DingTalk group robot: one event, or a digest of several.
//!
//! Guards: at most [`MAX_BYTES`], whatever names and summaries contain. The caller gives the `msgUuid`, so that a
//! repeated request is the same message. Deliberately not here: signing (`signature::robot`), the limit of 20 messages
//! a minute (`policy::robot`).

use std::fmt::Write as _;

use serde::Serialize;

use super::sentence::StoredEvent;
use super::style::{Language, Style};
use super::text::{cut, for_markdown};

/// Maximum length of a request that DingTalk accepts.
pub const MAX_BYTES: usize = 20_000;

/// Maximum number of events in a digest. With names of usual length all of them fit.
pub const MAX_EVENTS: usize = 50;

/// Maximum length of a title, which a phone shows in its notification.
const TITLE_BYTES: usize = 240;

/// Maximum length of a line of a digest.
const LINE_BYTES: usize = 320;

#[derive(Serialize)]
struct Body<'a> {
    msgtype: &'static str,
    markdown: Markdown<'a>,
    at: At,
    #[serde(rename = "msgUuid")]
    uuid: &'a str,
}

#[derive(Serialize)]
struct Markdown<'a> {
    title: &'a str,
    text: &'a str,
}

/// Mentions no one: who is in a meeting is no reason for a notification on every phone.
#[derive(Serialize)]
struct At {
    #[serde(rename = "atMobiles")]
    mobiles: [&'static str; 0],
    #[serde(rename = "atUserIds")]
    user_ids: [&'static str; 0],
    #[serde(rename = "isAtAll")]
    all: bool,
}

/// The body for `bodies`, which must not be empty.
pub fn message(uuid: &str, bodies: &[&[u8]], style: Style) -> Vec<u8> {
    let event: Vec<StoredEvent> = bodies.iter().map(|body| StoredEvent::read(body)).collect();
    let (title, text) = match event.as_slice() {
        [one] => single(one, style),
        several => digest(several, style),
    };
    let at = At { mobiles: [], user_ids: [], all: false };
    let body = Body { msgtype: "markdown", markdown: Markdown { title: &title, text: &text }, at, uuid };
    // Cannot fail: there is no map, and a vector accepts every write.
    serde_json::to_vec(&body).expect("a message is plain JSON")
}

fn single(event: &StoredEvent, style: Style) -> (String, String) {
    let sentence = for_markdown(&event.sentence(style));
    let title = cut(&sentence, TITLE_BYTES);
    let mut text = format!("#### {}\n", cut(&sentence, 4 * LINE_BYTES));
    let words = match style.language {
        Language::En => ["Meeting", "Organisation", "Observed"],
        Language::Zh => ["会议", "组织", "获知时间"],
    };
    let meeting = event.data.meeting.as_ref();
    let meeting =
        meeting.map(|meeting| meeting.title.clone().unwrap_or_else(|| meeting.conference_id.clone()));
    let org = event.data.org.clone().filter(|org| org != "default");
    let observed =
        event.data.timing.late.then(|| style.clock(&event.data.timing.observed_at, &event.recordedtime));
    for (word, value) in words.into_iter().zip([meeting, org, observed]) {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n- {word}: {}", cut(&for_markdown(&value), LINE_BYTES));
        }
    }
    (title, text)
}

fn digest(several: &[StoredEvent], style: Style) -> (String, String) {
    /// Reserved for everything around the lines, and for the line with the number of events left out.
    const REST_BYTES: usize = 1_000;
    let (first, title) =
        (several.first().map(|event| event.sentence(style)).unwrap_or_default(), several.len());
    let title = match style.language {
        Language::En => format!("{title} events"),
        Language::Zh => format!("{title} 条消息"),
    };
    let mut text = format!("#### {title}\n");
    let (mut bytes, mut shown) = (REST_BYTES, 0);
    for event in several {
        let line = format!("\n- {}", cut(&for_markdown(&event.sentence(style)), LINE_BYTES));
        // Length inside JSON, where an escaped character takes two bytes.
        bytes += line.len() + line.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n')).count();
        if bytes > MAX_BYTES {
            break;
        }
        text.push_str(&line);
        shown += 1;
    }
    let more = several.len() - shown;
    if more > 0 {
        let _ = match style.language {
            Language::En => write!(text, "\n- and {more} more"),
            Language::Zh => write!(text, "\n- 另有 {more} 条"),
        };
    }
    let preview = format!("{title}: {}", for_markdown(&first));
    (cut(&preview, TITLE_BYTES), text)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::*;
    use crate::message::sample;

    const STYLES: [Style; 2] = [
        Style { language: Language::En, zone: Tz::UTC },
        Style { language: Language::Zh, zone: Tz::Asia__Shanghai },
    ];

    #[test]
    fn one_message_for_every_type_and_a_digest_of_all() {
        let mut lines = Vec::new();
        for style in STYLES {
            for body in sample::bodies() {
                lines.push(String::from_utf8(message("evt_1", &[body.as_bytes()], style)).unwrap());
            }
            let all: Vec<_> = sample::bodies().map(str::as_bytes).collect();
            lines.push(String::from_utf8(message("bat_1", &all, style)).unwrap());
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn a_digest_that_is_too_long_gives_the_number_of_events_left_out() {
        let name = "王\\\"".repeat(500);
        let body = sample::body("meeting.participant_joined").unwrap().replace("Li Wei", &name);
        let made = message("bat_1", &vec![body.as_bytes(); MAX_EVENTS], STYLES[0]);
        assert!(made.len() <= MAX_BYTES, "{}", made.len());
        assert!(String::from_utf8(made).unwrap().contains(" more\""));
    }

    #[test]
    fn a_full_digest_of_usual_names_leaves_no_event_out() {
        let body = sample::body("meeting.participant_left")
            .unwrap()
            .replace("Li Wei", "Wolfeschlegelsteinhausen (王小明)");
        for style in STYLES {
            let made = message("bat_1", &vec![body.as_bytes(); MAX_EVENTS], style);
            let made: serde_json::Value = serde_json::from_slice(&made).unwrap();
            assert_eq!(made["markdown"]["text"].as_str().unwrap().lines().count(), MAX_EVENTS + 2);
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn no_event_makes_a_message_too_long(
            name in any::<String>(), times in 1usize..60, meeting in any::<String>(), count in 1usize..=MAX_EVENTS,
        ) {
            let event = serde_json::json!({
                "type": "meeting.participant_joined", "time": name, "data": {
                    "user": {"name": name.repeat(times)}, "meeting": {"conference_id": meeting.repeat(times)}},
            });
            let body = event.to_string();
            let bodies = vec![body.as_bytes(); count];
            for style in STYLES {
                let made = message("evt_4q7m2x9c1v8b3n6k0w5z2t7y1r", &bodies, style);
                prop_assert!(made.len() <= MAX_BYTES, "{}", made.len());
            }
        }
    }
}
