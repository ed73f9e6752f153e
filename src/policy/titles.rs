//! Which titles of meetings are kept: `privacy.titles` and `privacy.title_hide`.
//!
//! Guards: a title that may not be kept is dropped before anything stores it. Deliberately not here: who may see kept
//! titles (`webhook::format`, `web`, `cli`).

use crate::presence::title::Title;

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
