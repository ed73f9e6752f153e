//! Reads the `Retry-After` header (RFC 9110, section 10.2.3).
//!
//! Guards: every form of the header gives a wait: seconds, or one of the three date forms. Not here: the longest wait that
//! a caller accepts.

use std::time::{Duration, UNIX_EPOCH};

use crate::time::Timestamp;

/// The wait that the header asks for, counted from `now`: zero for a date in the past, `None` for any other text.
pub fn retry_after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit mean the longest wait.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    let since_epoch = date.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(Timestamp::from_ms(0).plus(since_epoch).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_each_date_form_are_read() {
        // 1994-11-06T08:49:37Z
        let now = Timestamp::from_ms(784_111_777_000);
        let seconds = |header: &str| retry_after(header, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("30"), Some(30));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:50:37 GMT"), Some(60));
        assert_eq!(seconds("Sun Nov  6 08:50:37 1994"), Some(60));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:40:37 GMT"), Some(0));
        assert_eq!(seconds("99999999999999999999999"), Some(u64::MAX));
        for junk in ["", "-5", "soon", "1.5", "Sun, 06 Nov 1994"] {
            assert_eq!(seconds(junk), None, "{junk}");
        }
    }
}
