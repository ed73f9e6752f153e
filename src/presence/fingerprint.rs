//! Ids that are hashes of content: the same facts give the same id in every process and after every crash.
//!
//! Guards: fields are length-prefixed, so two fields cannot be confused with one; an absent field differs from an
//! empty one; an id has no dot (Standard Webhooks signs `id.timestamp.body`). Deliberately not here: which fields an
//! id hashes (`event_builder`, `visit_start`, `system`).

use sha2::{Digest, Sha256};

use crate::ids::{EventId, VisitId};

/// 16 bytes of the hash, 26 characters: a collision among a trillion events is not to be expected.
const EVENT_BYTES: usize = 16;
/// 10 bytes of the hash, 16 characters: enough for the visits of one installation, and short enough to read.
const VISIT_BYTES: usize = 10;

/// A hash over a sequence of fields.
#[derive(Clone, Debug, Default)]
pub(super) struct Fingerprint(Sha256);

impl Fingerprint {
    pub(super) fn text(mut self, field: &str) -> Self {
        self.0.update((field.len() as u64).to_be_bytes());
        self.0.update(field.as_bytes());
        self
    }

    pub(super) fn text_option(mut self, field: Option<&str>) -> Self {
        if let Some(field) = field {
            return self.text(field);
        }
        // No text has this length, so the absent field differs from every text.
        self.0.update(u64::MAX.to_be_bytes());
        self
    }

    pub(super) fn number(mut self, field: i64) -> Self {
        self.0.update(8_u64.to_be_bytes());
        self.0.update(field.to_be_bytes());
        self
    }

    pub(super) fn event_id(self) -> EventId {
        let id = format!("evt_{}", self.base32(EVENT_BYTES));
        // Cannot fail: base32 is letters and digits, and 30 bytes are under the limit.
        EventId::parse(&id).expect("base32 is a valid id")
    }

    pub(super) fn visit_id(self) -> VisitId {
        let id = format!("vis_{}", self.base32(VISIT_BYTES));
        // Cannot fail for the same reason.
        VisitId::parse(&id).expect("base32 is a valid id")
    }

    fn base32(self, bytes: usize) -> String {
        base32(&self.0.finalize()[..bytes])
    }
}

/// RFC 4648 base32, lower case, no padding.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for &byte in bytes {
        buffer = (buffer << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[((buffer >> bits) & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[((buffer << (5 - bits)) & 31) as usize]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_matches_the_vectors_of_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "my"),
            ("fo", "mzxq"),
            ("foo", "mzxw6"),
            ("foob", "mzxw6yq"),
            ("fooba", "mzxw6ytb"),
        ] {
            assert_eq!(base32(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn field_boundaries_change_the_id() {
        let id = |a: &str, b: &str| Fingerprint::default().text(a).text(b).event_id();
        assert_ne!(id("ab", "c"), id("a", "bc"));
        assert_eq!(id("ab", "c"), id("ab", "c"));
        let option = |field| Fingerprint::default().text_option(field).event_id();
        assert_ne!(option(None), option(Some("")));
    }

    #[test]
    fn ids_have_their_documented_shape() {
        assert_eq!(Fingerprint::default().event_id().as_str().len(), "evt_".len() + 26);
        assert_eq!(Fingerprint::default().visit_id().as_str().len(), "vis_".len() + 16);
    }
}
