//! The driver of a push connection: carries out what the machine decides, and hands events to their taker.
//!
//! Guards: everything has a limit: the time of an attempt, the size of a frame, the events that wait for their taker. An
//! event that finds the queue full is answered `LATER`, so the gateway repeats it. Not here: decisions (`machine`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_util::sync::CancellationToken;

use super::dial::{App, DialError, Socket, dial};
use super::frame::{self, Ack, Envelope};
use super::machine::{Action, Input, Machine, State};
use crate::clock::SharedClock;
use crate::policy::backoff;

/// How long an attempt may take, both calls together.
const DIAL_LIMIT: Duration = Duration::from_secs(30);
/// The frames of all sockets that may wait for the driver; then they are read no further.
const HEARD: usize = 16;
/// The events that may wait for their taker.
pub const QUEUE: usize = 256;

/// What the connection reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The state.
    pub state: State,
    /// Why the last attempt failed, in plain words; `None` while it is connected.
    pub error: Option<String>,
}

/// An event for its taker.
#[derive(Debug)]
pub struct Delivery {
    /// The event.
    pub envelope: Envelope,
    link: u64,
    taken: mpsc::UnboundedSender<Input>,
}

impl Delivery {
    /// Answers the event. Without an answer the gateway repeats it.
    pub fn answer(self, ack: Ack) {
        // The driver may have ended; then the gateway repeats the event to the next connection.
        let _ = self.taken.send(Input::Taken(self.link, self.envelope.message_id, ack));
    }
}

/// A new connection's taker side: its events and its reports.
#[derive(Debug)]
pub struct Inbox {
    /// The events.
    pub deliveries: mpsc::Receiver<Delivery>,
    /// The newest report.
    pub reports: watch::Receiver<Report>,
}

/// Runs a connection.
#[derive(Debug)]
pub struct Connection {
    app: Arc<App>,
    clock: SharedClock,
    machine: Machine,
    deliveries: mpsc::Sender<Delivery>,
    reports: watch::Sender<Report>,
}

/// The side of one socket that the driver has.
#[derive(Debug)]
struct Link {
    orders: mpsc::UnboundedSender<Message>,
    end: CancellationToken,
}

type Dialed = (u64, Result<Socket, DialError>);

impl Connection {
    /// Prepares a connection without network access.
    pub fn new(app: App, clock: SharedClock) -> (Self, Inbox) {
        let machine = Machine::new(backoff::key(&["stream", &app.api_base, &app.key]), clock.now());
        let (deliveries, of_taker) = mpsc::channel(QUEUE);
        let (reports, newest) = watch::channel(Report { state: machine.state(), error: None });
        let connection = Self { app: Arc::new(app), clock, machine, deliveries, reports };
        (connection, Inbox { deliveries: of_taker, reports: newest })
    }

    /// Keeps the connection until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let (inputs, mut happened) = mpsc::channel(HEARD);
        let (taken, mut taken_events) = mpsc::unbounded_channel();
        let mut links: HashMap<u64, Link> = HashMap::new();
        let mut talks: FuturesUnordered<BoxFuture<'static, u64>> = FuturesUnordered::new();
        let mut dialing: Option<BoxFuture<'static, Dialed>> = None;
        loop {
            let dialed = async {
                match dialing.as_mut() {
                    Some(attempt) => attempt.await,
                    None => std::future::pending().await,
                }
            };
            let input = tokio::select! {
                () = stop.cancelled() => return,
                (number, outcome) = dialed => {
                    dialing = None;
                    self.dialed(number, outcome, &mut links, &mut talks, &inputs)
                }
                Some(number) = talks.next() => {
                    links.remove(&number);
                    Input::Closed(number)
                }
                Some(input) = happened.recv() => input,
                Some(input) = taken_events.recv() => input,
                () = self.clock.sleep_until(self.machine.next_wake()) => Input::Wake,
            };
            let now = self.clock.now();
            for action in self.machine.handle(input, now) {
                match action {
                    Action::Dial(number) => dialing = Some(self.attempt(number)),
                    Action::Send(number, text) => send(&links, number, Message::text(text)),
                    Action::Ping(number) => send(&links, number, Message::Ping(Bytes::new())),
                    Action::Deliver(link, envelope) => self.deliver(link, envelope, &links, &taken),
                    Action::Drop(number) => {
                        if let Some(link) = links.remove(&number) {
                            link.end.cancel();
                        }
                    }
                }
            }
            self.report();
        }
    }

    fn attempt(&self, number: u64) -> BoxFuture<'static, Dialed> {
        let (app, clock) = (Arc::clone(&self.app), Arc::clone(&self.clock));
        async move {
            let limit = clock.sleep_until(clock.now().plus(DIAL_LIMIT));
            let outcome = tokio::select! {
                outcome = dial(&app) => outcome,
                () = limit => Err(DialError::unreachable(format!("no connection within {} s", DIAL_LIMIT.as_secs()))),
            };
            (number, outcome)
        }
        .boxed()
    }

    fn dialed(
        &mut self,
        number: u64,
        outcome: Result<Socket, DialError>,
        links: &mut HashMap<u64, Link>,
        talks: &mut FuturesUnordered<BoxFuture<'static, u64>>,
        inputs: &mpsc::Sender<Input>,
    ) -> Input {
        match outcome {
            Ok(socket) => {
                let (orders, taken) = mpsc::unbounded_channel();
                let end = CancellationToken::new();
                links.insert(number, Link { orders, end: end.clone() });
                let inputs = inputs.clone();
                talks.push(
                    async move {
                        // Also a write that the peer does not take ends with the token.
                        end.run_until_cancelled(talk(number, socket, taken, inputs)).await;
                        number
                    }
                    .boxed(),
                );
                self.reports.send_if_modified(|report| report.error.take().is_some());
                Input::Dialed(number, Ok(()))
            }
            Err(error) => {
                let reason = error.reason;
                self.reports.send_if_modified(|report| {
                    let is_new = report.error.as_deref() != Some(error.text.as_str());
                    report.error = Some(error.text);
                    is_new
                });
                Input::Dialed(number, Err(reason))
            }
        }
    }

    fn deliver(
        &self,
        link: u64,
        envelope: Envelope,
        links: &HashMap<u64, Link>,
        taken: &mpsc::UnboundedSender<Input>,
    ) {
        let delivery = Delivery { envelope, link, taken: taken.clone() };
        if let Err(error) = self.deliveries.try_send(delivery) {
            let message_id = error.into_inner().envelope.message_id;
            send(links, link, Message::text(frame::acknowledgement(&message_id, Ack::Later)));
        }
    }

    /// Publishes the state if it has changed.
    fn report(&self) {
        let state = self.machine.state();
        self.reports.send_if_modified(|report| {
            let changed = report.state != state;
            report.state = state;
            changed
        });
    }
}

fn send(links: &HashMap<u64, Link>, number: u64, message: Message) {
    if let Some(link) = links.get(&number) {
        // A link that has just ended takes nothing; its end is reported by itself.
        let _ = link.orders.send(message);
    }
}

/// Reads and writes one socket until it ends.
async fn talk(
    number: u64,
    mut socket: Socket,
    mut orders: mpsc::UnboundedReceiver<Message>,
    inputs: mpsc::Sender<Input>,
) {
    loop {
        let input = tokio::select! {
            heard = socket.next() => match heard {
                Some(Ok(Message::Text(text))) => Input::Heard(number, frame::read(&text)),
                Some(Ok(Message::Pong(_) | Message::Ping(_))) => Input::Pong(number),
                Some(Ok(Message::Binary(_) | Message::Frame(_))) => Input::Heard(number, None),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
            },
            order = orders.recv() => {
                let Some(message) = order else { return };
                if socket.send(message).await.is_err() {
                    return;
                }
                continue;
            }
        };
        if inputs.send(input).await.is_err() {
            return;
        }
    }
}
