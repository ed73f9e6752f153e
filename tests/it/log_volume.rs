//! How much is logged while everything goes wrong, for many people and webhooks at once.
//!
//! Guards: at most sixty lines in any minute, and at most twenty of a kind, whatever happens; what was left out is said, and
//! errors are not. Deliberately not here: the limit's own arithmetic (`telemetry::limit`).

use chrono::{DateTime, TimeDelta};

use crate::harness::daemon::Site;
use crate::harness::fake::{Fake, inside};
use crate::harness::http::response;
use crate::harness::receiver::{Drop, Receiver, SECRET};

const PEOPLE: usize = 200;
/// Webhooks where nobody listens.
const DEAD: usize = 20;

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

/// In any minute; a second less here, because a line is stamped a moment after it was let through.
fn busiest(log: &str) -> usize {
    let stamp = |line: &str| DateTime::parse_from_rfc3339(line.split(' ').next()?).ok();
    let at: Vec<_> = log.lines().filter_map(stamp).collect();
    let within =
        |from: usize| at[from..].iter().take_while(|one| **one - at[from] < TimeDelta::seconds(59)).count();
    (0..at.len()).map(within).max().unwrap_or(0)
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
    let dead = |n| {
        format!(
            "\n[[webhook]]\nname = \"dead{n}\"\nurl = \"http://127.0.0.1:1/{n}\"\nsecret = \"{SECRET}\"\n{webhook}\n"
        )
    };
    site.rewrite(site.config() + &(0..DEAD).map(dead).collect::<String>());
    let daemon = site.start_as_shipped();
    fake.wait_any(1500);
    receiver.wait(1);
    site.edit("min_interval", "min_intervall");
    let refused = site.command(&["reload"]);
    assert_eq!(refused.status.code(), Some(78), "{}", String::from_utf8_lossy(&refused.stderr));
    let log = daemon.log();
    daemon.terminate();

    assert!(busiest(&log) <= 60, "{log}");
    // Said in one breath before anything else: that so many secrets stand in the config, and who can read it.
    let lines: Vec<&str> = log.lines().collect();
    let warned = lines.iter().take_while(|line| line.contains(" WARN presenced::cli::run: config: ")).count();
    assert_eq!(warned, 20, "as many of one kind: {log}");
    let left_out = format!(" left_out={}", 1 + 1 + DEAD + 1 - warned);
    assert!(lines[warned].ends_with(&left_out), "{log}");
    assert!(log.contains("config not reloaded"), "errors find room in every flood: {log}");
}
