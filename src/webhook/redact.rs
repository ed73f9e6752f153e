//! Redacts a receiver's answer before it is logged or stored: error pages repeat the URL, the headers or the body of the
//! request.
//!
//! Guards: no query, no value in it, no long part of the path, no secret header or part of one, and nothing that names a
//! user (unionId, name, nick) remains, as it was sent, in JSON escapes or percent-encoded. Not here: errors of the client,
//! which never hold a URL (`net::describe`).

use std::fmt::Write as _;

use reqwest::Url;
use serde_json::Value;

use crate::secret::Secret;

/// Replaces each redacted part.
const HIDDEN: &str = "[hidden]";

/// The shortest value that is redacted. Shorter ones are not secrets, and they occur in other words.
const SHORTEST_VALUE: usize = 4;

/// A segment of a path may be a secret from this length on, as in the URLs of chat services.
const SHORTEST_SEGMENT: usize = 8;

/// A part of a header's value may be a key from this length on: `Bearer KEY`, `user=KEY`.
const SHORTEST_PART: usize = 6;

/// The shortest name that is redacted, in bytes. Shorter ASCII names occur in other words.
const SHORTEST_NAME: usize = 4;

/// The texts in an event's body that identify its user.
pub(super) fn identifying(body: &[u8]) -> Vec<String> {
    let Ok(event) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let user = &event["data"]["user"];
    let texts = [&user["union_id"], &user["name"], &user["nick"], &event["subject"], &event["partitionkey"]];
    let texts = texts.into_iter().filter_map(Value::as_str);
    texts.filter(|text| text.len() >= SHORTEST_NAME && *text != "system").map(str::to_owned).collect()
}

/// The text in the encoding of a query.
fn form_encoded(text: &str, url: &Url) -> String {
    let mut url = url.clone();
    url.query_pairs_mut().clear().append_key_only(text);
    url.query().unwrap_or_default().to_owned()
}

/// The text in JSON escapes, ASCII only.
fn json_escaped(text: &str) -> String {
    let mut escaped = String::new();
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => escaped.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(escaped, "\\u{unit:04x}")),
        }
    }
    escaped
}

/// The text without the parts that are secret about the request.
pub(super) fn redact(text: &str, url: &Url, secrets: &[Secret], users: &[String]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut take = |part: &str, shortest: usize| {
        if part.len() >= shortest {
            parts.push(part.to_owned());
        }
    };
    if let Some(query) = url.query() {
        take(query, 1);
        for pair in query.split('&') {
            take(pair.split_once('=').map_or(pair, |(_, value)| value), SHORTEST_VALUE);
        }
        for (_, value) in url.query_pairs() {
            take(&value, SHORTEST_VALUE);
        }
    }
    for segment in url.path().split('/') {
        take(segment, SHORTEST_SEGMENT);
    }
    for secret in secrets {
        take(secret.reveal(), SHORTEST_VALUE);
        for part in secret.reveal().split([' ', '=', ',', ';', ':', '"']) {
            take(part, SHORTEST_PART);
        }
    }
    for user in users {
        take(user, SHORTEST_NAME);
        take(&json_escaped(user), SHORTEST_NAME);
        take(&form_encoded(user, url), SHORTEST_NAME);
    }
    // The longest part first, so that no rest of it remains.
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.iter().fold(text.to_owned(), |text, part| text.replace(part, HIDDEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> String {
        let url =
            "https://oapi.example.com/robot/send/T00000000?access_token=a%2Bb%3Dhush&x=1".parse().unwrap();
        redact(text, &url, &[Secret::new("Bearer hush-hush"), Secret::new("ab")], &[])
    }

    #[test]
    fn an_error_page_that_repeats_the_request_is_stripped() {
        assert_eq!(
            hidden("Cannot POST /robot/send/T00000000?access_token=a%2Bb%3Dhush&x=1"),
            "Cannot POST /robot/send/[hidden]?[hidden]"
        );
        assert_eq!(
            hidden("token a+b=hush is unknown (a%2Bb%3Dhush)"),
            "token [hidden] is unknown ([hidden])"
        );
        assert_eq!(hidden("authorization: Bearer hush-hush"), "authorization: [hidden]");
        assert_eq!(hidden("invalid api key: hush-hush"), "invalid api key: [hidden]");
        assert_eq!(hidden("about 1 robot"), "about 1 robot");
    }

    #[test]
    fn an_answer_that_echoes_the_event_names_no_user() {
        let body = r#"{"subject":"default/u-li","data":{"user":{"union_id":"u-li+1","name":"Li Wei","nick":"张敏"}}}"#;
        let users = identifying(body.as_bytes());
        let url: Url = "https://example.com/".parse().unwrap();
        for echo in
            [body, r#"{"nick":"\u5f20\u654f"}"#, "user=u-li%2B1&name=Li+Wei", "no user u-li+1 (Li Wei)"]
        {
            let hidden = redact(echo, &url, &[], &users);
            for part in ["u-li", "Li Wei", "张敏", "5f20", "Li+Wei"] {
                assert!(!hidden.contains(part), "{hidden}");
            }
        }
        assert_eq!(identifying(b"{\"subject\":\"system\"}"), Vec::<String>::new());
    }
}
