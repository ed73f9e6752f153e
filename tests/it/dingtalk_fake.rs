//! A DingTalk server for these tests that sends given bytes, also those that no HTTP library would send.
//!
//! Guards: it shares nothing with the client but the socket. Not here: answers like those of the real host (the simulator).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono_tz::Tz;
use presenced::clock::{ManualClock, SharedClock};
use presenced::config::secrets::SecretSource;
use presenced::config::{App, Org};
use presenced::dingtalk::client::{Client, Credentials};
use presenced::ids::{OrgName, UnionId};
use presenced::secret::Secret;
use presenced::time::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// The example answer of DingTalk's page.
pub(crate) const SAMPLE: &str = r#"{"onGoingConfIdList":["654058f2411fe90147e68780"],"memberModelMap":{"key":{"unionId":"2iPOLbpUNMLzB5LuwggiiqiPwiEiE","conferenceId":"654058f2411fe90147e68780","userNick":"Test Name","joinTime":1699347295876,"leaveTime":1699347395876,"duration":100000,"host":false,"coHost":false,"outerOrgMember":false,"pstnJoin":false,"deviceType":"Win"}}}"#;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Sends these bytes and keeps the connection.
    Raw(Vec<u8>),
    /// Sends these bytes and closes the connection.
    RawThenClose(Vec<u8>),
    /// Sends these bytes, then nothing more, and keeps the connection open.
    RawThenSilence(Vec<u8>),
    /// Sends these bytes, then chunk after chunk until the client closes the connection.
    RawThenFlood(Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Sends the other reply after this many requests have arrived.
    Together(Arc<Barrier>, Box<Reply>),
}

/// A complete HTTP answer.
pub(crate) fn http(status: u16, body: &str) -> Reply {
    with_header(status, "Content-Type: application/json;charset=utf-8", body)
}

/// A complete HTTP answer with an additional header.
pub(crate) fn with_header(status: u16, header: &str, body: &str) -> Reply {
    Reply::Raw(
        format!("HTTP/1.1 {status} X\r\n{header}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            .into_bytes(),
    )
}

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `GET /path?query`.
    pub(crate) line: String,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) token: Option<String>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn is_list(&self) -> bool {
        self.line.starts_with("GET /v1.0/conference/users/lists?")
    }
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The server; it ends when dropped.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Fake {
    /// Answers every request by `script`.
    pub(crate) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let script: Arc<Script> = Arc::new(script);
        let mut tasks = JoinSet::new();
        let (log, count) = (Arc::clone(&seen), Arc::clone(&connections));
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                open.spawn(serve(stream, Arc::clone(&script), Arc::clone(&log)));
            }
        });
        Self { address, seen, connections, _tasks: tasks }
    }

    /// Always gives the token `tok`, and answers all other calls with `reply`.
    pub(crate) async fn with_list(reply: Reply) -> Self {
        Self::start(move |seen| {
            if seen.line.contains("/oauth2/") {
                http(200, r#"{"accessToken":"tok","expireIn":7200}"#)
            } else {
                reply.clone()
            }
        })
        .await
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn lists(&self) -> usize {
        self.seen().iter().filter(|seen| seen.is_list()).count()
    }

    pub(crate) fn token_calls(&self) -> usize {
        self.seen().iter().filter(|seen| seen.line.contains("/oauth2/")).count()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn org(&self, app: App) -> Org {
        Org {
            name: OrgName::parse("default").unwrap(),
            api_base: format!("http://{}", self.address),
            legacy_base: format!("http://{}", self.address),
            app,
            calls_per_month: None,
            month_time_zone: Tz::Asia__Shanghai,
            rate: 20,
            concurrency: 64,
            timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            proxy: None,
            ca_file: None,
        }
    }

    /// A client of an internal app.
    pub(crate) fn client(&self) -> Client {
        client(&self.org(internal()), &clock())
    }
}

pub(crate) fn internal() -> App {
    let secret = SecretSource::Plain(Secret::new("the secret"));
    App::Internal { key: "dingkey".into(), secret, corp_id: None }
}

pub(crate) fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_ms(1_795_413_600_000))
}

pub(crate) fn client(org: &Org, clock: &ManualClock) -> Client {
    let credentials =
        Credentials { secret: Secret::new("the secret"), suite_ticket: Some(Secret::new("the ticket")) };
    let clock: SharedClock = Arc::new(clock.clone());
    Client::new(org, credentials, clock).unwrap()
}

pub(crate) fn me() -> UnionId {
    UnionId::parse("2iPOLbpUNMLzB5LuwggiiqiPwiEiE").unwrap()
}

async fn serve(mut stream: TcpStream, script: Arc<Script>, log: Arc<Mutex<Vec<Seen>>>) {
    while let Some(seen) = read(&mut stream).await {
        log.lock().unwrap().push(seen.clone());
        let mut reply = script(&seen);
        while let Reply::Together(barrier, inner) = reply {
            barrier.wait().await;
            reply = *inner;
        }
        match reply {
            Reply::Raw(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Reply::RawThenClose(bytes) => {
                // Some tests close the connection before this point.
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Reply::RawThenSilence(bytes) => {
                let _ = stream.write_all(&bytes).await;
                std::future::pending::<()>().await;
            }
            Reply::RawThenFlood(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
                while stream.write_all(chunk.as_bytes()).await.is_ok() {}
                return;
            }
            Reply::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
            Reply::Together(..) => unreachable!("unwrapped above"),
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let value = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let length: usize = value("content-length").map_or(0, |text| text.parse().unwrap());
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let first = head.lines().next().unwrap_or_default();
    Some(Seen {
        line: first.trim_end_matches(" HTTP/1.1").to_owned(),
        token: value("x-acs-dingtalk-access-token"),
        head: head.to_ascii_lowercase(),
        body: String::from_utf8(bytes[end + 4..].to_vec()).unwrap(),
    })
}
