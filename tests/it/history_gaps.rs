//! Time in which nobody looked is in the history, with its reason: for one person, for an organisation, by itself.
//!
//! Guards: a gap is written once, for whom it concerns; down time, outages and one person's failures differ. Each is shown
//! twice: by the poller on a clock that waits for everybody, where the gaps are these to the second and there is no
//! other; and by the real binary, whose looks a busy machine makes late now and then, which is a gap as well. Deliberately
//! not here: the words (`history_schema`), what a report makes of a gap (`cli::report`), a machine that sleeps
//! (`verdicts`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use presenced::simulator::{Fault, FaultKind, Scenario};

use crate::harness::daemon::{Site, sqlite3};
use crate::harness::fake::Fake;
use crate::harness::http::response;
use crate::harness::receiver::Receiver;
use crate::house::at;
use crate::poller_harness::Office;

const NOBODY: &str = r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#;
const POLL: &str = "interval = \"100ms\"\nmin_interval = \"100ms\"\nstale_after = \"2s\"\n\
    [poll.backoff]\ninitial = \"400ms\"\nmax = \"400ms\"";
/// Of the real binary, on the machine's own clock: what came late by itself is not this page's.
const GAPS: &str = "SELECT coalesce(who, 'everybody'), why, coalesce(error, '-') FROM v_gaps \
    WHERE to_at IS NOT NULL AND why <> 'late' ORDER BY from_ms";

/// All that are over, on a clock of one's own.
const EXACT: &str = "SELECT coalesce(who, 'everybody'), why, coalesce(error, '-'), substr(from_at, 12, 8), \
    substr(to_at, 12, 8) FROM v_gaps WHERE to_at IS NOT NULL ORDER BY from_ms, who";
const STEP: Duration = Duration::from_secs(1);

/// Li and Wang, looked at every thirty seconds from six o'clock on.
async fn office() -> Office {
    let people = "[people]\nli = { union_id = \"li\" }\nwang = { union_id = \"wang\" }\n\
        [meetings]\nm = {}\n[script]\nsteps = []\n";
    let config = "calls_per_month = 0\n[poll]\ninterval = \"30s\"\nstale_after = \"3m\"\n\
        backoff = { initial = \"10s\", max = \"1m\" }\n[[user]]\nunion_id = \"li\"\n[[user]]\nunion_id = \"wang\"\n";
    let scene = Scenario::parse(people, "two people").expect("a scenario");
    Office::open("2026-11-23T06:00:00Z", scene, config).await
}

fn gaps(office: &Office) -> String {
    sqlite3(office.store.path(), EXACT)
}

#[tokio::test(flavor = "multi_thread")]
async fn to_the_second_one_persons_failures_are_a_gap_of_theirs_and_the_only_one() {
    let office = office().await;
    let polling = office.start().await;
    office.pass_until(&polling, at("2026-11-23T06:02:00Z"), STEP).await;
    office.dingtalk.add_fault(Fault::new(FaultKind::ServerError).who("wang"));
    office.pass_until(&polling, at("2026-11-23T06:12:00Z"), STEP).await;
    assert_eq!(gaps(&office), "", "until it is over it is not known what it was");
    office.dingtalk.clear_faults();
    office.pass_until(&polling, at("2026-11-23T06:20:00Z"), STEP).await;
    polling.end().await;
    // From the last good look to the first one again.
    assert_eq!(gaps(&office), "wang|failed|outage|06:01:59|06:12:32");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_the_second_an_outage_is_one_gap_for_all_and_so_is_down_time() {
    let office = office().await;
    let polling = office.start().await;
    office.pass_until(&polling, at("2026-11-23T06:02:00Z"), STEP).await;
    office.dingtalk.add_fault(Fault::new(FaultKind::ServerError));
    office.pass_until(&polling, at("2026-11-23T06:12:00Z"), STEP).await;
    office.dingtalk.clear_faults();
    office.pass_until(&polling, at("2026-11-23T06:20:00Z"), STEP).await;
    polling.end().await;
    let outage = "everybody|upstream|outage|06:01:59|06:12:11";
    assert_eq!(gaps(&office), outage);

    office.clock.set(at("2026-11-23T07:00:00Z"));
    let polling = office.start().await;
    office.pass_until(&polling, at("2026-11-23T07:05:00Z"), STEP).await;
    polling.end().await;
    assert_eq!(gaps(&office), format!("{outage}\neverybody|restart|-|06:19:59|07:00:00"));
}

/// DingTalk, which answers so when `is_ill` says so of somebody's n-th look.
fn ailing(is_ill: impl Fn(&str, u64) -> bool + Send + Sync + 'static) -> Fake {
    Fake::scripted(move |who, call| {
        let (status, body) =
            if is_ill(who, call) { (500, r#"{"code":"InternalError"}"#) } else { (200, NOBODY) };
        Some(response(status, "application/json", body))
    })
}

#[test]
fn one_persons_failures_are_a_gap_of_theirs() {
    let (fake, receiver) = (ailing(|who, call| who == "wang" && (2..10).contains(&call)), Receiver::start());
    let site = Site::new(&fake.base(), &receiver.url(), &["li", "wang"], POLL, "");
    let daemon = site.start();
    fake.wait_looked("wang", 14);
    daemon.terminate();
    assert_eq!(sqlite3(&site.database(), GAPS), "wang|failed|outage");
}

#[test]
fn an_outage_is_one_gap_for_all_and_so_is_down_time() {
    let looks = AtomicU64::new(0);
    let fake = ailing(move |_, _| (6..14).contains(&looks.fetch_add(1, Ordering::Relaxed)));
    let receiver = Receiver::start();
    let site = Site::new(&fake.base(), &receiver.url(), &["li", "wang"], POLL, "");
    let daemon = site.start();
    fake.wait_any(20);
    fake.wait_looks("li", 2);
    fake.wait_looks("wang", 2);
    daemon.terminate();
    assert_eq!(sqlite3(&site.database(), GAPS), "everybody|upstream|outage");

    let daemon = site.start();
    fake.wait_looks("li", 3);
    fake.wait_looks("wang", 3);
    daemon.terminate();
    assert_eq!(sqlite3(&site.database(), GAPS), "everybody|upstream|outage\neverybody|restart|-");
}
