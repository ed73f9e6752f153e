//! Characters that a value cannot hold, because nobody sees them or takes them for others.
//!
//! Guards: what looks right in an editor and is not (a zero width space, a blank at the end, a full-width letter) is refused with
//! its name and its place, before it is taken for a wrong secret or an unknown user. Nothing of a value but the one character
//! is in a message. Deliberately not here: the syntax of the file (`file::encoding`), secrets that stand elsewhere (`secrets`).

use std::ops::Range;

use toml::de::DeValue;

use super::section::{Raw, Trouble};
use crate::invisible::{self, named, narrow};

/// Keys below which a text is taken exactly as it is: it may begin or end with a blank.
const EXACT: [&str; 3] = ["command", "equals", "tags"];

/// The first character in a value, or in one inside of it, that is not seen; and the bytes of the file it stands at.
pub(super) fn unseen(key: &str, raw: &Raw<'_>, file: &str) -> Option<(Range<usize>, Trouble)> {
    match raw.value {
        DeValue::String(text) => {
            in_text(key, text).map(|found| (found.place(raw.place().span, file), found.trouble()))
        }
        DeValue::Array(_) => raw.items()?.iter().find_map(|item| unseen(key, item, file)),
        DeValue::Table(_) => raw.pairs()?.iter().find_map(|(name, value)| {
            in_key(&name.value, name.place.span.clone(), file).or_else(|| {
                let key = if EXACT.contains(&key) { key } else { &name.value };
                unseen(key, value, file)
            })
        }),
        _ => None,
    }
}

/// The same in the name of a key. One without quotes can hold none.
pub(super) fn in_key(name: &str, span: Range<usize>, file: &str) -> Option<(Range<usize>, Trouble)> {
    let found = invisible::first(name).map(|(_, c)| Found::within(c)).or_else(|| Found::around(name))?;
    Some((found.place(span, file), found.trouble()))
}

/// What keeps a text from being an id as a console shows it, copied from there: visible signs of ASCII, no quotes.
pub(super) fn in_id(text: &str) -> Option<Trouble> {
    let bad = text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '"' | '\'' | '`'))?;
    let help = full_width(text).unwrap_or_else(|| "copy it again, without blanks and quotes".to_owned());
    Some(Trouble::new(format!("holds {}", named(bad)), help))
}

/// What to write for the first full-width character.
pub(super) fn full_width(text: &str) -> Option<String> {
    let (wide, meant) = text.chars().find_map(|c| narrow(c).map(|meant| (c, meant)))?;
    Some(format!("{} is full-width: write `{meant}`", named(wide)))
}

fn in_text(key: &str, text: &str) -> Option<Found> {
    // A script may have several lines.
    let is_meant = |c: char| key == "command" && matches!(c, '\n' | '\t');
    let is_bounded = !EXACT.contains(&key) && !text.trim().is_empty();
    let around = if is_bounded { Found::around(text) } else { None };
    around.or_else(|| invisible::first(&text.replace(is_meant, " ")).map(|(_, c)| Found::within(c)))
}

#[derive(Clone, Copy, Debug)]
enum Where {
    First,
    Within,
    Last,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    c: char,
    at: Where,
}

impl Found {
    fn within(c: char) -> Self {
        Self { c, at: Where::Within }
    }

    /// White space at either end.
    fn around(text: &str) -> Option<Self> {
        let is_blank = |c: &char| c.is_whitespace();
        let first = text.chars().next().filter(is_blank).map(|c| Self { c, at: Where::First });
        first.or_else(|| text.chars().next_back().filter(is_blank).map(|c| Self { c, at: Where::Last }))
    }

    /// Where it stands in the file, if it is not written as an escape.
    fn place(self, value: Range<usize>, file: &str) -> Range<usize> {
        let written = file.get(value.clone()).unwrap_or_default();
        let at = match self.at {
            Where::First | Where::Within => written.find(self.c),
            Where::Last => written.rfind(self.c),
        };
        at.map_or(value.clone(), |at| value.start + at..value.start + at + self.c.len_utf8())
    }

    fn trouble(self) -> Trouble {
        let what = named(self.c);
        Trouble::new(
            match self.at {
                Where::First => format!("begins with {what}"),
                Where::Within => format!("holds {what}"),
                Where::Last => format!("ends with {what}"),
            },
            "take it out",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_visible_signs_of_ascii() {
        for text in ["dingabc123", "ding_a-b.c", "iiabc=="] {
            assert!(in_id(text).is_none(), "{text}");
        }
        for (text, message, help) in [
            ("ding abc", "holds U+0020 SPACE", "copy it again, without blanks and quotes"),
            ("'dingabc'", "holds `'` (U+0027)", "copy it again, without blanks and quotes"),
            ("“dingabc”", "holds `“` (U+201C)", "copy it again, without blanks and quotes"),
            ("dingＡbc", "holds `Ａ` (U+FF21)", "`Ａ` (U+FF21) is full-width: write `A`"),
        ] {
            let trouble = in_id(text).expect(text);
            assert_eq!((trouble.message.as_str(), trouble.help.as_str()), (message, help));
        }
    }
}
