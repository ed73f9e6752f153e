//! Issues access tokens and knows how long they are valid.
//!
//! Guards: an internal app gets the same token while it is valid, and another call renews it. The calls of third-party apps
//! give a new token each time, and older ones stay valid unless an option says otherwise. A token depends only on the app's
//! key and a count, so a run repeats. Not here: whether the app's secret is right (`gateway::token`).

use std::collections::HashMap;
use std::time::Duration;

use super::hash::stable_hash;
use crate::time::Timestamp;

/// How a token call issues tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// `POST /v1.0/oauth2/accessToken`: the same token while it is valid.
    Internal,
    /// `POST /v1.0/oauth2/corpAccessToken` and `POST /v1.0/oauth2/{corpId}/token`: a new token each time.
    Fresh,
    /// A new token each time, which invalidates the app's earlier ones.
    Only,
}

#[derive(Debug, Default)]
pub(super) struct Tokens {
    count: u64,
    valid: HashMap<String, IssuedToken>,
    current: HashMap<String, String>,
}

#[derive(Debug)]
struct IssuedToken {
    app: String,
    until: Timestamp,
}

impl Tokens {
    /// Issues a token to this app, valid for `seconds` from now.
    pub(super) fn issue(&mut self, app: &str, kind: TokenKind, now: Timestamp, seconds: u32) -> String {
        let until = now.plus(Duration::from_secs(u64::from(seconds)));
        if kind == TokenKind::Internal
            && let Some(token) = self.current.get(app)
            && let Some(issued) = self.valid.get_mut(token)
            && issued.until > now
        {
            issued.until = until;
            return token.clone();
        }
        // Expired tokens need not be kept.
        self.valid.retain(|_, issued| issued.until > now && (kind != TokenKind::Only || issued.app != app));
        self.count += 1;
        let half = |salt: &[u8]| stable_hash(&[app.as_bytes(), &self.count.to_be_bytes(), salt]);
        let token = format!("{:016x}{:016x}", half(b"left"), half(b"right"));
        self.valid.insert(token.clone(), IssuedToken { app: app.to_owned(), until });
        if kind == TokenKind::Internal {
            self.current.insert(app.to_owned(), token.clone());
        }
        token
    }

    /// The app that owns this token, if it is valid.
    pub(super) fn owner(&self, token: &str, now: Timestamp) -> Option<&str> {
        self.valid.get(token).filter(|issued| issued.until > now).map(|issued| issued.app.as_str())
    }

    /// Invalidates all tokens.
    pub(super) fn revoke_all(&mut self) {
        self.valid.clear();
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
        let first = tokens.issue("a", TokenKind::Internal, at(0), 7200);
        assert_eq!(tokens.issue("a", TokenKind::Internal, at(7000), 7200), first);
        assert_eq!(tokens.owner(&first, at(14_199)), Some("a"));
        assert_eq!(tokens.owner(&first, at(14_200)), None);
        assert_ne!(tokens.issue("a", TokenKind::Internal, at(14_200), 7200), first);
        assert_ne!(tokens.issue("b", TokenKind::Internal, at(14_200), 7200), first);
    }

    #[test]
    fn third_party_apps_get_a_new_one_each_time_and_the_old_one_holds() {
        let mut tokens = Tokens::default();
        let first = tokens.issue("a", TokenKind::Fresh, at(0), 7200);
        let second = tokens.issue("a", TokenKind::Fresh, at(1), 7200);
        assert_ne!(first, second);
        assert_eq!(tokens.owner(&first, at(2)), Some("a"));
    }

    #[test]
    fn or_the_old_one_is_worthless() {
        let mut tokens = Tokens::default();
        let first = tokens.issue("a", TokenKind::Only, at(0), 7200);
        let of_another = tokens.issue("b", TokenKind::Only, at(0), 7200);
        let second = tokens.issue("a", TokenKind::Only, at(1), 7200);
        assert_eq!(tokens.owner(&first, at(2)), None);
        assert_eq!(tokens.owner(&second, at(2)), Some("a"));
        assert_eq!(tokens.owner(&of_another, at(2)), Some("b"));
    }

    #[test]
    fn a_revoked_token_has_no_owner() {
        let mut tokens = Tokens::default();
        let token = tokens.issue("a", TokenKind::Internal, at(0), 7200);
        tokens.revoke_all();
        assert_eq!(tokens.owner(&token, at(1)), None);
        assert_ne!(tokens.issue("a", TokenKind::Internal, at(1), 7200), token);
    }
}
