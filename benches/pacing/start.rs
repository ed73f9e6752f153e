//! What a start costs and what is kept: learning eight weeks of history, then a decision about everybody.
//!
//! Memory is that of the whole process before and after (Linux only; elsewhere 0). Deliberately not here: what the decisions
//! are worth (`main`).
#![expect(clippy::disallowed_methods, reason = "a bench measures the machine's own time")]
#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::process::Command;
use std::time::{Duration, Instant};

use chrono_tz::Tz;
use presenced::ids::{Identity, OrgName, UnionId};
use presenced::policy::pace::group::{Bounds, Budget, MAX_HISTORY_VISITS, Member, PacingGroup};
use presenced::policy::pace::{Phase, PollDecision, Visit, conference_key};
use presenced::policy::window::{OpenTime, Window};
use presenced::time::Timestamp;

use crate::generate::{Kind, generate};
use crate::{START_MS, WEEKS, count};

const DAY: Duration = Duration::from_hours(24);

/// A row for each number of people, with office hours and always open.
pub(crate) fn rows(only: Option<&str>) {
    if only.is_none() {
        heading();
    }
    for people in [50, 300, 1_000] {
        for (name, always) in [("office", false), ("always", true)] {
            let row_of = format!("{people}-{name}");
            if only.is_some_and(|only| only == row_of) {
                row(people, name, always);
            } else if only.is_none() {
                // Each in a process of its own: what one gave back would count for the next.
                let run = std::env::current_exe()
                    .and_then(|bench| Command::new(bench).args(["--start", &row_of]).status());
                if let Err(error) = run {
                    println!("{row_of}: {error}");
                }
            }
        }
    }
}

fn heading() {
    println!(
        "{:>6} {:<7} {:>8} | {:>10} {:>14} {:>14} {:>12} {:>14}",
        "people",
        "open",
        "lessons",
        "learn, ms",
        "first look, ms",
        "all others, ms",
        "kept, KB",
        "KB per person"
    );
}

fn row(people: u32, name: &str, always: bool) {
    let now = Timestamp::from_ms(START_MS).plus(DAY * 56 + Duration::from_hours(10));
    let visits = lessons(people);
    let members: Vec<Member> = (0..people).map(|number| member(number, always)).collect();
    let budget = Budget {
        limit: u64::from(people) * 400,
        used: 0,
        needed_by_others: 0,
        until: now.plus(DAY * 28),
        even: Duration::from_mins(if always { 100 } else { 33 }),
        beside_sweeps: None,
    };
    let bounds = Bounds {
        time_zone: Tz::Asia__Shanghai,
        min_interval: Duration::from_secs(30),
        max_interval: Duration::from_hours(12),
    };
    let before = resident_kb();
    let began = Instant::now();
    let mut group = PacingGroup::new(bounds, &members, &visits, budget, now);
    let learned = began.elapsed();
    let mut looks = 0;
    let mut decide = |numbers: std::ops::Range<u32>, group: &mut PacingGroup| {
        let began = Instant::now();
        for number in numbers {
            looks += usize::from(matches!(group.next(number, now, &budget), PollDecision::Poll(..)));
        }
        began.elapsed()
    };
    let first = decide(0..1, &mut group);
    let others = decide(1..people, &mut group);
    let kept = resident_kb().saturating_sub(before);
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "{people:>6} {name:<7} {:>8} | {:>10.0} {:>14.1} {:>14.0} {kept:>12} {:>14.1}",
        visits.len(),
        ms(learned),
        ms(first),
        ms(others),
        count(kept) / f64::from(people),
    );
    drop(group);
}

/// The newest visits of eight weeks, as many as a start reads.
fn lessons(people: u32) -> Vec<Visit> {
    let made = generate(Kind::Mixed, people, WEEKS, START_MS, 1);
    let most = usize::try_from(MAX_HISTORY_VISITS).unwrap_or(usize::MAX);
    let newest = made.len().saturating_sub(most);
    let visit = |visit: &crate::generate::Visit| Visit {
        user: visit.user,
        conference: conference_key(&visit.conference),
        joined: Timestamp::from_ms(visit.joined_ms),
        left: Some(Timestamp::from_ms(visit.left_ms)),
    };
    made[newest..].iter().map(visit).collect()
}

fn member(number: u32, always: bool) -> Member {
    // The id is letters and digits, so it is one.
    let union_id = UnionId::parse(&format!("user{number}")).expect("a valid id");
    let office = Window {
        days: [true, true, true, true, true, false, false],
        from_minute: 8 * 60 + 30,
        to_minute: 19 * 60 + 30,
        time_zone: Tz::Asia__Shanghai,
    };
    Member {
        phase: Phase::of(&Identity { org: OrgName::default_name(), union_id }),
        open: OpenTime::new((!always).then(|| vec![office]), Vec::new()),
        last_poll: None,
        inside: Vec::new(),
    }
}

/// What the process holds in memory.
fn resident_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
