//! Many spellings of addresses, sent to over real sockets: a refused address never opens a connection.
//!
//! Guards: what URL parser, resolver and HTTP client together make of a host, which no table of addresses can show: decimal,
//! hex, octal, short and full-width numbers, IPv4 inside IPv6, trailing dots. The listeners are open on every address of
//! the machine, so a failed refusal is counted. Not here: the rules themselves (`webhook::address`).
#![expect(clippy::unwrap_used, reason = "a failure of the set-up is a failure of the test")]

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use presenced::clock::SystemClock;
use presenced::ids::WebhookName;
use presenced::policy::delivery::{Outcome, Trigger};
use presenced::secret::Secret;
use presenced::webhook::address::NetworkPolicy;
use presenced::webhook::format::BodyFormat;
use presenced::webhook::send::{Destination, Message, Sender, SenderError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const ANY: NetworkPolicy = NetworkPolicy { public_only: false, allow_link_local: false };
const PUBLIC: NetworkPolicy = NetworkPolicy { public_only: true, allow_link_local: false };

/// Spellings of loopback addresses, which lead to the listeners.
const LOOPBACK: &[&str] = &[
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.8.9.10",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0X7F000001",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "017700000001",
    "0177.0.0.1",
    "0177.0.0.01",
    "127.0x0.00.1",
    "%31%32%37.0.0.1",
    "0.0.0.0",
    "0",
    "0x0",
    "localhost",
    "LOCALHOST",
    "LocalHost",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::FFFF:7F00:0001]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0.0.0.0]",
];

/// Neither public nor an address that this machine can reach.
const PRIVATE: &[&str] = &[
    "10.0.0.1",
    "10.255.255.255",
    "0xa000001",
    "167772161",
    "012.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "2886729729",
    "192.168.1.1",
    "0300.0250.1.1",
    "192.168.257",
    "100.64.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "255.255.255.255",
    "[fc00::1]",
    "[fd12:3456:789a::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[::ffff:10.0.0.1]",
    "[::10.0.0.1]",
    "[::127.0.0.1]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:c0a8:101::]",
    "[2001:0:1:2:3:4:80ff:fffe]",
];

/// Link-local addresses and metadata services.
const LINK_LOCAL: &[&str] = &[
    "169.254.169.254",
    "169.254.169.254.",
    "169.254.0.1",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "025177524776",
    "169.254.43518",
    "169.16689662",
    "0xa9.254.0251.0xfe",
    "%31%36%39.254.169.254",
    "100.100.100.200",
    "0x646464c8",
    "168.63.129.16",
    "192.0.0.192",
    "[fe80::1]",
    "[FE80::1]",
    "[febf::ffff]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::169.254.169.254]",
    "[::ffff:0:169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::169.254.169.254]",
    "[2002:a9fe:a9fe::]",
    "[2001:0:1:2:3:4:5601:5601]",
    "[2001:db8::5efe:169.254.169.254]",
    "[::ffff:100.100.100.200]",
];

/// Texts that are not URLs.
const NO_HOST: &[&str] = &[
    "256.256.256.256",
    "127.0.0.0x100",
    "4294967296",
    "1.2.3.4.5",
    "[::1",
    "[fe80::1%25eth0]",
    "[::ffff:999.0.0.1]",
    "user@127.0.0.1",
    "user:word@127.0.0.1",
    "127.0.0.1 169.254.169.254",
    "127.0.0.1%00.example.com",
    "",
];

/// Counts the connections to a port, on every address of the machine.
struct Counter {
    port: u16,
    connections: Arc<AtomicUsize>,
    _listening: JoinSet<()>,
}

impl Counter {
    async fn start() -> Self {
        let v4 = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).await.unwrap();
        let port = v4.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let mut listening = JoinSet::new();
        listening.spawn(accept(v4, Arc::clone(&connections)));
        // A machine may lack IPv6, or have this port in use there. The mapped forms lead to IPv4 anyway.
        if let Ok(v6) = TcpListener::bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
            listening.spawn(accept(v6, Arc::clone(&connections)));
        }
        Self { port, connections, _listening: listening }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/hook?key=hush", self.port)
    }
}

async fn accept(listener: TcpListener, connections: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::SeqCst);
        // Early disconnects count too; an answer before the request would be an error.
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n").await;
    }
}

fn sender(url: &str, network: NetworkPolicy) -> Result<Sender, SenderError> {
    let destination = Destination {
        webhook: WebhookName::parse("corpus").unwrap(),
        url: Secret::new(url),
        format: BodyFormat::Standard,
        keys: Vec::new(),
        headers: Vec::new(),
        timeout: Duration::from_secs(15),
        connect_timeout: Duration::from_secs(5),
        concurrency: 1,
        network,
        proxy: None,
        ca_file: None,
        confidential: presenced::confidential::SharedConfidential::default(),
    };
    Sender::new(destination, Arc::new(SystemClock))
}

/// The outcome of a message to `url`, and its explanation.
async fn send(url: &str, network: NetworkPolicy) -> (Outcome, String) {
    let message = Message {
        event_id: "evt_1".to_owned(),
        event_type: "webhook.test".to_owned(),
        trigger: Trigger::Test,
        attempt: 1,
        body: b"{}".to_vec(),
    };
    let sender = sender(url, network).unwrap_or_else(|error| panic!("{url}: {error}"));
    let answer = sender.send(message).await.answer;
    let error = answer.error.unwrap_or_default();
    assert!(!error.contains("hush"), "the text holds the URL's query: {error}");
    (answer.outcome, error)
}

#[tokio::test]
async fn what_is_link_local_is_never_connected_to() {
    let counter = Counter::start().await;
    for host in LINK_LOCAL {
        for network in [ANY, PUBLIC] {
            let (outcome, error) = send(&counter.url(host), network).await;
            assert_eq!(outcome, Outcome::Unavailable, "{host}");
            assert!(error.contains("link-local"), "{host}: {error}");
        }
    }
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn what_is_not_public_is_not_connected_to_when_public_is_asked_for() {
    let counter = Counter::start().await;
    for host in LOOPBACK.iter().chain(PRIVATE) {
        let (outcome, error) = send(&counter.url(host), PUBLIC).await;
        assert_eq!(outcome, Outcome::Unavailable, "{host}");
        assert!(error.contains("not public"), "{host}: {error}");
    }
    assert_eq!(counter.connections(), 0);
}

#[tokio::test]
async fn loopback_is_allowed_unless_public_is_set() {
    let counter = Counter::start().await;
    for (before, host) in LOOPBACK.iter().enumerate() {
        let (outcome, error) = send(&counter.url(host), ANY).await;
        assert_eq!(outcome, Outcome::Accepted, "{host}: {error}");
        assert_eq!(counter.connections(), before + 1, "{host}");
    }
}

#[tokio::test]
async fn an_invalid_address_is_refused_before_anything_is_sent() {
    let counter = Counter::start().await;
    // Full-width digits and dots, which some programs accept as an address.
    let full_width = ["１２７.0.0.1", "127。0。0。1", "１６９．２５４．１６９．２５４"];
    for host in NO_HOST.iter().chain(&full_width) {
        let refused = sender(&counter.url(host), ANY).map(drop).unwrap_err();
        assert!(matches!(refused, SenderError::Url(_)), "{host}: {refused}");
        assert!(!refused.to_string().contains("hush"), "{refused}");
    }
    for url in ["ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "//127.0.0.1/", "127.0.0.1/"]
    {
        assert!(matches!(sender(url, ANY).map(drop), Err(SenderError::Url(_))), "{url}");
    }
    assert_eq!(counter.connections(), 0);
}

#[test]
fn the_corpus_is_large_enough() {
    let lists = [LOOPBACK, PRIVATE, LINK_LOCAL, NO_HOST];
    let hosts: std::collections::BTreeSet<_> = lists.into_iter().flatten().collect();
    assert_eq!(hosts.len(), lists.iter().map(|list| list.len()).sum::<usize>(), "each once");
    assert!(hosts.len() >= 80, "{}", hosts.len());
}
