//! Reads a good answer to a token call: the token as a header value, and its life.
//!
//! Guards: both spellings of the keys are read. A missing or absurd life is replaced or limited. The value never prints.
//! Not here: what any other answer means (`classify`).

use std::time::Duration;

use reqwest::header::HeaderValue;
use serde_json::Value;

/// The documented life, for an answer that names none.
const USUAL_LIFE: Duration = Duration::from_hours(2);

/// `{"accessToken": .., "expireIn": ..}` or, from the unified call, `{"access_token": .., "expires_in": ..}`.
pub(super) fn parse(body: &[u8]) -> Option<(HeaderValue, Duration)> {
    let json: Value = serde_json::from_slice(body).ok()?;
    let token = json.get("accessToken").or_else(|| json.get("access_token"))?.as_str()?;
    let life = json.get("expireIn").or_else(|| json.get("expires_in"));
    let seconds = life.and_then(|v| v.as_u64().or_else(|| v.as_str()?.trim().parse().ok()));
    let life = seconds.map_or(USUAL_LIFE, |s| Duration::from_secs(s.clamp(12, 30 * 24 * 3600)));
    Some((header_value(token)?, life))
}

/// The token as a header value, marked sensitive; `None` if it is not a valid one.
pub(super) fn header_value(token: &str) -> Option<HeaderValue> {
    let mut header =
        (!token.is_empty() && token.len() <= 4096).then(|| HeaderValue::from_str(token).ok()).flatten()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(body: &str) -> Option<u64> {
        parse(body.as_bytes()).map(|(_, life)| life.as_secs())
    }

    #[test]
    fn a_token_comes_in_both_spellings() {
        assert_eq!(life(r#"{"accessToken":"t","expireIn":7200}"#), Some(7200));
        assert_eq!(life(r#"{"access_token":"t","expires_in":"3600"}"#), Some(3600));
    }

    #[test]
    fn a_life_that_is_missing_or_absurd_is_made_sensible() {
        assert_eq!(life(r#"{"accessToken":"t"}"#), Some(7200));
        assert_eq!(life(r#"{"accessToken":"t","expireIn":-5}"#), Some(7200));
        assert_eq!(life(r#"{"accessToken":"t","expireIn":0}"#), Some(12));
        assert_eq!(life(r#"{"accessToken":"t","expireIn":99999999999}"#), Some(30 * 24 * 3600));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let long = format!(r#"{{"accessToken":"{}"}}"#, "x".repeat(5000));
        for body in
            ["", "{}", r#"{"accessToken":""}"#, r#"{"accessToken":7}"#, r#"{"accessToken":"a\r\nb"}"#, &long]
        {
            assert_eq!(life(body), None, "{body}");
        }
    }

    #[test]
    fn a_token_does_not_print() {
        let (header, _) = parse(br#"{"accessToken":"hunter2"}"#).unwrap();
        assert!(header.is_sensitive());
        assert!(!format!("{header:?}").contains("hunter2"));
    }
}
