//! How much is logged while everything goes wrong, for many people and webhooks at once.
//!
//! Guards: at most sixty lines in any minute, whatever happens; what was left out is said. Deliberately not here: the
//! limit's own arithmetic (`telemetry::limit`).

use crate::harness::daemon::Site;
use crate::harness::fake::{Fake, inside};
use crate::harness::http::response;
use crate::harness::receiver::{Drop, Receiver};

const PEOPLE: usize = 200;

/// Comes and goes, each stay a meeting of its own, and every other answer is no answer.
fn trouble(who: &str, call: u64) -> Option<Vec<u8>> {
    match call % 6 {
        0 => None,
        1 | 5 => Some(response(500, "text/html", "<html>busy</html>")),
        2 => {
            let meeting = format!("conference{call:014}");
            Some(response(200, "application/json", &inside(who, &meeting, 3, 1_700_000_000_000, "")))
        }
        3 => Some(response(200, "application/json", r#"{"memberModelMap":7}"#)),
        _ => Some(response(200, "application/json", r#"{"onGoingConfIdList":[],"memberModelMap":{}}"#)),
    }
}

#[test]
fn with_everything_failing_at_most_sixty_lines_a_minute_are_written() {
    let fake = Fake::scripted(trouble);
    let receiver = Receiver::dropping(|_| Some(Drop::Unanswered));
    let people: Vec<String> = (0..PEOPLE).map(|n| format!("user{n:03}")).collect();
    let names: Vec<&str> = people.iter().map(String::as_str).collect();
    let poll = "interval = \"50ms\"\nmin_interval = \"20ms\"\nleave_after_misses = 1\nbackoff = { initial = \"10ms\", max = \"20ms\" }";
    let webhook = "attempts = 1\nbackoff = { initial = \"10ms\", max = \"20ms\" }";
    let site = Site::new(&fake.base(), &receiver.url(), &names, poll, webhook);
    let more = (0..10)
        .map(|n| format!("\n[[webhook]]\nname = \"dead{n}\"\nurl = \"http://127.0.0.1:1/{n}\"\nattempts = 1\nbackoff = {{ initial = \"10ms\", max = \"20ms\" }}\n"))
        .collect::<Vec<_>>()
        .concat();
    site.rewrite(site.config() + &more);
    let daemon = site.start_as_shipped();
    fake.wait_any(1500);
    receiver.wait(1);
    let log = daemon.log();
    daemon.terminate();

    let minutes = log.lines().filter_map(|line| line.get(..16));
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for minute in minutes {
        match counts.last_mut() {
            Some((last, count)) if *last == minute => *count += 1,
            _ => counts.push((minute, 1)),
        }
    }
    assert!(counts.iter().all(|(_, count)| *count <= 60), "{counts:?}\n{log}");
    // The next line that may be written counts what was left out; with all of a minute's lines written (ten are kept for
    // errors), there is none yet.
    let used_up = log.lines().count() >= 50;
    assert!(used_up || log.contains("left_out="), "there was more to say than could be said:\n{log}");
}
