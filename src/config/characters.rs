//! Characters that a value must not contain, because they are invisible or easily confused.
//!
//! Guards: an invisible or full-width character or a blank at the end is reported with its name and place, before it is
//! taken for a wrong secret or an unknown user; a message shows only that character of a value. Not here: the syntax of the
//! file (`file::encoding`), secrets in other files (`secrets`).

use std::ops::Range;

use toml::de::DeValue;

use super::section::{RawValue, ValueError};
use crate::invisible::{self, named, narrow};

/// Keys below which a text is taken exactly as it is: it may begin or end with a blank.
const EXACT: [&str; 3] = ["command", "equals", "tags"];

/// Keys of addresses, which hold no blank,
const ADDRESSES: [&str; 4] = ["url", "proxy", "api_base", "legacy_base"];
/// and of secrets, which hold at most blanks of ASCII.
const SECRETS: [&str; 6] = ["headers", "app_secret", "access_token", "suite_ticket", "secret", "token"];

/// The first invisible character in a value or in a nested one, with its bytes in the file.
pub(super) fn unseen(key: &str, raw: &RawValue<'_>, file: &str) -> Option<(Range<usize>, ValueError)> {
    match raw.value {
        DeValue::String(text) => {
            in_text(key, text).map(|found| (found.place(raw.place().span, file), found.error()))
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

/// The first invisible character in the name of a key. A key without quotes has none.
pub(super) fn in_key(name: &str, span: Range<usize>, file: &str) -> Option<(Range<usize>, ValueError)> {
    let found = invisible::first(name).map(|(_, c)| Found::within(c)).or_else(|| Found::around(name))?;
    Some((found.place(span, file), found.error()))
}

/// What keeps a text from being an id as a console shows it, copied from there: visible signs of ASCII, no quotes.
pub(super) fn in_id(text: &str) -> Option<ValueError> {
    let bad = text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '"' | '\'' | '`'))?;
    let help = full_width(text).unwrap_or_else(|| "copy it again, without blanks and quotes".to_owned());
    Some(ValueError::new(format!("holds {}", named(bad)), help))
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
    let is_stray =
        |c: &char| c.is_whitespace() && (ADDRESSES.contains(&key) || SECRETS.contains(&key) && !c.is_ascii());
    let first = || invisible::first(&text.replace(is_meant, " ")).map(|(_, c)| c);
    around.or_else(|| first().or_else(|| text.chars().find(is_stray)).map(Found::within))
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

    /// Its place in the file, if it is not written as an escape.
    fn place(self, value: Range<usize>, file: &str) -> Range<usize> {
        let written = file.get(value.clone()).unwrap_or_default();
        let at = match self.at {
            Where::First | Where::Within => written.find(self.c),
            Where::Last => written.rfind(self.c),
        };
        at.map_or(value.clone(), |at| value.start + at..value.start + at + self.c.len_utf8())
    }

    fn error(self) -> ValueError {
        let what = named(self.c);
        ValueError::new(
            match self.at {
                Where::First => format!("begins with {what}"),
                Where::Within => format!("holds {what}"),
                Where::Last => format!("ends with {what}"),
            },
            "remove it",
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
            let error = in_id(text).expect(text);
            assert_eq!((error.message.as_str(), error.help.as_str()), (message, help));
        }
    }
}
