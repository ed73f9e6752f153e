//! Time in which nobody looked is in the history, with its reason: for one person, for an organisation, by itself.
//!
//! Guards: a gap is written once, for whom it concerns; down time, outages and one person's failures differ. Deliberately
//! not here: the words (`history_schema`), what a report makes of a gap (`cli::report`).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::harness::daemon::{Site, sqlite3};
use crate::harness::fake::Fake;
use crate::harness::http::response;
use crate::harness::receiver::Receiver;

const NOBODY: &str = r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#;
const POLL: &str = "interval = \"100ms\"\nmin_interval = \"100ms\"\nstale_after = \"2s\"\n\
    [poll.backoff]\ninitial = \"400ms\"\nmax = \"400ms\"";
/// A machine with other things to do may be late by itself; that is no matter of this page.
const GAPS: &str = "SELECT coalesce(who, 'everybody'), why, coalesce(error, '-') FROM v_gaps \
    WHERE to_at IS NOT NULL AND why <> 'late' ORDER BY from_ms";

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
