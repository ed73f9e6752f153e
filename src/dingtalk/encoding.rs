//! Percent-encoding of ids in paths and queries.
//!
//! Guards: everything but the unreserved characters of RFC 3986 is encoded, so no id can change the meaning of a URL.
//! Not here: the URLs (`client`, `contacts`, `meetings`).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The text as it is written into a URL.
pub(super) fn percent_encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unreserved_characters_stay() {
        assert_eq!(percent_encoded("a b~-._").to_string(), "a%20b~-._");
        assert_eq!(percent_encoded("é%20#?'\"+/").to_string(), "%C3%A9%2520%23%3F%27%22%2B%2F");
    }
}
