//! `suite_ticket = "push"`: the daemon takes its suite ticket from the simulator's push gateway.
//!
//! Guards: without a ticket the reason is named, with one polling starts; a ticket is replaced while the daemon runs and
//! survives a restart; `check --online` and `status` report the connection. Not here: the connection itself (`stream`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use presenced::clock::SystemClock;
use presenced::simulator::{Fault, FaultKind, Running, Scenario, Simulator};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::harness::daemon::{Site, sqlite3};
use crate::harness::loopback;
use crate::simulator_api::ANY_PORT;

const SCENARIO: &str = r#"
[people]
ann = { union_id = "u-ann", nick = "Ann" }
[[app]]
key = "key"
secret = "secret-of-the-app"
corp_id = "dingcorp"
suite_ticket = "never-told"
"#;

async fn simulator() -> Running {
    let scenario = Scenario::parse(SCENARIO, "s").unwrap();
    Simulator::start(ANY_PORT, scenario, Arc::new(SystemClock), CancellationToken::new()).await.unwrap()
}

fn site(simulator: &Running) -> Site {
    let hosts = loopback::hosts(simulator.base_url());
    Site::with_config(&format!(
        "time_zone = \"UTC\"\n[dingtalk]\n{hosts}app = \"third_party\"\napp_key = \"key\"\n\
         app_secret = \"secret-of-the-app\"\ncorp_id = \"dingcorp\"\nsuite_ticket = \"push\"\n\
         calls_per_month = 0\nrate = 10000\n\
         [poll]\ninterval = \"50ms\"\nmin_interval = \"20ms\"\nbackoff = {{ initial = \"20ms\", max = \"50ms\" }}\n\
         [history]\npath = \"presence.db\"\n[http]\nlisten = \"\"\n\
         [[user]]\nunion_id = \"u-ann\"\nname = \"Ann\"\n"
    ))
}

fn status(site: &Site) -> Value {
    serde_json::from_slice(&site.command(&["status", "-o", "json"]).stdout).unwrap()
}

/// Waits until Ann was polled with a token that was not there before.
async fn polled_with_another_token(simulator: &Running, before: u64) {
    simulator.until(|counts| counts.tokens > before).await;
    let polls = |counts: &presenced::simulator::Counts| counts.answers.get("u-ann").copied().unwrap_or(0);
    let so_far = polls(&simulator.counts());
    simulator.until(|counts| polls(counts) > so_far).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_starts_the_polling_is_replaced_and_survives_a_restart() {
    let simulator = simulator().await;
    let site = site(&simulator);
    let checked = site.command(&["check", "--online"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success() && said.contains("no suite ticket was pushed yet"), "{said}");

    let daemon = site.start();
    simulator.until(|counts| counts.pushed("connected") >= 2).await;
    site.wait_for_log("no suite ticket was pushed yet");
    assert_eq!(simulator.counts().tokens, 0, "no token call is made without a ticket");

    simulator.renew_suite_tickets();
    polled_with_another_token(&simulator, 0).await;
    let first = simulator.suite_ticket("key").unwrap();
    let kept = site.path("suite-ticket.default");
    assert_eq!(std::fs::read_to_string(&kept).unwrap().trim(), first);
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);

    simulator.renew_suite_tickets();
    simulator.until(|counts| counts.pushed("acked") == 2).await;
    let second = simulator.suite_ticket("key").unwrap();
    assert_ne!(first, second);
    assert_eq!(
        std::fs::read_to_string(&kept).unwrap().trim(),
        second,
        "it is kept before it is acknowledged"
    );
    let before = simulator.counts();
    simulator.revoke_tokens();
    polled_with_another_token(&simulator, before.tokens).await;
    assert_eq!(simulator.counts().refused("invalidSuiteTicket"), 0, "the old ticket is used no more");

    let shown = status(&site);
    let push = &shown["daemon"]["push"][0];
    assert_eq!((push["org"].as_str(), push["connected"].as_bool()), (Some("default"), Some(true)), "{shown}");
    assert!(push["ticket_ms"].is_i64(), "{shown}");
    assert_eq!(shown["push_messages"][0]["messages"], 2, "{shown}");
    daemon.terminate();
    assert_eq!(sqlite3(&site.database(), "SELECT org, messages FROM push_messages"), "default|2");

    let before = simulator.counts().tokens;
    let daemon = site.start();
    polled_with_another_token(&simulator, before).await;
    let checked = site.command(&["check", "--online"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("a push connection opens; the app gets a token"), "{said}");
    let log = daemon.log();
    for secret in [&first, &second, "secret-of-the-app"] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
    daemon.terminate();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_app_has_its_reason_in_status_and_an_alert_and_check_says_so() {
    let simulator = simulator().await;
    simulator.add_fault(Fault::new(FaultKind::AuthFailed));
    let site = site(&simulator);
    let checked = site.command(&["check", "--online"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert_eq!(checked.status.code(), Some(77), "{said}");
    assert!(said.contains("no push connection: DingTalk refuses the app's key or secret"), "{said}");
    let daemon = site.start();
    simulator.until(|counts| counts.refused("auth_failed") >= 2).await;
    site.wait_for_log("the push connection is down");
    let shown = status(&site);
    assert_eq!(shown["daemon"]["push"][0]["reason"], "auth", "{shown}");
    daemon.terminate();
    let alerts = "SELECT json_extract(body, '$.data.alert.name') FROM events WHERE type = 'system.alert'";
    assert!(sqlite3(&site.database(), alerts).contains("push"));
}

#[test]
fn check_knows_which_apps_have_no_push() {
    for (app, message) in [
        ("app = \"token\"\naccess_token = \"t\"", "`app = \"token\"` has no push"),
        ("app_key = \"k\"\napp_secret = \"s\"", "an internal app has no suite ticket"),
    ] {
        let site = Site::with_config(&format!(
            "time_zone = \"UTC\"\n[dingtalk]\n{}{app}\nsuite_ticket = \"push\"\ncalls_per_month = 0\n\
             [history]\npath = \"p.db\"\n[[user]]\nunion_id = \"u\"\n",
            loopback::hosts("http://127.0.0.1:1")
        ));
        let checked = site.command(&["check"]);
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert_eq!(checked.status.code(), Some(78), "{said}");
        assert!(said.contains(message), "{said}");
    }
}
