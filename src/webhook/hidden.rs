//! What a receiver must not get back into our logs: error pages like to repeat the URL they were asked for.
//!
//! Guards: no query, no value in it, no long part of the path and no secret header stays in a text that is kept.
//! Deliberately not here: errors of the client, which never hold a URL (`net::describe`).

use reqwest::Url;

use crate::secret::Secret;

/// What stands where something was.
const HIDDEN: &str = "[hidden]";

/// A value shorter than this is no secret, and would be found in every other word.
const SHORTEST_VALUE: usize = 4;

/// A part of a path as long as this may be a secret, as in the URLs of chat services.
const SHORTEST_SEGMENT: usize = 8;

/// The text without what is secret about the request it answers.
pub(super) fn hide(text: &str, url: &Url, secrets: &[Secret]) -> String {
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
    }
    // The longest first, so that no rest of it stays behind.
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.iter().fold(text.to_owned(), |text, part| text.replace(part, HIDDEN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(text: &str) -> String {
        let url =
            "https://oapi.example.com/robot/send/T00000000?access_token=a%2Bb%3Dhush&x=1".parse().unwrap();
        hide(text, &url, &[Secret::new("Bearer hush-hush"), Secret::new("ab")])
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
        assert_eq!(hidden("about 1 robot"), "about 1 robot");
    }
}
