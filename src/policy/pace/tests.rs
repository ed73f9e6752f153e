//! What the pacer promises for single decisions.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts, minutes and milliseconds here are far below 2^52"
)]

use std::time::Duration;

use chrono_tz::Tz;
use proptest::prelude::*;

use super::pacer::Rule;
use super::{CallBudget, PacedUser, Pacer, PollDecision, Seen, Settings, Visit};
use crate::policy::window::{OpenTime, Window};
use crate::time::Timestamp;

/// 2026-06-01, a Monday, midnight UTC.
const MONDAY_MS: i64 = 1_780_272_000_000;
const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

fn at(day: i64, minute: i64) -> Timestamp {
    Timestamp::from_ms(MONDAY_MS + day * DAY_MS + minute * MINUTE_MS)
}

fn settings(windows: bool) -> Settings {
    let office = Window { days: [true; 7], from_minute: 8 * 60, to_minute: 18 * 60, time_zone: Tz::UTC };
    Settings {
        time_zone: Tz::UTC,
        min_interval: Duration::from_secs(30),
        max_interval: Duration::from_hours(12),
        open: vec![OpenTime::new(windows.then(|| vec![office]), Vec::new())],
    }
}

fn pacer(users: u32, now: Timestamp) -> Pacer {
    let users: Vec<PacedUser> =
        (0..users).map(|n| PacedUser { key: u64::from(n.wrapping_mul(2_654_435_761)), open: 0 }).collect();
    Pacer::new(settings(true), &users, now)
}

fn call_budget(calls: u64, used: u64) -> CallBudget {
    CallBudget { from: at(0, 0), until: at(60, 0), calls: Some(calls), used, sweeps: None }
}

/// A stand-up at ten each day and nothing else.
fn stand_ups(users: u32, days: i64) -> Vec<Visit> {
    let visit =
        |user, day| Visit { user, conference: day as u64, joined: at(day, 600), left: Some(at(day, 630)) };
    (0..days).flat_map(|day| (0..users).map(move |user| visit(user, day))).collect()
}

fn time_of(next: PollDecision) -> Timestamp {
    match next {
        PollDecision::Poll(when, _) | PollDecision::Replan(when, _) => when,
    }
}

#[test]
fn without_history_it_spreads_evenly() {
    let mut pacer = pacer(4, at(0, 0));
    pacer.observed(0, at(1, 600), &[]);
    let PollDecision::Poll(when, why) = pacer.next_poll_at(0, at(1, 600), &call_budget(2_400, 0)) else {
        panic!("a poll is due")
    };
    assert_eq!(why.rule, Rule::Even);
    // 59 days less 2 hours of ten open hours for four users: about an hour each.
    let minutes = when.since(at(1, 600)).as_secs() / 60;
    assert!((55..=61).contains(&minutes), "{minutes}");
}

#[test]
fn a_recurring_join_is_polled_when_it_is_due() {
    let mut pacer = pacer(3, at(0, 0));
    pacer.learn_from(&stand_ups(3, 28), at(28, 0));
    pacer.observed(0, at(28, 590), &[]);
    // Four calls a day for each of three users.
    let calls = CallBudget { from: at(28, 0), ..call_budget(384, 0) };
    let PollDecision::Poll(when, why) = pacer.next_poll_at(0, at(28, 590), &calls) else {
        panic!("a poll is due")
    };
    assert!(when >= at(28, 597) && when <= at(28, 612), "{when} {why:?}");
    assert!(why.pattern >= 16, "other days speak for it: {why:?}");
    let when = when.max(at(28, 602));
    pacer.observed(0, when, &[Seen { conference: 28, joined: at(28, 600), left: None }]);
    let leaves = time_of(pacer.next_poll_at(0, when, &CallBudget { used: 1, ..calls }));
    assert!(leaves >= at(28, 618) && leaves <= at(28, 650), "{leaves}");
}

#[test]
fn members_of_a_meeting_are_polled_together() {
    let mut pacer = pacer(2, at(0, 0));
    pacer.learn_from(&stand_ups(2, 28), at(28, 0));
    for user in 0..2 {
        pacer.observed(user, at(28, 480), &[]);
        pacer.next_poll_at(user, at(28, 480), &call_budget(900, 0));
    }
    // Today they meet at two in the afternoon.
    let seen = Seen { conference: 77, joined: at(28, 840), left: None };
    let moved = pacer.observed(0, at(28, 845), &[seen]);
    assert_eq!(moved, [1]);
    let next = time_of(pacer.next_poll_at(1, at(28, 845), &call_budget(900, 2)));
    assert!(next <= at(28, 850), "{next}");
}

#[test]
fn a_closed_window_is_replanned_at_its_opening() {
    let mut pacer = pacer(1, at(0, 0));
    let next = pacer.next_poll_at(0, at(0, 1200), &call_budget(100, 0));
    assert!(
        matches!(next, PollDecision::Replan(when, why) if when == at(1, 480) && why.rule == Rule::Closed),
        "{next:?}"
    );
}

#[test]
fn without_a_limit_every_user_is_polled_as_often_as_allowed() {
    let mut pacer = pacer(2, at(0, 0));
    pacer.observed(0, at(0, 600), &[]);
    let free = CallBudget { calls: None, ..call_budget(0, 0) };
    assert_eq!(time_of(pacer.next_poll_at(0, at(0, 600), &free)), at(0, 600).plus(Duration::from_secs(30)));
}

proptest! {
    #![proptest_config(crate::testing::cases_costing(8))]

    #[test]
    fn the_next_poll_is_later_open_and_not_too_soon(
        day in 28..40_i64, minute in 0..1440_i64, inside in any::<bool>(), calls in 1..100_000_u64,
        part in 0.0..1.2_f64, always in any::<bool>(),
    ) {
        let users = [PacedUser { key: 77_777, open: 0 }, PacedUser { key: 3, open: 0 }];
        let mut pacer = Pacer::new(settings(!always), &users, at(day, 0));
        pacer.learn_from(&stand_ups(2, 28), at(day, 0));
        let now = at(day, minute);
        let seen = Seen { conference: 5, joined: at(day, minute - 7), left: None };
        pacer.observed(0, now, if inside { std::slice::from_ref(&seen) } else { &[] });
        let used = (calls as f64 * part) as u64;
        let next = pacer.next_poll_at(0, now, &call_budget(calls, used));
        prop_assert!(time_of(next) > now);
        if let PollDecision::Poll(when, _) = next {
            prop_assert!(used < calls);
            prop_assert!(when >= now.plus(Duration::from_secs(30)));
            prop_assert!(settings(!always).open[0].open_at(when));
        }
    }
}
