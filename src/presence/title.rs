//! The title of a meeting, and which titles are kept: `privacy.titles` and `privacy.title_hide`.
//!
//! Guards: it is cleaned and bounded where it enters the program, and neither `Debug` nor an error shows it, so that no
//! log line tells it; a title that may not be kept is dropped before anything stores it. Deliberately not here: who may
//! see kept titles (`webhook::format`, `web`, `cli`).

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

/// Stored in place of a title that `title_hide` matches.
pub const HIDDEN: &str = "(hidden)";

/// What may be kept of titles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TitleRules {
    /// Whether titles are kept at all.
    pub keep: bool,
    /// Patterns with `*` of titles that are stored as [`HIDDEN`].
    pub hide: Vec<String>,
}

impl TitleRules {
    /// What is kept of a title.
    pub fn apply(&self, title: Option<Title>) -> Option<Title> {
        let title = title.filter(|_| self.keep)?;
        if self.hide.iter().any(|pattern| matches(pattern, title.as_str())) {
            return Title::parse(HIDDEN);
        }
        Some(title)
    }
}

/// Whether a text matches a pattern, in which `*` stands for any text; upper and lower case are the same.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
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

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, is_match) in [
            ("*1:1*", "Anna 1:1 Li", true),
            ("*1:1*", "1:1", true),
            ("1:1*", "Anna 1:1", false),
            ("standup", "StandUp", true),
            ("standup", "standup today", false),
            ("*", "anything", true),
            ("a*b*a", "aba", true),
            ("a*a", "a", false),
            ("*绩效*", "李伟绩效面谈", true),
        ] {
            assert_eq!(matches(pattern, text), is_match, "{pattern} {text}");
        }
    }

    #[test]
    fn a_title_is_kept_hidden_or_dropped() {
        let title = || Title::parse("Anna 1:1 Li");
        let kept = |keep, hide: &[&str]| {
            let hide = hide.iter().map(ToString::to_string).collect();
            TitleRules { keep, hide }.apply(title()).map(|title| title.as_str().to_owned())
        };
        assert_eq!(kept(true, &[]).as_deref(), Some("Anna 1:1 Li"));
        assert_eq!(kept(true, &["*1:1*"]).as_deref(), Some(HIDDEN));
        assert_eq!(kept(false, &["*1:1*"]), None);
        assert_eq!(TitleRules { keep: true, hide: vec![] }.apply(None), None);
    }
}
