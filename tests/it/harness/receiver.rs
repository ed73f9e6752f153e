//! A webhook receiver that remembers every request and checks its signature with its own few lines.
//!
//! Guards: what is asserted about deliveries is what came over the wire. Deliberately not here: the crate's own signing.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::Watched;
use super::http::{Request, response, serve};

/// The signing secret that the tests' configs use.
pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// One delivery.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) body: Vec<u8>,
    pub(crate) json: serde_json::Value,
    pub(crate) verified: bool,
    pub(crate) request: Request,
}

/// In few words: a test that fails shows many.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forged = if self.verified { "" } else { " NOT VERIFIED" };
        let subject = self.json["subject"].as_str().unwrap_or_default();
        write!(f, "{} {} {subject}{forged}", self.id, self.event_type())
    }
}

impl Delivery {
    pub(crate) fn event_type(&self) -> &str {
        self.json["type"].as_str().unwrap_or_default()
    }
}

/// How a connection ends without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drop {
    /// Nothing of the request was kept.
    Unread,
    /// The request was kept; only the answer is missing.
    Unanswered,
}

/// The receiver.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    stalled: Arc<AtomicBool>,
    status: Arc<AtomicU16>,
    seen: Arc<Watched<Vec<Delivery>>>,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::dropping(|_| None)
    }

    /// One that sometimes ends the connection instead of answering; `drops` is asked with the number of the request,
    /// from 0.
    pub(crate) fn dropping(drops: impl Fn(u64) -> Option<Drop> + Send + Sync + Clone + 'static) -> Self {
        let seen = Arc::new(Watched::<Vec<Delivery>>::default());
        let (shared, requests) = (Arc::clone(&seen), Arc::new(AtomicU64::new(0)));
        let stalled = Arc::new(AtomicBool::new(false));
        let (stalls, status) = (Arc::clone(&stalled), Arc::new(AtomicU16::new(204)));
        let answered = Arc::clone(&status);
        let address = serve(move |request| {
            let drop = drops(requests.fetch_add(1, Ordering::Relaxed));
            if drop != Some(Drop::Unread) {
                let delivery = read(request);
                shared.with(|seen| seen.push(delivery));
            }
            while stalls.load(Ordering::Relaxed) {
                std::thread::park();
            }
            drop.is_none().then(|| response(answered.load(Ordering::Relaxed), "text/plain", ""))
        });
        Self { address, stalled, status, seen }
    }

    /// From now on requests are taken and never answered.
    pub(crate) fn stall(&self) {
        self.stalled.store(true, Ordering::Relaxed);
    }

    /// From now on requests get this status.
    pub(crate) fn answers(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Waits for the first `n` deliveries and gives all that are there.
    #[track_caller]
    pub(crate) fn wait(&self, n: usize) -> Vec<Delivery> {
        self.seen.until(&format!("{n} deliveries"), |seen| (seen.len() >= n).then(|| seen.clone()))
    }

    /// Waits until an event has come.
    #[track_caller]
    pub(crate) fn wait_for(&self, id: &str) {
        self.seen.until(&format!("event {id}"), |seen| seen.iter().any(|d| d.id == id).then_some(()));
    }

    /// Waits until an event of this type has come.
    #[track_caller]
    pub(crate) fn wait_type(&self, event_type: &str) {
        self.seen.until(&format!("an event {event_type}"), |seen| {
            seen.iter().any(|d| d.event_type() == event_type).then_some(())
        });
    }

    /// Waits until the alert of this name has been through these states. What came twice counts once.
    #[track_caller]
    pub(crate) fn wait_alerts(&self, name: &str, states: &[&str]) {
        self.seen.until(&format!("alert {name}: {states:?}"), |seen| {
            let mut ids = HashSet::new();
            let alerts = seen.iter().filter(|delivery| ids.insert(&delivery.id));
            let of_it =
                alerts.map(|delivery| &delivery.json["data"]["alert"]).filter(|one| one["name"] == name);
            let came: Vec<&str> = of_it.filter_map(|alert| alert["state"].as_str()).collect();
            (came == states).then_some(())
        });
    }

    /// What came so far.
    pub(crate) fn all(&self) -> Vec<Delivery> {
        self.seen.with(|seen| seen.clone())
    }
}

fn read(request: Request) -> Delivery {
    let id = request.header("webhook-id").unwrap_or_default().to_owned();
    let timestamp = request.header("webhook-timestamp").unwrap_or_default();
    let signatures = request.header("webhook-signature").unwrap_or_default();
    let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).expect("a valid test secret");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key length will do");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&request.body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let verified = signatures.split(' ').any(|signature| signature == expected);
    let json = serde_json::from_slice(&request.body).unwrap_or_default();
    Delivery { id, body: request.body.clone(), json, verified, request }
}
