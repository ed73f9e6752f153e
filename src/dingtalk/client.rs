//! The client of one organisation, and the list call.
//!
//! Guards: time-outs are explicit, redirects are not followed and bodies have a limit. A refused token is replaced and the
//! call is repeated once. Every result says how many calls it cost. Not here: what an answer means (`classify`), parsing
//! (`wire`), pace and waiting (`policy`, `tasks`).

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use reqwest::{Method, Request, Url};

use super::classify;
use super::encoding::percent_encoded;
use super::error::{CallError, Verdict};
use super::kind::{AppKind, SecretSources};
use super::token::{Token, Tokens};
use super::transport::{Exchange, TOKEN_HEADER, exchange};
use super::wire::Parsed;
use crate::clock::SharedClock;
use crate::confidential::SharedConfidential;
use crate::config::{self, Org};
use crate::ids::UnionId;
use crate::net::{self, ClientError, ClientOptions};
use crate::presence::observation::Observation;
use crate::secret::Secret;
use crate::time::Timestamp;

pub use super::kind::Credentials;

/// The largest body, decoded, in bytes. A good answer has about 350 bytes per meeting.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// A good answer to the list call.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Status 200 and the same bytes as the previous answer (`previous_digest`), so nothing was parsed.
    Unchanged {
        /// Calls that count against the month: 2 if a token was refused first.
        calls: u32,
    },
    /// A new answer.
    Observed {
        /// The parsed answer.
        observation: Observation,
        /// The digest of the bytes, for `previous_digest` of the next call. Valid within this process only.
        bytes_digest: u64,
        /// How many values were out of range, of an unknown kind or duplicates; the first one deserves a warning.
        oddities: u32,
        /// Calls that count against the month: 2 if a token was refused first.
        calls: u32,
    },
}

impl Answer {
    /// Calls that count against the month.
    pub fn calls(&self) -> u32 {
        match self {
            Self::Unchanged { calls } | Self::Observed { calls, .. } => *calls,
        }
    }

    fn with_calls(mut self, all: u32) -> Self {
        let (Self::Unchanged { calls } | Self::Observed { calls, .. }) = &mut self;
        *calls = all;
        self
    }
}

/// A client for one organisation. Clones share connections and token.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) http: reqwest::Client,
    lists: Url,
    /// `/v1.0/conference/`, the base of the calls about meetings.
    pub(super) conference: Url,
    pub(super) legacy_base: String,
    pub(super) tokens: Tokens,
    confidential: SharedConfidential,
    pub(super) clock: SharedClock,
}

impl Client {
    /// Builds a client without network access. Reads the organisation's CA file, if it has one.
    pub fn new(org: &Org, credentials: Credentials, clock: SharedClock) -> Result<Self, ClientError> {
        Self::hiding(org, credentials, clock, SharedConfidential::default())
    }

    /// The same; no error will hold what is in `confidential`.
    pub fn hiding(
        org: &Org,
        credentials: Credentials,
        clock: SharedClock,
        confidential: SharedConfidential,
    ) -> Result<Self, ClientError> {
        let options = ClientOptions {
            connect_timeout: org.connect_timeout,
            timeout: org.timeout,
            idle_per_host: org.concurrency,
            proxy: org.proxy.clone(),
            extra_roots_pem: config::read_ca_file(org.ca_file.as_deref()).map_err(ClientError::Roots)?,
        };
        let http =
            net::http_client(&options)?.build().map_err(|error| ClientError::Build(net::describe(error)))?;
        let base = org.api_base.trim_end_matches('/');
        let lists = Url::parse(&format!("{base}/v1.0/conference/users/lists"))
            .map_err(|error| ClientError::Base(error.to_string()))?;
        let conference = Url::parse(&format!("{base}/v1.0/conference/"))
            .map_err(|error| ClientError::Base(error.to_string()))?;
        let secrets = (credentials, SecretSources::of(&org.app));
        let tools = (http.clone(), Arc::clone(&clock), confidential.clone());
        let tokens = Tokens::new(AppKind::of(&org.app), base, secrets, tools).map_err(ClientError::Base)?;
        let legacy_base = org.legacy_base.trim_end_matches('/').to_owned();
        Ok(Self {
            inner: Arc::new(Inner { http, lists, conference, legacy_base, tokens, confidential, clock }),
        })
    }

    /// Replaces the secrets (a new suite ticket, a new ready-made token). Connections and a fetched token stay.
    pub fn set_credentials(&self, credentials: Credentials) {
        self.inner.tokens.set_credentials(credentials);
    }

    /// Replaces the suite ticket with a newer one.
    pub fn set_suite_ticket(&self, ticket: Secret) {
        self.inner.tokens.set_suite_ticket(ticket);
    }

    /// When the token in use expires; `None` if there is no token.
    pub fn token_expiry(&self) -> Option<Timestamp> {
        self.inner.tokens.expiry()
    }

    /// Fetches a token unless one is in use, for `check --online` and readiness. Token calls do not count against the month.
    pub async fn token_ready(&self) -> Result<(), CallError> {
        self.inner.tokens.current().await.map(|_| ())
    }

    /// `GET /v1.0/conference/users/lists?unionId=`. `previous_digest` is the `bytes_digest` of the last answer, if an
    /// identical answer needs no parsing.
    ///
    /// Makes at most two list calls and two token calls: a refused token is replaced and the call is repeated once.
    pub async fn ongoing(
        &self,
        union_id: &UnionId,
        previous_digest: Option<u64>,
    ) -> Result<Answer, CallError> {
        let inner = &*self.inner;
        let request = |token: &Token| {
            let mut request = Request::new(Method::GET, list_url(&inner.lists, union_id));
            request.headers_mut().insert(TOKEN_HEADER.clone(), token.header());
            Ok(request)
        };
        let read = |answer: &Exchange| {
            let bytes_digest = digest(&answer.body);
            if answer.status == 200 && previous_digest == Some(bytes_digest) {
                return Ok(Answer::Unchanged { calls: 1 });
            }
            let Parsed { observation, oddities } =
                classify::list_answer(&answer.reply(inner.clock.now()), union_id)?;
            Ok(Answer::Observed { observation, bytes_digest, oddities, calls: 1 })
        };
        let (answer, calls) = self.with_token(MAX_BODY_BYTES, request, read).await?;
        Ok(answer.with_calls(calls))
    }

    /// Makes a call with a token, and repeats it once with a new token if DingTalk refuses the first. Returns what `read`
    /// makes of the answer, and how many calls count against the month.
    pub(super) async fn with_token<T>(
        &self,
        max_bytes: usize,
        request: impl Fn(&Token) -> Result<Request, CallError> + Send + Sync,
        read: impl Fn(&Exchange) -> Result<T, CallError> + Send + Sync,
    ) -> Result<(T, u32), CallError> {
        let tokens = &self.inner.tokens;
        let token = tokens.current().await?;
        let refused = match self.call(&token, request(&token)?, max_bytes, &read).await {
            Err(error) if error.verdict == Verdict::Unauthorised => error,
            other => return other.map(|parsed| (parsed, 1)),
        };
        let earlier = refused.calls;
        let with_earlier = |mut error: CallError| {
            error.calls += earlier;
            error
        };
        let token = tokens.replace(&token).await.map_err(with_earlier)?;
        let result = self.call(&token, request(&token)?, max_bytes, &read).await;
        result.map(|parsed| (parsed, earlier + 1)).map_err(with_earlier)
    }

    async fn call<T>(
        &self,
        token: &Token,
        request: Request,
        max_bytes: usize,
        read: &(impl Fn(&Exchange) -> Result<T, CallError> + Sync),
    ) -> Result<T, CallError> {
        let answer = exchange(&self.inner.http, request, max_bytes).await?;
        let result = read(&answer);
        // DingTalk checks the token first, so a refusal of the question itself proves that the token was accepted.
        let token_passed = result
            .as_ref()
            .map_or_else(|error| error.verdict.is_refusal() || error.verdict == Verdict::Forbidden, |_| true);
        if token_passed {
            token.mark_accepted();
        }
        result.map_err(|error| answer.redacted(error, &self.inner.confidential))
    }
}

/// The digest of a body. Valid within this process only: the standard library may change its hash between releases.
fn digest(body: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    hasher.finish()
}

fn list_url(lists: &Url, union_id: &UnionId) -> Url {
    let mut url = lists.clone();
    url.set_query(Some(&format!("unionId={}", percent_encoded(union_id.as_str()))));
    url
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
    }
}
