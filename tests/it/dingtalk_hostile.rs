//! Hostile and broken answers over a real socket: each is an error with its class, none is an observation.

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::time::Duration;

use presenced::config::App;
use presenced::config::secrets::SecretSource;
use presenced::dingtalk::client::{Answer, Client};
use presenced::dingtalk::error::{CallError, Verdict, class};
use presenced::secret::Secret;
use tokio::net::TcpListener;

use crate::dingtalk_fake::{Fake, Reply, SAMPLE, client, clock, http, internal, me, with_header};

async fn ask(client: &Client) -> CallError {
    match client.ongoing(&me(), None).await {
        Err(error) => error,
        Ok(answer) => panic!("taken for an answer: {answer:?}"),
    }
}

/// Answers the list call with `reply`, and checks the error's class, verdict and charged calls.
async fn expect(name: &str, reply: Reply, class: &str, verdict: Verdict, calls: u32) -> CallError {
    let silent = matches!(reply, Reply::RawThenSilence(_));
    let fake = Fake::with_list(reply).await;
    let mut org = fake.org(internal());
    if silent {
        // The token is fetched first, so that the short time-out covers only the list call.
        org.app = App::Token { access_token: SecretSource::Plain(Secret::new("the secret")) };
        org.timeout = Duration::from_millis(300);
    }
    let client = client(&org, &clock());
    client.token_ready().await.unwrap();
    let error = ask(&client).await;
    assert_eq!((error.class, &error.verdict, error.calls), (class, &verdict, calls), "{name}: {error:?}");
    assert_eq!(error.charged, calls > 0, "{name}");
    for secret in ["2iPOLbpUNMLzB5LuwggiiqiPwiEiE", "unionId=", "http://", "the secret", "tok"] {
        assert!(!error.to_string().contains(secret), "{name}: {error}");
    }
    error
}

fn head(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{text}\r\n\r\n").into_bytes()
}

const THROTTLED: Verdict = Verdict::Throttled { pause: Duration::from_secs(1) };

#[tokio::test]
async fn broken_connections_and_broken_http() {
    let cut_chunk = [head("Transfer-Encoding: chunked"), b"5\r\n{\"onG".to_vec()].concat();
    let wrong_chunk = [head("Transfer-Encoding: chunked"), b"zz\r\n".to_vec()].concat();
    let cut_head = b"HTTP/1.1 200 OK\r\nContent-Ty".to_vec();
    let big_head = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 2 << 20]].concat();
    for (name, reply) in [
        ("closed without a word", Reply::RawThenClose(Vec::new())),
        ("reset", Reply::Reset),
        ("not HTTP", Reply::RawThenClose(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())),
        ("a head cut short", Reply::RawThenClose(cut_head)),
        ("a chunk cut short", Reply::RawThenClose(cut_chunk)),
        ("a chunk without a length", Reply::RawThenClose(wrong_chunk)),
        ("a head of two megabytes", Reply::RawThenClose(big_head)),
    ] {
        expect(name, reply, class::BROKEN, Verdict::Unreachable, 1).await;
    }
}

#[tokio::test]
async fn silence_is_a_time_out_and_is_charged() {
    let half = [head("Content-Length: 500"), SAMPLE.as_bytes()[..100].to_vec()].concat();
    for (name, reply) in [
        ("never a word", Reply::RawThenSilence(Vec::new())),
        ("half a head", Reply::RawThenSilence(b"HTTP/1.1 200 OK\r\n".to_vec())),
        ("half a body", Reply::RawThenSilence(half)),
    ] {
        expect(name, reply, class::TIMEOUT, Verdict::Unreachable, 1).await;
    }
}

#[tokio::test]
async fn floods_are_stopped() {
    let announced = [head("Content-Length: 1073741824"), SAMPLE.as_bytes().to_vec()].concat();
    for (name, reply) in [
        ("a gigabyte announced", Reply::RawThenClose(announced)),
        ("chunks without end", Reply::RawThenFlood(head("Transfer-Encoding: chunked"))),
        ("one byte too many", http(200, &" ".repeat(1024 * 1024 + 1))),
    ] {
        expect(name, reply, class::OVERSIZED, Verdict::Outage, 1).await;
    }
}

#[tokio::test]
async fn bodies_that_are_no_answer() {
    let deep = format!("{{\"memberModelMap\":{{\"a\":{{\"x\":{}", "[".repeat(200_000));
    let ban = r#"{"status":1111,"wait":5,"source":"x5","punish":"deny","uuid":"u"}"#;
    let page = "<!DOCTYPE html><html><body>denied</body></html>";
    let other = SAMPLE.replace("2iPOLbpUNMLzB5LuwggiiqiPwiEiE", "another-user");
    let foreign = SAMPLE.replacen('{', "{\"errcode\":0,", 1);
    let many: Vec<String> = (0..500).map(|n| format!("\"c{n}\"")).collect();
    let many = format!("{{\"onGoingConfIdList\":[{}],\"memberModelMap\":{{}}}}", many.join(","));
    let gzip = "Content-Encoding: gzip";
    let rows = [
        ("empty", http(200, ""), class::NOT_JSON, Verdict::Outage),
        ("204", Reply::Raw(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()), class::NOT_JSON, Verdict::Outage),
        ("plain text", http(200, "OK"), class::NOT_JSON, Verdict::Outage),
        ("half the JSON", http(200, &SAMPLE[..200]), class::NOT_JSON, Verdict::Outage),
        ("two documents", http(200, &SAMPLE.repeat(2)), class::NOT_JSON, Verdict::Outage),
        ("compressed unasked", with_header(200, gzip, "\u{1f}\u{8b}"), class::NOT_JSON, Verdict::Outage),
        ("nested deeply", http(200, &deep), class::NOT_JSON, Verdict::Outage),
        ("a list", http(200, "[]"), class::MALFORMED, Verdict::Outage),
        ("null", http(200, "null"), class::MALFORMED, Verdict::Outage),
        ("another object", http(200, r#"{"hello":"world"}"#), class::MALFORMED, Verdict::Outage),
        ("another user's record", http(200, &other), class::MALFORMED, Verdict::Outage),
        ("five hundred meetings", http(200, &many), class::MALFORMED, Verdict::Outage),
        ("good, but 206", http(206, SAMPLE), class::MALFORMED, Verdict::Outage),
        ("an errcode beside a good answer", http(200, &foreign), class::FOREIGN, Verdict::Outage),
        ("success: false", http(200, r#"{"code":"x","success":false}"#), class::FOREIGN, Verdict::Outage),
        (
            "unknown path",
            http(200, r#"{"errcode":404,"errmsg":"?"}"#),
            class::MISCONFIGURED,
            Verdict::Misconfigured,
        ),
        ("the ban with 200", http(200, ban), class::BANNED, Verdict::Banned),
        ("the ban with 403", http(403, ban), class::BANNED, Verdict::Banned),
        ("the ban's page with 200", http(200, page), class::BANNED, Verdict::MaybeBanned),
        ("a good answer with 500", http(500, SAMPLE), class::OUTAGE, Verdict::Outage),
        ("a server's page", http(502, page), class::OUTAGE, Verdict::Outage),
    ];
    for (name, reply, class, verdict) in rows {
        expect(name, reply, class, verdict, 1).await;
    }
}

#[tokio::test]
async fn refusals_keep_their_request_id_and_their_wait() {
    let body = r#"{"code":"Forbidden.AccessDenied.QpsLimitForAppkeyAndApi","message":"m","requestid":"R-1"}"#;
    let error = expect("a limit", http(403, body), class::THROTTLED, THROTTLED, 0).await;
    assert_eq!(error.request_id.as_deref(), Some("R-1"));
    assert_eq!(error.code.as_deref(), Some("Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"));
    let busy = with_header(429, "Retry-After: 9\r\nx-acs-request-id: R-2", r#"{"code":"system.busy"}"#);
    let pause = Verdict::Throttled { pause: Duration::from_secs(9) };
    let error = expect("busy", busy, class::BUSY, pause, 1).await;
    assert_eq!((error.request_id.as_deref(), error.retry_after), (Some("R-2"), Some(Duration::from_secs(9))));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let fake = Fake::with_list(with_header(302, "Location: /stolen", "")).await;
    let error = ask(&fake.client()).await;
    assert_eq!((error.class, error.verdict), (class::REDIRECT, Verdict::Misconfigured));
    assert!(fake.seen().iter().all(|seen| !seen.line.contains("stolen")));
}

#[tokio::test]
async fn a_refused_connection_is_not_charged() {
    let fake = Fake::with_list(http(200, SAMPLE)).await;
    let mut org = fake.org(internal());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    org.api_base = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let error = ask(&client(&org, &clock())).await;
    assert_eq!((error.class, error.calls, error.charged), (class::UNREACHABLE, 0, false), "{error}");
    assert_eq!(error.verdict, Verdict::Unreachable);
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_an_error_and_a_whole_one_after_it_is_read() {
    for end in 0..SAMPLE.len() {
        let cut = [head(&format!("Content-Length: {}", SAMPLE.len())), SAMPLE.as_bytes()[..end].to_vec()];
        let fake = Fake::start(move |seen| match (seen.is_list(), seen.line.ends_with("=whole")) {
            (true, false) => Reply::RawThenClose(cut.concat()),
            (true, true) => http(200, "{}"),
            _ => http(200, r#"{"accessToken":"tok","expireIn":7200}"#),
        })
        .await;
        let client = fake.client();
        assert_eq!(ask(&client).await.class, class::BROKEN, "cut at {end}");
        let whole = client.ongoing(&"whole".parse().unwrap(), None).await.unwrap();
        assert!(matches!(whole, Answer::Observed { calls: 1, .. }));
    }
}
