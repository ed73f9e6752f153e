//! What a DingTalk group robot is told: one event, or a digest of several.
//!
//! Guards: at most [`MAX_BYTES`], whatever names and summaries hold; `msgUuid` is the caller's, so that a message sent
//! again is the same message. Deliberately not here: signing (`signature::robot`), the limit of twenty a minute
//! (`policy::robot`).

use std::fmt::Write as _;

use serde::Serialize;

use super::sentence::Told;
use super::style::{Language, Style};
use super::text::{cut, for_markdown};

/// The largest request a robot takes.
pub const MAX_BYTES: usize = 20_000;

/// The most events one digest tells; as many fit for sure when names are not absurd.
pub const MOST_EVENTS: usize = 50;

/// Bytes of a title: what a phone's notification shows.
const TITLE_BYTES: usize = 240;

/// Bytes of a line of a digest.
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

/// Nobody is called: telling who is in a meeting is no reason to ring everybody's phone.
#[derive(Serialize)]
struct At {
    #[serde(rename = "atMobiles")]
    mobiles: [&'static str; 0],
    #[serde(rename = "atUserIds")]
    user_ids: [&'static str; 0],
    #[serde(rename = "isAtAll")]
    all: bool,
}

/// The request's body for some events, at least one.
pub fn message(uuid: &str, bodies: &[&[u8]], style: Style) -> Vec<u8> {
    let told: Vec<Told> = bodies.iter().map(|body| Told::read(body)).collect();
    let (title, text) = match told.as_slice() {
        [one] => single(one, style),
        several => digest(several, style),
    };
    let at = At { mobiles: [], user_ids: [], all: false };
    let body = Body { msgtype: "markdown", markdown: Markdown { title: &title, text: &text }, at, uuid };
    // Cannot fail: no map, no writer that could refuse.
    serde_json::to_vec(&body).expect("a message is plain JSON")
}

fn single(told: &Told, style: Style) -> (String, String) {
    let sentence = for_markdown(&told.sentence(style));
    let title = cut(&sentence, TITLE_BYTES);
    let mut text = format!("#### {}\n", cut(&sentence, 4 * LINE_BYTES));
    let words = match style.language {
        Language::En => ["Meeting", "Organisation", "Noticed"],
        Language::Zh => ["会议", "组织", "获知时间"],
    };
    let meeting = told.data.meeting.as_ref().map(|meeting| meeting.conference_id.clone());
    let org = told.data.org.clone().filter(|org| org != "default");
    let noticed =
        told.data.timing.late.then(|| style.clock(&told.data.timing.observed_at, &told.recordedtime));
    for (word, value) in words.into_iter().zip([meeting, org, noticed]) {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n- {word}: {}", cut(&for_markdown(&value), LINE_BYTES));
        }
    }
    (title, text)
}

fn digest(several: &[Told], style: Style) -> (String, String) {
    /// For everything around the lines, and the line that says how many more there are.
    const REST_BYTES: usize = 1_000;
    let (first, title) =
        (several.first().map(|told| told.sentence(style)).unwrap_or_default(), several.len());
    let title = match style.language {
        Language::En => format!("{title} events"),
        Language::Zh => format!("{title} 条消息"),
    };
    let mut text = format!("#### {title}\n");
    let (mut bytes, mut shown) = (REST_BYTES, 0);
    for told in several {
        let line = format!("\n- {}", cut(&for_markdown(&told.sentence(style)), LINE_BYTES));
        // What it takes inside JSON, where a quotation mark takes two.
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
    fn a_digest_too_long_says_how_many_more_there_are() {
        let name = "王\\\"".repeat(500);
        let body = sample::body("meeting.participant_joined").unwrap().replace("Li Wei", &name);
        let made = message("bat_1", &vec![body.as_bytes(); MOST_EVENTS], STYLES[0]);
        assert!(made.len() <= MAX_BYTES, "{}", made.len());
        assert!(String::from_utf8(made).unwrap().contains(" more\""));
    }

    #[test]
    fn a_full_digest_of_usual_names_leaves_nobody_out() {
        let body = sample::body("meeting.participant_left")
            .unwrap()
            .replace("Li Wei", "Wolfeschlegelsteinhausen (王小明)");
        for style in STYLES {
            let made = message("bat_1", &vec![body.as_bytes(); MOST_EVENTS], style);
            let made: serde_json::Value = serde_json::from_slice(&made).unwrap();
            assert_eq!(made["markdown"]["text"].as_str().unwrap().lines().count(), MOST_EVENTS + 2);
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn no_event_makes_a_message_too_long(
            name in any::<String>(), times in 1usize..60, meeting in any::<String>(), count in 1usize..=MOST_EVENTS,
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
