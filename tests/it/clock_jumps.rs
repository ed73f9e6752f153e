//! A wall clock that jumps under the real binary, while it polls, while it delivers, while it is stopped.
//!
//! Guards: polling and delivering never wait for the wall clock; a jump that is taken back has no effect; one that lasts
//! starts the daemon's tasks again by the new time; nothing stored waits for a time that the clock no longer reaches. The
//! wall clock is faked by libfaketime, the monotonic ones are real. Not here: the decision (`clock::steady`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::daemon::{Daemon, Site, sqlite3};
use crate::harness::fake::{Fake, inside};
use crate::harness::receiver::{Drop, Receiver};

const POLL: &str = "interval = \"200ms\"\nmin_interval = \"200ms\"";
/// So many more polls of a user show that polling goes on.
const GOES_ON: u64 = 10;

/// Where Debian's package `libfaketime` puts it.
fn libfaketime() -> String {
    let folder = Path::new("/usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let file = folder.join("faketime/libfaketimeMT.so.1");
    assert!(file.exists(), "{} is missing: apt-get install libfaketime", file.display());
    file.display().to_string()
}

/// Sets the wall clock of the daemons of this site: an offset such as `+8h`.
fn set_clock(site: &Site, offset: &str) {
    std::fs::write(site.path("offset.new"), format!("{offset}\n")).unwrap();
    std::fs::rename(site.path("offset.new"), site.path("offset")).unwrap();
}

fn start(site: &Site) -> Daemon {
    let offset = site.path("offset").display().to_string();
    site.start_as_shipped_with(&[
        ("LD_PRELOAD", &libfaketime()),
        ("FAKETIME_TIMESTAMP_FILE", &offset),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ])
}

fn in_meeting(conference: &str) -> String {
    inside("li", conference, 3, 1_699_347_295_876, "")
}

#[test]
fn a_jump_that_is_taken_back_stops_neither_polling_nor_delivering() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let hook = "max_age = \"1h\"";
    let site = Site::new(&fake.base(), &receiver.url(), &["li"], POLL, hook);
    set_clock(&site, "+0");
    let daemon = start(&site);
    fake.wait_looks("li", 1);
    for (round, (offset, conference)) in [("+8h", "c1"), ("-3h", "c2"), ("+40d", "c3")].iter().enumerate() {
        set_clock(&site, offset);
        site.wait_for_log_lines("the wall clock jumped", round + 1);
        fake.say("li", &in_meeting(conference));
        fake.wait_looks("li", GOES_ON);
        // Neither too late nor too old: the join of this round and the left of the one before.
        receiver.wait(2 * round + 1);
        set_clock(&site, "+0");
        site.wait_for_log_lines("the wall clock is back", round + 1);
        fake.wait_looks("li", GOES_ON);
    }
    daemon.terminate();
    let expired = "SELECT count(*) FROM v_deliveries WHERE state <> 'delivered'";
    assert_eq!(sqlite3(&site.database(), expired), "0");
    assert_eq!(sqlite3(&site.database(), "SELECT count(*) FROM v_gaps"), "0", "no poll was missed");
}

#[test]
fn a_jump_that_lasts_is_taken_over_within_seconds() {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let fake = Fake::start();
    let receiver = Receiver::dropping(move |_| is_down.load(Ordering::Relaxed).then_some(Drop::Unanswered));
    let site = Site::new(&fake.base(), &receiver.url(), &["li"], POLL, "max_age = \"7d\"");
    set_clock(&site, "+0");
    let daemon = start(&site);
    fake.wait_looks("li", 1);
    // A receiver that is down: what waits for it must neither expire by the jump nor wait for the old time.
    fake.say("li", &in_meeting("c1"));
    receiver.wait(1);
    for (round, offset) in ["+40d", "+0", "-10m"].iter().enumerate() {
        set_clock(&site, offset);
        site.wait_for_log_lines("restarting tasks with the new time", round + 1);
        site.wait_for_log_lines(" ready ", round + 2);
        fake.wait_looks("li", GOES_ON);
    }
    let refused = receiver.all().len();
    down.store(false, Ordering::Relaxed);
    daemon.terminate();
    // A jump while the daemon is stopped is downtime; set back, it leaves nothing to wait for.
    set_clock(&site, "-3h");
    let daemon = start(&site);
    site.wait_for_log_lines("the clock was set back", 1);
    fake.wait_looks("li", GOES_ON);
    receiver.wait(refused + 1);
    daemon.terminate();
    let dead = "SELECT count(*) FROM v_deliveries WHERE state IN ('dead', 'expired')";
    assert_eq!(sqlite3(&site.database(), dead), "0");
}
