//! Access tokens: who gets which, and for how long.
//!
//! Guards: an internal app gets the same token while it holds, and asking again renews it; the calls of third-party
//! apps give a new one each time, older ones hold on (a knob says otherwise). Tokens are made of the app's key and a count, so a run
//! repeats. Deliberately not here: whether the app's secret is right (`api`).

use std::collections::HashMap;
use std::time::Duration;

use super::spread;
use crate::time::Timestamp;

/// Which promise a token call makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `POST /v1.0/oauth2/accessToken`: the same token while it holds.
    Internal,
    /// `POST /v1.0/oauth2/corpAccessToken` and `POST /v1.0/oauth2/{corpId}/token`: a new one each time.
    Fresh,
    /// A new one each time, and what this app had is worthless from then on.
    Only,
}

#[derive(Debug, Default)]
pub(super) struct Tokens {
    issued: u64,
    holds: HashMap<String, Held>,
    current: HashMap<String, String>,
}

#[derive(Debug)]
struct Held {
    app: String,
    until: Timestamp,
}

impl Tokens {
    /// A token for this app, good for `seconds` from now.
    pub(super) fn issue(&mut self, app: &str, kind: Kind, now: Timestamp, seconds: u32) -> String {
        let until = now.plus(Duration::from_secs(u64::from(seconds)));
        if kind == Kind::Internal
            && let Some(token) = self.current.get(app)
            && let Some(held) = self.holds.get_mut(token)
            && held.until > now
        {
            held.until = until;
            return token.clone();
        }
        // What nobody can use any more need not be remembered.
        self.holds.retain(|_, held| held.until > now && (kind != Kind::Only || held.app != app));
        self.issued += 1;
        let half = |salt: &[u8]| spread(&[app.as_bytes(), &self.issued.to_be_bytes(), salt]);
        let token = format!("{:016x}{:016x}", half(b"left"), half(b"right"));
        self.holds.insert(token.clone(), Held { app: app.to_owned(), until });
        if kind == Kind::Internal {
            self.current.insert(app.to_owned(), token.clone());
        }
        token
    }

    /// Whose token this is, if it still holds.
    pub(super) fn owner(&self, token: &str, now: Timestamp) -> Option<&str> {
        self.holds.get(token).filter(|held| held.until > now).map(|held| held.app.as_str())
    }

    /// Makes every token so far worthless.
    pub(super) fn revoke_all(&mut self) {
        self.holds.clear();
        self.current.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(seconds * 1000)
    }

    #[test]
    fn an_internal_app_keeps_its_token_until_it_runs_out_and_asking_renews_it() {
        let mut tokens = Tokens::default();
        let first = tokens.issue("a", Kind::Internal, at(0), 7200);
        assert_eq!(tokens.issue("a", Kind::Internal, at(7000), 7200), first);
        assert_eq!(tokens.owner(&first, at(14_199)), Some("a"));
        assert_eq!(tokens.owner(&first, at(14_200)), None);
        assert_ne!(tokens.issue("a", Kind::Internal, at(14_200), 7200), first);
        assert_ne!(tokens.issue("b", Kind::Internal, at(14_200), 7200), first);
    }

    #[test]
    fn third_party_apps_get_a_new_one_each_time_and_the_old_one_holds() {
        let mut tokens = Tokens::default();
        let first = tokens.issue("a", Kind::Fresh, at(0), 7200);
        let second = tokens.issue("a", Kind::Fresh, at(1), 7200);
        assert_ne!(first, second);
        assert_eq!(tokens.owner(&first, at(2)), Some("a"));
    }

    #[test]
    fn or_the_old_one_is_worthless() {
        let mut tokens = Tokens::default();
        let first = tokens.issue("a", Kind::Only, at(0), 7200);
        let of_another = tokens.issue("b", Kind::Only, at(0), 7200);
        let second = tokens.issue("a", Kind::Only, at(1), 7200);
        assert_eq!(tokens.owner(&first, at(2)), None);
        assert_eq!(tokens.owner(&second, at(2)), Some("a"));
        assert_eq!(tokens.owner(&of_another, at(2)), Some("b"));
    }

    #[test]
    fn a_revoked_token_is_nobodys() {
        let mut tokens = Tokens::default();
        let token = tokens.issue("a", Kind::Internal, at(0), 7200);
        tokens.revoke_all();
        assert_eq!(tokens.owner(&token, at(1)), None);
        assert_ne!(tokens.issue("a", Kind::Internal, at(1), 7200), token);
    }
}
