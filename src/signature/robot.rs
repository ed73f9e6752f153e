//! The signatures of custom robots: of DingTalk, HMAC-SHA256 over timestamp and secret with the secret as the key; of
//! Feishu, over nothing with both as the key.
//!
//! Guards: the secret is never printed; DingTalk's signature is encoded for the URL. Deliberately not here: the URL
//! (`webhook`), which is as secret as the key, and the body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// Prefix of a robot's signing secret.
pub const SECRET_PREFIX: &str = "SEC";

/// The value of `sign` for a `timestamp` in milliseconds, percent-encoded.
pub fn sign(secret: &Secret, timestamp_ms: i64) -> String {
    let key = secret.reveal();
    // HMAC accepts a key of any length; the error exists for other algorithms.
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC accepts any key");
    mac.update(timestamp_ms.to_string().as_bytes());
    mac.update(b"\n");
    mac.update(key.as_bytes());
    // The three characters of base64 that have a meaning in a query.
    STANDARD.encode(mac.finalize().into_bytes()).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

/// The value of `sign` in the body for a Feishu or Lark bot, for a `timestamp` in seconds.
pub fn sign_feishu(secret: &Secret, timestamp_s: i64) -> String {
    let key = format!("{timestamp_s}\n{}", secret.reveal());
    // HMAC accepts a key of any length; the error exists for other algorithms.
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC accepts any key");
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `openssl dgst -sha256 -mac HMAC -macopt key:...` over an empty input.
    #[test]
    fn feishu_signs_nothing_with_timestamp_and_secret() {
        let signed = sign_feishu(&Secret::new("demo"), 1_599_360_473);
        assert_eq!(signed, "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=");
    }

    #[test]
    fn the_vector_of_the_documented_formula() {
        let signed = sign(&Secret::new("SECtest"), 1_700_000_000_000);
        assert_eq!(signed, "aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g%3D");
    }

    #[test]
    fn each_millisecond_has_its_own_signature_that_is_safe_in_a_query() {
        let signed: std::collections::BTreeSet<_> =
            (0..500).map(|ms| sign(&Secret::new("SECtest"), 1_700_000_000_000 + ms)).collect();
        assert_eq!(signed.len(), 500);
        assert!(signed.iter().all(|sign| sign.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'%')));
        assert!(
            signed.iter().any(|sign| sign.contains("%2B")) && signed.iter().any(|sign| sign.contains("%2F"))
        );
    }
}
