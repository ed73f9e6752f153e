//! Redacts a receiver's answer before it is logged or stored: error pages repeat the URL, the headers or the body of the
//! request.
//!
//! Guards: no query, no value in it, no long part of the path, no secret header or part of one, and nothing that names a
//! user (unionId, name, nick) remains, as it was sent, in JSON escapes or percent-encoded. Not here: errors of the client,
//! which never hold a URL (`net::describe`).

use reqwest::Url;
use serde_json::Value;

use crate::confidential::{Confidential, SHORTEST, redacted};
use crate::secret::Secret;

/// A segment of a path may be a secret from this length on, as in the URLs of chat services.
const SHORTEST_SEGMENT: usize = 8;

/// A part of a header's value may be a key from this length on: `Bearer KEY`, `user=KEY`, `sk-live-KEY`.
const SHORTEST_PART: usize = 6;

/// The most parts of a header's value that are hidden as one, which bounds the number of runs.
const LONGEST_RUN: usize = 16;

/// Between the parts of a header's value.
const SEPARATORS: [char; 9] = [' ', '=', ',', ';', ':', '"', '-', '_', '.'];

/// The texts in an event's body that identify its user.
fn identifying(body: &[u8]) -> Vec<String> {
    let Ok(event) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let user = &event["data"]["user"];
    let texts = [&user["union_id"], &user["name"], &user["nick"], &event["subject"], &event["partitionkey"]];
    let texts = texts.into_iter().filter_map(Value::as_str);
    texts.filter(|text| text.len() >= SHORTEST && *text != "system").map(str::to_owned).collect()
}

/// The values of headers and a robot's secret, with every run of their parts: a receiver may repeat only the key.
pub(super) fn of_secrets(secrets: &[Secret]) -> Confidential {
    let mut all = Confidential::default();
    for secret in secrets {
        let text = secret.reveal();
        all.add_escaped(text);
        let parts: Vec<(usize, usize)> = parts(text);
        for (first, (start, _)) in parts.iter().enumerate() {
            for (_, end) in &parts[first..parts.len().min(first + LONGEST_RUN)] {
                if end - start >= SHORTEST_PART {
                    all.add_escaped(&text[*start..*end]);
                }
            }
        }
    }
    all
}

/// Where the parts of a header's value begin and end.
fn parts(text: &str) -> Vec<(usize, usize)> {
    let mut start = 0;
    let part = |part: &str| {
        let place = (start, start + part.len());
        start = place.1 + 1;
        place
    };
    text.split(SEPARATORS).map(part).collect()
}

/// The text without what is confidential about the request; `others` are the secrets of its headers, and what the
/// config holds.
pub(super) fn redact(text: &str, url: &Url, bodies: &[Vec<u8>], others: [&Confidential; 2]) -> String {
    let mut request = Confidential::default();
    if let Some(query) = url.query() {
        request.add(query);
        query.split('&').for_each(|pair| request.add(pair.split_once('=').map_or(pair, |(_, value)| value)));
        url.query_pairs().for_each(|(_, value)| request.add(&value));
    }
    url.path().split('/').filter(|part| part.len() >= SHORTEST_SEGMENT).for_each(|part| request.add(part));
    bodies.iter().flat_map(|body| identifying(body)).for_each(|user| request.add_escaped(&user));
    let [secrets, known] = others;
    redacted(text, &[&request, secrets, known]).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> String {
        let url =
            "https://oapi.example.com/robot/send/T00000000?access_token=a%2Bb%3Dhush&x=1".parse().unwrap();
        let secrets = of_secrets(&[Secret::new("Bearer hush-hush"), Secret::new("ab")]);
        redact(text, &url, &[], [&secrets, &Confidential::default()])
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
    fn a_part_of_a_key_alone_is_hidden() {
        let url: Url = "https://example.com/".parse().unwrap();
        let secrets = of_secrets(&[Secret::new("Bearer sk-live-4f9aK2_x81Qzz:abcd.wxyz")]);
        for (echo, shown) in [
            ("invalid api key: 4f9aK2", "invalid api key: [hidden]"),
            ("key x81Qzz ends", "key [hidden] ends"),
            ("sk-live-4f9aK2", "[hidden]"),
            ("abcd.wxyz", "[hidden]"),
            ("live keys only", "live keys only"),
        ] {
            assert_eq!(redact(echo, &url, &[], [&secrets, &Confidential::default()]), shown);
        }
    }

    #[test]
    fn an_answer_that_echoes_the_event_names_no_user() {
        let body = r#"{"subject":"default/u-li","data":{"user":{"union_id":"u-li+1","name":"Li Wei","nick":"张敏"}}}"#;
        let url: Url = "https://example.com/".parse().unwrap();
        for echo in
            [body, r#"{"nick":"\u5f20\u654f"}"#, "user=u-li%2B1&name=Li+Wei", "no user u-li+1 (Li Wei)"]
        {
            let none = Confidential::default();
            let hidden = redact(echo, &url, &[body.as_bytes().to_vec()], [&none, &none]);
            for part in ["u-li", "Li Wei", "张敏", "5f20", "Li+Wei"] {
                assert!(!hidden.contains(part), "{hidden}");
            }
        }
        assert_eq!(identifying(b"{\"subject\":\"system\"}"), Vec::<String>::new());
    }
}
