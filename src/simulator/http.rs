//! Standard headers of answers, and the parameters of requests.
//!
//! Guards: every answer has the headers of a real one, and the same request id in header and body. Not here: the answers
//! (`gateway`).

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::{Response, header};

use super::faults::Answer;
use super::hash::stable_hash;

/// The id of a request, the same in header and body.
#[derive(Debug)]
pub(super) struct RequestId {
    pub(super) text: String,
    trace: String,
}

impl RequestId {
    /// An upper-case UUID and 32 hex digits, derived from the number of the request.
    pub(super) fn new(number: u64) -> Self {
        let part = |salt: &[u8]| stable_hash(&[&number.to_be_bytes(), salt]);
        let (high, low) = (part(b"high"), part(b"low"));
        let mut text = String::with_capacity(36);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{:08X}-{:04X}-7{:03X}-A{:03X}-{:012X}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        );
        Self { text, trace: format!("{:016x}{:016x}", part(b"trace"), part(b"span")) }
    }

    /// The answer with the headers of every real answer.
    pub(super) fn response(&self, answer: Answer) -> Response<Body> {
        let mut response = Response::builder()
            .status(answer.status)
            .header(header::CONTENT_TYPE, answer.content_type)
            .header(header::SERVER, "DingTalk/1.0.0")
            .header("x-acs-request-id", &self.text)
            .header("x-acs-trace-id", &self.trace)
            .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")
            .header(header::ACCESS_CONTROL_MAX_AGE, "172800");
        if let Some(seconds) = answer.retry_after {
            response = response.header(header::RETRY_AFTER, seconds);
        }
        response.body(Body::from(answer.body)).unwrap_or_else(|_| {
            // Only a status outside 100 to 999 fails here, and a scenario refuses those.
            Response::new(Body::empty())
        })
    }
}

/// The first parameter of this name, decoded: `+` and `%20` are both a space.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    form_field(query?.as_bytes(), name)
}

/// The first field of this name in a form, decoded.
pub(super) fn form_field(form: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A part of a path, decoded.
pub(super) fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_space_are_understood() {
        let query = Some("x=1&unionId=a+b%2Bc%2Fd%3D%C3%A9%26x");
        assert_eq!(parameter(query, "unionId").as_deref(), Some("a b+c/d=é&x"));
        assert_eq!(parameter(Some("unionId=a%20b%"), "unionId").as_deref(), Some("a b%"));
        assert_eq!(parameter(Some("unionId"), "unionId").as_deref(), Some(""));
        assert_eq!(parameter(None, "unionId"), None);
    }

    #[test]
    fn a_request_id_is_an_upper_case_uuid_and_repeats() {
        let id = RequestId::new(7);
        assert_eq!(id.text.len(), 36);
        assert!(id.text.chars().all(|c| c == '-' || c.is_ascii_digit() || c.is_ascii_uppercase()));
        assert_eq!(id.text, RequestId::new(7).text);
        assert_ne!(id.text, RequestId::new(8).text);
    }
}
