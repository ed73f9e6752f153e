//! Whether two senders are the same, for a reload that replaces one by the other.
//!
//! Guards: URLs, headers and keys are compared and never shown. Deliberately not here: what the config says about a webhook
//! (`config::change`).

use super::Sender;
use crate::signature;

impl Sender {
    /// Whether both send to the same robot, whose limit they share.
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.inner.url == other.inner.url
    }

    /// Whether both send with the same URL, headers and keys: a secret may change in its file while the config stays the
    /// same.
    pub fn is_alike(&self, other: &Self) -> bool {
        let signature = |sender: &Self| signature::sign(&sender.inner.keys, "", 0, b"");
        self.is_same_place(other)
            && self.inner.headers == other.inner.headers
            && self.inner.secrets == other.inner.secrets
            && signature(self) == signature(other)
    }
}
