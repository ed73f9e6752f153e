//! A secret that does not print, is wiped when dropped, and is compared in constant time.
//!
//! Guards: `Debug`, `Display` and `Serialize` never show it. Deliberately not here: where secrets come from
//! (`config::secrets`).

use secrecy::{ExposeSecret, SecretString};

/// A secret text: an app secret, a signing key, a token.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a text; surrounding white space (a file's last newline) is no part of it.
    pub fn new(text: &str) -> Self {
        Self(SecretString::from(text.trim().to_owned()))
    }

    /// The text itself. Each call is a place to look at in a review.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether `other` is the same text, in a time that depends on the length of `other` only.
    pub fn matches(&self, other: &str) -> bool {
        let (mine, theirs) = (self.reveal().as_bytes(), other.as_bytes());
        let mut differs = usize::from(mine.len() != theirs.len());
        for (i, byte) in theirs.iter().enumerate() {
            differs |= usize::from(byte ^ mine.get(i).copied().unwrap_or(0));
        }
        differs == 0
    }
}

/// In a time that depends on the length of the other one only.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.reveal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_it() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }

    #[test]
    fn compares_whole_texts() {
        let secret = Secret::new("hunter2\n");
        assert!(secret.matches("hunter2"));
        for other in ["", "hunter", "hunter22", "Hunter2"] {
            assert!(!secret.matches(other), "{other}");
        }
    }
}
