//! What operators see of sweeps: `status`, `plan` and `/metrics`, with the daemon up and down.
//!
//! Guards: a refusal is seen where an operator looks; what is stored is told without a daemon; text fits 80 columns.
//! Deliberately not here: what makes a state (`sweep`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use presenced::clock::{Clock as _, SystemClock};
use presenced::ids::OrgName;
use presenced::policy::sweep::ids::IdKind;
use presenced::simulator::faults::FaultTarget;
use presenced::simulator::scenario::Crowd;
use presenced::simulator::{Fault, FaultKind, Scenario, Simulator};
use presenced::store::Store;
use presenced::store::sweep_state::SweepRow;
use presenced::time::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::harness::daemon::Site;
use crate::harness::loopback;

const PEOPLE: usize = 8;

fn config(base: &str, listen: &str, sweep: &str) -> String {
    let user = |n| format!("[[user]]\nunion_id = \"{}\"\n", Scenario::crowd_member(n));
    let hosts = loopback::hosts(base);
    let users: Vec<String> = (0..PEOPLE).map(user).collect();
    format!(
        "time_zone = \"UTC\"\n[dingtalk]\n{hosts}app_key = \"key\"\n\
         app_secret = \"made-up\"\ncalls_per_month = 5000\n[poll]\nsweep = \"{sweep}\"\n\
         [[webhook]]\nname = \"none\"\nurl = \"http://127.0.0.1:9/\"\n[history]\npath = \"presence.db\"\n\
         [http]\nlisten = \"{listen}\"\n{}",
        users.concat()
    )
}

fn json(site: &Site, command: &str) -> Value {
    serde_json::from_slice(&site.command(&[command, "-o", "json"]).stdout).unwrap()
}

fn text(site: &Site, command: &str) -> String {
    String::from_utf8(site.command(&[command]).stdout).unwrap()
}

/// The lines of a text from one that has `word`, as one, up to a table; each fits the screen.
fn about(text: &str, word: &str) -> String {
    let lines = text.lines().skip_while(|line| !line.contains(word)).take(3);
    let lines: Vec<&str> = lines.take_while(|line| !line.contains("WHO ")).collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_seen_where_an_operator_looks() {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let scenario = Scenario::crowd(PEOPLE, Crowd::Idle);
    let dingtalk =
        Simulator::start(any, scenario, Arc::new(SystemClock), CancellationToken::new()).await.unwrap();
    dingtalk.add_fault(Fault::new(FaultKind::Permission).on(FaultTarget::Meetings));
    let listen = loopback::free_address();
    let site = Site::with_config(&config(dingtalk.base_url(), &listen, "1m"));
    let daemon = site.start();
    // The log says nothing more after the refusal, and to follow it takes another line: so this asks until it is there.
    let mut asked = (0..1000).map(|_| json(&site, "status"));
    let status = asked.find(|status| status["sweeps"][0]["state"] == "refused").unwrap();
    assert_eq!(status["sweeps"][0]["org"], "default");
    assert!(status["sweeps"][0]["why"].is_string(), "{status:#}");
    assert!(status["sweeps"][0]["look_calls"].is_u64(), "{status:#}");
    let line = about(&text(&site, "status"), "sweeps ");
    assert!(line.starts_with("sweeps default: refused: "), "{line}");
    let plan = about(&text(&site, "plan"), "sweeps: ");
    assert!(plan.starts_with("sweeps: none (refused: "), "{plan}");
    let mut stream = TcpStream::connect(&listen).unwrap();
    stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {listen}\r\n\r\n").as_bytes()).unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    for line in [
        "presenced_sweeps_state{org=\"default\",state=\"refused\"} 1",
        "presenced_sweeps_state{org=\"default\",state=\"trusted\"} 0",
        "presenced_sweeps_needed_looks{org=\"default\"} 10",
    ] {
        assert!(page.lines().any(|there| there == line), "{line}\n{page}");
    }
    daemon.terminate();
    assert_eq!(json(&site, "status")["sweeps"][0]["state"], "learning", "a next start tries again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_shown_without_a_daemon() {
    // Little to plan: this is about sweeps.
    let window = "[[window]]\ndays = [\"mon-sun\"]\nfrom = \"09:00\"\nto = \"09:20\"\n[[user]]";
    let site = Site::with_config(&config("http://127.0.0.1:9", "", "auto").replacen("[[user]]", window, 1));
    let now = SystemClock.now();
    let days = |days: u64| now.minus(Duration::from_hours(24 * days));
    let keep = async |agreed, compared: Option<Timestamp>| {
        let clock = Arc::new(SystemClock);
        let store = Store::open(&site.database(), chrono_tz::UTC, clock).await.unwrap();
        let row = SweepRow {
            org: OrgName::default_name(),
            agreed,
            needed: 10,
            compared,
            ids: Some(IdKind::Userid),
            seen: 1.0,
            unseen: 0.0,
            cost: 2.94,
            swept: Some(days(1)),
            month: "1999-12".to_owned(),
            calls: 7,
        };
        store.sweep_state().save(row, Vec::new()).await.unwrap();
        store.close().await.unwrap();
    };
    let never = about(&text(&site, "plan"), "sweeps: ");
    assert!(never.starts_with("sweeps: not used yet (learning, 0 of 10 polls agreed)"), "{never}");
    assert!(never.contains("two calls for every 20 ongoing meetings"), "{never}");
    keep(4, Some(days(1))).await;
    let some = about(&text(&site, "plan"), "sweeps: ");
    assert!(some.contains("4 of 10 polls agreed") && some.contains("about 2.9 calls"), "{some}");
    keep(12, Some(days(1))).await;
    let plan = about(&text(&site, "plan"), "sweeps: ");
    assert!(plan.starts_with("sweeps: used; polls have agreed with them"), "{plan}");
    let status = json(&site, "status");
    assert_eq!(status["sweeps"][0]["state"], "trusted");
    assert_eq!((&status["sweeps"][0]["ids"], &status["sweeps"][0]["calls"]), (&"userid".into(), &0.into()));
    assert_eq!(json(&site, "plan")["orgs"][0]["sweeps"]["calls_each"], 2.9);
    keep(12, Some(days(8))).await;
    assert_eq!(json(&site, "status")["sweeps"][0]["state"], "learning", "too long ago");
    site.edit("sweep = \"auto\"", "sweep = \"off\"");
    let off = about(&text(&site, "plan"), "sweeps: ");
    assert!(off.starts_with("sweeps: none (off: by the config)"), "{off}");
    site.edit("calls_per_month = 5000", "calls_per_month = 0");
    site.edit("sweep = \"off\"", "sweep = \"auto\"");
    assert_eq!(json(&site, "status")["sweeps"][0]["state"], "off", "nothing is to be saved");
}
