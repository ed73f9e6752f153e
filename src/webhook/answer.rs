//! A receiver's answer, reduced to what is kept.
//!
//! Guards: no answer, however long, slow or odd, costs more than its limits. What is kept is printable. Not here: what
//! follows from an answer (`policy::delivery`).

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::Response;

use crate::invisible::is_invisible;
use crate::policy::delivery::Outcome;

/// The most bytes of a body that are read.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// The longest wait for a body after its head arrived.
pub const MAX_BODY_WAIT: Duration = Duration::from_secs(1);

/// The most bytes of a body that are kept.
pub const MAX_KEPT_BYTES: usize = 2 * 1024;

/// The answer to a request, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the answer means.
    pub outcome: Outcome,
    /// The HTTP status; `None` if no head arrived.
    pub status: Option<u16>,
    /// The start of the body, printable, at most [`MAX_KEPT_BYTES`]. Empty if a 2xx status was enough, because the body is
    /// not read then.
    pub excerpt: String,
    /// What went wrong, without URL and secrets; `None` if accepted.
    pub error: Option<String>,
    /// The wait that the receiver asked for.
    pub retry_after: Option<Duration>,
    /// The receiver accepts no request for this long, because the rate was too high. No delivery is at fault.
    pub silence: Option<Duration>,
    /// How long the request took.
    pub took: Duration,
}

impl Answer {
    /// No head arrived.
    pub fn missing(error: String) -> Self {
        Self {
            outcome: Outcome::Unavailable,
            status: None,
            excerpt: String::new(),
            error: Some(error),
            retry_after: None,
            silence: None,
            took: Duration::ZERO,
        }
    }

    /// A 2xx status was enough.
    pub fn accepted(status: u16) -> Self {
        Self {
            outcome: Outcome::Accepted,
            status: Some(status),
            excerpt: String::new(),
            error: None,
            retry_after: None,
            silence: None,
            took: Duration::ZERO,
        }
    }

    /// No head arrived in time.
    pub fn late(timeout: Duration) -> Self {
        Self::missing(format!("no answer within {}", humantime::format_duration(timeout)))
    }

    /// No body could be made of the event, so nothing was sent. The event is at fault, as in a refusal.
    pub fn unsent(error: String) -> Self {
        Self { outcome: Outcome::Refused, ..Self::missing(error) }
    }

    /// Why the answer is not accepted, without the receiver's own words. Others than the operator may see it.
    pub fn public_error(&self) -> Option<String> {
        let error = self.error.as_deref()?;
        let own = error.strip_suffix(&self.excerpt).map_or(error, |own| own.trim_end_matches(": "));
        (self.outcome != Outcome::Accepted).then(|| own.to_owned())
    }

    /// A head that does not accept, with the part of the body that was read.
    pub fn rejected(
        outcome: Outcome,
        status: u16,
        location: Option<&str>,
        body: &[u8],
        retry_after: Option<Duration>,
    ) -> Self {
        let excerpt = printable(body);
        let mut error = format!("answered {status}");
        if (300..400).contains(&status) {
            // Writing to a String cannot fail.
            let _ = match location {
                Some(place) => write!(error, " (redirects are not followed; this one leads to {place})"),
                None => write!(error, " (redirects are not followed)"),
            };
        }
        if !excerpt.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(error, ": {excerpt}");
        }
        let error = Some(error);
        Self { outcome, status: Some(status), excerpt, error, retry_after, ..Self::accepted(status) }
    }
}

/// Reads at most [`MAX_BODY_BYTES`] within [`MAX_BODY_WAIT`]. The flag is true if that was the whole body; then the
/// connection can be used again.
pub async fn read_body(response: &mut Response) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    let reading = async {
        while body.len() < MAX_BODY_BYTES {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    body.extend_from_slice(&chunk[..chunk.len().min(MAX_BODY_BYTES - body.len())]);
                }
                Ok(None) => return true,
                // The head has decided already, so an incomplete body changes nothing.
                Err(_) => return false,
            }
        }
        false
    };
    let whole = tokio::time::timeout(MAX_BODY_WAIT, reading).await.unwrap_or(false);
    (body, whole)
}

/// Text of at most [`MAX_KEPT_BYTES`] without characters that break a line, change text direction or are invisible.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for c in String::from_utf8_lossy(bytes).trim_end().chars() {
        let length = text.len();
        if is_invisible(c) {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
        if text.len() > MAX_KEPT_BYTES {
            text.truncate(length);
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable(b"a\r\n\tb\x1b[31m\0\x7f"), "a\\r\\n\\tb\\u{1b}[31m\\u{0}\\u{7f}");
        assert_eq!(printable("a\u{200b}b\u{ad}".as_bytes()), "a\\u{200b}b\\u{ad}");
        assert_eq!(printable("王 \u{202e}evil\u{85}.".as_bytes()), "王 \\u{202e}evil\\u{85}.");
        assert_eq!(printable(b"ok\n"), "ok");
        assert_eq!(printable(b"\xff\xfe"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn an_error_says_what_was_answered() {
        let refused = Answer::rejected(Outcome::Refused, 302, None, b"", None);
        assert_eq!(refused.error.as_deref(), Some("answered 302 (redirects are not followed)"));
        let down = Answer::rejected(Outcome::Unavailable, 503, None, b"busy\n", None);
        assert_eq!(down.error.as_deref(), Some("answered 503: busy"));
        assert_eq!(down.public_error().as_deref(), Some("answered 503"));
        let moved = Answer::rejected(Outcome::Refused, 301, Some("https://a.example"), b"moved", None);
        let why = "answered 301 (redirects are not followed; this one leads to https://a.example)";
        assert_eq!(moved.public_error().as_deref(), Some(why));
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn what_is_kept_is_bounded_and_printable(bytes in proptest::collection::vec(any::<u8>(), 0..4_000)) {
            let text = printable(&bytes);
            prop_assert!(text.len() <= MAX_KEPT_BYTES);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
