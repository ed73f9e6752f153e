//! Eight weeks of ten people on a clock that jumps, as a shipped trace has them: what sweeps of an honest DingTalk come to.
//!
//! Guards: trust that was earned stays; nothing that an honest upstream says is taken for a lie. Deliberately not here:
//! how well calls are spent (`policy::replay`), what is told (`truth`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use presenced::policy::sweep::confidence::AGREEMENTS_NEEDED;
use presenced::simulator::Scenario;
use presenced::telemetry::health::SweepState;
use presenced::time::Timestamp;
use serde::Deserialize;

use crate::poller_harness::{Office, ZONE};

const TRACE: &str = include_str!("../../traces/recurring-10.jsonl");
const DAY: Duration = Duration::from_hours(24);
const STEP: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
struct Visit {
    user: String,
    conference: String,
    joined_ms: i64,
    left_ms: i64,
}

/// The visits as a script, in seconds after `from`; a meeting ends with its last visit.
fn scenario(visits: &[Visit], from: Timestamp) -> Scenario {
    let seconds = |ms: i64| (ms - from.as_ms()) / 1_000;
    let (mut people, mut meetings, mut steps) = (String::new(), BTreeMap::new(), Vec::new());
    let mut known: Vec<&str> = visits.iter().map(|visit| visit.user.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    for user in known {
        writeln!(people, "{user} = {{ union_id = \"{user}\" }}").unwrap();
    }
    for Visit { user, conference, joined_ms, left_ms } in visits {
        let (joined, left) = (seconds(*joined_ms), seconds(*left_ms));
        if left <= joined {
            continue;
        }
        steps.push((joined, 1, format!("do = \"join\", who = [\"{user}\"], meeting = \"{conference}\"")));
        steps.push((left, 0, format!("do = \"leave\", who = [\"{user}\"], meeting = \"{conference}\"")));
        let ends = meetings.entry(conference).or_insert(left);
        *ends = left.max(*ends);
    }
    let mut listed = String::new();
    for (conference, ends) in meetings {
        writeln!(listed, "{conference} = {{}}").unwrap();
        steps.push((ends, 2, format!("do = \"end\", meeting = \"{conference}\"")));
    }
    steps.sort();
    let mut script = String::new();
    for (at, _, step) in steps {
        writeln!(script, "{{ at = \"+{at}s\", {step} }},").unwrap();
    }
    let text = format!("[people]\n{people}[meetings]\n{listed}[script]\nsteps = [\n{script}]\n");
    Scenario::parse(&text, "trace").unwrap()
}

/// Meetings that end right after a sweep, and everything else that only looks like a lie.
#[tokio::test(flavor = "multi_thread")]
async fn honest_sweeps_keep_their_trust_for_eight_weeks() {
    let visits: Vec<Visit> = TRACE.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let began = Timestamp::from_ms(visits.iter().map(|visit| visit.joined_ms).min().unwrap()).minus(DAY);
    let users: String = (0..10).fold(String::new(), |mut users, index| {
        write!(users, "[[user]]\nunion_id = \"u{index:02}\"\n").unwrap();
        users
    });
    let config = format!(
        "calls_per_month = 5000\n[[window]]\ndays = [\"mon-fri\"]\nfrom = \"08:30\"\nto = \"19:30\"\n{users}"
    );
    let office = Office::open(&began.rfc3339(), scenario(&visits, began), &config).await;
    let polling = office.start().await;
    let mut earned_in = None;
    for week in 1..=8 {
        office.pass_until(&polling, began.plus(DAY * 7 * week), STEP).await;
        let standing = polling.health.sweeps().remove(0).1;
        let trusted = standing.state == SweepState::Trusted;
        assert!(trusted || earned_in.is_none(), "earned in week {earned_in:?}, lost in week {week}");
        earned_in = earned_in.or(trusted.then_some(week));
    }
    assert!(earned_in.is_some_and(|week| week <= 4), "in {ZONE}: {earned_in:?}");
    polling.end().await;
    let kept = office.store.history().sweep_states().await.unwrap().remove(0);
    assert_eq!(kept.needed, AGREEMENTS_NEEDED, "no look contradicted a sweep");
}
