//! The access token: fetched when needed, shared by all calls, renewed before it expires, replaced when refused.
//!
//! Guards: at most one token call runs at a time, however many calls are refused at once. The old token is used until a new
//! one has been fetched. Failing token calls back off. The value never prints. Not here: the waits between failing token
//! calls (`refresh_backoff`), the form of a good answer (`answer`), the calls that use the token (`client`).
//!
//! Sources: DingTalk's pages "obtain the access token of an internal app", "of the authorized enterprise", and the
//! unified `/v1.0/oauth2/{corpId}/token`. A token lives 7200 s. Token calls are throttled, but do not count against the
//! month.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use tokio::sync::Mutex as AsyncMutex;

use self::answer::{header_value, parse};
use self::refresh_backoff::RefreshBackoff;
use super::classify;
use super::error::{CallError, Verdict, class};
use super::kind::{AppKind, Credentials, SecretSources, reread};
use super::transport::{Exchange, client_error, exchange};
use crate::clock::SharedClock;
use crate::confidential::SharedConfidential;
use crate::config::secrets::SecretSource;
use crate::policy::backoff;
use crate::secret::Secret;
use crate::time::Timestamp;

mod answer;
mod refresh_backoff;

/// The largest body of a token answer, in bytes; usual ones have about 100.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// A token is renewed this long before it expires, or a twelfth of its life before, whichever is less.
const MARGIN: Duration = Duration::from_mins(10);
/// How often the file of a ready-made token is read again.
const REREAD_AFTER: Duration = Duration::from_mins(1);

/// An access token.
#[derive(Debug)]
pub struct Token {
    /// Marked sensitive, so that it never prints.
    header: HeaderValue,
    /// The fetch it came from. Two fetches may return the same text.
    generation: u64,
    refresh_at: Timestamp,
    expires_at: Timestamp,
    /// Whether DingTalk accepted it in any call.
    accepted: AtomicBool,
}

impl Token {
    /// The value of the token header.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// Records that DingTalk accepted the token.
    pub fn mark_accepted(&self) {
        // Reading first avoids a store per call, which would move the cache line between cores.
        if !self.accepted.load(Ordering::Relaxed) {
            self.accepted.store(true, Ordering::Relaxed);
        }
    }
}

/// The token of one organisation, and how to fetch another.
pub struct Tokens {
    kind: AppKind,
    url: Url,
    http: reqwest::Client,
    clock: SharedClock,
    confidential: SharedConfidential,
    credentials: Mutex<Credentials>,
    /// Where the secrets are read again after they are refused.
    sources: SecretSources,
    /// When the file of a ready-made token was last read, in milliseconds.
    file_read_ms: AtomicI64,
    current: RwLock<Option<Arc<Token>>>,
    refresh: AsyncMutex<RefreshBackoff>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Builds the token store without network access.
    pub fn new(
        kind: AppKind,
        base: &str,
        (credentials, sources): (Credentials, SecretSources),
        (http, clock, confidential): (reqwest::Client, SharedClock, SharedConfidential),
    ) -> Result<Self, String> {
        let url = Url::parse(&format!("{base}{}", kind.path())).map_err(|e| e.to_string())?;
        let tokens = Self {
            kind,
            url,
            http,
            file_read_ms: AtomicI64::new(clock.now().as_ms()),
            clock,
            confidential,
            credentials: Mutex::new(credentials),
            sources,
            current: RwLock::default(),
            refresh: AsyncMutex::default(),
        };
        tokens.use_ready_made();
        Ok(tokens)
    }

    /// Replaces the secrets. A fetched token stays in use until it expires; a ready-made one is replaced at once.
    pub fn set_credentials(&self, credentials: Credentials) {
        *self.credentials.lock().unwrap_or_else(PoisonError::into_inner) = credentials;
        self.use_ready_made();
    }

    /// Replaces the suite ticket, and forgets refusals of the old one. A fetched token stays in use.
    pub fn set_suite_ticket(&self, ticket: Secret) {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner).suite_ticket = Some(ticket);
        // A call that is under way finds the new ticket in its next attempt.
        if let Ok(mut refresh) = self.refresh.try_lock() {
            refresh.forget_failures();
        }
    }

    /// When the token in use expires.
    pub fn expiry(&self) -> Option<Timestamp> {
        self.in_use().map(|token| token.expires_at)
    }

    /// The token for the next call, fetched if necessary.
    pub async fn current(&self) -> Result<Arc<Token>, CallError> {
        let now = self.clock.now();
        if self.kind == AppKind::ReadyMade && self.is_reread_due(now) {
            self.reread_secrets().await;
        }
        if let Some(token) = self.in_use() {
            if now < token.refresh_at {
                return Ok(token);
            }
            if now < token.expires_at {
                return Ok(self.renew(token, now).await);
            }
        }
        if self.kind == AppKind::ReadyMade {
            return Err(refused_ready_made());
        }
        let mut refresh = self.refresh.lock().await;
        // Another task may have fetched a token while this one waited for the lock.
        if let Some(token) = self.in_use().filter(|token| now < token.expires_at) {
            return Ok(token);
        }
        match &refresh.last_error {
            Some(error) if refresh.is_waiting(now) => Err(error.clone()),
            _ => self.fetch(&mut refresh).await,
        }
    }

    /// A token that replaces `refused`, after DingTalk refused it.
    pub async fn replace(&self, refused: &Token) -> Result<Arc<Token>, CallError> {
        let mut refresh = self.refresh.lock().await;
        if let Some(token) = self.in_use()
            && token.generation != refused.generation
        {
            return Ok(token);
        }
        if self.kind == AppKind::ReadyMade {
            return self.replace_ready_made(&mut refresh).await;
        }
        // Without a token in use, further calls wait for the lock instead of trying the refused token.
        self.set_token(None);
        let now = self.clock.now();
        let was_accepted = refused.accepted.load(Ordering::Relaxed);
        if refresh.is_waiting(now) && (refresh.last_error.is_some() || !was_accepted) {
            return Err(refresh.last_error.get_or_insert_with(refused_fresh).clone());
        }
        let failures_before = refresh.failures;
        let token = self.fetch(&mut refresh).await?;
        if !was_accepted {
            // The new token replaces one that never worked. If it does not work either, the next fetch must wait.
            refresh.failures = failures_before;
            refresh.note_failure(now, self.key(), None);
        }
        Ok(token)
    }

    async fn replace_ready_made(&self, refresh: &mut RefreshBackoff) -> Result<Arc<Token>, CallError> {
        let now = self.clock.now();
        if refresh.is_waiting(now) {
            return Err(refused_ready_made());
        }
        // Another tool may have written a new token in the meantime.
        if self.reread_secrets().await {
            refresh.failures = 0;
            return self.in_use().ok_or_else(refused_ready_made);
        }
        refresh.note_failure(now, self.key(), None);
        Err(refused_ready_made())
    }

    /// Renews a token before it expires. One task makes the call; the others use the old token meanwhile.
    async fn renew(&self, old: Arc<Token>, now: Timestamp) -> Arc<Token> {
        let Ok(mut refresh) = self.refresh.try_lock() else { return old };
        match self.in_use() {
            Some(token) if token.generation != old.generation => return token,
            _ if refresh.is_waiting(now) => return old,
            _ => {}
        }
        self.fetch(&mut refresh).await.unwrap_or(old)
    }

    fn in_use(&self) -> Option<Arc<Token>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_token(&self, token: Option<Arc<Token>>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    fn use_ready_made(&self) {
        if self.kind != AppKind::ReadyMade {
            return;
        }
        let secret = self.credentials.lock().unwrap_or_else(PoisonError::into_inner).secret.clone();
        let generation = self.in_use().map_or(0, |token| token.generation) + 1;
        let end = Timestamp::from_ms(i64::MAX);
        if let Some(header) = header_value(secret.reveal()) {
            let accepted = AtomicBool::new(false);
            self.set_token(Some(Arc::new(Token {
                header,
                generation,
                refresh_at: end,
                expires_at: end,
                accepted,
            })));
        }
    }

    /// Reads the app's secrets again from their sources; returns whether they differ from those in use.
    async fn reread_secrets(&self) -> bool {
        let mut fresh = self.credentials.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let before = fresh.clone();
        if let Some(secret) = reread(&self.sources.secret).await {
            fresh.secret = secret;
        }
        if let Some(source) = &self.sources.suite_ticket
            && let Some(ticket) = reread(source).await
        {
            fresh.suite_ticket = Some(ticket);
        }
        let text = |ticket: &Option<Secret>| ticket.as_ref().map(|ticket| ticket.reveal().to_owned());
        let differs = fresh.secret.reveal() != before.secret.reveal()
            || text(&fresh.suite_ticket) != text(&before.suite_ticket);
        if differs {
            tracing::info!(kind = ?self.kind.name(), "the app's secrets have changed in their source; using the new ones");
            self.set_credentials(fresh);
        }
        differs
    }

    /// Whether the file of a ready-made token is due to be read again. Another tool renews the file before the token expires.
    /// A command is only run after the token is refused.
    fn is_reread_due(&self, now: Timestamp) -> bool {
        if !matches!(self.sources.secret, SecretSource::File(_) | SecretSource::Credential { .. }) {
            return false;
        }
        let read_at = Timestamp::from_ms(self.file_read_ms.load(Ordering::Relaxed));
        let due = now < read_at || now.since(read_at) >= REREAD_AFTER;
        if due {
            self.file_read_ms.store(now.as_ms(), Ordering::Relaxed);
        }
        due
    }

    /// Whether DingTalk has not pushed the suite's ticket yet; without one it gives no token.
    fn lacks_ticket(&self) -> bool {
        matches!(self.kind, AppKind::Suite { .. })
            && self.credentials.lock().unwrap_or_else(PoisonError::into_inner).suite_ticket.is_none()
    }

    /// The hash key that spreads this organisation's waits.
    fn key(&self) -> u64 {
        backoff::key(&["token", self.url.as_str()])
    }

    async fn fetch(&self, refresh: &mut RefreshBackoff) -> Result<Arc<Token>, CallError> {
        let mut result = self.call(refresh.generation + 1).await;
        if matches!(&result, Err(error) if error.class == class::CREDENTIALS) && self.reread_secrets().await {
            result = self.call(refresh.generation + 1).await;
        }
        match result {
            Ok(token) => {
                let token = Arc::new(token);
                refresh.note_success(token.generation);
                self.set_token(Some(Arc::clone(&token)));
                Ok(token)
            }
            Err(error) => {
                refresh.note_failure(self.clock.now(), self.key(), error.retry_after);
                refresh.last_error = Some(error.clone());
                Err(error)
            }
        }
    }

    async fn call(&self, generation: u64) -> Result<Token, CallError> {
        if self.lacks_ticket() {
            return Err(without_ticket());
        }
        let mut request = Request::new(Method::POST, self.url.clone());
        let body = {
            let credentials = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
            self.kind.body(&credentials).to_string()
        };
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.into());
        // The life counts from before the call, so that the token is renewed rather too early than too late.
        let asked_at = self.clock.now();
        let answer = exchange(&self.http, request, MAX_BODY_BYTES).await.map_err(|mut error| {
            // Token calls do not count against the month.
            error.charged = false;
            error.calls = 0;
            error.text = format!("token call: {}", error.text);
            error
        })?;
        self.read(&answer, generation, asked_at)
    }

    fn read(&self, answer: &Exchange, generation: u64, asked_at: Timestamp) -> Result<Token, CallError> {
        let now = self.clock.now();
        if let Some((header, life)) = (answer.status == 200).then(|| parse(&answer.body)).flatten() {
            return Ok(Token {
                header,
                generation,
                refresh_at: asked_at.plus(life).minus(MARGIN.min(life / 12)),
                expires_at: asked_at.plus(life),
                accepted: AtomicBool::new(false),
            });
        }
        let unified = matches!(self.kind, AppKind::Unified { .. });
        let mut error = classify::token_failure(&answer.reply(now), unified);
        error.text = format!("token call: {}", error.text);
        Err(answer.redacted(error, &self.confidential))
    }
}

fn refused_ready_made() -> CallError {
    let text = "the ready-made access token is refused, or is none".to_owned();
    client_error(class::CREDENTIALS, text, Verdict::Unauthorised, false, None)
}

fn without_ticket() -> CallError {
    let text = "no suite ticket was pushed yet; DingTalk pushes one about every 5 hours".to_owned();
    client_error(class::CREDENTIALS, text, Verdict::Unauthorised, false, None)
}

fn refused_fresh() -> CallError {
    let text = "fresh access tokens are refused too".to_owned();
    client_error(class::UNAUTHORISED, text, Verdict::Unauthorised, false, None)
}
