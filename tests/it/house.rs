//! The daemon inside the test's own process, on a clock that runs fast, between the built-in DingTalk and a receiver.
//!
//! Guards: every wait is for something that happens, with a limit. Deliberately not here: the binary (`harness`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use presenced::app::build;
use presenced::clock::{ScaledClock, SharedClock};
use presenced::config;
use presenced::simulator::receiver::Receiver;
use presenced::simulator::{Counts, Running, Scenario, Simulator, api};
use presenced::store::Store;
use presenced::time::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::harness::loopback;

/// The longest any single wait may take, on the machine's clock.
const LIMIT: Duration = Duration::from_mins(1);

/// An instant.
pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::from_ms(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis())
}

/// Everything that runs; it ends when dropped.
pub(crate) struct House {
    pub(crate) dingtalk: Running,
    pub(crate) clock: SharedClock,
    receiver: Receiver,
    folder: tempfile::TempDir,
    stop: CancellationToken,
    daemon: JoinSet<()>,
}

/// What a house is made of.
pub(crate) struct Plan<'a> {
    pub(crate) from: &'a str,
    pub(crate) speed: f64,
    pub(crate) scenario: Scenario,
    /// The config; `HOSTS` stands for DingTalk, and the receiver gets `events`.
    pub(crate) config: &'a str,
    pub(crate) events: &'a str,
}

impl House {
    /// Opens it; `before` may put something into the database first.
    pub(crate) async fn open(plan: Plan<'_>, before: impl AsyncFnOnce(&Store)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: SharedClock = Arc::new(ScaledClock::starting(at(plan.from), plan.speed));
        let stop = CancellationToken::new();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let dingtalk =
            Simulator::start(any, plan.scenario, Arc::clone(&clock), stop.child_token()).await.unwrap();
        let receiver = Receiver::start(any, &[], Arc::clone(&clock), stop.child_token()).await.unwrap();
        let text = format!(
            "time_zone = \"UTC\"\n{}\n[[webhook]]\nname = \"all\"\nurl = \"{}\"\nevents = [{}]\nrate = 1000\n\
             [history]\npath = \"presence.db\"\n[http]\nlisten = \"\"\n",
            plan.config.replace("HOSTS", &loopback::hosts(dingtalk.base_url())),
            receiver.url(),
            plan.events,
        );
        let file = folder.path().join("config.toml");
        std::fs::write(&file, loopback::at_home(&text)).unwrap();
        let config = config::load(&file).unwrap_or_else(|refused| panic!("{refused}")).config;
        let store = Store::open(&config.history.path, config.time_zone, Arc::clone(&clock)).await.unwrap();
        before(&store).await;
        store.close().await.unwrap();
        let built = build::daemon(config, Arc::clone(&clock), false, &stop).await.unwrap();
        let mut daemon = JoinSet::new();
        let halt = stop.clone();
        daemon.spawn(async move { drop(built.run(halt, || {}).await.unwrap()) });
        Self { dingtalk, clock, receiver, folder, stop, daemon }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("presence.db")
    }

    /// What came, each event once, in the order of the sequence.
    pub(crate) fn events(&self) -> Vec<Value> {
        let mut events: Vec<Value> =
            self.receiver.received().iter().map(presenced::simulator::receiver::Received::json).collect();
        events.sort_by_key(|event| event["sequence"].as_str().unwrap_or_default().to_owned());
        events.dedup_by_key(|event| event["id"].clone());
        events
    }

    /// Waits until what came is enough.
    pub(crate) async fn until<R>(&self, what: &str, mut look: impl FnMut(&[Value]) -> Option<R>) -> R {
        let mut arrivals = self.receiver.arrivals();
        let wait = async {
            loop {
                if let Some(found) = look(&self.events()) {
                    return found;
                }
                arrivals.changed().await.unwrap();
            }
        };
        let in_vain = |_| panic!("waited in vain for {what}; came: {:#?}", brief(&self.events()));
        tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(in_vain)
    }

    /// Waits for an alert to be in this state; gives its summary.
    pub(crate) async fn until_alert(&self, name: &str, state: &str) -> String {
        self.until(&format!("alert {name} {state}"), |events| {
            let alert = events.iter().find(|event| {
                event["data"]["alert"]["name"] == name && event["data"]["alert"]["state"] == state
            })?;
            Some(alert["data"]["alert"]["summary"].as_str().unwrap_or_default().to_owned())
        })
        .await
    }

    /// Waits until DingTalk has counted enough.
    pub(crate) async fn until_counts(&self, what: &str, enough: impl FnMut(&Counts) -> bool) {
        let wait = self.dingtalk.until(enough);
        tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
    }

    /// Waits until so many list calls were made.
    pub(crate) async fn until_looks(&self, least: u64) {
        self.until_counts("looks", |counts| counts.calls_to(api::LISTS) >= least).await;
    }

    /// Waits until it is so late in the house.
    pub(crate) async fn until_time(&self, instant: Timestamp) {
        let wait = self.clock.sleep_until(instant);
        tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("waited in vain for {instant}"));
    }

    /// List calls so far.
    pub(crate) fn looks(&self) -> u64 {
        self.dingtalk.counts().calls_to(api::LISTS)
    }

    /// Ends it in order.
    pub(crate) async fn close(mut self) -> tempfile::TempDir {
        self.stop.cancel();
        while let Some(ended) = self.daemon.join_next().await {
            ended.unwrap();
        }
        self.folder
    }
}

/// Types, subjects and instants: what one wants to see when a wait was in vain.
fn brief(events: &[Value]) -> Vec<String> {
    let word = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    events
        .iter()
        .map(|e| {
            format!("{} {} {} {}", word(e, "time"), word(e, "type"), word(e, "subject"), e["data"]["alert"])
        })
        .collect()
}

/// Those of this type.
pub(crate) fn of_type<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == name).collect()
}
