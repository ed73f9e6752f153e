//! kill -9 over and over: what the daemon says it spent is what DingTalk counted, or a few more.
//!
//! Guards: never fewer: calls that were made and not written down would be spent twice. Deliberately not here: what is
//! delivered meanwhile (`crash`).

use crate::harness::daemon::{Site, sqlite3};
use crate::harness::fake::Fake;
use crate::harness::loopback;
use crate::harness::receiver::Receiver;

const KILLS: u64 = 100;
/// A second's calls are reserved ahead, and some may be on their way.
const HIGH_A_KILL: u64 = 20 + 2 * 4;

#[test]
fn a_hundred_kills_leave_the_count_exact_or_a_few_high() {
    let (fake, receiver) = (Fake::start(), Receiver::start());
    let person = |n: u32| format!("[[user]]\nunion_id = \"user{n}\"\n");
    let people = (0..10).map(person).collect::<Vec<_>>().concat();
    let site = Site::with_config(&format!(
        "time_zone = \"UTC\"\n[dingtalk]\n{}app_key = \"key\"\napp_secret = \"made-up\"\n\
         calls_per_month = 1000000000\nrate = 20\nconcurrency = 4\n[poll]\ninterval = \"100ms\"\n\
         [[webhook]]\nname = \"hook\"\nurl = \"{}\"\n[history]\npath = \"presence.db\"\n[http]\nlisten = \"\"\n{people}",
        loopback::hosts(&fake.base()),
        receiver.url()
    ));
    for kill in 0..KILLS {
        let daemon = site.start();
        fake.wait_any(1 + kill % 7);
        daemon.kill();
        let used: u64 =
            sqlite3(&site.database(), "SELECT sum(used) FROM v_budget").parse().expect("a number");
        assert!(used >= fake.all_looks(), "too low after kill {kill}: {used} of {}", fake.all_looks());
    }
    let daemon = site.start();
    fake.wait_any(5);
    daemon.terminate();
    let (used, made) = (sqlite3(&site.database(), "SELECT sum(used) FROM v_budget"), fake.all_looks());
    let used: u64 = used.parse().expect("a number");
    assert!(used >= made && used <= made + KILLS * HIGH_A_KILL, "{used} written down, {made} made");
}
