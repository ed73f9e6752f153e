//! The title of a meeting.
//!
//! Guards: it is cleaned and bounded where it enters the program, and neither `Debug` nor an error shows it, so that no
//! log line tells it. Deliberately not here: which titles may be kept (`policy::titles`).

use std::fmt;

use super::data::MAX_TITLE_BYTES;
use super::text::clean_option;

/// The title of a meeting; never empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Title(String);

impl Title {
    /// Cleans a text from outside; `None` if nothing is left.
    pub fn parse(text: &str) -> Option<Self> {
        clean_option(Some(text.trim()), MAX_TITLE_BYTES).map(Self)
    }

    /// The title, to be stored or shown where the operator allows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Title(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_clean_bounded_and_in_no_log() {
        let title = Title::parse(" Plan\u{202e} \u{1b}[31mQ4\n ").unwrap();
        assert_eq!(title.as_str(), "Plan [31mQ4");
        assert_eq!(format!("{title:?}"), "Title(..)");
        assert_eq!(Title::parse(" \u{202e}\n"), None);
        assert_eq!(Title::parse(&"会".repeat(200)).unwrap().as_str().len(), 255);
    }
}
