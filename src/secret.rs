//! A secret that is never printed, is wiped when dropped, and is compared in constant time.
//!
//! Guards: the type has no `Display` and no `Serialize`, and its `Debug` hides the text. Deliberately not here: where
//! secrets come from (`config::secrets`).

use secrecy::{ExposeSecret, SecretString};

/// A secret text: an app secret, a signing key, a token.
#[derive(Clone, Debug)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a text without the white space around it, such as the last newline of a file.
    pub fn new(text: &str) -> Self {
        Self(SecretString::from(text.trim().to_owned()))
    }

    /// The text. Each call needs a review.
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether `other` is the same text. The time it takes depends only on the length of `other`.
    pub fn matches(&self, other: &str) -> bool {
        let (mine, theirs) = (self.reveal().as_bytes(), other.as_bytes());
        let mut differs = usize::from(mine.len() != theirs.len());
        for (i, byte) in theirs.iter().enumerate() {
            differs |= usize::from(byte ^ mine.get(i).copied().unwrap_or(0));
        }
        differs == 0
    }
}

/// The time it takes depends only on the length of the other secret.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.reveal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_text() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }

    #[test]
    fn the_whole_text_is_compared() {
        let secret = Secret::new("hunter2\n");
        assert!(secret.matches("hunter2"));
        for other in ["", "hunter", "hunter22", "Hunter2"] {
            assert!(!secret.matches(other), "{other}");
        }
    }
}
