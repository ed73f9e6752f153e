//! As much of Rust's grammar as the checks need: words, marks and lines, without comments and literals.
//!
//! Guards: what is quoted or commented is never taken for code; no text stops it (properties in `floors`). Deliberately
//! not here: what the checks look for.

use self::Token::{Lifetime, Mark, Word};

pub(super) fn is_word(tokens: &[(Token, usize)], at: usize, word: &str) -> bool {
    matches!(tokens.get(at), Some((Word(found), _)) if found == word)
}

pub(super) fn is_path_separator(tokens: &[(Token, usize)], at: usize) -> bool {
    matches!(tokens.get(at..at + 2), Some([(Mark(':'), _), (Mark(':'), _)]))
}

/// As much of Rust's tokens as paths need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// An identifier, a keyword or a number.
    Word(String),
    /// Any other single character.
    Mark(char),
    /// `'a`; told apart from a character literal, which is dropped.
    Lifetime,
}

/// The tokens with their lines; comments, strings and character literals are left out.
pub(super) fn tokens(text: &str) -> Vec<(Token, usize)> {
    let chars: Vec<char> = text.chars().collect();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let from = at;
        let rest = &chars[at..];
        match rest {
            ['/', '/', ..] => at += rest.iter().take_while(|c| **c != '\n').count(),
            ['/', '*', ..] => at += block_comment(rest),
            ['"', ..] => at += quoted(rest, '"'),
            ['r' | 'b' | 'c', ..] if raw_string(rest).is_some() => at += raw_string(rest).unwrap_or(1),
            ['\'', '\\', ..] | ['\'', _, '\'', ..] => at += quoted(rest, '\''),
            ['\'', ..] => {
                found.push((Lifetime, line));
                at += 1;
            }
            [c, ..] if c.is_alphanumeric() || *c == '_' => {
                let word: String = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').collect();
                at += word.chars().count();
                found.push((Word(word), line));
            }
            [c, ..] => {
                if !c.is_whitespace() {
                    found.push((Mark(*c), line));
                }
                at += 1;
            }
            [] => {}
        }
        line += chars[from..at.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    found
}

/// The length of a block comment, those inside it included.
fn block_comment(rest: &[char]) -> usize {
    let (mut deep, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (deep, at) = (deep + 1, at + 2),
            ['*', '/', ..] if deep == 1 => return at + 2,
            ['*', '/', ..] => (deep, at) = (deep - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

/// The length of a literal between two `quote`s, the first of which is `rest[0]`.
fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The length of a raw string (`r"…"`, `br#"…"#`), if one begins here.
fn raw_string(rest: &[char]) -> Option<usize> {
    let prefix = rest.iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    if prefix > 2 || rest[prefix - 1] != 'r' {
        return None;
    }
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let body = prefix + hashes + 1;
    if rest.get(body - 1) != Some(&'"') {
        return None;
    }
    let closes =
        |at: usize| rest[at] == '"' && rest[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    (body..rest.len()).find(|at| closes(*at)).map_or(Some(rest.len()), |at| Some(at + 1 + hashes))
}
