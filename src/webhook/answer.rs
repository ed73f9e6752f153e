//! What a receiver answered, cut down to what is kept.
//!
//! Guards: no answer, however long, slow or odd, costs more than its bounds; what is kept can be printed. Deliberately
//! not here: what follows from an answer (`policy::delivery`).

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::Response;

use crate::invisible::is_invisible;
use crate::policy::delivery::Outcome;

/// How much of a body is read.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// How long a body is waited for once its head is there.
pub const MAX_BODY_WAIT: Duration = Duration::from_secs(1);

/// How much of a body is kept.
pub const MAX_KEPT_BYTES: usize = 2 * 1024;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it means.
    pub outcome: Outcome,
    /// The HTTP status; `None` when no head arrived.
    pub status: Option<u16>,
    /// The start of the body, printable, at most [`MAX_KEPT_BYTES`]; empty when a 2xx was enough to be accepted,
    /// where nobody waits for it.
    pub excerpt: String,
    /// What went wrong, without URL and secrets; `None` when accepted.
    pub error: Option<String>,
    /// The wait the receiver asked for.
    pub retry_after: Option<Duration>,
    /// The receiver wants nothing at all for so long; that is nobody's fault but the pace's.
    pub silence: Option<Duration>,
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
        }
    }

    /// A 2xx was enough.
    pub fn accepted(status: u16) -> Self {
        Self {
            outcome: Outcome::Accepted,
            status: Some(status),
            excerpt: String::new(),
            error: None,
            retry_after: None,
            silence: None,
        }
    }

    /// No head arrived in time.
    pub fn late(timeout: Duration) -> Self {
        Self::missing(format!("no answer within {}", humantime::format_duration(timeout)))
    }

    /// Nothing was sent, because no body could be made of the event: its own fault, as a refusal is.
    pub fn unsent(error: String) -> Self {
        Self { outcome: Outcome::Refused, ..Self::missing(error) }
    }

    /// Why it is not accepted, without what the receiver wrote: for others than the operator.
    pub fn trouble(&self) -> Option<String> {
        let error = self.error.as_deref()?;
        let own = error.strip_suffix(&self.excerpt).map_or(error, |own| own.trim_end_matches(": "));
        (self.outcome != Outcome::Accepted).then(|| own.to_owned())
    }

    /// A head that does not accept, and what was read of its body.
    pub fn unaccepted(
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
        Self { outcome, status: Some(status), excerpt, error: Some(error), retry_after, silence: None }
    }
}

/// Reads at most [`MAX_BODY_BYTES`] within [`MAX_BODY_WAIT`]. The flag tells whether that was the whole body, which is
/// when the connection can be used again.
pub async fn read_body(response: &mut Response) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    let reading = async {
        while body.len() < MAX_BODY_BYTES {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    body.extend_from_slice(&chunk[..chunk.len().min(MAX_BODY_BYTES - body.len())]);
                }
                Ok(None) => return true,
                // The head decided already; a body cut short changes nothing.
                Err(_) => return false,
            }
        }
        false
    };
    let whole = tokio::time::timeout(MAX_BODY_WAIT, reading).await.unwrap_or(false);
    (body, whole)
}

/// Text of at most [`MAX_KEPT_BYTES`] that can neither break a line nor turn a terminal's writing around, and hides nothing.
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
        let refused = Answer::unaccepted(Outcome::Refused, 302, None, b"", None);
        assert_eq!(refused.error.as_deref(), Some("answered 302 (redirects are not followed)"));
        let down = Answer::unaccepted(Outcome::Unavailable, 503, None, b"busy\n", None);
        assert_eq!(down.error.as_deref(), Some("answered 503: busy"));
        assert_eq!(down.trouble().as_deref(), Some("answered 503"));
        let moved = Answer::unaccepted(Outcome::Refused, 301, Some("https://a.example"), b"moved", None);
        let why = "answered 301 (redirects are not followed; this one leads to https://a.example)";
        assert_eq!(moved.trouble().as_deref(), Some(why));
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
