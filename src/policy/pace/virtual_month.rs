//! A whole month of fifty users with an upstream that fails at times: the calls spent.
//!
//! Guards: never one call too many, at most 3 % left over, no poll sooner than allowed or while closed. Not here: backoff
//! after a failure (`policy::backoff`); a wait of one minute replaces it.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono_tz::Tz;

use super::{CallBudget, PacedUser, Pacer, PollDecision, Seen, Settings, Visit};
use crate::policy::window::{OpenTime, Window};
use crate::time::Timestamp;

/// 2026-06-01, a Monday, midnight UTC.
const MONTH_MS: i64 = 1_780_272_000_000;
const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;
const DAYS: i64 = 30;
const USERS: u32 = 50;
const CALLS: u64 = 20_000;

/// Outcome of one call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallResult {
    Answered,
    /// Throttled or unreachable: not charged.
    Refused,
    /// Sent, and no answer in time: charged.
    TimedOut,
}

fn dice(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Three in a hundred calls are refused, two time out; on the tenth day everything is refused from noon to two.
fn call_result(at: i64, user: u32) -> CallResult {
    let minute = (at - MONTH_MS) / MINUTE_MS;
    if (9 * 1440 + 720..9 * 1440 + 840).contains(&minute) {
        return CallResult::Refused;
    }
    match dice(at.unsigned_abs() ^ u64::from(user) << 48) % 100 {
        0..=2 => CallResult::Refused,
        3..=4 => CallResult::TimedOut,
        _ => CallResult::Answered,
    }
}

/// Teams of five: a daily stand-up, a weekly hour, and calls at odd times.
fn calendar() -> Vec<Visit> {
    let mut visits = Vec::new();
    for day in (-28..DAYS).filter(|day| day.rem_euclid(7) < 5) {
        for user in 0..USERS {
            let team = i64::from(user / 5);
            let mut add = |kind: i64, from: i64, minutes: i64| {
                let joined = MONTH_MS + day * DAY_MS + from * MINUTE_MS;
                visits.push(Visit {
                    user,
                    conference: dice((day * 1000 + team * 10 + kind).unsigned_abs()),
                    joined: Timestamp::from_ms(joined),
                    left: Some(Timestamp::from_ms(joined + minutes * MINUTE_MS)),
                });
            };
            let roll = dice((day * 64).unsigned_abs() * 977 + u64::from(user) + 7);
            let late = i64::try_from(roll % 4).unwrap_or(0);
            add(0, 570 + 15 * (team % 4) + late, 15);
            if day.rem_euclid(7) == team % 5 {
                add(1, 780 + late, 60);
            }
            if roll.is_multiple_of(3) {
                add(2 + i64::from(user), 900 + i64::try_from(roll / 7 % 150).unwrap_or(0), 12);
            }
        }
    }
    visits
}

fn settings() -> Settings {
    let office = Window {
        days: [true, true, true, true, true, false, false],
        from_minute: 8 * 60 + 30,
        to_minute: 19 * 60 + 30,
        time_zone: Tz::UTC,
    };
    Settings {
        time_zone: Tz::UTC,
        min_interval: Duration::from_secs(30),
        max_interval: Duration::from_hours(12),
        open: vec![OpenTime::new(Some(vec![office]), Vec::new())],
    }
}

fn answer(visits: &[Visit], user: u32, at: Timestamp) -> Vec<Seen> {
    let recent = |visit: &&Visit| {
        visit.user == user && visit.joined <= at && at.since(visit.joined) < Duration::from_hours(4)
    };
    let seen = |visit: &Visit| Seen {
        conference: visit.conference,
        joined: visit.joined,
        left: visit.left.filter(|left| *left <= at),
    };
    visits.iter().filter(recent).map(seen).collect()
}

#[test]
fn a_month_with_faults_is_spent_and_never_overspent() {
    let (visits, settings) = (calendar(), settings());
    let users: Vec<PacedUser> =
        (0..USERS).map(|n| PacedUser { key: u64::from(n.wrapping_mul(2_654_435_761)), open: 0 }).collect();
    let from = Timestamp::from_ms(MONTH_MS);
    let until = Timestamp::from_ms(MONTH_MS + DAYS * DAY_MS);
    let mut pacer = Pacer::new(settings.clone(), &users, from);
    let known: Vec<Visit> = visits.iter().copied().filter(|visit| visit.joined < from).collect();
    pacer.learn_from(&known, from);
    let mut of_day: Vec<Vec<Visit>> = vec![Vec::new(); usize::try_from(DAYS).expect("a small number")];
    for visit in visits.iter().filter(|visit| visit.joined >= from) {
        let day = (visit.joined.as_ms() - MONTH_MS) / DAY_MS;
        of_day[usize::try_from(day).expect("within the month")].push(*visit);
    }
    let mut call_budget = CallBudget { from, until, calls: Some(CALLS), used: 0, sweeps: None };
    let mut due: BTreeSet<(i64, u32, bool)> = (0..USERS).map(|n| (MONTH_MS, n, false)).collect();
    let mut last_poll: Vec<Option<i64>> = vec![None; users.len()];
    while let Some((at, user, is_poll)) = due.pop_first().filter(|(at, ..)| *at < until.as_ms()) {
        let now = Timestamp::from_ms(at);
        let mut soonest = at + 1;
        if is_poll {
            assert!(call_budget.used < CALLS, "a poll is planned though all calls are spent");
            assert!(settings.open[0].open_at(now), "a poll while it is closed, at {now}");
            assert!(
                last_poll[user as usize].is_none_or(|last| at - last >= 30_000),
                "too soon after the last"
            );
            let result = call_result(at, user);
            call_budget.used += u64::from(result != CallResult::Refused);
            if result == CallResult::Answered {
                last_poll[user as usize] = Some(at);
                let day = usize::try_from((at - MONTH_MS) / DAY_MS).expect("within the month");
                for other in pacer.observed(user, now, &answer(&of_day[day], user, now)) {
                    let planned: Vec<_> = due.iter().filter(|(_, who, _)| *who == other).copied().collect();
                    for plan in &planned {
                        due.remove(plan);
                    }
                    let (when, is_poll) = next_step(&mut pacer, other, now, &call_budget);
                    due.insert((when, other, is_poll));
                }
            } else {
                soonest = at + MINUTE_MS;
            }
        }
        let (when, is_poll) = next_step(&mut pacer, user, now, &call_budget);
        // A retry after a failure is not a poll of the rule's: the rule decides again then.
        due.insert((when.max(soonest), user, is_poll && when >= soonest));
    }
    assert!(call_budget.used <= CALLS);
    assert!(call_budget.used * 100 >= CALLS * 97, "{} of {CALLS} are spent", call_budget.used);
}

fn next_step(pacer: &mut Pacer, user: u32, now: Timestamp, call_budget: &CallBudget) -> (i64, bool) {
    match pacer.next_poll_at(user, now, call_budget) {
        PollDecision::Poll(when, _) => (when.as_ms(), true),
        PollDecision::Replan(when, _) => (when.as_ms(), false),
    }
}
