//! Receivers and DingTalk behind TLS with their own certificates, over loopback.
//!
//! Guards: which certificates `ca_file` makes acceptable, and the texts for refused ones. Not here: the config keys
//! (`config_reading`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]
#![expect(clippy::disallowed_methods, reason = "a server ends with its test")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use presenced::clock::SystemClock;
use presenced::ids::WebhookName;
use presenced::policy::delivery::{Outcome, Trigger};
use presenced::secret::Secret;
use presenced::webhook::address::NetworkPolicy;
use presenced::webhook::format::BodyFormat;
use presenced::webhook::send::{Destination, Message, Sender};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::dingtalk_fake::{Fake, client, clock, internal, me};

/// The years of validity, from and to.
type Years = (i32, i32);
const VALID: Years = (2000, 2200);
const EXPIRED: Years = (2000, 2001);
const LATER: Years = (2190, 2200);

const CA: IsCa = IsCa::Ca(BasicConstraints::Unconstrained);
/// How a self-signed certificate is marked: as by `openssl req -x509`, as by other tools, or not at all.
const MARKS: [IsCa; 3] = [CA, IsCa::ExplicitNoCa, IsCa::NoCa];

fn params(host: &str, is_ca: IsCa, years: Years) -> CertificateParams {
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, host);
    params.is_ca = is_ca;
    (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
    params
}

fn self_signed(host: &str, is_ca: IsCa, years: Years) -> (Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (params(host, is_ca, years).self_signed(&key).unwrap(), key)
}

fn ca(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::self_signed(params(name, CA, VALID), KeyPair::generate().unwrap()).unwrap()
}

fn issued(ca: &CertifiedIssuer<'_, KeyPair>, host: &str, years: Years) -> (Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (params(host, IsCa::NoCa, years).signed_by(&key, ca).unwrap(), key)
}

/// Starts a server with this certificate that answers every request with an empty 204; returns its port.
async fn serve((certificate, key): (&CertificateDer<'static>, &KeyPair)) -> u16 {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that refuses the certificate ends the handshake.
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream).await;
            }
        }
    });
    port
}

/// Reads a request's head, answers 204 and returns the head.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            break;
        }
        head.extend_from_slice(&buffer[..read]);
    }
    let _ = stream.write_all(b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n").await;
    let _ = stream.shutdown().await;
    String::from_utf8_lossy(&head).into_owned()
}

fn ca_file(folder: &TempDir, pem: &str) -> PathBuf {
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, pem).unwrap();
    path
}

fn destination(url: &str) -> Destination {
    Destination {
        webhook: WebhookName::parse("crm").unwrap(),
        url: Secret::new(url),
        format: BodyFormat::Standard,
        keys: Vec::new(),
        headers: Vec::new(),
        timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(30),
        concurrency: 1,
        network: NetworkPolicy::default(),
        proxy: None,
        ca_file: None,
        confidential: presenced::confidential::SharedConfidential::default(),
    }
}

/// The error of a message; `None` if it is accepted.
async fn send(destination: Destination) -> Option<String> {
    let sender = Sender::new(destination, Arc::new(SystemClock)).unwrap();
    let message = Message {
        event_id: "evt_1".to_owned(),
        event_type: "webhook.test".to_owned(),
        trigger: Trigger::Test,
        attempt: 1,
        body: b"{}".to_vec(),
    };
    let answer = sender.send(message).await.answer;
    assert_eq!(answer.outcome == Outcome::Accepted, answer.error.is_none(), "{answer:?}");
    let error = answer.error?;
    assert!(!error.contains("hush"), "the text holds the URL: {error}");
    Some(error)
}

/// Sends to `localhost`, which serves `served`, with `pem` in the CA file.
async fn send_trusting(served: &(Certificate, KeyPair), pem: &str) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let port = serve((served.0.der(), &served.1)).await;
    let to = destination(&format!("https://localhost:{port}/hush"));
    send(Destination { ca_file: Some(ca_file(&folder, pem)), ..to }).await
}

#[tokio::test]
async fn a_certificate_of_a_ca_in_the_ca_file_is_accepted() {
    let ca = ca("our CA");
    let served = issued(&ca, "localhost", VALID);
    assert_eq!(send_trusting(&served, &ca.pem()).await, None);
}

#[tokio::test]
async fn a_self_signed_certificate_in_the_ca_file_is_accepted() {
    for mark in MARKS {
        let served = self_signed("localhost", mark, VALID);
        assert_eq!(send_trusting(&served, &served.0.pem()).await, None, "{mark:?}");
    }
    // A certificate of a CA that is not listed is refused too.
    let served = issued(&ca("our CA"), "localhost", VALID);
    let pem = ca("another CA").pem() + &served.0.pem();
    assert_eq!(send_trusting(&served, &pem).await, None);
}

#[tokio::test]
async fn a_certificate_that_is_not_in_the_ca_file_is_refused_with_the_next_step() {
    let other = ca("another CA").pem();
    let served = issued(&ca("our CA"), "localhost", VALID);
    let unknown = "the server's certificate has an unknown issuer; name the CA in `ca_file`";
    assert_eq!(send_trusting(&served, &other).await.unwrap(), unknown);
    let served = self_signed("localhost", CA, VALID);
    let own = "the server's certificate is self-signed, or a CA's own; name it in `ca_file`";
    assert_eq!(send_trusting(&served, &other).await.unwrap(), own);
    // Another certificate for the same name does not count.
    let twin = self_signed("localhost", CA, VALID).0.pem();
    assert_eq!(send_trusting(&served, &twin).await.unwrap(), own);
}

#[tokio::test]
async fn a_certificate_in_the_ca_file_is_refused_for_another_host_name() {
    let expected = "the server's certificate does not hold the URL's host name (it is for crm.example.com); \
                    use a name that it holds, or replace it";
    for mark in MARKS {
        let served = self_signed("crm.example.com", mark, VALID);
        assert_eq!(send_trusting(&served, &served.0.pem()).await.unwrap(), expected, "{mark:?}");
    }
    let ca = ca("our CA");
    let served = issued(&ca, "crm.example.com", VALID);
    assert_eq!(send_trusting(&served, &ca.pem()).await.unwrap(), expected);
    assert_eq!(send_trusting(&served, &served.0.pem()).await.unwrap(), expected);
}

#[tokio::test]
async fn a_certificate_in_the_ca_file_is_refused_outside_its_dates() {
    let ca = ca("our CA");
    for (years, expected) in [
        (EXPIRED, "expired at 2001-01-01T00:00:00.000Z; renew it on the server"),
        (LATER, "is not valid before 2190-01-01T00:00:00.000Z; check this machine's clock"),
    ] {
        for mark in MARKS {
            let served = self_signed("localhost", mark, years);
            let error = send_trusting(&served, &served.0.pem()).await.unwrap();
            assert!(error.contains(expected), "{mark:?}: {error}");
        }
        let served = issued(&ca, "localhost", years);
        for pem in [ca.pem(), served.0.pem()] {
            let error = send_trusting(&served, &pem).await.unwrap();
            assert!(error.contains(expected), "{error}");
        }
    }
}

#[tokio::test]
async fn names_that_a_certificate_makes_up_are_not_repeated() {
    let mut params = params("localhost", CA, VALID);
    let (escape, long) = ("\u{1b}[2Jx".to_owned(), "x".repeat(300));
    let names = [escape, long, "a.test".into(), "b.test".into(), "c.test".into(), "d.test".into()];
    params.subject_alt_names =
        names.map(|name| rcgen::SanType::DnsName(name.try_into().unwrap())).into_iter().collect();
    let key = KeyPair::generate().unwrap();
    let served = (params.self_signed(&key).unwrap(), key);
    let error = send_trusting(&served, &served.0.pem()).await.unwrap();
    assert!(error.contains("(it is for a.test, b.test, c.test, ...)"), "{error:?}");
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

#[tokio::test]
async fn a_server_without_tls_behind_an_https_url_is_named_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let folder = tempfile::tempdir().unwrap();
    let to = destination(&format!("https://127.0.0.1:{port}/hush"));
    let error = send(Destination { ca_file: Some(ca_file(&folder, &ca("our CA").pem())), ..to }).await;
    assert!(error.unwrap().contains("is not TLS; check the port"));
}

#[tokio::test]
async fn a_ca_file_that_holds_no_certificate_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap().serialize_pem();
    let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    for pem in ["", "no certificate", &key, broken] {
        let to = Destination { ca_file: Some(ca_file(&folder, pem)), ..destination("https://127.0.0.1/") };
        let error = Sender::new(to, Arc::new(SystemClock)).unwrap_err().to_string();
        assert!(error.starts_with("the CA file holds no usable PEM certificate"), "{error}");
    }
}

#[tokio::test]
async fn a_webhook_with_a_proxy_is_sent_through_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let proxied = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer(stream).await
    });
    let to = destination("http://crm.example.com/hooks");
    assert_eq!(send(Destination { proxy: Some(proxy), ..to }).await, None);
    let head = proxied.await.unwrap();
    assert!(head.starts_with("POST http://crm.example.com/hooks HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn a_call_to_dingtalk_names_the_ca_file_when_the_issuer_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let served = issued(&ca("our CA"), "localhost", VALID);
    let port = serve((served.0.der(), &served.1)).await;
    let fake = Fake::with_list(crate::dingtalk_fake::Reply::Reset).await;
    let mut org = fake.org(internal());
    org.api_base = format!("https://localhost:{port}");
    org.ca_file = Some(ca_file(&folder, &ca("another CA").pem()));
    let error = client(&org, &clock()).ongoing(&me(), None).await.unwrap_err();
    assert_eq!(error.class, "unreachable");
    assert!(error.to_string().contains("unknown issuer; name the CA in `ca_file`"), "{error}");
}
