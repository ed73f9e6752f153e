//! The list call, with its token.
//!
//! Guards: explicit time-outs, no redirects, a capped body; a refused token is replaced and the call repeated once,
//! never twice; how many calls that cost is told. Deliberately not here: classification (`classify`), parsing
//! (`wire`), pace and waiting (`policy`, `tasks`).

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use reqwest::{Method, Request, Url};

use super::classify;
use super::error::{CallError, Verdict};
use super::kind::{Kind, Sources};
use super::token::{Token, Tokens};
use super::transport::{TOKEN_HEADER, exchange};
use super::wire::Parsed;
use crate::clock::SharedClock;
use crate::config::{self, Org};
use crate::ids::UnionId;
use crate::net::{self, ClientError, Limits};
use crate::presence::observation::Observation;
use crate::secret::Secret;
use crate::time::Timestamp;

/// The most bytes of a body, decoded. A good answer has some 350 a meeting.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// What a good call gave.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Byte for byte the answer of last time (the caller's `same_as`), with status 200; nothing was parsed.
    Same {
        /// How many calls count against the month: 2 when a token was refused on the way.
        calls: u32,
    },
    /// Another answer.
    Seen {
        /// What it says.
        observation: Observation,
        /// The digest of its bytes, to be handed in as `same_as` next time. Good within this process only.
        bytes_digest: u64,
        /// How many things in it were out of range, of an unknown kind or twice: worth a warning, once.
        oddities: u32,
        /// How many calls count against the month: 2 when a token was refused on the way.
        calls: u32,
    },
}

impl Answer {
    /// How many calls count against the month.
    pub fn calls(&self) -> u32 {
        match self {
            Self::Same { calls } | Self::Seen { calls, .. } => *calls,
        }
    }

    fn with_earlier(mut self, earlier: u32) -> Self {
        let (Self::Same { calls } | Self::Seen { calls, .. }) = &mut self;
        *calls += earlier;
        self
    }
}

/// Where the app's secrets stand once they are resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Credentials {
    /// `app_secret`, or the ready-made `access_token`.
    pub secret: Secret,
    /// `suite_ticket`.
    pub suite_ticket: Option<Secret>,
}

/// A client for one organisation. Cloning shares its connections and its token.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) http: reqwest::Client,
    lists: Url,
    /// `/v1.0/conference/`: the calls about meetings are below it.
    pub(super) conference: Url,
    pub(super) legacy_base: String,
    pub(super) tokens: Tokens,
    pub(super) clock: SharedClock,
}

impl Client {
    /// Makes one; no network yet. Reads the organisation's CA file, if it has one.
    pub fn new(org: &Org, credentials: Credentials, clock: SharedClock) -> Result<Self, ClientError> {
        let limits = Limits {
            connect_timeout: org.connect_timeout,
            timeout: org.timeout,
            idle_per_host: org.concurrency,
            proxy: org.proxy.clone(),
            extra_roots_pem: config::read_ca_file(org.ca_file.as_deref()).map_err(ClientError::Roots)?,
        };
        let http =
            net::http_client(&limits)?.build().map_err(|error| ClientError::Build(net::describe(error)))?;
        let base = org.api_base.trim_end_matches('/');
        let lists = Url::parse(&format!("{base}/v1.0/conference/users/lists"))
            .map_err(|error| ClientError::Base(error.to_string()))?;
        let conference = Url::parse(&format!("{base}/v1.0/conference/"))
            .map_err(|error| ClientError::Base(error.to_string()))?;
        let secrets = (credentials, Sources::of(&org.app));
        let tokens = Tokens::new(Kind::of(&org.app), base, secrets, http.clone(), Arc::clone(&clock))
            .map_err(ClientError::Base)?;
        let legacy_base = org.legacy_base.trim_end_matches('/').to_owned();
        Ok(Self { inner: Arc::new(Inner { http, lists, conference, legacy_base, tokens, clock }) })
    }

    /// Other secrets from now on (a new suite ticket, a fresh ready-made token); connections and a fetched token stay.
    pub fn set_credentials(&self, credentials: Credentials) {
        self.inner.tokens.set_credentials(credentials);
    }

    /// When the token in use ends; `None`: there is none.
    pub fn token_expiry(&self) -> Option<Timestamp> {
        self.inner.tokens.expiry()
    }

    /// Gets a token unless one is at hand: what `check --online` and readiness want to know. Costs no call of the month.
    pub async fn token_ready(&self) -> Result<(), CallError> {
        self.inner.tokens.current().await.map(|_| ())
    }

    /// `GET /v1.0/conference/users/lists?unionId=`. `same_as`: the `bytes_digest` of the last answer, if an identical
    /// one needs no parsing.
    ///
    /// Makes at most two list calls and two token calls: a token that DingTalk refuses is replaced and the call
    /// repeated once.
    pub async fn ongoing(&self, union_id: &UnionId, same_as: Option<u64>) -> Result<Answer, CallError> {
        let tokens = &self.inner.tokens;
        let token = tokens.current().await?;
        let first = match self.ask(&token, union_id, same_as).await {
            Err(error) if error.verdict == Verdict::Unauthorised => error,
            other => return other,
        };
        let earlier = first.calls;
        let late = |mut error: CallError| {
            error.calls += earlier;
            error
        };
        let token = match tokens.instead_of(&token).await {
            Ok(token) => token,
            Err(error) => return Err(late(error)),
        };
        match self.ask(&token, union_id, same_as).await {
            Ok(answer) => Ok(answer.with_earlier(earlier)),
            Err(error) => Err(late(error)),
        }
    }

    /// One list call.
    async fn ask(
        &self,
        token: &Token,
        union_id: &UnionId,
        same_as: Option<u64>,
    ) -> Result<Answer, CallError> {
        let inner = &*self.inner;
        let mut request = Request::new(Method::GET, list_url(&inner.lists, union_id));
        request.headers_mut().insert(TOKEN_HEADER.clone(), token.header());
        let answer = exchange(&inner.http, request, MAX_BODY_BYTES).await?;
        let bytes_digest = digest(&answer.body);
        if answer.status == 200 && same_as == Some(bytes_digest) {
            token.accept();
            return Ok(Answer::Same { calls: 1 });
        }
        match classify::list_answer(&answer.reply(inner.clock.now()), union_id) {
            Ok(Parsed { observation, oddities }) => {
                token.accept();
                Ok(Answer::Seen { observation, bytes_digest, oddities, calls: 1 })
            }
            Err(error) => {
                // These are said behind the door that the token opens.
                if error.verdict.is_refusal() || error.verdict == Verdict::Forbidden {
                    token.accept();
                }
                Err(answer.redacted(error))
            }
        }
    }
}

/// Of a body's bytes. Good within this process: the standard library may change its hash between releases.
fn digest(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}

fn list_url(lists: &Url, union_id: &UnionId) -> Url {
    let mut url = lists.clone();
    let mut query = String::with_capacity("unionId=".len() + union_id.as_str().len() + 8);
    query.push_str("unionId=");
    percent_encode(union_id.as_str(), &mut query);
    url.set_query(Some(&query));
    url
}

/// Appends `text` with everything but RFC 3986's unreserved characters percent-encoded.
pub(super) fn percent_encode(text: &str, to: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            to.push(char::from(byte));
        } else {
            to.push('%');
            to.push(char::from(HEX[usize::from(byte >> 4)]));
            to.push(char::from(HEX[usize::from(byte & 0xF)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_encoded_once_and_whole() {
        let lists = Url::parse("https://api.dingtalk.io/v1.0/conference/users/lists").unwrap();
        let url = |id: &str| list_url(&lists, &UnionId::parse(id).unwrap()).to_string();
        let base = "https://api.dingtalk.io/v1.0/conference/users/lists?unionId=";
        assert_eq!(url("a+b/c=d&e"), format!("{base}a%2Bb%2Fc%3Dd%26e"));
        assert_eq!(url("é%20#?'\""), format!("{base}%C3%A9%2520%23%3F%27%22"));
        assert_eq!(url("2iPOLbpUNMLzB5LuwggiiqiPwiEiE"), format!("{base}2iPOLbpUNMLzB5LuwggiiqiPwiEiE"));
        let mut encoded = String::new();
        percent_encode("a b~-._", &mut encoded);
        assert_eq!(encoded, "a%20b~-._");
    }
}
