//! Turns the bytes of a secret into text: removes what editors and shells add, and refuses what is ambiguous.
//!
//! Guards: a message gives the reason and the place of a character, never the text around it. Not here: reading the bytes
//! (`super`), whether the secret is right (DingTalk, the receiver).

use super::super::file::encoding;
use super::super::public;
use super::error::SecretError;
use crate::invisible::{self, named};
use crate::secret::Secret;

/// Signs that come in pairs around a text.
const QUOTES: [(char, char); 7] =
    [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’'), ('「', '」'), ('＂', '＂')];

/// The secret in these bytes: without a byte order mark and without the blanks and line ends of ASCII around it.
pub(super) fn of_bytes(bytes: Vec<u8>, what: String) -> Result<Secret, SecretError> {
    match encoding::decoded(bytes) {
        Ok(text) => of_text(&text, what),
        Err(wrong) => {
            let problem = format!("is not UTF-8; it looks like {}: save it as UTF-8", wrong.encoding);
            Err(SecretError::NotASecret { what, problem })
        }
    }
}

pub(super) fn of_text(text: &str, what: String) -> Result<Secret, SecretError> {
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
    if bare.is_empty() {
        return Err(SecretError::Empty(what));
    }
    match stray(text, bare) {
        Some(problem) => Err(SecretError::NotASecret { what, problem }),
        None => Ok(Secret::new(bare)),
    }
}

/// What is in a text that cannot be part of a secret.
fn stray(text: &str, bare: &str) -> Option<String> {
    let lines = bare.lines().count().max(bare.split('\r').count());
    if lines > 1 {
        return Some(format!("has {lines} lines: leave only the secret in it, on one line"));
    }
    if QUOTES.iter().any(|(open, close)| is_between(bare, *open, *close)) {
        return Some("is in quotes: remove them".to_owned());
    }
    let blank = || bare.char_indices().find(|(_, c)| c.is_whitespace() && !c.is_ascii());
    let (at, c) = invisible::first(bare).or_else(blank)?;
    let before = text.find(bare).unwrap_or_default();
    Some(format!("holds {} at {}: remove it", named(c), place(text, before + at)))
}

fn is_between(text: &str, open: char, close: char) -> bool {
    text.strip_prefix(open).is_some_and(|rest| rest.ends_with(close))
}

/// A place as line and column, from 1.
fn place(text: &str, at: usize) -> String {
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}

/// What keeps a text from being a secret that a console shows and a person copies: the name of a variable before it, a
/// blank or a letter outside of ASCII in it.
pub(in crate::config) fn copied_error(secret: &Secret) -> Option<String> {
    let text = secret.reveal();
    let bad = text.char_indices().find(|(_, c)| !c.is_ascii_graphic());
    variable_before(text).or_else(|| bad.map(|(at, c)| outside(text, at, c)))
}

/// `NAME=` before a secret, as in a file of variables.
pub(in crate::config) fn variable_before(text: &str) -> Option<String> {
    let (name, rest) = text.strip_prefix("export ").unwrap_or(text).split_once('=')?;
    // Base64 ends in such signs.
    let is_name = public::is_name(name.trim()) && !rest.trim_matches('=').is_empty();
    is_name.then(|| "begins with a name and `=`: leave only what follows the `=`".to_owned())
}

/// A character of a secret by its place; a letter is a part of the secret and stays unnamed.
fn outside(text: &str, at: usize, c: char) -> String {
    let what = match c {
        _ if c.is_whitespace() => named(c),
        _ if invisible::narrow(c).is_some() => "a full-width character".to_owned(),
        _ => "a character that is not ASCII".to_owned(),
    };
    format!("holds {what} at {}: copy the secret again", place(text, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        of_text(text, "it".to_owned()).expect_err(text).to_string()
    }

    #[test]
    fn what_an_editor_adds_is_taken_off() {
        for text in ["hunter2", "hunter2\n", "\u{feff}hunter2\r\n", "hunter2 \n\n", "\thunter2"] {
            assert_eq!(of_text(text, String::new()).expect(text).reveal(), "hunter2", "{text:?}");
        }
    }

    #[test]
    fn what_is_no_part_of_a_secret_is_named_by_its_place() {
        for (text, said) in [
            ("hunter\u{200b}2\n", "it holds U+200B ZERO WIDTH SPACE at line 1, column 7: remove it"),
            ("\nhunter2\u{200b}", "it holds U+200B ZERO WIDTH SPACE at line 2, column 8: remove it"),
            (
                "\u{202e}hunter2",
                "it holds U+202E mark that turns the reading direction at line 1, column 1: remove it",
            ),
            ("hun\u{7}ter2", "it holds U+0007 control character at line 1, column 4: remove it"),
            ("hunter2\u{a0}\n", "it holds U+00A0 NO-BREAK SPACE at line 1, column 8: remove it"),
            ("\u{3000}hunter2", "it holds U+3000 IDEOGRAPHIC SPACE at line 1, column 1: remove it"),
            ("hunter2\nhunter3\n", "it has 2 lines: leave only the secret in it, on one line"),
            ("hunter2\rhunter3", "it has 2 lines: leave only the secret in it, on one line"),
            ("\"hunter2\"\n", "it is in quotes: remove them"),
            ("“hunter2”", "it is in quotes: remove them"),
            (" \u{feff}", "it holds U+FEFF BYTE ORDER MARK at line 1, column 2: remove it"),
            ("\u{feff} \n", "it is empty"),
        ] {
            assert_eq!(refused(text), said, "{text:?}");
        }
        let utf16 = "h\0u\0n\0t\0".as_bytes().to_vec();
        let said = of_bytes(utf16, "it".to_owned()).expect_err("UTF-16").to_string();
        assert_eq!(said, "it is not UTF-8; it looks like UTF-16: save it as UTF-8");
    }

    #[test]
    fn a_copied_secret_has_no_name_before_it_and_is_ascii() {
        let error = |text: &str| copied_error(&Secret::new(text));
        for text in ["hunter2", "aGVsbG8=", "x-1_2.3~", "APP=="] {
            assert_eq!(error(text), None, "{text}");
        }
        for (text, said) in [
            ("APP_SECRET=hunter2", "begins with a name and `=`: leave only what follows the `=`"),
            ("export TOKEN=hunter2", "begins with a name and `=`: leave only what follows the `=`"),
            ("token = hunter2", "begins with a name and `=`: leave only what follows the `=`"),
            ("hunter 2", "holds U+0020 SPACE at line 1, column 7: copy the secret again"),
            ("hunter\u{a0}2", "holds U+00A0 NO-BREAK SPACE at line 1, column 7: copy the secret again"),
            ("hunteｒ2", "holds a full-width character at line 1, column 6: copy the secret again"),
            ("hunteř2", "holds a character that is not ASCII at line 1, column 6: copy the secret again"),
        ] {
            assert_eq!(error(text).as_deref(), Some(said), "{text}");
        }
    }
}
