//! A receiver whose mood a test sets, and what it got.
//!
//! Guards: an event counts as delivered only when a good answer went out. Deliberately not here: sockets
//! (`delivery_harness`), what the receiver got is judged by (`day`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpSocket;

use super::plan::Mood;
use crate::delivery_harness::{Got, OK, Receiver, Reply};

/// It hangs so often, then hangs up: each time is waited for in real time.
const HANGS: usize = 4;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) id: String,
    pub(super) body: Vec<u8>,
    pub(super) accepted: bool,
}

pub(super) struct Hook {
    receiver: Receiver,
    shared: Arc<Mutex<Shared>>,
    /// Bound and never listening: it refuses connections.
    wrong: TcpSocket,
}

struct Shared {
    mood: Mood,
    hung: usize,
    arrivals: Vec<Arrival>,
}

impl Hook {
    pub(super) async fn start() -> Self {
        let shared = Arc::new(Mutex::new(Shared { mood: Mood::Well, hung: 0, arrivals: Vec::new() }));
        let answering = Arc::clone(&shared);
        let receiver = Receiver::start(move |got| lock(&answering).answer(got)).await;
        let wrong = TcpSocket::new_v4().expect("a socket");
        wrong.bind(([127, 0, 0, 1], 0).into()).expect("a free loopback port");
        Self { receiver, shared, wrong }
    }

    pub(super) fn set(&self, mood: Mood) {
        let mut shared = lock(&self.shared);
        (shared.mood, shared.hung) = (mood, 0);
    }

    /// Where the config sends to.
    pub(super) fn url(&self) -> String {
        match lock(&self.shared).mood {
            Mood::WrongPort => format!("http://{}/", self.wrong.local_addr().expect("a bound address")),
            _ => self.receiver.url(),
        }
    }

    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        lock(&self.shared).arrivals.clone()
    }
}

impl Shared {
    fn answer(&mut self, got: &Got) -> Reply {
        let reply = match self.mood {
            Mood::Well | Mood::WrongPort => OK,
            Mood::Answers(status, headers) => Reply::Answer(status, headers, ""),
            Mood::Hangs if self.hung < HANGS => {
                self.hung += 1;
                Reply::Silence(Vec::new())
            }
            Mood::Hangs | Mood::HangsUp => Reply::Hangup,
        };
        let accepted = matches!(reply, Reply::Answer(204, ..));
        let (id, body) = (got.header("webhook-id").to_owned(), got.body.clone());
        self.arrivals.push(Arrival { id, body, accepted });
        reply
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
