//! Invisible characters, and characters that change how others are shown: controls, bidirectional formats, zero widths,
//! fillers.
//!
//! Guards: one list of them for everything that people read; joiners that emoji and letters need are kept. Deliberately
//! not here: data for programs (JSON, stored bodies), which keeps what DingTalk sent.

use std::iter::Peekable;
use std::str::Chars;

/// Replaces each invisible character.
pub const REPLACEMENT: char = '\u{fffd}';

/// Whether a character is always invisible: control characters, line and paragraph separators, the characters that
/// Unicode lists as bidirectional formats or as ignorable by default, and the blank Braille pattern.
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{70f}' // soft hyphen, grapheme joiner, Arabic and Syriac marks
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' // Hangul fillers
            | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' // Khmer vowels, Mongolian selectors
            | '\u{200b}'..='\u{200f}' // zero widths, joiners, marks
            | '\u{2028}'..='\u{202e}' // separators, embeddings, overrides
            | '\u{2060}'..='\u{206f}' // joiners, isolates, deprecated formats
            | '\u{2800}' // blank Braille pattern
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' // selectors, byte order mark, annotations
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' // shorthand and musical formats
            | '\u{e0000}'..='\u{e0fff}') // tags, selectors
}

/// Replaces each invisible character by [`REPLACEMENT`], and each control character and line separator by the result
/// of `control`. The number of characters does not change. Joiners and selectors are kept where emoji and letters
/// need them.
pub fn replaced(text: &str, control: impl Fn(char) -> char) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut before = None;
    while let Some(c) = rest.next() {
        out.push(match c {
            _ if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => control(c),
            _ if is_invisible(c) && !is_needed(before, c, &mut rest) => REPLACEMENT,
            _ => c,
        });
        before = Some(c);
    }
    out
}

/// The first character that is not seen although no letter or emoji beside it needs it, and the byte it begins at.
pub fn first(text: &str) -> Option<(usize, char)> {
    let mut rest = text.chars().peekable();
    let (mut before, mut at) = (None, 0);
    while let Some(c) = rest.next() {
        if is_invisible(c) && !is_needed(before, c, &mut rest) {
            return Some((at, c));
        }
        (before, at) = (Some(c), at + c.len_utf8());
    }
    None
}

/// A character for a message, by its number and its name, because it is not seen or looks like another one.
pub fn named(c: char) -> String {
    let name = match c {
        '\0' => "NULL",
        '\t' => "TAB",
        '\n' => "LINE FEED",
        '\r' => "CARRIAGE RETURN",
        '\u{1b}' => "ESCAPE",
        ' ' => "SPACE",
        '\u{a0}' => "NO-BREAK SPACE",
        '\u{ad}' => "SOFT HYPHEN",
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => "HANGUL FILLER",
        '\u{200b}' => "ZERO WIDTH SPACE",
        '\u{200c}' => "ZERO WIDTH NON-JOINER",
        '\u{200d}' => "ZERO WIDTH JOINER",
        '\u{200e}' => "LEFT-TO-RIGHT MARK",
        '\u{200f}' => "RIGHT-TO-LEFT MARK",
        '\u{2028}' => "LINE SEPARATOR",
        '\u{2029}' => "PARAGRAPH SEPARATOR",
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' => {
            "mark that turns the reading direction"
        }
        '\u{2060}' => "WORD JOINER",
        '\u{2800}' => "BRAILLE PATTERN BLANK",
        '\u{3000}' => "IDEOGRAPHIC SPACE",
        '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => "VARIATION SELECTOR",
        '\u{feff}' => "BYTE ORDER MARK",
        _ if c.is_control() => "control character",
        _ if c.is_whitespace() => "a kind of blank",
        _ if is_invisible(c) => "character that is not seen",
        _ => return format!("`{c}` (U+{:04X})", u32::from(c)),
    };
    format!("U+{:04X} {name}", u32::from(c))
}

/// The sign of ASCII that a full-width one looks like.
pub fn narrow(c: char) -> Option<char> {
    // They stand in the order of ASCII.
    matches!(c, '\u{ff01}'..='\u{ff5e}').then(|| char::from_u32(u32::from(c) - 0xfee0)).flatten()
}

/// Whether the characters around it cannot be written without it.
fn is_needed(before: Option<char>, c: char, rest: &mut Peekable<Chars<'_>>) -> bool {
    let Some(before) = before else { return false };
    let after = rest.peek().copied();
    match c {
        '\u{200c}' | '\u{200d}' => {
            (is_emoji(before) || before == '\u{fe0f}') && after.is_some_and(is_emoji)
                || joins(before) && after.is_some_and(joins)
        }
        '\u{fe0e}' | '\u{fe0f}' => is_emoji(before) || after == Some('\u{20e3}'),
        '\u{fe00}'..='\u{fe02}' | '\u{e0100}'..='\u{e01ef}' => is_ideograph(before),
        _ => false,
    }
}

fn is_emoji(c: char) -> bool {
    matches!(c, '\u{a9}' | '\u{ae}' | '\u{203c}'..='\u{27ff}' | '\u{2900}'..='\u{2bff}' | '\u{3030}' | '\u{303d}')
        || matches!(c, '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}')
}

/// Scripts whose spelling uses joiners: Arabic, Persian, those of India.
fn joins(c: char) -> bool {
    matches!(c, '\u{620}'..='\u{6ff}' | '\u{750}'..='\u{77f}' | '\u{900}'..='\u{dff}')
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        replaced(text, |_| ' ')
    }

    #[test]
    fn bidirectional_and_invisible_characters_are_replaced() {
        assert_eq!(shown("a\u{202e}b\u{2066}c\u{200b}d\u{ad}e\u{feff}f"), "a�b�c�d�e�f");
        assert_eq!(shown("a\u{3164}\u{2800}\u{e0041}\u{180e}\u{61c}b"), "a�����b");
        assert_eq!(shown("a\nb\u{1b}[31m\u{2028}c\u{85}"), "a b [31m c ");
        assert_eq!(shown("王伟\u{200d} \u{200d}a\u{fe0f}\u{e0100}"), "王伟� �a��");
    }

    #[test]
    fn joiners_that_emoji_and_letters_need_are_kept() {
        for text in [
            "李伟 \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
            "\u{2764}\u{fe0f}\u{200d}\u{1f525} 1\u{fe0f}\u{20e3}",
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            "\u{915}\u{94d}\u{200d}\u{937}",
            "\u{845b}\u{e0100}城",
            "Zoë 王小明, it’s “fine” \u{a0}—\u{3000}½",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn the_first_one_is_found_and_named() {
        for (text, at, name) in [
            ("ab\u{200b}c", 2, "U+200B ZERO WIDTH SPACE"),
            ("王\u{202e}", 3, "U+202E mark that turns the reading direction"),
            ("\u{feff}a\u{ad}", 0, "U+FEFF BYTE ORDER MARK"),
            ("a\u{7}", 1, "U+0007 control character"),
            ("a\nb", 1, "U+000A LINE FEED"),
            ("a\u{206a}", 1, "U+206A character that is not seen"),
        ] {
            let (found, c) = first(text).expect(text);
            assert_eq!((found, named(c).as_str()), (at, name));
        }
        for text in ["", "Li Wei", "\u{1f468}\u{200d}\u{1f469}", "\u{845b}\u{e0100}城", "a\u{a0}b"] {
            assert_eq!(first(text), None, "{text}");
        }
        assert_eq!(named('\u{2003}'), "U+2003 a kind of blank");
        assert_eq!((named('Ａ').as_str(), narrow('Ａ'), narrow('A')), ("`Ａ` (U+FF21)", Some('A'), None));
    }

    #[test]
    fn each_character_is_kept_or_replaced_by_one() {
        for c in '\0'..=char::MAX {
            let shown = shown(&format!("a{c}b"));
            let middle = shown.strip_prefix('a').and_then(|shown| shown.strip_suffix('b')).unwrap();
            assert_eq!(middle.chars().count(), 1, "{c:?}");
            assert!(!middle.contains(is_invisible), "{c:?}");
        }
    }
}
