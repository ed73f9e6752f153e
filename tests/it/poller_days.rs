//! Days off, and people whom DingTalk does not know, on a clock that jumps.
//!
//! Guards: no call in time that is meant to be free, and the gap says why; a unionId that is refused is told once, looked
//! for once a day, and holds nobody up. Deliberately not here: windows and overtime (`verdicts`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::time::Duration;

use presenced::simulator::options::Stranger;
use presenced::simulator::{AnswerOptions, Scenario};

use crate::harness::daemon::sqlite3;
use crate::house::at;
use crate::poller_harness::Office;

const SCENE: &str = r#"
starts = "08:00"
[people]
ben = { union_id = "u-ben" }
cleo = { union_id = "u-cleo" }
[meetings]
m = {}
[script]
steps = [{ at = "08:00", do = "join", who = ["cleo"], meeting = "m" }, { at = "08:01", do = "end", meeting = "m" }]
"#;

fn scene() -> Scenario {
    Scenario::parse(SCENE, "scene").unwrap()
}

fn config(poll: &str, rest: &str, users: &[&str]) -> String {
    let users: Vec<String> = users.iter().map(|id| format!("[[user]]\nunion_id = \"{id}\"\n")).collect();
    let users = users.concat();
    format!("calls_per_month = 0\n[poll]\n{poll}\n{rest}{users}")
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_day_off_no_user_is_polled_and_the_gap_says_why() {
    let days = "[[blackout]]\nname = \"holiday\"\ndates = [\"2026-11-24\"]\n";
    let config = config("interval = \"10m\"", days, &["u-ben", "u-cleo"]);
    // Two in the afternoon in Shanghai, the day before.
    let office = Office::open("2026-11-23T06:00:00Z", scene(), &config).await;
    let polling = office.start().await;
    let (step, begins, ends) =
        (Duration::from_mins(1), at("2026-11-23T16:00:00Z"), at("2026-11-24T16:00:00Z"));
    office.pass_until(&polling, begins, step).await;
    let before = office.calls();
    assert!(before > 100, "{before} looks at two people in ten hours");
    office.pass_until(&polling, ends.minus(step), step).await;
    assert_eq!(office.calls(), before, "nobody is looked at");
    office.pass_until(&polling, ends.plus(Duration::from_mins(31)), step).await;
    assert!((4..=8).contains(&(office.calls() - before)), "looks go on: {}", office.calls() - before);
    polling.end().await;
    assert_eq!(office.told("watch.stale").await.len(), 0, "a day off is no silence");
    let gaps = "SELECT substr(from_at, 1, 16), substr(to_at, 1, 16), why FROM v_gaps";
    assert_eq!(sqlite3(&office.config.history.path, gaps), "2026-11-23T16:00|2026-11-24T16:00|blackout");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_user_is_reported_once_and_polled_at_growing_waits_up_to_a_day() {
    let config = config("interval = \"1h\"", "", &["u-ben", "u-nobody"]);
    let office = Office::open("2026-11-23T06:00:00Z", scene(), &config).await;
    let polling = office.start().await;
    let refused = || office.dingtalk.counts().refused("param.error");
    let step = Duration::from_mins(5);
    office.pass_until(&polling, at("2026-11-23T08:00:00Z"), step).await;
    // At once, after a minute, ten minutes and an hour.
    assert_eq!((refused(), office.told("watch.rejected").await.len()), (4, 1));
    office.pass_until(&polling, at("2026-11-25T20:00:00Z"), step).await;
    assert_eq!(refused(), 6, "then once a day");
    assert_eq!(office.told("watch.rejected").await.len(), 1, "told once");
    let ben = office.dingtalk.counts().answers["u-ben"];
    assert!((60..=64).contains(&ben), "nobody else is held up: {ben} looks in 62 hours");
    // DingTalk knows them after all.
    office.dingtalk.set_options(AnswerOptions { stranger: Stranger::Empty, ..AnswerOptions::default() });
    office.pass_until(&polling, at("2026-11-26T12:00:00Z"), step).await;
    assert_eq!((refused(), office.told("watch.recovered").await.len()), (6, 1));
    let looked = "SELECT count(*) FROM v_health WHERE union_id = 'u-nobody' AND last_ok_at IS NOT NULL";
    assert_eq!(sqlite3(&office.config.history.path, looked), "1");
    polling.end().await;
}
