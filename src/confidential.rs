//! Texts that must not be logged or stored, and their removal from the texts of other programs: secrets, and ids of
//! watched users.
//!
//! Guards: what another program repeats is found as it is, in JSON escapes and percent-encoded, in linear time for any
//! number of users. `Debug` shows nothing of it. Not here: which texts these are (`app::build`, `webhook::redact`).

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, PoisonError, RwLock};

use crate::secret::Secret;

/// Replaces each confidential part of a text.
pub const HIDDEN: &str = "[hidden]";

/// The shortest part that is hidden, in bytes. Shorter ones are not secrets, and they occur in other words.
pub const SHORTEST: usize = 4;

/// Confidential texts, by their first bytes.
#[derive(Default, PartialEq)]
pub struct Confidential(HashMap<[u8; SHORTEST], Vec<Secret>>);

impl fmt::Debug for Confidential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confidential").finish_non_exhaustive()
    }
}

impl Confidential {
    /// Adds a text as it is. A text shorter than [`SHORTEST`] is ignored.
    pub fn add(&mut self, text: &str) {
        if let Some(first) = text.as_bytes().first_chunk() {
            self.0.entry(*first).or_default().push(Secret::new(text));
        }
    }

    /// Adds a text also in the escapes in which a program may repeat it.
    pub fn add_escaped(&mut self, text: &str) {
        self.add(text);
        for escaped in [json_escaped(text), text.replace('/', "\\/"), percent_encoded(text, "%20")] {
            if escaped != text {
                self.add(&escaped);
            }
        }
        if text.contains(' ') {
            self.add(&percent_encoded(text, "+"));
        }
    }

    /// The length of the longest confidential text that `text` begins with.
    fn length_at(&self, text: &[u8]) -> Option<usize> {
        let found = self.0.get(text.first_chunk::<SHORTEST>()?)?;
        let lengths = found.iter().map(|secret| secret.reveal().as_bytes());
        lengths.filter(|secret| text.starts_with(secret)).map(<[u8]>::len).max()
    }
}

/// The text without the confidential parts of any of the sets; `None` if it holds none.
pub fn redacted(text: &str, sets: &[&Confidential]) -> Option<String> {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for start in 0..text.len() {
        let rest = &text.as_bytes()[start..];
        let Some(length) = sets.iter().filter_map(|set| set.length_at(rest)).max() else { continue };
        match parts.last_mut() {
            // Parts that overlap are one, so that no rest of the later one remains.
            Some(last) if start < last.1 => last.1 = last.1.max(start + length),
            _ => parts.push((start, start + length)),
        }
    }
    if parts.is_empty() {
        return None;
    }
    let (mut out, mut shown) = (String::with_capacity(text.len()), 0);
    for (start, end) in parts {
        out.push_str(&text[shown..start]);
        out.push_str(HIDDEN);
        shown = end;
    }
    out.push_str(&text[shown..]);
    Some(out)
}

/// What the running config holds that is confidential. Clones share it; a reload replaces it.
#[derive(Clone, Debug, Default)]
pub struct SharedConfidential(Arc<RwLock<Arc<Confidential>>>);

impl SharedConfidential {
    /// The current set.
    pub fn get(&self) -> Arc<Confidential> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the set for all clones.
    pub fn replace(&self, with: Confidential) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(with);
    }
}

/// The text in JSON escapes, ASCII only.
fn json_escaped(text: &str) -> String {
    let mut escaped = String::new();
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => escaped.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(escaped, "\\u{unit:04x}")),
        }
    }
    escaped
}

/// The text as in a URL, with `space` for each space.
fn percent_encoded(text: &str, space: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push_str(space),
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> Confidential {
        let mut set = Confidential::default();
        for text in texts {
            set.add_escaped(text);
        }
        set
    }

    #[test]
    fn confidential_parts_are_hidden_in_every_escape() {
        let set = set(&["u-li+1/2", "张敏", "Li Wei", "abc"]);
        for (text, shown) in [
            ("no user u-li+1/2", "no user [hidden]"),
            ("xu-li+1/2u-li+1/2", "x[hidden][hidden]"),
            ("u-li+1\\/2, u-li%2B1%2F2", "[hidden], [hidden]"),
            ("nick 张敏 or \\u5f20\\u654f", "nick [hidden] or [hidden]"),
            ("Li Wei, Li+Wei, Li%20Wei", "[hidden], [hidden], [hidden]"),
        ] {
            assert_eq!(redacted(text, &[&set]).as_deref(), Some(shown));
        }
        for text in ["", "abc", "u-li+1", "Li W", "张"] {
            assert_eq!(redacted(text, &[&set]), None, "{text}");
        }
    }

    #[test]
    fn of_parts_that_overlap_no_rest_remains() {
        let (one, other) = (set(&["abcd", "abcdef"]), set(&["cdefgh", "xyzxyz"]));
        assert_eq!(redacted("-abcdefgh-", &[&one, &other]).as_deref(), Some("-[hidden]-"));
        assert_eq!(redacted("xyzxyzxyz", &[&one, &other]).as_deref(), Some("[hidden]"));
        assert_eq!(redacted("abcde", &[&one]).as_deref(), Some("[hidden]e"));
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        assert!(!format!("{:?}", set(&["hunter2"])).contains("hunt"));
    }
}
