//! The verifying receiver over loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use presenced::clock::ManualClock;
use presenced::net::{ClientOptions, http_client};
use presenced::simulator::receiver::{Received, Receiver, Reply, Verdict};
use presenced::time::Timestamp;
use sha2::Sha256;
use tokio_util::sync::CancellationToken;

use crate::simulator_api::ANY_PORT;

const NOW_S: i64 = 1_700_000_000;

struct Sender {
    client: reqwest::Client,
    url: String,
}

impl Sender {
    async fn send(&self, key: &[u8], id: &str, body: &str) -> Result<u16, reqwest::Error> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(format!("{id}.{NOW_S}.{body}").as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let request = self
            .client
            .post(&self.url)
            .header("webhook-id", id)
            .header("webhook-timestamp", NOW_S.to_string())
            .header("webhook-signature", format!("v1,{signature}"))
            .body(body.to_owned());
        Ok(request.send().await?.status().as_u16())
    }
}

async fn stage(secrets: &[&str]) -> (Receiver, Sender) {
    let clock = Arc::new(ManualClock::at(Timestamp::from_ms(NOW_S * 1000)));
    let receiver = Receiver::start(ANY_PORT, secrets, clock, CancellationToken::new()).await.unwrap();
    let options = ClientOptions {
        connect_timeout: Duration::from_secs(20),
        timeout: Duration::from_secs(20),
        idle_per_host: 1,
        proxy: None,
        extra_roots_pem: None,
    };
    let client = http_client(&options).unwrap().build().unwrap();
    let url = receiver.url();
    (receiver, Sender { client, url })
}

#[tokio::test]
async fn it_verifies_keeps_and_answers_requests() {
    let (key, old) = ([7_u8; 32], [9_u8; 24]);
    let secret = |key: &[u8]| format!("whsec_{}", STANDARD.encode(key));
    let (receiver, sender) = stage(&[&secret(&key), &secret(&old)]).await;
    receiver.next([Reply::status(503).header("retry-after", "1"), Reply::dropped()]);

    assert_eq!(sender.send(&key, "evt_1", "{\"a\":1}").await.unwrap(), 503);
    assert!(sender.send(&key, "evt_1", "{\"a\":1}").await.is_err());
    assert_eq!(sender.send(&old, "evt_1", "{\"a\":1}").await.unwrap(), 204);
    assert_eq!(sender.send(&[1; 32], "evt_2", "{}").await.unwrap(), 204);
    receiver.always(Reply::status(410));
    assert_eq!(sender.send(&key, "evt_1", "{\"a\":2}").await.unwrap(), 410);

    let requests = receiver.wait_for(5).await;
    let seen = |f: fn(&Received) -> bool| requests.iter().map(f).collect::<Vec<_>>();
    assert_eq!(seen(|r| r.verdict == Verdict::Verified), [true, true, true, false, true]);
    assert_eq!(seen(|r| r.repeated), [false, true, true, false, true]);
    assert_eq!(seen(|r| r.same_bytes), [true, true, true, true, false]);
    let answered: Vec<_> = requests.iter().map(|r| r.answered).collect();
    assert_eq!(answered, [Some(503), None, Some(204), Some(204), Some(410)]);
    assert_eq!(requests[0].json()["a"], 1);
    assert_eq!((requests[0].path.as_str(), requests[0].method.as_str()), ("/hook", "POST"));
    receiver.stop().await;
}

#[tokio::test]
async fn a_secret_that_is_none_is_refused() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_ms(0)));
    let refused = Receiver::start(ANY_PORT, &["hunter2"], clock, CancellationToken::new()).await;
    assert!(refused.is_err());
}
