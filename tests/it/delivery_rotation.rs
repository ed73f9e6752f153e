//! A signing secret is changed over while events go on: no delivery is lost, and none can be verified by nobody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::harness::daemon::{Site, sqlite3};
use crate::harness::fake::{Fake, inside};
use crate::harness::http::response;
use crate::harness::receiver::{Delivery, Receiver, SECRET};

const USER: &str = "2iPOLbpUNMLzB5LuwggiiqiPwiEiE";
const NEW: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";
const QUICK: &str = "interval = \"50ms\"\nmin_interval = \"20ms\"";

/// Which of the signatures in the header is this secret's.
fn place_of(secret: &str, delivery: &Delivery) -> Option<usize> {
    let header = |name| delivery.request.header(name).expect("it has every header");
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("a valid secret");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key length will do");
    mac.update(format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).as_bytes());
    mac.update(&delivery.body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    header("webhook-signature").split(' ').position(|signature| signature == expected)
}

#[test]
fn two_secrets_over_a_restart_and_then_only_the_new_one() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &[USER], QUICK, "");
    let first = std::fs::read_to_string(site.path("config.toml")).expect("the config");
    let one = format!("secret = \"{SECRET}\"");
    let both = first.replace(&one, &format!("secret = [\"{NEW}\", \"{SECRET}\"]"));
    let new = first.replace(&one, &format!("secret = \"{NEW}\""));
    assert!(both != first && new != first);
    let mut joined = 1_699_347_295_876;
    for (round, config) in [&first, &both, &new].into_iter().enumerate() {
        site.rewrite(config);
        let daemon = site.start();
        fake.wait_looks(USER, 2);
        joined += 1_000;
        fake.say(USER, &inside(USER, "m1", 3, joined, ""));
        receiver.wait(2 * round + 1);
        fake.say(USER, &inside(USER, "m1", 6, joined, &format!(",\"leaveTime\":{}", joined + 500)));
        receiver.wait(2 * round + 2);
        daemon.terminate();
    }
    let all = receiver.all();
    assert_eq!(all.len(), 6, "nothing is lost, nothing comes twice");
    let places = |secret: &str| all.iter().map(|delivery| place_of(secret, delivery)).collect::<Vec<_>>();
    assert_eq!(places(SECRET), [Some(0), Some(0), Some(1), Some(1), None, None]);
    assert_eq!(places(NEW), [None, None, Some(0), Some(0), Some(0), Some(0)], "newest first");
}

/// Everybody goes in and out all the time, each visit a meeting of its own.
fn busy(union_id: &str, call: u64) -> Vec<u8> {
    let visit = i64::try_from(call / 4).expect("few visits");
    let (conference, joined) = (format!("meeting{visit:06}"), 1_700_000_000_000 + visit * 60_000);
    let json = match call % 4 {
        0..=1 => inside(union_id, &conference, 3, joined, ""),
        _ => inside(union_id, &conference, 6, joined, &format!(",\"leaveTime\":{}", joined + 30_000)),
    };
    response(200, "application/json", &json)
}

#[test]
fn a_reload_to_two_secrets_and_then_to_the_new_one_under_traffic() {
    let (fake, receiver) = (Fake::scripted(|union_id, call| Some(busy(union_id, call))), Receiver::start());
    let people: Vec<String> = (0..8).map(|n| format!("user{n:02}")).collect();
    let names: Vec<&str> = people.iter().map(String::as_str).collect();
    let site = Site::new(&fake.base(), &receiver.url(), &names, QUICK, "concurrency = 4");
    let (first, one) = (site.config(), format!("secret = \"{SECRET}\""));
    let both = first.replace(&one, &format!("secret = [\"{NEW}\", \"{SECRET}\"]"));
    let new = first.replace(&one, &format!("secret = \"{NEW}\""));
    assert!(both != first && new != first);
    let reload = |config: &str| {
        site.rewrite(config);
        let output = site.command(&["reload"]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        receiver.all().len()
    };
    let daemon = site.start();
    receiver.wait(20);
    // What is in flight at a reload ends as it began, so the receiver changes over some deliveries later.
    let reloaded = reload(&both);
    let changes_over = receiver.wait(reloaded + 20).len();
    let reloaded = reload(&new);
    receiver.wait(reloaded + 20);
    let recorded = sqlite3(&site.database(), "SELECT DISTINCT id FROM v_deliveries");
    for id in recorded.lines() {
        receiver.wait_for(id);
    }
    daemon.terminate();
    let all = receiver.all();
    let (before, after) = all.split_at(changes_over);
    assert!(
        before.iter().all(|delivery| place_of(SECRET, delivery).is_some()),
        "the old one, while it is known"
    );
    assert!(after.iter().all(|delivery| place_of(NEW, delivery).is_some()), "the new one, from then on");
    let last = all.last().expect("there was traffic");
    assert_eq!((place_of(SECRET, last), place_of(NEW, last)), (None, Some(0)), "the old one is gone");
    let mut ids: Vec<&str> = all.iter().map(|delivery| delivery.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all.len(), "nothing comes twice");
}
