//! One webhook's requests: signed, sent, answered.
//!
//! Guards: the headers of the contract on every request, the operator's never over them; one time-out over all of it;
//! one instant retry, and only where no receiver can have seen the first try's answer go wrong. Deliberately not here:
//! the order of requests and their attempts (`tasks::dispatcher`, `policy::delivery`).

mod alike;
mod bundle;
mod pool;
pub mod trial;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Request, Response, Url};

use self::bundle::Bundle;
use self::pool::{Pool, died_before_an_answer};
use super::address::{CheckedResolver, Forbidden, Reach};
use super::answer::{self, Answer};
use super::format::{Batching, Shape};
use super::hidden;
use crate::clock::SharedClock;
use crate::config;
use crate::ids::WebhookName;
use crate::net::{self, ClientError, Limits};
use crate::policy::delivery::{self, Outcome, Trigger};
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

/// Where a webhook's requests go, secrets resolved.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its name; travels as `presenced-webhook`.
    pub webhook: WebhookName,
    /// Where to. It may be a secret as a whole.
    pub url: Secret,
    /// The body's format, and when an answer counts as accepted.
    pub format: Shape,
    /// Newest first; empty: unsigned.
    pub keys: Vec<SigningKey>,
    /// The operator's extra headers.
    pub headers: Vec<(String, Secret)>,
    /// For a whole request.
    pub timeout: Duration,
    /// For a connection.
    pub connect_timeout: Duration,
    /// Requests in flight, so also connections kept.
    pub concurrency: usize,
    /// Which addresses may be connected to.
    pub reach: Reach,
    /// A proxy URL.
    pub proxy: Option<String>,
    /// PEM file of certificates to trust beside the system's.
    pub ca_file: Option<PathBuf>,
}

/// Why a destination cannot be sent to. Never holds the URL or a header's value.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// The URL is not one for this.
    #[error("the URL is not usable: {0}")]
    Url(&'static str),
    /// A header's name or value is not one.
    #[error("the header `{0}` is not usable")]
    Header(String),
    /// No HTTP client.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// An event on its way.
#[derive(Clone, Debug)]
pub struct Message {
    /// `webhook-id`: the event's.
    pub event_id: String,
    /// `presenced-event`.
    pub event_type: String,
    /// `presenced-trigger`.
    pub trigger: Trigger,
    /// `presenced-attempt`: 1 for the first.
    pub attempt: u32,
    /// The stored bytes.
    pub body: Vec<u8>,
}

/// What became of a message.
#[derive(Debug)]
pub struct Sent {
    /// What was answered.
    pub answer: Answer,
    /// What is left of an accepted answer; reading it lets the connection be used again.
    pub leftover: Option<Leftover>,
}

/// Sends to one webhook. Cloning shares connections.
#[derive(Clone, Debug)]
pub struct Sender {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: reqwest::Client,
    url: Url,
    format: Shape,
    keys: Vec<SigningKey>,
    /// What must not be told to anybody, should the receiver repeat it.
    secrets: Vec<Secret>,
    /// What every request carries.
    headers: HeaderMap,
    timeout: Duration,
    forbidden: Option<Forbidden>,
    clock: SharedClock,
    pool: Arc<Pool>,
}

impl Sender {
    /// Builds the client. A URL whose address is forbidden is no error here: every message to it is answered so.
    pub fn new(destination: Destination, clock: SharedClock) -> Result<Self, SenderError> {
        let url = parse_url(destination.url.reveal())?;
        let limits = Limits {
            connect_timeout: destination.connect_timeout,
            timeout: destination.timeout,
            idle_per_host: destination.concurrency,
            proxy: destination.proxy.clone(),
            extra_roots_pem: config::read_ca_file(destination.ca_file.as_deref())
                .map_err(ClientError::Roots)?,
        };
        let client = net::http_client(&limits)?
            .dns_resolver(CheckedResolver(destination.reach))
            .build()
            .map_err(|e| ClientError::Build(net::describe(e)))?;
        let inner = Inner {
            client,
            forbidden: destination.reach.judge_literal(&url).err(),
            url,
            headers: shared_headers(&destination)?,
            secrets: secrets(&destination),
            format: destination.format,
            keys: destination.keys,
            timeout: destination.timeout,
            clock,
            pool: Arc::new(Pool::new(destination.concurrency)),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// How many events a request to it may hold.
    pub fn batching(&self) -> Batching {
        self.inner.format.batching()
    }

    /// Sends once (twice where a kept connection turned out dead). Never fails: trouble is an outcome.
    pub async fn send(&self, message: Message) -> Sent {
        self.send_all(vec![message]).await
    }

    /// Sends several events, at least one, as one request; where the format does not know how, the first only.
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
        match tokio::time::timeout(inner.timeout, inner.exchange(request, &bodies)).await {
            Ok(sent) => sent,
            Err(_) => Answer::late(inner.timeout).into(),
        }
    }
}

impl Inner {
    /// The request, or why there is none.
    fn request(&self, messages: Vec<Message>) -> Result<Request, Answer> {
        let unsendable = || Answer::missing("the event's id or type cannot be sent as a header".to_owned());
        let now = self.clock.now();
        let bundle = Bundle::of(&messages);
        let bodies = messages.into_iter().map(|message| message.body).collect();
        let body = self.format.compose(&bundle.id, bodies).map_err(Answer::unsent)?;
        let mut request = Request::new(Method::POST, self.signed_url(now));
        self.fill_headers(request.headers_mut(), bundle, now, &body).ok_or_else(unsendable)?;
        *request.body_mut() = Some(body.into());
        Ok(request)
    }

    fn fill_headers(
        &self,
        headers: &mut HeaderMap,
        bundle: Bundle,
        now: Timestamp,
        body: &[u8],
    ) -> Option<()> {
        let seconds = now.as_ms().div_euclid(1000);
        headers.clone_from(&self.headers);
        if !self.keys.is_empty() {
            let signed = signature::sign(&self.keys, &bundle.id, seconds, body);
            headers.insert(WEBHOOK_SIGNATURE, HeaderValue::try_from(signed).ok()?);
        }
        headers.insert(WEBHOOK_ID, HeaderValue::try_from(bundle.id).ok()?);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(seconds));
        headers.insert(PRESENCED_EVENT, HeaderValue::try_from(bundle.event_type).ok()?);
        headers.insert(PRESENCED_ATTEMPT, HeaderValue::from(bundle.attempt));
        headers.insert(PRESENCED_TRIGGER, HeaderValue::from_static(bundle.trigger.name()));
        Some(())
    }

    /// The URL; for a robot that signs, with the millisecond and its signature behind what stands there already.
    fn signed_url(&self, now: Timestamp) -> Url {
        let mut url = self.url.clone();
        if let Shape::Robot { secret: Some(secret), .. } = &self.format {
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
        // A body of bytes is counted, not copied.
        let spare = if pooled { request.try_clone() } else { None };
        let first = self.client.execute(request).await;
        let result = match (first, spare) {
            (Err(error), Some(spare)) if died_before_an_answer(&error) => self.client.execute(spare).await,
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

    /// The text of an answer, without secrets and without what names a user.
    pub(super) fn redacted(&self, text: &str, url: &Url, bodies: &[Vec<u8>]) -> String {
        let users: Vec<String> = bodies.iter().flat_map(|body| hidden::identifying(body)).collect();
        hidden::hide(text, url, &self.secrets, &users)
    }

    async fn read(&self, mut response: Response, bodies: &[Vec<u8>]) -> Sent {
        let status = response.status().as_u16();
        let outcome = delivery::outcome_of_status(status);
        if outcome == Outcome::Accepted {
            let empty = status == 204 || response.content_length() == Some(0);
            let leftover =
                Leftover { response, pool: Arc::clone(&self.pool), clock: Arc::clone(&self.clock) };
            let leftover = if empty {
                leftover.give_back();
                None
            } else {
                Some(leftover)
            };
            return Sent { answer: Answer::accepted(status), leftover };
        }
        let now = self.clock.now();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| delivery::retry_after(value, now));
        let location = response.headers().get(LOCATION).and_then(|place| place.to_str().ok());
        // Only its origin: path and query may hold what is secret.
        let location = location
            .and_then(|place| response.url().join(place).ok())
            .map(|place| place.origin().ascii_serialization());
        let (body, whole) = answer::read_body(&mut response).await;
        if whole {
            self.pool.give(now.as_ms());
        }
        let body = self.redacted(&String::from_utf8_lossy(&body), response.url(), bodies);
        Answer::unaccepted(outcome, status, location.as_deref(), body.as_bytes(), retry_after).into()
    }

    /// For receivers that say in the body whether they took it.
    async fn judge(&self, mut response: Response, bodies: &[Vec<u8>]) -> Sent {
        let status = response.status().as_u16();
        let (body, whole) = answer::read_body(&mut response).await;
        if whole {
            self.pool.give(self.clock.now().as_ms());
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
        }
        .into()
    }
}

impl From<Answer> for Sent {
    fn from(answer: Answer) -> Self {
        Self { answer, leftover: None }
    }
}

/// The body of an accepted answer. Nobody waits for it; dropping it closes the connection.
#[derive(Debug)]
pub struct Leftover {
    response: Response,
    pool: Arc<Pool>,
    clock: SharedClock,
}

impl Leftover {
    /// Reads it within the bounds of [`answer`], so that the connection can be used again.
    pub async fn drain(mut self) {
        let (_, whole) = answer::read_body(&mut self.response).await;
        if whole {
            self.give_back();
        }
    }

    fn give_back(self) {
        self.pool.give(self.clock.now().as_ms());
    }
}

/// Header values and the robot's secret; the URL is known where it is needed.
fn secrets(destination: &Destination) -> Vec<Secret> {
    let robot = match &destination.format {
        Shape::Robot { secret, .. } => secret.clone(),
        _ => None,
    };
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
    // After the operator's, so that nothing can pretend to be one of these.
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
    // A webhook's name has only characters that are fine in a header.
    let name = HeaderValue::try_from(destination.webhook.as_str())
        .map_err(|_| SenderError::Header(PRESENCED_WEBHOOK.to_string()))?;
    headers.insert(PRESENCED_WEBHOOK, name);
    Ok(headers)
}
