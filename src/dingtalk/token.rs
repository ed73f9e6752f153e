//! The access token: fetched when needed, shared, renewed ahead of its end, replaced when refused.
//!
//! Guards: one token call at a time, however many calls are refused at once; the old token serves until a new one is
//! in hand; failing token calls back off instead of hammering; the value never prints. Deliberately not here: the
//! waits between failing token calls (`gate`), what a good answer looks like (`answer`), the call that the token is for
//! (`client`).
//!
//! Sources: DingTalk's pages "obtain the access token of an internal app", "of the authorized enterprise", and the
//! unified `/v1.0/oauth2/{corpId}/token`. A token lives 7200 s; the calls are throttled, but free of the month.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use tokio::sync::Mutex as AsyncMutex;

use self::answer::{good, header_value};
use self::gate::Gate;
use super::classify;
use super::client::Credentials;
use super::error::{CallError, Verdict, class};
use super::kind::{Kind, Sources, again};
use super::transport::{Exchange, exchange, failed};
use crate::clock::SharedClock;
use crate::config::secrets::SecretSource;
use crate::policy::backoff;
use crate::secret::Secret;
use crate::time::Timestamp;

mod answer;
mod gate;

/// A token answer is some 100 bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Renewed so long before the end, or a twelfth of the life before, whichever is less.
const MARGIN: Duration = Duration::from_mins(10);
/// The file of a ready-made token is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// A token in hand.
#[derive(Debug)]
pub struct Token {
    /// Marked sensitive, so that it does not print.
    header: HeaderValue,
    /// Which fetch it came from: two fetches may give the same text.
    generation: u64,
    refresh_at: Timestamp,
    expires_at: Timestamp,
    /// Whether any call with it was not refused for the token's sake.
    accepted: AtomicBool,
}

impl Token {
    /// What stands in the header.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Notes that DingTalk took it.
    pub fn accept(&self) {
        // Read first: a store on every call would bounce the cache line between cores.
        if !self.accepted.load(Ordering::Relaxed) {
            self.accepted.store(true, Ordering::Relaxed);
        }
    }
}

/// The token of one organisation, and how to get another.
pub struct Tokens {
    kind: Kind,
    url: Url,
    http: reqwest::Client,
    clock: SharedClock,
    credentials: Mutex<Credentials>,
    /// Where they are read again when they are refused.
    sources: Sources,
    /// When a ready-made token's file was last looked at, in milliseconds.
    looked_ms: AtomicI64,
    current: RwLock<Option<Arc<Token>>>,
    gate: AsyncMutex<Gate>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Tokens {
    /// No network yet.
    pub fn new(
        kind: Kind,
        base: &str,
        (credentials, sources): (Credentials, Sources),
        http: reqwest::Client,
        clock: SharedClock,
    ) -> Result<Self, String> {
        let url = Url::parse(&format!("{base}{}", kind.path())).map_err(|e| e.to_string())?;
        let tokens = Self {
            kind,
            url,
            http,
            looked_ms: AtomicI64::new(clock.now().as_ms()),
            clock,
            credentials: Mutex::new(credentials),
            sources,
            current: RwLock::default(),
            gate: AsyncMutex::default(),
        };
        tokens.take_ready_made();
        Ok(tokens)
    }

    /// Other secrets from now on. A fetched token goes on until its end; a ready-made one is replaced at once.
    pub fn set_credentials(&self, credentials: Credentials) {
        *self.credentials.lock().unwrap_or_else(PoisonError::into_inner) = credentials;
        self.take_ready_made();
    }

    /// When the token at hand ends.
    pub fn expiry(&self) -> Option<Timestamp> {
        self.held().map(|token| token.expires_at)
    }

    /// A token to call with.
    pub async fn current(&self) -> Result<Arc<Token>, CallError> {
        let now = self.clock.now();
        if self.kind == Kind::ReadyMade && self.is_time_to_look(now) {
            self.read_again().await;
        }
        if let Some(token) = self.held() {
            if now < token.refresh_at {
                return Ok(token);
            }
            if now < token.expires_at {
                return Ok(self.renew(token, now).await);
            }
        }
        if self.kind == Kind::ReadyMade {
            return Err(refused_ready_made());
        }
        let mut gate = self.gate.lock().await;
        // Somebody else may have fetched one while this call waited at the gate.
        if let Some(token) = self.held().filter(|token| now < token.expires_at) {
            return Ok(token);
        }
        match &gate.last_error {
            Some(error) if gate.closed(now) => Err(error.clone()),
            _ => self.fetch(&mut gate).await,
        }
    }

    /// Another token than `refused`, which DingTalk has just refused.
    pub async fn instead_of(&self, refused: &Token) -> Result<Arc<Token>, CallError> {
        let mut gate = self.gate.lock().await;
        if let Some(token) = self.held()
            && token.generation != refused.generation
        {
            return Ok(token);
        }
        if self.kind == Kind::ReadyMade {
            // Another tool may have put a new one in since.
            let now = self.clock.now();
            if !gate.closed(now) && self.read_again().await {
                gate.failures = 0;
                return self.held().ok_or_else(refused_ready_made);
            }
            if !gate.closed(now) {
                gate.close(now, self.key(), None);
            }
            return Err(refused_ready_made());
        }
        // Dropped: whoever comes now waits at the gate instead of spending a call on it.
        self.hold(None);
        let now = self.clock.now();
        let worked = refused.accepted.load(Ordering::Relaxed);
        if gate.closed(now) && (gate.last_error.is_some() || !worked) {
            return Err(gate.last_error.get_or_insert_with(refused_fresh).clone());
        }
        let fruitless = gate.failures;
        let token = self.fetch(&mut gate).await?;
        if !worked {
            // A token that never worked was replaced: if this one does not either, do not go round in circles.
            gate.failures = fruitless;
            gate.close(now, self.key(), None);
        }
        Ok(token)
    }

    /// Renews ahead of the end: one call does it, the others go on with the old token meanwhile.
    async fn renew(&self, old: Arc<Token>, now: Timestamp) -> Arc<Token> {
        let Ok(mut gate) = self.gate.try_lock() else { return old };
        match self.held() {
            Some(token) if token.generation != old.generation => return token,
            _ if gate.closed(now) => return old,
            _ => {}
        }
        self.fetch(&mut gate).await.unwrap_or(old)
    }

    fn held(&self) -> Option<Arc<Token>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, token: Option<Arc<Token>>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    fn take_ready_made(&self) {
        if self.kind != Kind::ReadyMade {
            return;
        }
        let secret = self.credentials.lock().unwrap_or_else(PoisonError::into_inner).secret.clone();
        let generation = self.held().map_or(0, |token| token.generation) + 1;
        let end = Timestamp::from_ms(i64::MAX);
        if let Some(header) = header_value(secret.reveal()) {
            let accepted = AtomicBool::new(false);
            self.hold(Some(Arc::new(Token {
                header,
                generation,
                refresh_at: end,
                expires_at: end,
                accepted,
            })));
        }
    }

    /// Reads the app's secrets again where they come from; says whether they differ from what was tried.
    async fn read_again(&self) -> bool {
        let mut fresh = self.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let before = fresh.clone();
        if let Some(secret) = again(&self.sources.secret).await {
            fresh.secret = secret;
        }
        if let Some(source) = &self.sources.suite_ticket
            && let Some(ticket) = again(source).await
        {
            fresh.suite_ticket = Some(ticket);
        }
        let text = |ticket: &Option<Secret>| ticket.as_ref().map(|ticket| ticket.reveal().to_owned());
        let differs = fresh.secret.reveal() != before.secret.reveal()
            || text(&fresh.suite_ticket) != text(&before.suite_ticket);
        if differs {
            tracing::info!(kind = ?self.kind.name(), "the app's secrets were read again and have changed");
            self.set_credentials(fresh);
        }
        differs
    }

    /// Whether a ready-made token's file should be looked at again, though it works: another tool renews it ahead of
    /// its end. A command is only asked when the token is refused.
    fn is_time_to_look(&self, now: Timestamp) -> bool {
        if !matches!(self.sources.secret, SecretSource::File(_) | SecretSource::Credential(_)) {
            return false;
        }
        let looked = Timestamp::from_ms(self.looked_ms.load(Ordering::Relaxed));
        let due = now < looked || now.since(looked) >= LOOK_AGAIN;
        if due {
            self.looked_ms.store(now.as_ms(), Ordering::Relaxed);
        }
        due
    }

    /// The spread of this organisation's waits.
    fn key(&self) -> u64 {
        backoff::key(&["token", self.url.as_str()])
    }

    async fn fetch(&self, gate: &mut Gate) -> Result<Arc<Token>, CallError> {
        let mut result = self.call(gate.generation + 1).await;
        if matches!(&result, Err(error) if error.class == class::CREDENTIALS) && self.read_again().await {
            result = self.call(gate.generation + 1).await;
        }
        match result {
            Ok(token) => {
                let token = Arc::new(token);
                gate.open(token.generation);
                self.hold(Some(Arc::clone(&token)));
                Ok(token)
            }
            Err(error) => {
                gate.close(self.clock.now(), self.key(), error.retry_after);
                gate.last_error = Some(error.clone());
                Err(error)
            }
        }
    }

    async fn call(&self, generation: u64) -> Result<Token, CallError> {
        let mut request = Request::new(Method::POST, self.url.clone());
        let body = {
            let credentials = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
            self.kind.body(&credentials).to_string()
        };
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.into());
        // The life is counted from before the call: better a little short than a little long.
        let asked_at = self.clock.now();
        let answer = exchange(&self.http, request, MAX_BODY_BYTES).await.map_err(|mut error| {
            // Token calls are exempt from the month.
            error.charged = false;
            error.calls = 0;
            error.text = format!("token call: {}", error.text);
            error
        })?;
        self.read(&answer, generation, asked_at)
    }

    fn read(&self, answer: &Exchange, generation: u64, asked_at: Timestamp) -> Result<Token, CallError> {
        let now = self.clock.now();
        if let Some((header, life)) = (answer.status == 200).then(|| good(&answer.body)).flatten() {
            return Ok(Token {
                header,
                generation,
                refresh_at: asked_at.plus(life).minus(MARGIN.min(life / 12)),
                expires_at: asked_at.plus(life),
                accepted: AtomicBool::new(false),
            });
        }
        let unified = matches!(self.kind, Kind::Unified { .. });
        let mut error = classify::token_failure(&answer.reply(now), unified);
        error.text = format!("token call: {}", error.text);
        Err(answer.redacted(error))
    }
}

fn refused_ready_made() -> CallError {
    let text = "the ready-made access token is refused, or is none".to_owned();
    failed(class::CREDENTIALS, text, Verdict::Unauthorised, false, None)
}

fn refused_fresh() -> CallError {
    let text = "fresh access tokens are refused too".to_owned();
    failed(class::UNAUTHORISED, text, Verdict::Unauthorised, false, None)
}
