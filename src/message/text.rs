//! Makes text from outside safe inside messages: removes markup, joins lines, limits the length.
//!
//! Guards: a name or a summary is shown as plain text on one line; it never links, mentions or formats. Deliberately
//! not here: JSON escapes (`serde_json`).

use crate::invisible;

/// Characters that have a meaning in some kind of Markdown, each with a lookalike that has none. Backslash escapes
/// would be simpler, but some clients show the backslash.
const LOOKALIKES: [(char, char); 11] = [
    ('[', '\u{ff3b}'),
    (']', '\u{ff3d}'),
    ('<', '\u{ff1c}'),
    ('>', '\u{ff1e}'),
    ('*', '\u{2217}'),
    ('`', '\u{2019}'),
    ('#', '\u{ff03}'),
    ('\\', '\u{ff3c}'),
    ('|', '\u{ff5c}'),
    ('~', '\u{223c}'),
    ('@', '\u{ff20}'),
];

/// Plain text for Markdown: on one line, without markup and mentions.
pub(super) fn for_markdown(text: &str) -> String {
    one_line(text)
        .chars()
        .map(|c| LOOKALIKES.iter().find(|(markup, _)| *markup == c).map_or(c, |&(_, lookalike)| lookalike))
        .collect()
}

/// Plain text for Slack, on one line; Slack's three control characters become entities.
pub(super) fn for_slack(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// Cuts the text to at most `bytes` bytes of UTF-8; an ellipsis marks the cut.
pub(super) fn cut(text: &str, bytes: usize) -> String {
    const ELLIPSIS: char = '…';
    if text.len() <= bytes {
        return text.to_owned();
    }
    let Some(room) = bytes.checked_sub(ELLIPSIS.len_utf8()) else { return String::new() };
    let mut out = text[..text.floor_char_boundary(room)].to_owned();
    out.push(ELLIPSIS);
    out
}

/// Joins the lines and replaces invisible and direction-changing characters.
pub(super) fn one_line(text: &str) -> String {
    invisible::replaced(text, |_| ' ')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_cannot_link_mention_or_format() {
        assert_eq!(
            for_markdown("[free](http://x) @all <font>*b*\n# x"),
            "［free］(http://x) ＠all ＜font＞∗b∗ ＃ x"
        );
        assert_eq!(for_markdown("王伟 li_wei-2"), "王伟 li_wei-2");
        assert_eq!(for_slack("<!channel> & co"), "&lt;!channel&gt; &amp; co");
        let turned = "a\u{202e}b\u{2066}c\u{200b}d\u{ad}e\nf";
        assert_eq!(for_markdown(turned), "a�b�c�d�e f");
        assert_eq!(for_slack(turned), for_markdown(turned));
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn a_cut_text_fits_and_is_a_prefix(text in any::<String>(), bytes in 0usize..64) {
            let cut = cut(&text, bytes);
            prop_assert!(cut.len() <= bytes);
            prop_assert!(text.starts_with(cut.trim_end_matches('…')) || cut.is_empty());
        }

        #[test]
        fn markdown_text_stays_on_one_line(text in any::<String>()) {
            let made = for_markdown(&text);
            prop_assert!(!made.chars().any(|c| c.is_control() || "[]<>*`#\\|~@".contains(c)));
            prop_assert_eq!(made.chars().count(), text.chars().count());
        }
    }
}
