//! The push gateway's open call, its WebSocket connections, and the driver of its events.
//!
//! Guards: one task owns all connections, so that nothing outlives the simulator. Not here: decisions (`queue`), text
//! (`frames`).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response, StatusCode, header};
use futures_util::stream::FuturesUnordered;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::announcements::Announcements;
use super::frames;
use super::queue::{Accepted, Conduct, Order, PushQueue};
use crate::simulator::faults::{self, Answer, FaultKind, FaultTarget};
use crate::simulator::http::parameter;
use crate::simulator::json::Object;
use crate::simulator::state::Shared;
use crate::time::Timestamp;

/// The path of the WebSocket.
pub(in crate::simulator) const CONNECT: &str = "/connect";
/// How long a disconnected connection stays open.
const CLOSED_AFTER: Duration = Duration::from_secs(10);
/// The driver looks at least this often, so that a clock that was set does not hold it up.
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// Answers of clients are small.
const LARGEST_FRAME: usize = 64 * 1024;

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Answers `POST /v1.0/gateway/connections/open`.
pub(in crate::simulator) fn open(shared: &Shared, parts: &Parts, body: &[u8], request_id: &str) -> Answer {
    let sent: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| sent.get(name).and_then(Value::as_str).unwrap_or_default();
    let (key, secret) = (field("clientId"), field("clientSecret"));
    let known = shared.apps.is_empty() || shared.app(key).is_some_and(|app| app.secret == secret);
    if !known || key.is_empty() || secret.is_empty() {
        shared.count(|counters| counters.refused("authFailed"));
        return faults::auth_failed(request_id);
    }
    let is_event = |one: &Value| one.get("type").and_then(Value::as_str) == Some("EVENT");
    if !sent.get("subscriptions").and_then(Value::as_array).is_some_and(|all| all.iter().any(is_event)) {
        shared.count(|counters| counters.refused("param.error"));
        return Answer::refusal(400, "param.error", "no subscription of type EVENT", request_id);
    }
    let now = shared.clock.now();
    let ticket = with_queue(shared, |queue| queue.issue_ticket(key, now));
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    let named = shared.push().options.endpoint.clone();
    let endpoint = if named.is_empty() { format!("ws://{host}{CONNECT}") } else { named };
    // Without this header the real gateway answers in XML.
    if !text_of(&parts.headers, &header::ACCEPT).contains("application/json") {
        let body = format!("<Response><endpoint>{endpoint}</endpoint><ticket>{ticket}</ticket></Response>");
        return Answer { content_type: "application/xml;charset=utf-8", ..Answer::json(200, body) };
    }
    Answer::json(200, Object::new().text("endpoint", &endpoint).text("ticket", &ticket).end())
}

/// Answers a request for the WebSocket: 101, and the driver takes the connection.
pub(in crate::simulator) fn connect(
    shared: &Shared,
    parts: &mut Parts,
    request_id: &str,
) -> Result<Response<Body>, Answer> {
    let now = shared.clock.now();
    shared.count(|counters| counters.arrived(CONNECT, now));
    let fault = shared.faults().take_due(FaultTarget::PushConnect, None, shared.world.offset_ms(now));
    if let Some(fault) = &fault {
        shared.count(|counters| counters.refused(fault.kind.name()));
        if let Some(answer) = faults::replacement(fault, request_id) {
            return Err(answer);
        }
    }
    let refusal = |status, code| Err(Answer::refusal(status, code, code, request_id));
    let ticket = parameter(parts.uri.query(), "ticket").unwrap_or_default();
    let Some(app) = with_queue(shared, |queue| queue.use_ticket(&ticket, now)) else {
        return refusal(401, "invalidTicket");
    };
    let key = text_of(&parts.headers, &header::SEC_WEBSOCKET_KEY);
    let Some(upgrade) = parts.extensions.remove::<OnUpgrade>().filter(|_| !key.is_empty()) else {
        return refusal(400, "param.error");
    };
    let conduct = match fault.map(|fault| fault.kind) {
        Some(FaultKind::Zombie) => Conduct::Zombie,
        Some(FaultKind::Hang) => Conduct::Frozen,
        _ => Conduct::Sound,
    };
    let _ = shared.sockets.send(Accepted { upgrade, app, conduct });
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()));
    Ok(response.body(Body::empty()).unwrap_or_default())
}

fn text_of<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Changes the queue, counts what happened, and wakes the driver.
pub(in crate::simulator) fn with_queue<R>(shared: &Shared, act: impl FnOnce(&mut PushQueue) -> R) -> R {
    let (result, counts) = {
        let mut queue = shared.push();
        let result = act(&mut queue);
        (result, queue.take_counts())
    };
    if !counts.is_empty() {
        shared.count(|counters| counters.pushed(&counts));
    }
    shared.push_changed.notify_one();
    result
}

/// Orders a disconnect frame, or a close without a word, of every connection; returns of how many.
pub(in crate::simulator) fn end_all(shared: &Shared, is_abort: bool) -> usize {
    with_queue(shared, |queue| queue.order_all(if is_abort { &Order::Abort } else { &Order::Disconnect }))
}

/// Gives the third-party apps a new suite ticket.
pub(in crate::simulator) fn renew_suite_tickets(shared: &Shared) {
    let has_tickets =
        |app: &str| shared.apps.is_empty() || shared.app(app).is_some_and(|app| app.suite_ticket.is_some());
    let now = shared.clock.now();
    with_queue(shared, |queue| queue.renew_suite_tickets(has_tickets, now));
}

/// Runs all connections and sends what is due, until the simulator stops.
pub(in crate::simulator) async fn run(shared: Arc<Shared>, mut accepted: mpsc::UnboundedReceiver<Accepted>) {
    let announcements = Announcements::of(&shared.world);
    let mut connections = FuturesUnordered::new();
    let mut announced: Option<Timestamp> = None;
    let mut renewed: Option<Timestamp> = None;
    loop {
        let now = shared.clock.now();
        // Without a connection there is nothing to do, and no timer that a test of other things would see.
        let first = shared.push().first_connection();
        let next = first.map(|first| {
            let after = announced.unwrap_or(first);
            announced = Some(after.max(now));
            let renewed = renewed.get_or_insert(first);
            announce(&shared, &announcements, after, renewed, now);
            let every = shared.push().options.suite_ticket_every.0;
            let renewal = (!every.is_zero()).then(|| renewed.plus(every));
            let due = [announcements.next_after(&shared.world, now), shared.push().next_due(), renewal];
            due.into_iter().flatten().fold(now.plus(LONGEST_WAIT), Timestamp::min)
        });
        let timer = async {
            match next {
                Some(next) => shared.clock.sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => return,
            Some(one) = accepted.recv() => connections.push(serve(&shared, one)),
            Some(()) = connections.next() => {}
            () = shared.push_changed.notified() => {}
            () = timer => {}
        }
    }
}

/// Announces what has happened since `after`, renews the suite tickets that are due, and sends what is due.
fn announce(
    shared: &Shared,
    announcements: &Announcements,
    after: Timestamp,
    renewed: &mut Timestamp,
    now: Timestamp,
) {
    let options = Arc::clone(&shared.push().options);
    for event in announcements.between(&shared.world, (after, now), &options) {
        with_queue_quietly(shared, |queue| queue.announce(&event, now));
    }
    let every = options.suite_ticket_every.0;
    if !every.is_zero() && now.since(*renewed) >= every {
        *renewed = now;
        renew_suite_tickets(shared);
    }
    with_queue_quietly(shared, |queue| {
        let corp_of = |app: &str| shared.app(app).and_then(|app| app.corp_id.clone());
        let offset_ms = shared.world.offset_ms(now);
        queue.send_due(now, corp_of, || shared.faults().take_due(FaultTarget::Push, None, offset_ms));
    });
}

/// As [`with_queue`], for the driver, which need not be woken.
fn with_queue_quietly(shared: &Shared, act: impl FnOnce(&mut PushQueue)) {
    let counts = {
        let mut queue = shared.push();
        act(&mut queue);
        queue.take_counts()
    };
    if !counts.is_empty() {
        shared.count(|counters| counters.pushed(&counts));
    }
}

/// One connection from the upgrade to its end.
async fn serve(shared: &Shared, accepted: Accepted) {
    let Ok(upgraded) = accepted.upgrade.await else { return };
    let limits =
        WebSocketConfig::default().max_message_size(Some(LARGEST_FRAME)).max_frame_size(Some(LARGEST_FRAME));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits)).await;
    let now = shared.clock.now();
    let (number, orders) = with_queue(shared, |queue| queue.attach(&accepted.app, accepted.conduct, now));
    talk(shared, socket, orders, accepted.conduct == Conduct::Frozen, number).await;
    with_queue(shared, |queue| queue.detach(number));
    shared.count(|counters| counters.pushed(&["closed"]));
}

async fn talk(
    shared: &Shared,
    mut socket: Socket,
    mut orders: mpsc::UnboundedReceiver<Order>,
    is_frozen: bool,
    number: u64,
) {
    let mut wait = Waits::new(shared);
    loop {
        let next = wait.next();
        let heard = tokio::select! {
            heard = socket.next(), if !is_frozen => Heard::Frame(heard),
            order = orders.recv(), if wait.close_at.is_none() => match order {
                Some(order) => Heard::Order(order),
                // Detached by an order for all connections of the app, which came first.
                None => Heard::Order(Order::Abort),
            },
            () = shared.clock.sleep_until(next) => Heard::Nothing,
        };
        let now = shared.clock.now();
        let is_up = match heard {
            Heard::Frame(Some(Ok(Message::Text(text)))) => {
                if let Some(reply) =
                    frames::reply(&text).filter(|reply| !reply.message_id.starts_with("system"))
                {
                    with_queue(shared, |queue| queue.answered(&reply));
                } else {
                    shared.count(|counters| counters.pushed(&["system_answered"]));
                }
                true
            }
            Heard::Frame(Some(Ok(Message::Close(_)) | Err(_)) | None) | Heard::Order(Order::Abort) => false,
            Heard::Order(Order::Send(frame)) => is_frozen || socket.send(Message::text(frame)).await.is_ok(),
            Heard::Order(Order::Disconnect) => {
                wait.close_at = Some(now.plus(CLOSED_AFTER));
                disconnect(shared, &mut socket, number, now).await
            }
            Heard::Nothing if wait.close_at.is_some_and(|at| at <= now) => {
                let _ = socket.close(None).await;
                false
            }
            Heard::Nothing if wait.disconnect_at.is_some_and(|at| at <= now) => {
                (wait.disconnect_at, wait.close_at) = (None, Some(now.plus(CLOSED_AFTER)));
                is_frozen || disconnect(shared, &mut socket, number, now).await
            }
            Heard::Nothing if wait.ping_at.is_some_and(|at| at <= now) => {
                wait.ping_at = Some(now.plus(wait.ping_every));
                let opaque = Object::new().text("opaque", &format!("{number}-{}", now.as_ms())).end();
                let frame =
                    frames::system("ping", &format!("system-ping-{number}-{}", now.as_ms()), &opaque, now);
                is_frozen || socket.send(Message::text(frame)).await.is_ok()
            }
            Heard::Frame(_) | Heard::Nothing => true,
        };
        if !is_up {
            return;
        }
    }
}

/// Sends the disconnect frame; from now on no event goes to this connection.
async fn disconnect(shared: &Shared, socket: &mut Socket, number: u64, now: Timestamp) -> bool {
    with_queue(shared, |queue| queue.detach(number));
    shared.count(|counters| counters.pushed(&["disconnected"]));
    let reason = Object::new().text("reason", "persistent connection is about to be closed").end();
    let frame = frames::system("disconnect", &format!("system-disconnect-{number}"), &reason, now);
    socket.send(Message::text(frame)).await.is_ok()
}

enum Heard {
    Frame(Option<Result<Message, tokio_tungstenite::tungstenite::Error>>),
    Order(Order),
    Nothing,
}

/// The next instants at which a connection acts by itself.
struct Waits {
    ping_every: Duration,
    ping_at: Option<Timestamp>,
    disconnect_at: Option<Timestamp>,
    close_at: Option<Timestamp>,
    never: Timestamp,
}

impl Waits {
    fn new(shared: &Shared) -> Self {
        let (now, options) = (shared.clock.now(), Arc::clone(&shared.push().options));
        let after = |wait: Duration| (!wait.is_zero()).then(|| now.plus(wait));
        Self {
            ping_every: options.ping_every.0,
            ping_at: after(options.ping_every.0),
            disconnect_at: after(options.disconnect_every.0),
            close_at: None,
            never: Timestamp::from_ms(i64::MAX),
        }
    }

    fn next(&self) -> Timestamp {
        [self.ping_at, self.disconnect_at, self.close_at]
            .into_iter()
            .flatten()
            .fold(self.never, Timestamp::min)
    }
}
