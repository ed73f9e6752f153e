//! Cookies that stand for a token in a browser, the forms' protection, and one-time codes.
//!
//! Guards: a cookie is signed with the token that it stands for, so a changed token ends it, and a restart does not; it
//! opens nothing after its end; a code works once, for a minute. Not here: which request has which cookie (`visitor`).

use std::io::Read as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::rights::Grant;
use crate::config::Scope;
use crate::secret::Secret;
use crate::time::Timestamp;

/// Name of the cookie.
pub(super) const COOKIE: &str = "presenced";
/// How long an operator stays signed in without a visit.
const OPERATOR_TIME: Duration = Duration::from_hours(12);
/// The same for others: no user signs in at a wall screen.
const VIEWER_TIME: Duration = Duration::from_hours(24 * 90);
/// How long a one-time code works.
pub(super) const CODE_TIME: Duration = Duration::from_mins(1);
/// The most codes that wait to be used; the oldest gives way.
const MAX_CODES: usize = 16;

/// A text from the random generator of the system.
pub(super) fn random() -> std::io::Result<String> {
    let mut bytes = [0; 24];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn sign(token: &Secret, purpose: &str, text: &str) -> String {
    // A key of any length is valid for HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(token.reveal().as_bytes()) else { return String::new() };
    mac.update(purpose.as_bytes());
    mac.update(b"\0");
    mac.update(text.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// How long a cookie of this scope is valid.
pub(super) fn lifetime(scope: Scope) -> Duration {
    if scope == Scope::Operator { OPERATOR_TIME } else { VIEWER_TIME }
}

/// The value of a new cookie.
pub(super) fn cookie(grant: &Grant, now: Timestamp) -> String {
    let expires = now.plus(lifetime(grant.scope)).as_ms() / 1000;
    let text = format!("{}~{expires}", grant.name);
    let signature = sign(&grant.token, "cookie", &text);
    format!("{text}~{signature}")
}

/// The grant that a cookie stands for.
pub(super) fn holder<'g>(cookie: &str, grants: &'g [Grant], now: Timestamp) -> Option<&'g Grant> {
    let (text, signature) = cookie.rsplit_once('~')?;
    let (name, expires) = text.rsplit_once('~')?;
    let grant = grants.iter().find(|grant| grant.name == name)?;
    let is_valid = Secret::new(&sign(&grant.token, "cookie", text)).matches(signature);
    (is_valid && expires.parse::<i64>().ok()? > now.as_ms() / 1000).then_some(grant)
}

/// Whether a cookie should be replaced by a newer one: less than half of its time is left.
pub(super) fn is_old(cookie: &str, grant: &Grant, now: Timestamp) -> bool {
    let expires = cookie.rsplit('~').nth(1).and_then(|expires| expires.parse::<i64>().ok()).unwrap_or(0);
    expires < now.plus(lifetime(grant.scope) / 2).as_ms() / 1000
}

/// What every form of a page carries: known only to a page that this listener gave to this cookie.
pub(super) fn form_token(grant: &Grant, cookie: &str) -> String {
    sign(&grant.token, "form", cookie)
}

/// Codes that `presenced page` prints.
#[derive(Debug, Default)]
pub(super) struct Codes(Mutex<Vec<(Secret, Timestamp)>>);

impl Codes {
    /// A new code.
    pub(super) fn create(&self, now: Timestamp) -> std::io::Result<String> {
        let code = random()?;
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|(_, until)| *until > now);
        if codes.len() >= MAX_CODES {
            codes.remove(0);
        }
        codes.push((Secret::new(&code), now.plus(CODE_TIME)));
        Ok(code)
    }

    /// Whether a code is valid; it is not afterwards.
    pub(super) fn redeem(&self, code: &str, now: Timestamp) -> bool {
        let mut codes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        codes.retain(|(_, until)| *until > now);
        let Some(at) = codes.iter().position(|(known, _)| known.matches(code)) else { return false };
        codes.remove(at);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(seconds * 1000)
    }

    #[test]
    fn a_cookie_opens_what_its_token_opens_until_it_ends() {
        let grants = [Grant::operator(Secret::new("one"))];
        let made = cookie(&grants[0], at(0));
        assert!(holder(&made, &grants, at(0)).is_some());
        assert!(holder(&made, &grants, at(12 * 3600)).is_none(), "it ended");
        assert!(holder(&made, &[Grant::operator(Secret::new("two"))], at(0)).is_none(), "the token changed");
        let longer = made.replace("~43200~", "~99999~");
        assert!(longer != made && holder(&longer, &grants, at(0)).is_none(), "it was changed");
        for text in ["", "~", "~~", "~43200~", "wall~43200~x"] {
            assert!(holder(text, &grants, at(0)).is_none(), "{text}");
        }
        assert!(!is_old(&made, &grants[0], at(0)) && is_old(&made, &grants[0], at(7 * 3600)));
    }

    #[test]
    fn a_code_works_once_and_for_a_minute() {
        let codes = Codes::default();
        let (first, second) = (codes.create(at(0)).unwrap(), codes.create(at(0)).unwrap());
        assert!(!codes.redeem("", at(1)) && !codes.redeem("wrong", at(1)));
        assert!(codes.redeem(&first, at(1)) && !codes.redeem(&first, at(1)));
        assert!(!codes.redeem(&second, at(60)), "it is too late");
    }
}
