//! `presenced user`: the binary against the built-in DingTalk's contacts.
//!
//! Guards: what is printed can be pasted, and costs no call of the month. Deliberately not here: the calls' own failures
//! (`dingtalk::contacts`).

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Output;
use std::sync::Arc;

use presenced::clock::SystemClock;
use presenced::simulator::faults::FaultTarget;
use presenced::simulator::scenario::Crowd;
use presenced::simulator::{Fault, FaultKind, Scenario, Simulator, api};
use tokio_util::sync::CancellationToken;

use crate::harness::daemon::Site;
use crate::harness::loopback;

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_by_id_number_and_department_ready_to_paste() {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let scenario = Scenario::crowd(250, Crowd::Idle);
    let ids: Vec<String> = (0..250).map(Scenario::crowd_member).collect();
    let dingtalk =
        Simulator::start(any, scenario, Arc::new(SystemClock), CancellationToken::new()).await.unwrap();
    let hosts = loopback::hosts(dingtalk.base_url());
    let site = Site::with_config(&format!(
        "time_zone = \"UTC\"\n[dingtalk]\n{hosts}app_key = \"key\"\n\
         app_secret = \"made-up\"\ncalls_per_month = 5000\n[[user]]\nunion_id = \"{}\"\nname = \"Zero\"\n",
        ids[0]
    ));
    let find = |arguments: &[&str]| site.command(&[&["user", "find"], arguments].concat());

    let found = find(&["user1", "--mobile", "13800000002", "nobody"]);
    let text = out(&found);
    assert_eq!(found.status.code(), Some(0), "{}", String::from_utf8_lossy(&found.stderr));
    let table: toml::Table = text.parse().unwrap();
    let users = table["user"].as_array().unwrap();
    let mut union_ids: Vec<&str> = users.iter().map(|user| user["union_id"].as_str().unwrap()).collect();
    union_ids.sort_unstable();
    let mut expected = [ids[1].as_str(), ids[2].as_str()];
    expected.sort_unstable();
    assert_eq!(union_ids, expected);
    assert!(String::from_utf8_lossy(&found.stderr).contains("nobody"), "who is not there is said");

    let members = out(&find(&["--department", "2", "-o", "json"]));
    let members: serde_json::Value = serde_json::from_str(&members).unwrap();
    assert_eq!(members.as_array().unwrap().len(), 125, "two pages of one department");
    let everybody = out(&find(&["--department", "1", "--recursive", "-o", "json"]));
    let everybody: serde_json::Value = serde_json::from_str(&everybody).unwrap();
    assert_eq!(everybody.as_array().unwrap().len(), 250);

    // One refusal for the rate of calls is waited out; a lasting one loses nothing that was found before.
    let six = ["user1", "user2", "user3", "user4", "user5", "user6"];
    dingtalk.add_fault(Fault::new(FaultKind::Qps).on(FaultTarget::Contacts).times(1));
    let found = find(&six);
    assert_eq!(found.status.code(), Some(0), "{}", String::from_utf8_lossy(&found.stderr));
    assert_eq!(out(&found).matches("[[user]]").count(), 6);
    dingtalk.add_fault(Fault::new(FaultKind::Permission).on(FaultTarget::Contacts).times(1));
    let refused = find(&six);
    assert_eq!(refused.status.code(), Some(77), "a missing permission is named");

    assert_eq!(find(&["nobody"]).status.code(), Some(4));
    assert_eq!(find(&[]).status.code(), Some(2));
    let list = site.command(&["user", "list", "-o", "json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!((&list[0]["who"], &list[0]["looks"]), (&"Zero".into(), &"auto".into()));
    let counts = dingtalk.counts();
    assert_eq!((counts.charged, counts.calls_to(api::LISTS)), (0, 0), "contacts cost nothing");
}
