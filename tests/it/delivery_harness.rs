//! What the delivery tests stand on: a database with people in it, a clock that moves when told, a receiver on a real
//! socket that answers by script and keeps what it got.
#![expect(clippy::disallowed_methods, reason = "tests look at the tables themselves")]
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure here is a failure of the test")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use presenced::clock::{Clock, ManualClock, SharedClock};
use presenced::ids::{EventId, Identity, OrgName, UnionId, WebhookName};
use presenced::policy::delivery::{Health, Rules};
use presenced::presence::event::{EventType, NewEvent};
use presenced::presence::system::{self, AlertName};
use presenced::presence::user_state::UserState;
use presenced::secret::Secret;
use presenced::signature::SigningKey;
use presenced::store::{Enrolment, Outgoing, Recording, Store};
use presenced::tasks::dispatcher::{Dispatcher, Target};
use presenced::time::Timestamp;
use presenced::webhook::address::NetworkPolicy;
use presenced::webhook::format::BodyFormat;
use presenced::webhook::send::{Destination, Sender};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, Notify, watch};
use tokio::task::JoinSet;

pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
pub(crate) const START: Timestamp = Timestamp::from_ms(1_699_347_312_301);

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) head: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// The connection it came on, counted from 1.
    pub(crate) connection: usize,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What the receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A status, header lines and a body.
    Answer(u16, &'static str, &'static str),
    /// These bytes, then the connection ends.
    Raw(Vec<u8>),
    /// These bytes, then silence for as long as the client stays.
    Silence(Vec<u8>),
    /// The connection ends without an answer.
    Hangup,
    /// [`OK`], once so many others are held, too.
    Together(Arc<Barrier>),
}

pub(crate) const OK: Reply = Reply::Answer(204, "", "");

type Script = Box<dyn Fn(&Got) -> Reply + Send + Sync>;

/// Listens until dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    got: watch::Sender<Vec<Got>>,
    accepted: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Receiver {
    pub(crate) async fn start(script: impl Fn(&Got) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, got) = (listener.local_addr().unwrap(), watch::Sender::default());
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        let script = move |got: &Got| {
            let reply = script(got);
            if matches!(reply, Reply::Answer(200..=299, ..) | Reply::Together(_)) {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            reply
        };
        let (script, kept): (Arc<Script>, _) = (Arc::new(Box::new(script)), got.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 1.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                connections.spawn(serve(stream, number, Arc::clone(&script), kept.clone()));
            }
        });
        Self { address, got, accepted, _serving: serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook?token=hush", self.address)
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.borrow().clone()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn has_got(&self, least: usize) {
        self.got.subscribe().wait_for(|got| got.len() >= least).await.unwrap();
    }

    /// How many requests were answered with a 2xx.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// The event ids in the order of their arrival.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.got().iter().map(|got| got.header("webhook-id").to_owned()).collect()
    }
}

async fn serve(mut stream: TcpStream, connection: usize, script: Arc<Script>, kept: watch::Sender<Vec<Got>>) {
    let mut buffer = Vec::new();
    while let Some(got) = read_request(&mut stream, &mut buffer, connection).await {
        let reply = script(&got);
        kept.send_modify(|kept| kept.push(got));
        match reply {
            Reply::Answer(status, headers, body) => {
                let length =
                    if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
                let answer = format!("HTTP/1.1 {status} x\r\n{headers}{length}\r\n{body}");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Reply::Silence(bytes) => {
                let _ = stream.write_all(&bytes).await;
                // Ends when the client goes away.
                let _ = stream.read(&mut [0; 1]).await;
                return;
            }
            Reply::Hangup => return,
            Reply::Together(barrier) => {
                barrier.wait().await;
                let _ = stream.write_all(b"HTTP/1.1 204 x\r\n\r\n").await;
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, connection: usize) -> Option<Got> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(buffer[..head_end].to_vec()).unwrap();
    let mut lines = text.split("\r\n");
    let head = lines.next().unwrap().to_owned();
    let headers: BTreeMap<_, _> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let end = head_end + 4 + headers["content-length"].parse::<usize>().unwrap();
    while buffer.len() < end {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = buffer[head_end + 4..end].to_vec();
    buffer.drain(..end);
    Some(Got { head, headers, body, connection })
}

/// A database, some people, a clock.
pub(crate) struct World {
    pub(crate) clock: ManualClock,
    pub(crate) wake: Arc<Notify>,
    pub(crate) store: Store,
    pub(crate) people: Vec<i64>,
    pub(crate) path: PathBuf,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) async fn with_people(people: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (clock, path) = (ManualClock::at(START), folder.path().join("presence.db"));
        let store = open(&path, &clock).await;
        let list = (0..people)
            .map(|i| Enrolment {
                identity: Identity {
                    org: OrgName::default_name(),
                    union_id: UnionId::parse(&format!("union-{i}")).unwrap(),
                },
                name: format!("person {i}"),
                groups: Vec::new(),
            })
            .collect();
        let (enrolled, _) = store.watch_list().enroll(list).await.unwrap();
        let people = enrolled.iter().map(|one| one.person_id).collect();
        Self { clock, wake: Arc::new(Notify::new()), store, people, path, _folder: folder }
    }

    /// An event about a person, for some webhooks.
    pub(crate) async fn event(&self, person: usize, id: &str, webhooks: &[&str]) {
        let outgoing = Outgoing { draft: draft(id, Some(person)), webhooks: names(webhooks) };
        let recording = Recording {
            person_id: self.people[person],
            org: OrgName::default_name(),
            snapshot: None,
            belief: UserState::default(),
            visits: Vec::new(),
            meetings: Vec::new(),
            events: vec![outgoing],
            watched: true,
            polled_at: None,
            next_poll: None,
        };
        self.store.recorder().record(recording).await.unwrap();
        self.wake.notify_one();
    }

    pub(crate) fn shared_clock(&self) -> SharedClock {
        Arc::new(self.clock.clone())
    }

    pub(crate) fn dispatcher(&self, targets: Vec<Target>) -> Dispatcher {
        Dispatcher::new(self.store.clone(), targets, self.shared_clock(), Arc::clone(&self.wake))
    }

    /// A webhook called `crm` with the defaults.
    pub(crate) fn target(&self, receiver: &Receiver) -> Target {
        self.target_at("crm", &receiver.url(), |_| {})
    }

    pub(crate) fn target_at(&self, name: &str, url: &str, change: impl FnOnce(&mut Destination)) -> Target {
        let mut destination = Destination {
            webhook: WebhookName::parse(name).unwrap(),
            url: Secret::new(url),
            format: BodyFormat::Standard,
            keys: vec![SigningKey::parse(SECRET).unwrap()],
            headers: Vec::new(),
            timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            concurrency: 8,
            network: NetworkPolicy::default(),
            proxy: None,
            ca_file: None,
            confidential: presenced::confidential::SharedConfidential::default(),
        };
        change(&mut destination);
        Target {
            name: destination.webhook.clone(),
            rules: Rules::default(),
            concurrency: 8,
            rate: 1_000,
            timeout: destination.timeout,
            sender: Sender::new(destination, self.shared_clock()).unwrap(),
        }
    }

    /// A hand in the file that is not the daemon's.
    pub(crate) async fn meddle(&self, sql: &'static str) {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&self.path);
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }

    /// Deliveries by their state.
    pub(crate) async fn count_by_state(&self) -> BTreeMap<String, usize> {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&self.path);
        let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
        let sql = "SELECT state, count(*) FROM deliveries GROUP BY state";
        let rows: Vec<(String, i64)> = sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap();
        rows.into_iter().map(|(state, count)| (state, usize::try_from(count).unwrap())).collect()
    }

    pub(crate) async fn health(&self, webhook: &str) -> Health {
        let states = self.store.outbox().webhook_states().await.unwrap();
        states
            .into_iter()
            .find(|(name, _)| name.as_str() == webhook)
            .map(|(_, health)| health)
            .unwrap_or_default()
    }

    /// Opens the same file again, as a daemon that starts after a crash does.
    pub(crate) async fn restart(&mut self) {
        self.store.close().await.unwrap();
        self.store = open(&self.path, &self.clock).await;
    }

    /// Moves the clock to each instant the dispatcher wants to come back at, at most `times`.
    pub(crate) async fn run_out(&self, dispatcher: &mut Dispatcher, times: usize) -> Vec<Timestamp> {
        let mut instants = Vec::new();
        for _ in 0..times {
            let Some(due) = dispatcher.settle().await else { break };
            instants.push(due);
            self.clock.set(due.max(self.clock.now()));
        }
        instants
    }
}

async fn open(path: &std::path::Path, clock: &ManualClock) -> Store {
    Store::open(path, chrono_tz::UTC, Arc::new(clock.clone())).await.unwrap()
}

fn names(webhooks: &[&str]) -> Arc<[WebhookName]> {
    webhooks.iter().map(|name| WebhookName::parse(name).unwrap()).collect()
}

fn draft(id: &str, person: Option<usize>) -> NewEvent {
    let note = "王伟 & \"quotes\"";
    let alert = system::system_alert("urn:x", None, AlertName::Config, true, note, START, 0);
    let identity = person.map(|i| Identity {
        org: OrgName::default_name(),
        union_id: UnionId::parse(&format!("union-{i}")).unwrap(),
    });
    NewEvent { id: EventId::parse(id).unwrap(), event_type: EventType::ParticipantJoined, identity, ..alert }
}
