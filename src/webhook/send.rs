//! Signs and sends the requests of one webhook, and reads the answers.
//!
//! Guards: every request has the documented headers, and the operator's headers never replace them. One time-out covers
//! everything. A request is retried at once at most one time, and only if its kept connection closed before any answer.
//! Not here: the order of requests and further attempts (`tasks::dispatcher`, `policy::delivery`).

mod alike;
mod pool;
mod request_meta;
pub mod trial;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Request, Response, Url};

use self::pool::{Pool, closed_before_response};
pub use self::request_meta::Message;
use self::request_meta::RequestMeta;
use super::address::{CheckedResolver, Forbidden, NetworkPolicy};
use super::answer::{self, Answer};
use super::format::{Batching, BodyFormat};
use super::redact;
use crate::clock::SharedClock;
use crate::confidential::{Confidential, SharedConfidential};
use crate::config;
use crate::ids::WebhookName;
use crate::net::{self, ClientError, ClientOptions};
use crate::policy::delivery::{self, Outcome};
use crate::secret::Secret;
use crate::signature::{self, SigningKey, robot};
use crate::time::Timestamp;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const PRESENCED_EVENT: HeaderName = HeaderName::from_static("presenced-event");
const PRESENCED_WEBHOOK: HeaderName = HeaderName::from_static("presenced-webhook");
const PRESENCED_ATTEMPT: HeaderName = HeaderName::from_static("presenced-attempt");
const PRESENCED_TRIGGER: HeaderName = HeaderName::from_static("presenced-trigger");

/// The settings of a webhook, with resolved secrets.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its name, sent as `presenced-webhook`.
    pub webhook: WebhookName,
    /// The whole URL may be a secret.
    pub url: Secret,
    /// The format of the body, and when an answer counts as accepted.
    pub format: BodyFormat,
    /// Signing keys, newest first; empty means unsigned.
    pub keys: Vec<SigningKey>,
    /// The operator's additional headers.
    pub headers: Vec<(String, Secret)>,
    /// For a whole request.
    pub timeout: Duration,
    /// For opening a connection.
    pub connect_timeout: Duration,
    /// The most concurrent requests, and the most connections that are kept.
    pub concurrency: usize,
    /// Which addresses are allowed.
    pub network: NetworkPolicy,
    /// A proxy URL.
    pub proxy: Option<String>,
    /// PEM file of certificates to trust in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// What no text of the receiver may show, apart from the secrets of this webhook.
    pub confidential: SharedConfidential,
}

/// Why no sender can be built. Never holds the URL or a header's value.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// The URL cannot be used.
    #[error("the URL is not usable: {0}")]
    Url(&'static str),
    /// The header's name or value is invalid.
    #[error("the header `{0}` is not usable")]
    Header(String),
    /// The HTTP client cannot be built.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// The result of sending a message.
#[derive(Debug)]
pub struct Sent {
    /// The receiver's answer.
    pub answer: Answer,
    /// The body of an accepted answer. Reading it lets the connection be used again.
    pub unread_body: Option<UnreadBody>,
}

/// Sends to one webhook. Clones share connections.
#[derive(Clone, Debug)]
pub struct Sender {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: reqwest::Client,
    url: Url,
    format: BodyFormat,
    keys: Vec<SigningKey>,
    /// Secrets of the request that the receiver may repeat and that no text may hold.
    secrets: Confidential,
    confidential: SharedConfidential,
    /// The headers of every request.
    headers: HeaderMap,
    timeout: Duration,
    forbidden: Option<Forbidden>,
    clock: SharedClock,
    pool: Arc<Pool>,
}

impl Sender {
    /// Builds the client. A URL with a forbidden address is not an error here; each message then gets that answer.
    pub fn new(destination: Destination, clock: SharedClock) -> Result<Self, SenderError> {
        let url = parse_url(destination.url.reveal())?;
        let options = ClientOptions {
            connect_timeout: destination.connect_timeout,
            timeout: destination.timeout,
            idle_per_host: destination.concurrency,
            proxy: destination.proxy.clone(),
            extra_roots_pem: config::read_ca_file(destination.ca_file.as_deref())
                .map_err(ClientError::Roots)?,
        };
        let client = net::http_client(&options)?
            .dns_resolver(CheckedResolver(destination.network))
            .build()
            .map_err(|e| ClientError::Build(net::describe(e)))?;
        let inner = Inner {
            client,
            forbidden: destination.network.judge_literal(&url).err(),
            url,
            headers: shared_headers(&destination)?,
            secrets: redact::of_secrets(&secrets(&destination)),
            confidential: destination.confidential,
            format: destination.format,
            keys: destination.keys,
            timeout: destination.timeout,
            clock,
            pool: Arc::new(Pool::new(destination.concurrency)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// How many events one request may hold.
    pub fn batching(&self) -> Batching {
        self.inner.format.batching()
    }

    /// Sends a message once, or twice if a kept connection had been closed. Failures are outcomes, not errors.
    pub async fn send(&self, message: Message) -> Sent {
        self.send_all(vec![message]).await
    }

    /// Sends several events, at least one, as one request. A format without batches sends only the first.
    pub async fn send_all(&self, messages: Vec<Message>) -> Sent {
        let inner = &*self.inner;
        if let Some(forbidden) = inner.forbidden {
            return Answer::missing(forbidden.to_string()).into();
        }
        let bodies: Vec<Vec<u8>> = messages.iter().map(|message| message.body.clone()).collect();
        let request = match inner.request(messages) {
            Ok(request) => request,
            Err(answer) => return answer.into(),
        };
        let began = inner.clock.now();
        let mut sent = match tokio::time::timeout(inner.timeout, inner.exchange(request, &bodies)).await {
            Ok(sent) => sent,
            Err(_) => Answer::late(inner.timeout).into(),
        };
        sent.answer.took = inner.clock.now().since(began);
        sent
    }
}

impl Inner {
    /// The request, or the answer that says why there is none.
    fn request(&self, messages: Vec<Message>) -> Result<Request, Answer> {
        let unsendable = || Answer::missing("the event's id or type cannot be sent as a header".to_owned());
        let now = self.clock.now();
        let meta = RequestMeta::of(&messages);
        let bodies = messages.into_iter().map(|message| message.body).collect();
        let body = self.format.compose(&meta.id, bodies, now).map_err(Answer::unsent)?;
        let mut request = Request::new(Method::POST, self.signed_url(now));
        self.fill_headers(request.headers_mut(), meta, now, &body).ok_or_else(unsendable)?;
        *request.body_mut() = Some(body.into());
        Ok(request)
    }

    fn fill_headers(
        &self,
        headers: &mut HeaderMap,
        meta: RequestMeta,
        now: Timestamp,
        body: &[u8],
    ) -> Option<()> {
        let seconds = now.as_ms().div_euclid(1000);
        headers.clone_from(&self.headers);
        if !self.keys.is_empty() {
            let signed = signature::sign(&self.keys, &meta.id, seconds, body);
            headers.insert(WEBHOOK_SIGNATURE, HeaderValue::try_from(signed).ok()?);
        }
        headers.insert(WEBHOOK_ID, HeaderValue::try_from(meta.id).ok()?);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(seconds));
        headers.insert(PRESENCED_EVENT, HeaderValue::try_from(meta.event_type).ok()?);
        headers.insert(PRESENCED_ATTEMPT, HeaderValue::from(meta.attempt));
        headers.insert(PRESENCED_TRIGGER, HeaderValue::from_static(meta.trigger.name()));
        Some(())
    }

    /// The URL. For a robot that signs, the timestamp in milliseconds and the signature are appended to the query.
    fn signed_url(&self, now: Timestamp) -> Url {
        let mut url = self.url.clone();
        if let BodyFormat::Robot { secret: Some(secret), .. } = &self.format {
            let (timestamp_ms, before) = (now.as_ms(), url.query().unwrap_or_default());
            let and = if before.is_empty() { "" } else { "&" };
            let sign = robot::sign(secret, timestamp_ms);
            let query = format!("{before}{and}timestamp={timestamp_ms}&sign={sign}");
            url.set_query(Some(&query));
        }
        url
    }

    async fn exchange(&self, request: Request, bodies: &[Vec<u8>]) -> Sent {
        let pooled = self.pool.take(self.clock.now().as_ms());
        // Cloning a body of bytes copies nothing.
        let spare = if pooled { request.try_clone() } else { None };
        let first = self.client.execute(request).await;
        let result = match (first, spare) {
            (Err(error), Some(spare)) if closed_before_response(&error) => self.client.execute(spare).await,
            (result, _) => result,
        };
        match result {
            Ok(response) if self.format.reads_answers() && response.status().is_success() => {
                self.judge(response, bodies).await
            }
            Ok(response) => self.read(response, bodies).await,
            Err(error) => Answer::missing(net::describe(error)).into(),
        }
    }

    /// The text without secrets and without anything that identifies a user.
    pub(super) fn redacted(&self, text: &str, url: &Url, bodies: &[Vec<u8>]) -> String {
        redact::redact(text, url, bodies, [&self.secrets, &self.confidential.get()])
    }

    async fn read(&self, mut response: Response, bodies: &[Vec<u8>]) -> Sent {
        let status = response.status().as_u16();
        let outcome = delivery::outcome_of_status(status);
        if outcome == Outcome::Accepted {
            let empty = status == 204 || response.content_length() == Some(0);
            let unread_body =
                UnreadBody { response, pool: Arc::clone(&self.pool), clock: Arc::clone(&self.clock) };
            let unread_body = if empty {
                unread_body.release_connection();
                None
            } else {
                Some(unread_body)
            };
            return Sent { answer: Answer::accepted(status), unread_body };
        }
        let now = self.clock.now();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| net::retry_after(value, now));
        let location = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
        // Only the origin is kept, because path and query may be secret.
        let location = location
            .and_then(|place| response.url().join(place).ok())
            .map(|place| place.origin().ascii_serialization());
        let (body, whole) = answer::read_body(&mut response).await;
        if whole {
            self.pool.release(now.as_ms());
        }
        let body = self.redacted(&String::from_utf8_lossy(&body), response.url(), bodies);
        Answer::rejected(outcome, status, location.as_deref(), body.as_bytes(), retry_after).into()
    }

    /// Reads the answer of a receiver that says in the body whether it accepted the request.
    async fn judge(&self, mut response: Response, bodies: &[Vec<u8>]) -> Sent {
        let status = response.status().as_u16();
        let (body, whole) = answer::read_body(&mut response).await;
        if whole {
            self.pool.release(self.clock.now().as_ms());
        }
        let judgement = self.format.judge(&body, whole);
        let hide = |text: &str| self.redacted(text, response.url(), bodies);
        let excerpt = answer::printable(hide(&String::from_utf8_lossy(&body)).as_bytes());
        Answer {
            outcome: judgement.outcome,
            status: Some(status),
            excerpt,
            error: judgement.error.map(|error| answer::printable(hide(&error).as_bytes())),
            retry_after: judgement.silence,
            silence: judgement.silence,
            took: Duration::ZERO,
        }
        .into()
    }
}

impl From<Answer> for Sent {
    fn from(answer: Answer) -> Self {
        Self { answer, unread_body: None }
    }
}

/// The unread body of an accepted answer. Dropping it closes the connection.
#[derive(Debug)]
pub struct UnreadBody {
    response: Response,
    pool: Arc<Pool>,
    clock: SharedClock,
}

impl UnreadBody {
    /// Reads the body within the limits of [`answer`], so that the connection can be used again.
    pub async fn drain(mut self) {
        let (_, whole) = answer::read_body(&mut self.response).await;
        if whole {
            self.release_connection();
        }
    }

    fn release_connection(self) {
        self.pool.release(self.clock.now().as_ms());
    }
}

/// The values of the operator's headers, and the robot's secret. The URL is redacted separately.
fn secrets(destination: &Destination) -> Vec<Secret> {
    let robot = destination.format.secret().cloned();
    destination.headers.iter().map(|(_, value)| value.clone()).chain(robot).collect()
}

fn parse_url(text: &str) -> Result<Url, SenderError> {
    let url = Url::parse(text).map_err(|_| SenderError::Url("it does not parse"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(SenderError::Url("it starts with neither https:// nor http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SenderError::Url(
            "it holds a user name or a password; send an `Authorization` header instead",
        ));
    }
    Ok(url)
}

fn shared_headers(destination: &Destination) -> Result<HeaderMap, SenderError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &destination.headers {
        let refused = || SenderError::Header(name.clone());
        let parsed = HeaderName::try_from(name.as_str()).map_err(|_| refused())?;
        let mut value = HeaderValue::try_from(value.reveal()).map_err(|_| refused())?;
        value.set_sensitive(true);
        headers.append(parsed, value);
    }
    // Inserted after the operator's headers, so that those cannot replace them.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(destination.format.content_type()));
    for ours in [
        WEBHOOK_ID,
        WEBHOOK_TIMESTAMP,
        WEBHOOK_SIGNATURE,
        PRESENCED_EVENT,
        PRESENCED_ATTEMPT,
        PRESENCED_TRIGGER,
    ] {
        headers.remove(ours);
    }
    // A webhook's name holds only characters that are valid in a header.
    let name = HeaderValue::try_from(destination.webhook.as_str())
        .map_err(|_| SenderError::Header(PRESENCED_WEBHOOK.to_string()))?;
    headers.insert(PRESENCED_WEBHOOK, name);
    Ok(headers)
}
