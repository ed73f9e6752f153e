//! Deliveries of the real daemon, verified by the official Standard Webhooks library for Rust.
//!
//! Guards: while a secret is being changed, whoever has only the old one and whoever has only the new one can verify
//! the same request. Deliberately not here: Python and JavaScript (`tests/clients`).
#![expect(clippy::unwrap_used, reason = "a failure of the set-up is a failure of the test")]

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use standardwebhooks::Webhook;

use crate::harness::daemon::Site;
use crate::harness::fake::{Fake, inside};
use crate::harness::loopback;
use crate::harness::receiver::{Delivery, Receiver, SECRET};

const USER: &str = "2iPOLbpUNMLzB5LuwggiiqiPwiEiE";
const NEW: &str = "whsec_bmV3IGtleSB3aXRoIHR3ZW50eS1mb3VyK2J5dGVz";
const OTHER: &str = "whsec_c29tZWJvZHkgZWxzZSdzIGtleSwgMzAgYnl0ZXM=";

fn headers(delivery: &Delivery) -> HeaderMap {
    let pairs = delivery.request.headers.iter();
    pairs
        .map(|(name, value)| (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap()))
        .collect()
}

#[test]
fn the_official_library_verifies_with_the_old_and_with_the_new_secret() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    fake.say(USER, &inside(USER, "654058f2411fe90147e68780", 3, 1_699_347_295_876, ""));
    let site = Site::with_config(&format!(
        r#"
time_zone = "UTC"
[dingtalk]
{}app_key = "key"
app_secret = "secret-of-the-app"
calls_per_month = 0
[poll]
interval = "50ms"
min_interval = "20ms"
[[webhook]]
name = "hook"
url = "{}"
secret = ["{NEW}", "{SECRET}"]
events = ["*"]
[history]
path = "presence.db"
[http]
listen = ""
[[user]]
union_id = "{USER}"
name = "王伟"
"#,
        loopback::hosts(&fake.base()),
        receiver.url()
    ));
    let daemon = site.start();
    let deliveries = receiver.wait(2);
    daemon.terminate();
    for delivery in deliveries {
        let headers = headers(&delivery);
        let tokens = headers["webhook-signature"].to_str().unwrap().split(' ').count();
        assert_eq!(tokens, 2, "a signature for each secret");
        for secret in [NEW, SECRET] {
            Webhook::new(secret).unwrap().verify(&delivery.body, &headers).expect("it verifies");
        }
        let mut changed = delivery.body.clone();
        changed[0] = b'[';
        assert!(Webhook::new(NEW).unwrap().verify(&changed, &headers).is_err(), "not these bytes");
        assert!(Webhook::new(OTHER).unwrap().verify(&delivery.body, &headers).is_err(), "not this key");
    }
}
