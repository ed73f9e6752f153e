//! Cleans free text from outside (nicks, devices, names) for log lines, tables and signed bodies.
//!
//! Guards: no control or direction-changing character passes, and no text is longer than its limit. Deliberately not
//! here: ids, which are refused instead of cleaned (`ids`).

/// Removes control and bidirectional formatting characters, and cuts the text to at most `max_bytes` at a character
/// boundary.
pub(super) fn clean(text: &str, max_bytes: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(max_bytes));
    for c in text.chars().filter(|&c| !is_unsafe(c)) {
        if clean.len() + c.len_utf8() > max_bytes {
            break;
        }
        clean.push(c);
    }
    clean
}

/// Like [`clean`]; an empty result is `None`.
pub(super) fn clean_option(text: Option<&str>, max_bytes: usize) -> Option<String> {
    text.map(|text| clean(text, max_bytes)).filter(|text| !text.is_empty())
}

/// Characters that move the cursor, change the reading direction, or end a line in some programs.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200e}' | '\u{200f}' // marks
            | '\u{202a}'..='\u{202e}' // embeddings and overrides
            | '\u{2066}'..='\u{2069}' // isolates
            | '\u{2028}' | '\u{2029}' // line and paragraph separator
            | '\u{feff}') // byte order mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidirectional_characters_are_removed() {
        assert_eq!(clean("a\u{202e}b\u{2066}c\n\u{1b}[31md\u{200f}", 99), "abc[31md");
        assert_eq!(
            clean("\u{674e}\u{4f1f} \u{1f468}\u{200d}\u{1f469}", 99),
            "\u{674e}\u{4f1f} \u{1f468}\u{200d}\u{1f469}"
        );
    }

    #[test]
    fn the_text_is_cut_between_characters() {
        assert_eq!(clean("\u{674e}\u{4f1f}", 5), "\u{674e}");
        assert_eq!(clean_option(Some("\u{202e}"), 5), None);
    }
}
