//! Makes a signing secret.
//!
//! Guards: it comes from the random generator of the system. Not here: printing it (`webhook::secret`), storing it (`init`).

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Standard Webhooks allows 24 to 64 bytes.
const BYTES: usize = 32;

/// A new one, in the form of Standard Webhooks.
pub(super) fn new_secret() -> std::io::Result<String> {
    let mut random = [0; BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(format!("whsec_{}", STANDARD.encode(random)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{SigningKey, sign, verify};

    #[test]
    fn each_is_new_and_signs() {
        let (one, other) = (new_secret().unwrap(), new_secret().unwrap());
        assert_ne!(one, other);
        let keys = [SigningKey::parse(&one).unwrap()];
        let signed = sign(&keys, "evt_1", 1, b"{}");
        assert!(verify(&keys, "evt_1", 1, b"{}", &signed));
        assert!(!verify(&[SigningKey::parse(&other).unwrap()], "evt_1", 1, b"{}", &signed));
    }
}
