//! Standard Webhooks signatures: HMAC-SHA256 over `id.timestamp.body`.
//!
//! Guards: the signed bytes are the sent bytes; a key is never printed; signatures are compared in constant time.
//! Deliberately not here: where keys come from (`config::secrets`), the headers (`webhook`), the maximum age of a
//! timestamp, which the receiver decides.

pub mod robot;

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Prefix of a signing secret.
pub const KEY_PREFIX: &str = "whsec_";

/// Allowed lengths of a key (Standard Webhooks, "Signature scheme").
pub const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Prefix of each signature in the header: HMAC-SHA256 is version 1.
const TOKEN_PREFIX: &str = "v1,";

/// Accepts base64 with and without padding, because some tools leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a text is not a signing key. Never contains the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text does not start with `whsec_`.
    #[error("a signing secret starts with `{KEY_PREFIX}`")]
    Prefix,
    /// The rest is not base64.
    #[error("what follows `{KEY_PREFIX}` is not base64")]
    Base64,
    /// The key has fewer or more bytes than [`KEY_BYTES`] allows.
    #[error("a signing secret holds 24 to 64 bytes, this one {0}")]
    Length(usize),
}

/// A key for signing and verifying. Holds the hash state of the key, not its text.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// Parses `whsec_` and the base64 of 24 to 64 bytes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let encoded = text.trim().strip_prefix(KEY_PREFIX).ok_or(KeyError::Prefix)?;
        let bytes = BASE64.decode(encoded).map_err(|_| KeyError::Base64)?;
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(KeyError::Length(bytes.len()));
        }
        // HMAC accepts a key of any length; the error exists for other algorithms.
        Hmac::new_from_slice(&bytes).map(Self).map_err(|_| KeyError::Length(bytes.len()))
    }

    fn mac(&self, id: &str, timestamp_seconds: i64, body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(timestamp_seconds.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        mac
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([REDACTED])")
    }
}

/// The value of `webhook-signature`: one `v1,` signature for each key, in the order of `keys` (newest first),
/// separated by a space. Empty without keys; the header is then left out.
pub fn sign(keys: &[SigningKey], id: &str, timestamp_seconds: i64, body: &[u8]) -> String {
    let mut header = String::with_capacity(keys.len() * 48);
    for key in keys {
        if !header.is_empty() {
            header.push(' ');
        }
        header.push_str(TOKEN_PREFIX);
        BASE64.encode_string(key.mac(id, timestamp_seconds, body).finalize().into_bytes(), &mut header);
    }
    header
}

/// Whether any signature in `header` is made with any of `keys`. Ignores signatures of other versions.
pub fn verify(keys: &[SigningKey], id: &str, timestamp_seconds: i64, body: &[u8], header: &str) -> bool {
    header
        .split_ascii_whitespace()
        .filter_map(|token| token.strip_prefix(TOKEN_PREFIX))
        .filter_map(|encoded| BASE64.decode(encoded).ok())
        .any(|claimed| {
            keys.iter().any(|key| key.mac(id, timestamp_seconds, body).verify_slice(&claimed).is_ok())
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const SIGNED: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    fn key(byte: u8, bytes: usize) -> SigningKey {
        SigningKey::parse(&format!("whsec_{}", BASE64.encode(vec![byte; bytes]))).unwrap()
    }

    #[test]
    fn the_standard_webhooks_vector() {
        let keys = [SigningKey::parse(SECRET).unwrap()];
        assert_eq!(sign(&keys, ID, 1_649_367_553, BODY), SIGNED);
        assert!(verify(&keys, ID, 1_649_367_553, BODY, SIGNED));
    }

    #[test]
    fn during_a_rotation_the_header_has_both_signatures_newest_first() {
        let (new, old) = (key(1, 32), SigningKey::parse(SECRET).unwrap());
        let header = sign(&[new.clone(), old.clone()], ID, 1_649_367_553, BODY);
        let tokens: Vec<&str> = header.split(' ').collect();
        assert_eq!(tokens.len(), 2);
        assert_eq!(tokens[0], sign(std::slice::from_ref(&new), ID, 1_649_367_553, BODY));
        assert_eq!(tokens[1], SIGNED);
        assert!(verify(&[new], ID, 1_649_367_553, BODY, &header));
        assert!(verify(&[old], ID, 1_649_367_553, BODY, &header));
    }

    #[test]
    fn without_a_key_the_header_is_empty_and_verification_fails() {
        assert_eq!(sign(&[], ID, 1, BODY), "");
        assert!(!verify(&[], ID, 1_649_367_553, BODY, SIGNED));
    }

    #[test]
    fn other_versions_and_invalid_signatures_are_ignored() {
        let keys = [SigningKey::parse(SECRET).unwrap()];
        for (header, holds) in [
            (format!("v1a,AAAA {SIGNED}"), true),
            (format!("  {SIGNED}  "), true),
            (format!("v2,{}", &SIGNED[3..]), false),
            ("v1,".to_owned(), false),
            ("v1,%%%".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(verify(&keys, ID, 1_649_367_553, BODY, &header), holds, "{header:?}");
        }
    }

    #[test]
    fn a_key_is_refused_with_its_reason() {
        assert_eq!(SigningKey::parse("C2FVsBQIhrscChlQIMV+b5sSYspob7oD").err(), Some(KeyError::Prefix));
        assert_eq!(SigningKey::parse("whsec_???").err(), Some(KeyError::Base64));
        for (bytes, fine) in [(23, false), (24, true), (64, true), (65, false)] {
            let text = format!("whsec_{}", BASE64.encode(vec![7; bytes]));
            assert_eq!(SigningKey::parse(&text).is_ok(), fine, "{bytes}");
        }
        assert!(SigningKey::parse(&format!("{SECRET}\n")).is_ok());
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let shown = format!("{:?}", SigningKey::parse(SECRET).unwrap());
        assert_eq!(shown, "SigningKey([REDACTED])");
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn what_is_signed_verifies_and_any_change_does_not(
            body in proptest::collection::vec(any::<u8>(), 1..200),
            at in 0i64..4_000_000_000,
            flip in any::<prop::sample::Index>(),
        ) {
            let keys = [key(3, 24)];
            let header = sign(&keys, ID, at, &body);
            prop_assert!(verify(&keys, ID, at, &body, &header));
            prop_assert!(!verify(&keys, ID, at + 1, &body, &header));
            prop_assert!(!verify(&keys, "msg_other", at, &body, &header));
            prop_assert!(!verify(&[key(4, 24)], ID, at, &body, &header));
            let mut other = body.clone();
            other[flip.index(body.len())] ^= 1;
            prop_assert!(!verify(&keys, ID, at, &other, &header));
        }
    }
}
