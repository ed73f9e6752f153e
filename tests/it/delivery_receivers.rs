//! Receivers that are slow, odd or hostile, over real sockets.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use presenced::confidential::Confidential;
use presenced::policy::delivery::{Outcome, Trigger};
use presenced::secret::Secret;
use presenced::webhook::address::NetworkPolicy;
use presenced::webhook::answer::{Answer, MAX_BODY_BYTES, MAX_KEPT_BYTES};
use presenced::webhook::format::BodyFormat;
use presenced::webhook::send::{Destination, Message, Sender};

use crate::delivery_harness::{OK, Receiver, Reply, World};

fn message(id: &str) -> Message {
    Message {
        event_id: id.to_owned(),
        event_type: "meeting.participant_left".to_owned(),
        trigger: Trigger::Event,
        attempt: 1,
        body: b"{}".to_vec(),
    }
}

async fn send_to(url: &str, change: impl FnOnce(&mut Destination)) -> Answer {
    let world = World::with_people(0).await;
    world.target_at("crm", url, change).sender.send(message("evt_1")).await.answer
}

fn says(answer: &Answer, text: &str) -> bool {
    answer.error.as_deref().unwrap_or_default().contains(text)
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::start(|_| OK).await;
    let location: &'static str = format!("location: {}\r\n", elsewhere.url()).leak();
    let receiver = Receiver::start(move |_| Reply::Answer(307, location, "")).await;
    let answer = send_to(&receiver.url(), |_| {}).await;
    assert_eq!((answer.outcome, answer.status), (Outcome::Refused, Some(307)));
    assert!(elsewhere.got().is_empty());
}

#[tokio::test]
async fn a_silent_receiver_runs_into_the_time_out() {
    let short = |destination: &mut Destination| destination.timeout = Duration::from_millis(50);
    for start in [&b""[..], b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nx: "] {
        let receiver = Receiver::start(move |_| Reply::Silence(start.to_vec())).await;
        let answer = send_to(&receiver.url(), short).await;
        assert_eq!((answer.outcome, answer.status), (Outcome::Unavailable, None), "{answer:?}");
        assert!(says(&answer, "no answer within 50ms") || says(&answer, "timed out"), "{answer:?}");
    }
}

#[tokio::test]
async fn an_accepting_head_is_enough_whatever_its_body_does() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nx".to_vec();
    let receiver = Receiver::start(move |_| Reply::Silence(head.clone())).await;
    let answer = send_to(&receiver.url(), |_| {}).await;
    assert_eq!((answer.outcome, answer.status), (Outcome::Accepted, Some(200)));
}

#[tokio::test]
async fn the_body_of_a_failure_is_cut_and_escaped() {
    let mut raw = b"HTTP/1.1 500 x\r\n\r\n\x1b[2J".to_vec();
    raw.extend(vec![b'a'; 4 * MAX_BODY_BYTES]);
    let receiver = Receiver::start(move |_| Reply::Raw(raw.clone())).await;
    let answer = send_to(&receiver.url(), |_| {}).await;
    assert_eq!(answer.status, Some(500));
    assert!(answer.excerpt.starts_with("\\u{1b}[2Jaaa"));
    assert!(answer.excerpt.len() <= MAX_KEPT_BYTES);
}

#[tokio::test]
async fn the_body_of_a_failure_is_waited_for_only_so_long() {
    let head = b"HTTP/1.1 503 x\r\ncontent-length: 100\r\n\r\nbusy".to_vec();
    let receiver = Receiver::start(move |_| Reply::Silence(head.clone())).await;
    let answer = send_to(&receiver.url(), |_| {}).await;
    assert_eq!((answer.status, answer.excerpt.as_str()), (Some(503), "busy"));
}

#[tokio::test]
async fn what_is_no_http_is_unavailable() {
    for raw in [&b"SSH-2.0-OpenSSH_9\r\n"[..], b"HTTP/9.9 what\r\n\r\n", b"\0\0\0", b"HTTP/1.1 abc\r\n\r\n"] {
        let receiver = Receiver::start(move |_| Reply::Raw(raw.to_vec())).await;
        let answer = send_to(&receiver.url(), |_| {}).await;
        assert_eq!((answer.outcome, answer.status), (Outcome::Unavailable, None), "{raw:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_host_are_unavailable_and_the_text_hides_the_url() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [
        format!("http://{free}/path-secret?key=hush"),
        "http://no-such-host.invalid/path-secret?key=hush".to_owned(),
    ] {
        let answer = send_to(&url, |_| {}).await;
        assert_eq!((answer.outcome, answer.status), (Outcome::Unavailable, None));
        let text = answer.error.unwrap();
        for secret in ["hush", "path-secret", "?"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

#[tokio::test]
async fn an_error_page_that_repeats_the_url_is_kept_without_it() {
    let page = "Cannot POST /path-secret?key=hush (hush)";
    let receiver = Receiver::start(move |_| Reply::Answer(404, "", page)).await;
    let answer = send_to(&format!("http://{}/path-secret?key=hush", receiver.address), |_| {}).await;
    assert_eq!(answer.excerpt, "Cannot POST /[hidden]?[hidden] ([hidden])");
    assert_eq!(answer.error.as_deref(), Some("answered 404: Cannot POST /[hidden]?[hidden] ([hidden])"));
}

#[tokio::test]
async fn an_answer_that_names_another_user_or_another_secret_is_kept_without_it() {
    let page = r#"{"error":"duplicate of u-li+wei\/2, app key other-secret"}"#;
    let receiver = Receiver::start(move |_| Reply::Answer(422, "", page)).await;
    let answer = send_to(&receiver.url(), |destination| {
        let mut known = Confidential::default();
        for text in ["u-li+wei/2", "other-secret"] {
            known.add_escaped(text);
        }
        destination.confidential.replace(known);
    })
    .await;
    assert_eq!(answer.excerpt, r#"{"error":"duplicate of [hidden], app key [hidden]"}"#);
}

#[tokio::test]
async fn a_flood_of_headers_ends_at_the_clients_limit() {
    let mut raw = b"HTTP/1.1 200 OK\r\n".to_vec();
    raw.extend(b"x-flood: 0123456789012345678901234567890123456789\r\n".repeat(100_000));
    let receiver = Receiver::start(move |_| Reply::Raw(raw.clone())).await;
    let answer = send_to(&receiver.url(), |_| {}).await;
    assert_eq!((answer.outcome, answer.status), (Outcome::Unavailable, None), "{answer:?}");
}

#[tokio::test]
async fn a_receiver_that_drips_runs_into_the_one_time_out_over_all_of_it() {
    use tokio::io::AsyncWriteExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=hush", listener.local_addr().unwrap());
    let mut dripping = tokio::task::JoinSet::new();
    dripping.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut drops = tokio::time::interval(Duration::from_millis(5));
        stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await.unwrap();
        // Ends when the client disconnects, so no single read is ever late.
        while stream.write_all(b"a").await.is_ok() {
            drops.tick().await;
        }
    });
    let answer = send_to(&url, |destination| destination.timeout = Duration::from_millis(100)).await;
    assert_eq!((answer.outcome, answer.status), (Outcome::Unavailable, None), "{answer:?}");
    dripping.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_kept_connection_that_died_is_retried_at_once_and_a_new_one_is_not() {
    // The second request of a connection finds it closed.
    let receiver =
        Receiver::start(|got| if got.header("webhook-id") == "evt_dies" { Reply::Hangup } else { OK }).await;
    let world = World::with_people(0).await;
    let sender = world.target(&receiver).sender;
    assert_eq!(sender.send(message("evt_dies")).await.answer.outcome, Outcome::Unavailable);
    assert_eq!(receiver.got().len(), 1, "a fresh connection that ends is an answer of its own");
    assert_eq!(sender.send(message("evt_1")).await.answer.outcome, Outcome::Accepted);
    assert_eq!(sender.send(message("evt_dies")).await.answer.outcome, Outcome::Unavailable);
    let connections: Vec<_> = receiver.got().iter().map(|got| got.connection).collect();
    assert_eq!(connections, [1, 2, 2, 3], "once more, on a connection of its own");
}

#[tokio::test]
async fn the_instant_retry_saves_the_delivery() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let receiver =
        Receiver::start(
            move |_| if counted.fetch_add(1, Ordering::SeqCst) == 1 { Reply::Hangup } else { OK },
        )
        .await;
    let world = World::with_people(0).await;
    let sender = world.target(&receiver).sender;
    for id in ["evt_1", "evt_2"] {
        assert_eq!(sender.send(message(id)).await.answer.outcome, Outcome::Accepted);
    }
    assert_eq!(receiver.ids(), ["evt_1", "evt_2", "evt_2"]);
}

#[tokio::test]
async fn a_body_read_to_its_end_keeps_the_connection() {
    let receiver = Receiver::start(|_| Reply::Answer(200, "", "thanks")).await;
    let world = World::with_people(0).await;
    let sender = world.target(&receiver).sender;
    for _ in 0..5 {
        sender.send(message("evt_1")).await.unread_body.expect("there is a body").drain().await;
    }
    assert!(receiver.got().iter().all(|got| got.connection == 1));
}

#[tokio::test]
async fn forbidden_addresses_are_never_connected_to() {
    let receiver = Receiver::start(|_| OK).await;
    let public = |destination: &mut Destination| {
        destination.network = NetworkPolicy { public_only: true, ..NetworkPolicy::default() };
    };
    let port = receiver.address.port();
    for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"] {
        let answer = send_to(&format!("http://{host}:{port}/"), public).await;
        assert_eq!(answer.outcome, Outcome::Unavailable, "{host}");
        assert!(says(&answer, "not public"), "{host}: {answer:?}");
    }
    for host in ["169.254.169.254", "[fe80::1]", "0xa9fea9fe"] {
        let answer = send_to(&format!("http://{host}:{port}/"), |_| {}).await;
        assert!(says(&answer, "link-local"), "{host}: {answer:?}");
    }
    assert!(receiver.got().is_empty());
    assert_eq!(send_to(&format!("http://localhost:{port}/"), |_| {}).await.outcome, Outcome::Accepted);
}

#[tokio::test]
async fn extra_headers_are_sent_and_cannot_replace_ours() {
    let receiver = Receiver::start(|_| OK).await;
    send_to(&receiver.url(), |destination| {
        destination.format = BodyFormat::CloudEvents;
        destination.keys = Vec::new();
        destination.headers = vec![
            ("X-Site".to_owned(), Secret::new("HZ")),
            ("webhook-signature".to_owned(), Secret::new("v1,forged")),
            ("Presenced-Webhook".to_owned(), Secret::new("other")),
            ("Content-Type".to_owned(), Secret::new("text/plain")),
        ];
    })
    .await;
    let got = receiver.got();
    assert_eq!(got[0].header("x-site"), "HZ");
    assert_eq!(got[0].header("webhook-signature"), "", "unsigned without a secret");
    assert_eq!(got[0].header("presenced-webhook"), "crm");
    assert_eq!(got[0].header("content-type"), "application/cloudevents+json");
}

#[tokio::test]
async fn a_url_or_header_that_cannot_be_used_is_refused_without_showing_it() {
    let world = World::with_people(0).await;
    let good = Destination {
        webhook: presenced::ids::WebhookName::parse("crm").unwrap(),
        url: Secret::new("http://127.0.0.1/"),
        format: BodyFormat::Standard,
        keys: Vec::new(),
        headers: Vec::new(),
        timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        concurrency: 1,
        network: NetworkPolicy::default(),
        proxy: None,
        ca_file: None,
        confidential: presenced::confidential::SharedConfidential::default(),
    };
    for url in ["hush", "ftp://hush/", "http://user:hush@example.com/", "http://hush@example.com/"] {
        let bad = Destination { url: Secret::new(url), ..good.clone() };
        let error = Sender::new(bad, world.shared_clock()).unwrap_err().to_string();
        assert!(!error.contains("hush"), "{error}");
    }
    let bad = Destination { headers: vec![("x".to_owned(), Secret::new("hu\nsh"))], ..good };
    assert_eq!(
        Sender::new(bad, world.shared_clock()).unwrap_err().to_string(),
        "the header `x` is not usable"
    );
}
