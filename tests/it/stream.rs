//! The push connection against the simulator's gateway: events, acknowledgements, and every way to lose a connection.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]
#![expect(clippy::disallowed_methods, reason = "a server ends with its test")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::SinkExt as _;
use presenced::net::{ClientOptions, http_client};
use presenced::secret::Secret;
use presenced::simulator::faults::FaultTarget;
use presenced::simulator::options::Lag;
use presenced::simulator::{Fault, FaultKind, PushOptions};
use presenced::stream::connection::{Connection, Delivery, Inbox};
use presenced::stream::dial::App;
use presenced::stream::frame::Ack;
use presenced::stream::machine::Reason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::simulator_api::Stage;

/// A connection on a stage, and its task.
struct Connected {
    stage: Stage,
    inbox: Inbox,
    _tasks: JoinSet<()>,
}

impl Connected {
    /// Starts the connection; whether it comes up is another question.
    async fn start(rest: &str, faults: &[Fault]) -> Self {
        let stage = Stage::set(&format!("[push]\nping_every = \"0s\"\n{rest}")).await;
        for fault in faults {
            stage.simulator.add_fault(fault.clone());
        }
        let base = stage.simulator.base_url().to_owned();
        Self::on(stage, base, None, None)
    }

    fn on(stage: Stage, api_base: String, proxy: Option<String>, pem: Option<Vec<u8>>) -> Self {
        let options = ClientOptions {
            connect_timeout: Duration::from_secs(20),
            timeout: Duration::from_secs(20),
            idle_per_host: 4,
            proxy,
            extra_roots_pem: pem,
        };
        let http = http_client(&options).unwrap().build().unwrap();
        let app = App { api_base, key: "app".to_owned(), secret: Secret::new("s"), http };
        let (connection, inbox) = Connection::new(app, Arc::new(stage.clock.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(connection.run(CancellationToken::new()));
        Self { stage, inbox, _tasks: tasks }
    }

    /// Waits until it is up for the nth time, on both sides.
    async fn up(&mut self, times: u64) {
        let is_up = |connected: u64, down: Option<Reason>| connected == times && down.is_none();
        self.inbox
            .reports
            .wait_for(|report| is_up(report.state.counts.connected, report.state.down))
            .await
            .unwrap();
        self.stage.simulator.until(|counts| counts.pushed("connected") >= times).await;
    }

    async fn down(&mut self, reason: Reason) {
        self.inbox.reports.wait_for(|report| report.state.down == Some(reason)).await.unwrap();
    }

    fn advance(&self, seconds: u64) {
        self.stage.clock.advance(Duration::from_secs(seconds));
    }

    /// The next event.
    async fn event(&mut self) -> Delivery {
        self.inbox.deliveries.recv().await.unwrap()
    }
}

#[tokio::test]
async fn an_event_comes_once_it_is_acknowledged_and_again_after_later() {
    let mut it = Connected::start("", &[]).await;
    it.up(1).await;
    it.advance(60);
    let event = it.event().await;
    assert_eq!(event.envelope.kind, "meeting_member_status_change");
    assert_eq!(event.envelope.corp_id.as_deref(), Some("dingsimulator"));
    let message_id = event.envelope.message_id.clone();
    event.answer(Ack::Later);
    it.stage.simulator.until(|counts| counts.pushed("later") == 1).await;
    it.advance(10);
    let repeat = it.event().await;
    assert_eq!(repeat.envelope.message_id, message_id);
    repeat.answer(Ack::Success);
    it.stage.simulator.until(|counts| counts.pushed("acked") == 1).await;
}

#[tokio::test]
async fn a_disconnect_and_a_broken_connection_are_survived() {
    let mut it = Connected::start("", &[]).await;
    it.up(1).await;
    it.advance(60);
    it.event().await.answer(Ack::Success);
    it.stage.simulator.end_push_connections(false);
    it.up(2).await;
    it.advance(55);
    it.stage.simulator.end_push_connections(true);
    it.down(Reason::Closed).await;
    it.advance(2);
    it.up(3).await;
    it.advance(3);
    assert!(it.event().await.envelope.data.contains("user_leave"), "the next event comes on the new one");
}

#[tokio::test]
async fn refused_credentials_have_their_reason_and_are_tried_again() {
    let mut it = Connected::start("", &[Fault::new(FaultKind::AuthFailed).times(1)]).await;
    it.down(Reason::Auth).await;
    let error = it.inbox.reports.borrow().error.clone().unwrap();
    assert!(error.contains("app_secret"), "{error}");
    // Less than a jump of the clock at a time, and only until the attempt is under way: it has a time limit of its own.
    while it.inbox.reports.borrow().state.next_attempt.is_some() {
        it.advance(30);
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
    it.up(1).await;
    assert_eq!(it.inbox.reports.borrow().error, None);
}

#[tokio::test]
async fn a_refused_ticket_and_an_unusable_answer_are_tried_again_soon() {
    for fault in [
        Fault::new(FaultKind::UsedTicket),
        Fault::new(FaultKind::Garbage).on(FaultTarget::PushOpen),
        Fault::new(FaultKind::ErrorPage).on(FaultTarget::PushOpen),
        Fault::new(FaultKind::ServerError).on(FaultTarget::PushConnect),
    ] {
        let mut it = Connected::start("", &[fault.times(1)]).await;
        it.down(Reason::Unreachable).await;
        assert!(it.inbox.reports.borrow().error.is_some());
        it.advance(2);
        it.up(1).await;
    }
}

#[tokio::test]
async fn a_connection_that_answers_nothing_is_replaced_after_75_seconds() {
    let frozen = Fault::new(FaultKind::Hang).on(FaultTarget::PushConnect).times(1);
    let mut it = Connected::start("", &[frozen]).await;
    it.up(1).await;
    it.advance(75);
    it.up(2).await;
    assert!(
        it.inbox.reports.borrow().state.since >= crate::simulator_api::START.plus(Duration::from_secs(75))
    );
}

#[tokio::test]
async fn a_full_queue_is_answered_with_later() {
    let mut it = Connected::start("", &[]).await;
    it.up(1).await;
    for number in 0..=presenced::stream::connection::QUEUE as u64 {
        it.stage.simulator.renew_suite_tickets();
        it.stage.simulator.until(|counts| counts.pushed("sent") > number).await;
    }
    it.stage.simulator.until(|counts| counts.pushed("later") == 1).await;
}

/// Starts a server that ends TLS and passes the rest on to `to`; returns its port and its certificate.
async fn tls_front(to: SocketAddr) -> (u16, Vec<u8>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let chain = vec![certificate.der().clone()];
    let der = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, der).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut outside = acceptor.accept(stream).await?;
                let mut inside = TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    });
    (port, certificate.pem().into_bytes())
}

/// Starts an HTTP proxy that connects; returns its port and the hosts that it was asked for.
async fn proxy() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let hosts = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut outside, _)) = listener.accept().await {
            let hosts = Arc::clone(&hosts);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(outside.read_u8().await?);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let host =
                    head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
                hosts.lock().unwrap().push(host.clone());
                let mut inside = TcpStream::connect(host).await?;
                outside.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                tokio::io::copy_bidirectional(&mut outside, &mut inside).await
            });
        }
    });
    (port, asked)
}

#[tokio::test]
async fn a_wss_endpoint_is_reached_through_the_proxy_and_with_the_ca_file() {
    let stage = Stage::set("[push]\nping_every = \"0s\"\n").await;
    let (port, pem) = tls_front(stage.simulator.address()).await;
    let (proxy_port, asked) = proxy().await;
    let endpoint = format!("wss://localhost:{port}/connect");
    stage.simulator.set_push(PushOptions {
        endpoint,
        ping_every: Lag(Duration::ZERO),
        ..PushOptions::default()
    });
    let base = format!("https://localhost:{port}");
    let mut it = Connected::on(stage, base, Some(format!("http://127.0.0.1:{proxy_port}")), Some(pem));
    it.up(1).await;
    it.advance(60);
    it.event().await.answer(Ack::Success);
    it.stage.simulator.until(|counts| counts.pushed("acked") == 1).await;
    let host = format!("localhost:{port}");
    // The WebSocket may use the connection of the open call.
    assert!(!asked.lock().unwrap().is_empty() && asked.lock().unwrap().iter().all(|asked| *asked == host));
}

#[tokio::test]
async fn a_ticket_is_not_sent_to_an_endpoint_that_is_not_wss() {
    let stage = Stage::set("").await;
    let (port, pem) = tls_front(stage.simulator.address()).await;
    let endpoint = "ws://gateway.example.com/connect".to_owned();
    stage.simulator.set_push(PushOptions { endpoint, ..PushOptions::default() });
    let mut it = Connected::on(stage, format!("https://localhost:{port}"), None, Some(pem));
    it.down(Reason::Unreachable).await;
    let error = it.inbox.reports.borrow().error.clone().unwrap();
    assert!(error.contains("not `wss`") && !error.contains("example"), "{error}");
}

#[tokio::test]
async fn a_frame_that_is_too_large_ends_the_connection_and_nonsense_does_not() {
    let stage = Stage::set("").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("ws://{}/connect", listener.local_addr().unwrap());
    stage.simulator.set_push(PushOptions { endpoint, ..PushOptions::default() });
    let base = stage.simulator.base_url().to_owned();
    let mut it = Connected::on(stage, base, None, None);
    let mut socket = tokio_tungstenite::accept_async(listener.accept().await.unwrap().0).await.unwrap();
    for nonsense in ["", "{", "[1]", r#"{"type":"EVENT"}"#] {
        socket.send(Message::text(nonsense)).await.unwrap();
    }
    socket.send(Message::binary(vec![0; 100])).await.unwrap();
    it.inbox.reports.wait_for(|report| report.state.counts.not_understood == 5).await.unwrap();
    assert_eq!(it.inbox.reports.borrow().state.down, None);
    // The peer may close while this is written.
    let _ = socket.send(Message::text("x".repeat(2 * 1024 * 1024))).await;
    it.down(Reason::Closed).await;
}

#[tokio::test]
async fn a_thousand_lost_connections_lose_and_double_no_event_and_leave_no_socket() {
    const TIMES: u64 = 1000;
    let mut it = Connected::start("suite_ticket_every = \"0s\"\nevents = \"none\"\n", &[]).await;
    for time in 1..=TIMES {
        it.up(time).await;
        it.stage.simulator.renew_suite_tickets();
        let newest = it.stage.simulator.suite_ticket("app").unwrap();
        let event = it.event().await;
        assert!(event.envelope.data.contains(&newest), "each comes, and each comes once");
        event.answer(Ack::Success);
        it.stage.simulator.until(|counts| counts.pushed("acked") == time).await;
        // A connection that lived for a minute is replaced at once.
        it.advance(65);
        it.stage.simulator.end_push_connections(time % 2 == 0);
    }
    it.up(TIMES + 1).await;
    it.advance(15);
    it.stage.simulator.until(|counts| counts.pushed("closed") == TIMES).await;
    assert_eq!(it.stage.simulator.counts().pushed("messages"), TIMES);
}
