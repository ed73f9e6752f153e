//! A webhook receiver for demo and tests that verifies every signature and keeps every request.
//!
//! Guards: it verifies Standard Webhooks with its own code, so that a mistake of the sender cannot cancel out. It detects two
//! different bodies with one id. The test chooses the answers. Not here: the sender.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::wire::{FaultHandle, Listener, ResponseFault};
use crate::clock::SharedClock;
use crate::time::{Timestamp, duration_ms};

/// The largest accepted body, in bytes; the largest documented one is 20 kB.
const LARGEST_BODY: usize = 1024 * 1024;

/// The largest accepted difference of the signed time: five minutes, as in the specification's own libraries.
const TOLERANCE: Duration = Duration::from_mins(5);

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// Additional headers.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The delay of the answer, by the receiver's clock.
    pub delay: Duration,
    /// No answer: the connection closes.
    pub drop: bool,
}

impl Default for Reply {
    fn default() -> Self {
        Self::status(204)
    }
}

impl Reply {
    /// An answer with this status and nothing else.
    pub fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new(), delay: Duration::ZERO, drop: false }
    }

    /// No answer: the connection closes.
    pub fn dropped() -> Self {
        Self { drop: true, ..Self::status(204) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    /// Delays the answer.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// The result of verifying a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The signature is valid.
    Verified,
    /// There is no secret to verify with.
    NotChecked,
    /// The signature is invalid, with the reason.
    Failed(String),
}

/// A received request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// When it arrived, by the receiver's clock.
    pub at: Timestamp,
    /// Path and query.
    pub path: String,
    pub method: String,
    /// The headers; names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The result of the verification.
    pub verdict: Verdict,
    /// Whether the first request with this `webhook-id` had the same bytes; true for the first request.
    pub same_bytes: bool,
    /// Whether this `webhook-id` was received before.
    pub repeated: bool,
    /// The status of the answer; `None` if the connection was dropped.
    pub answered: Option<u16>,
}

impl Received {
    /// A header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// `webhook-id`.
    pub fn id(&self) -> Option<&str> {
        self.header("webhook-id")
    }

    /// The body as JSON, or null.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Signs the deliveries of the demo and of a config for the simulator, which stay on this machine.
pub const DEMO_SECRET: &str = "whsec_cHJlc2VuY2VkLWRlbW8tc2VjcmV0LTIwMjYtb25seQ==";

/// What a receiver keeps, for a listener that serves something else too.
#[derive(Clone, Debug)]
pub struct Inbox(Arc<Shared>);

impl Inbox {
    /// Verifies with `secrets` (`whsec_...`), any of which may fit. Without secrets it only keeps the requests.
    pub fn new(secrets: &[&str], clock: SharedClock, stop: CancellationToken) -> io::Result<Self> {
        let keys: Option<Vec<Vec<u8>>> = secrets.iter().map(|secret| key_of(secret)).collect();
        let keys = keys.ok_or_else(|| io::Error::other("a secret is no `whsec_` and base64"))?;
        let (count, _) = watch::channel(0);
        Ok(Self(Arc::new(Shared { keys, clock, stop, memory: Mutex::default(), count })))
    }

    /// Takes every request.
    pub(super) fn routes(&self) -> Router {
        Router::new().fallback(receive).with_state(Arc::clone(&self.0))
    }

    /// All requests so far, in the order of arrival.
    pub fn received(&self) -> Vec<Received> {
        self.0.memory().received.clone()
    }

    /// The number of requests so far; the channel notifies about each one.
    pub fn arrivals(&self) -> watch::Receiver<usize> {
        self.0.count.subscribe()
    }
}

/// A running receiver.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    inbox: Inbox,
    stop: CancellationToken,
    tasks: JoinSet<io::Result<()>>,
}

impl Receiver {
    /// Listens on `listen` (port 0 takes any free port) and verifies as [`Inbox::new`] does. Ends with `stop`, with
    /// [`Receiver::stop`], or when dropped.
    pub async fn start(
        listen: SocketAddr,
        secrets: &[&str],
        clock: SharedClock,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let stop = stop.child_token();
        let inbox = Inbox::new(secrets, clock.clone(), stop.clone())?;
        let listener = Listener::bind(listen, clock, stop.clone()).await?;
        let address = listener.address()?;
        let app = inbox.routes();
        let mut tasks = JoinSet::new();
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            axum::serve(listener, app.into_make_service_with_connect_info::<FaultHandle>())
                .with_graceful_shutdown(stopped)
                .await
        });
        Ok(Self { address, inbox, stop, tasks })
    }

    /// The URL to send to, such as `http://127.0.0.1:41234/hook`. Any path is accepted.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// All requests so far, in the order of arrival.
    pub fn received(&self) -> Vec<Received> {
        self.inbox.received()
    }

    /// The number of requests so far; the channel notifies about each one.
    pub fn arrivals(&self) -> watch::Receiver<usize> {
        self.inbox.arrivals()
    }

    /// Waits for at least `count` requests and returns all, without a time-out of its own.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let mut arrivals = self.arrivals();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = arrivals.wait_for(|so_far| *so_far >= count).await;
        self.received()
    }

    /// The answers to the next requests, one each; then [`Receiver::always`] applies again.
    pub fn next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.inbox.0.memory().next.extend(replies);
    }

    /// The answer to every request from now on. The default is 204.
    pub fn always(&self, reply: Reply) {
        self.inbox.0.memory().always = reply;
    }

    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Debug)]
struct Shared {
    keys: Vec<Vec<u8>>,
    clock: SharedClock,
    stop: CancellationToken,
    memory: Mutex<Memory>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Memory {
    received: Vec<Received>,
    /// The index of the first request with each id.
    first: BTreeMap<String, usize>,
    next: VecDeque<Reply>,
    always: Reply,
}

impl Shared {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<FaultHandle>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    connection.set(ResponseFault::Plain);
    let body = to_bytes(body, LARGEST_BODY).await.unwrap_or_default().to_vec();
    let now = shared.clock.now();
    let verdict = verify(&shared.keys, &parts.headers, &body, now);
    let headers = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let received = Received {
        at: now,
        path,
        method: parts.method.to_string(),
        headers,
        body,
        verdict,
        same_bytes: true,
        repeated: false,
        answered: None,
    };
    let reply = remember(&mut shared.memory(), received);
    shared.count.send_modify(|count| *count += 1);
    if !reply.delay.is_zero() {
        tokio::select! {
            () = shared.clock.sleep_until(shared.clock.now().plus(reply.delay)) => {}
            () = shared.stop.cancelled() => connection.set(ResponseFault::Drop),
        }
    }
    if reply.drop {
        connection.set(ResponseFault::Drop);
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    // Only an invalid header or status fails here, which is a mistake of the test.
    response.body(Body::from(reply.body)).unwrap_or_else(|_| Response::new(Body::empty()))
}

/// Keeps the request and chooses its answer.
fn remember(memory: &mut Memory, mut received: Received) -> Reply {
    let reply = memory.next.pop_front().unwrap_or_else(|| memory.always.clone());
    received.answered = (!reply.drop).then_some(reply.status);
    if let Some(id) = received.id().map(str::to_owned) {
        let index = memory.received.len();
        let first = *memory.first.entry(id).or_insert(index);
        if first != index {
            received.repeated = true;
            received.same_bytes = memory.received[first].body == received.body;
        }
    }
    memory.received.push(received);
    reply
}

fn key_of(secret: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.trim().strip_prefix("whsec_")?).ok()
}

/// Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, in base64 after `v1,`. One valid signature for any key is enough.
fn verify(keys: &[Vec<u8>], headers: &HeaderMap, body: &[u8], now: Timestamp) -> Verdict {
    if keys.is_empty() {
        return Verdict::NotChecked;
    }
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(id), Some(timestamp), Some(signatures)) =
        (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"))
    else {
        return Verdict::Failed("a webhook header is missing".into());
    };
    let Ok(seconds) = timestamp.parse::<i64>() else {
        return Verdict::Failed(format!("webhook-timestamp is no number: {timestamp}"));
    };
    let off_ms = seconds.saturating_mul(1000).abs_diff(now.as_ms());
    if i64::try_from(off_ms).unwrap_or(i64::MAX) > duration_ms(TOLERANCE) {
        return Verdict::Failed(format!("webhook-timestamp is {off_ms} ms off"));
    }
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let tokens: Vec<Vec<u8>> =
        signatures.split(' ').filter_map(|token| STANDARD.decode(token.strip_prefix("v1,")?).ok()).collect();
    let good = keys.iter().any(|key| tokens.iter().any(|token| is_signature(key, &signed, token)));
    if good { Verdict::Verified } else { Verdict::Failed("no signature fits".into()) }
}

fn is_signature(key: &[u8], signed: &[u8], token: &[u8]) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
    mac.update(signed);
    mac.verify_slice(token).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification's own libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIME: &str = "1614265330";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn verdict(signature: &str, body: &[u8], now_s: i64) -> Verdict {
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", ID.parse().unwrap());
        headers.insert("webhook-timestamp", TIME.parse().unwrap());
        headers.insert("webhook-signature", signature.parse().unwrap());
        verify(&[key_of(SECRET).unwrap()], &headers, body, Timestamp::from_ms(now_s * 1000))
    }

    #[test]
    fn the_published_example_is_verified() {
        assert_eq!(verdict(SIGNATURE, BODY, 1_614_265_330), Verdict::Verified);
        assert_eq!(verdict(&format!("v1,AAAA {SIGNATURE}"), BODY, 1_614_265_330), Verdict::Verified);
    }

    #[test]
    fn anything_else_is_not() {
        assert!(matches!(verdict(SIGNATURE, b"{}", 1_614_265_330), Verdict::Failed(_)));
        assert!(matches!(verdict(SIGNATURE, BODY, 1_614_265_330 + 301), Verdict::Failed(_)));
        assert!(matches!(verdict(&SIGNATURE[3..], BODY, 1_614_265_330), Verdict::Failed(_)));
        assert_eq!(verify(&[], &HeaderMap::new(), BODY, Timestamp::from_ms(0)), Verdict::NotChecked);
        let keys = [key_of(SECRET).unwrap()];
        let nothing = verify(&keys, &HeaderMap::new(), BODY, Timestamp::from_ms(0));
        assert_eq!(nothing, Verdict::Failed("a webhook header is missing".into()));
    }

    #[test]
    fn two_bodies_under_one_id_are_noticed() {
        let received = |body: &[u8]| Received {
            at: Timestamp::from_ms(0),
            path: "/".into(),
            method: "POST".into(),
            headers: vec![("webhook-id".into(), "evt_1".into())],
            body: body.to_vec(),
            verdict: Verdict::NotChecked,
            same_bytes: true,
            repeated: false,
            answered: None,
        };
        let mut memory = Memory::default();
        memory.next.push_back(Reply::status(500));
        assert_eq!(remember(&mut memory, received(b"a")).status, 500);
        assert_eq!(remember(&mut memory, received(b"a")).status, 204);
        remember(&mut memory, received(b"b"));
        let seen: Vec<_> = memory.received.iter().map(|r| (r.repeated, r.same_bytes, r.answered)).collect();
        assert_eq!(seen, [(false, true, Some(500)), (true, true, Some(204)), (true, false, Some(204))]);
    }
}
