//! Replays of small calendars: what is counted, and which limits the policies keep.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono_tz::Tz;
use proptest::prelude::*;

use super::{Policy, ReplayInput, SweepChoice, SweepMode};
use crate::policy::pace::{PacedUser, Settings, Visit};
use crate::policy::window::{OpenTime, Window};
use crate::time::Timestamp;

/// 2026-06-01, a Monday, midnight UTC.
const MONDAY_MS: i64 = 1_780_272_000_000;
const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

fn input(users: u32, calls_per_month: u64, warmup_days: u64, visits: Vec<Visit>) -> ReplayInput {
    let office = Window {
        days: [true, true, true, true, true, false, false],
        from_minute: 8 * 60,
        to_minute: 18 * 60,
        time_zone: Tz::UTC,
    };
    ReplayInput {
        settings: Settings {
            time_zone: Tz::UTC,
            min_interval: Duration::from_secs(30),
            max_interval: Duration::from_hours(12),
            open: vec![OpenTime::new(Some(vec![office]), Vec::new())],
        },
        users: (0..users)
            .map(|n| PacedUser { key: u64::from(n.wrapping_mul(2_654_435_761)), open: 0 })
            .collect(),
        calls_per_month,
        month_time_zone: Tz::UTC,
        warmup: Duration::from_hours(24 * warmup_days),
        visits,
        sweep: SweepMode::Off,
        foreign: BTreeSet::new(),
    }
}

fn visit(user: u32, conference: u64, day: i64, from_minute: i64, minutes: i64) -> Visit {
    let joined = MONDAY_MS + day * DAY_MS + from_minute * MINUTE_MS;
    let left = joined + minutes * MINUTE_MS;
    Visit { user, conference, joined: Timestamp::from_ms(joined), left: Some(Timestamp::from_ms(left)) }
}

/// All users meet at ten on weekdays; some also have calls at odd times.
fn calendar(users: u32, days: i64) -> Vec<Visit> {
    let mut visits = Vec::new();
    for day in (0..days).filter(|day| day % 7 < 5) {
        for user in 0..users {
            let jitter = (day * 7 + i64::from(user) * 3) % 4;
            visits.push(visit(user, 1_000 + day.unsigned_abs(), day, 600 + jitter, 30));
            if (day + i64::from(user)) % 3 == 0 {
                let odd = 700 + (day * 37 + i64::from(user) * 53) % 300;
                visits.push(visit(user, 9_000 + (day * 100).unsigned_abs() + u64::from(user), day, odd, 12));
            }
        }
    }
    visits
}

#[test]
fn wrong_time_of_a_policy_without_calls_is_the_time_inside() {
    let input = input(1, 0, 0, vec![visit(0, 1, 0, 7 * 60, 90), visit(0, 2, 1, 600, 30)]);
    let outcome = input.run(Policy::Even).expect("something to count");
    // Half an hour of the first visit is open, all of the second.
    assert!((outcome.wrong_s - 3600.0).abs() < 1e-6, "{outcome:?}");
    assert_eq!((outcome.calls, outcome.visits, outcome.missed_visits), (0, 2, 2));
}

#[test]
fn even_spends_its_share_of_the_calls() {
    let input = input(4, 2_000, 0, calendar(4, 28));
    let outcome = input.run(Policy::Even).expect("something to count");
    // June 2026 has 22 working days; the trace covers 20 of them.
    assert!((1_800..=1_825).contains(&outcome.calls), "{}", outcome.calls);
}

#[test]
fn auto_is_less_wrong_with_no_more_calls() {
    let input = input(6, 2_500, 28, calendar(6, 56));
    let [even, auto, hindsight] = [Policy::Even, Policy::Auto, Policy::Hindsight]
        .map(|policy| input.run(policy).expect("something to count"));
    assert!(auto.calls <= even.calls, "{} of {}", auto.calls, even.calls);
    assert!(auto.wrong_s < 0.5 * even.wrong_s, "{} of {}", auto.wrong_s, even.wrong_s);
    assert!(auto.wrong_s < 1.15 * hindsight.wrong_s, "{} of {}", auto.wrong_s, hindsight.wrong_s);
}

/// One hour a week for all users, who come a little late.
fn weekly_hour(users: u32, days: i64) -> Vec<Visit> {
    let weekly = (0..days).filter(|day| day % 7 == 2);
    weekly
        .flat_map(|day| {
            let comes = move |user: &u32| (i64::from(*user) * 7 + day) % 3 != 0;
            let late = move |user: u32| (i64::from(user) * 5 + day) % 12;
            (0..users).filter(comes).map(move |user| {
                visit(
                    user,
                    50 + day.unsigned_abs(),
                    day,
                    600 + late(user),
                    57 - late(user) + i64::from(user) % 3,
                )
            })
        })
        .collect()
}

#[test]
fn a_crowded_hour_gets_the_calls_of_quiet_days_and_everybody_is_seen_out() {
    for calls in [2_000, 5_000, 20_000] {
        let input = input(25, calls, 28, weekly_hour(25, 63));
        let [even, auto] =
            [Policy::Even, Policy::Auto].map(|policy| input.run(policy).expect("something to count"));
        assert!(auto.wrong_s < 0.4 * even.wrong_s, "{calls}: {} of {}", auto.wrong_s, even.wrong_s);
        assert!(auto.missed_visits <= even.missed_visits, "{calls}: {auto:?}");
        assert!(auto.leaves().p95_s < 1_800.0, "{calls}: {:?}", auto.leaves());
    }
}

#[test]
fn nothing_known_at_the_beginning_is_no_worse_than_even_spreading() {
    for visits in [weekly_hour(25, 42), calendar(8, 42)] {
        let input = input(25, 3_000, 0, visits);
        let [even, auto] =
            [Policy::Even, Policy::Auto].map(|policy| input.run(policy).expect("something to count"));
        assert!(auto.wrong_s <= even.wrong_s, "{} of {}", auto.wrong_s, even.wrong_s);
    }
}

#[test]
fn no_policy_beats_the_one_that_knows_the_trace() {
    let input = input(6, 1_000, 28, calendar(6, 56));
    let wrong = |policy| input.run(policy).expect("something to count").wrong_s;
    let [bound, never] = [Policy::Clairvoyant, Policy::Never].map(wrong);
    for policy in [Policy::Even, Policy::Auto, Policy::Hindsight, Policy::Histogram] {
        assert!(bound < wrong(policy), "{policy:?}");
    }
    assert!(bound < never);
    let even = input.run(Policy::Even).expect("something to count");
    for policy in [Policy::Clairvoyant, Policy::Histogram, Policy::Never] {
        assert!(input.run(policy).is_some_and(|outcome| outcome.calls <= even.calls), "{policy:?}");
    }
}

#[test]
fn endless_open_time_is_swept_like_days_without_a_last_minute() {
    let all_day = |to_minute| {
        let window = Window { days: [true; 7], from_minute: 0, to_minute, time_zone: Tz::UTC };
        let mut input = swept(input(12, 1_500, 28, calendar(12, 56)), 0);
        input.settings.open = vec![OpenTime::new(Some(vec![window]), Vec::new())];
        input.run(Policy::Auto).expect("something to count")
    };
    let (endless, daily) = (all_day(24 * 60), all_day(24 * 60 - 1));
    assert!(endless.wrong_s < 1.1 * daily.wrong_s, "{} of {}", endless.wrong_s, daily.wrong_s);
}

#[test]
fn the_same_input_gives_the_same_result() {
    let input = input(5, 1_500, 28, calendar(5, 49));
    assert_eq!(input.run(Policy::Auto), input.run(Policy::Auto));
}

#[test]
fn a_whole_month_is_never_overspent_and_hardly_underspent() {
    // July and August are whole months after the warm-up.
    let input = input(8, 3_000, 28, calendar(8, 92));
    let outcome = input.run(Policy::Auto).expect("something to count");
    for (spent, calls) in outcome.months {
        assert!(spent <= calls, "{spent} of {calls}");
    }
    let outcome = input.run(Policy::Auto).expect("something to count");
    let (spent, calls) = outcome.months[1];
    assert!(spent * 100 >= calls * 97, "{spent} of {calls}");
}

/// The same input with sweeps; `percent` of the meetings are foreign.
fn swept(input: ReplayInput, percent: u64) -> ReplayInput {
    let foreign =
        input.visits.iter().map(|visit| visit.conference).filter(|conference| conference % 100 < percent);
    ReplayInput { sweep: SweepMode::Auto, foreign: foreign.collect(), ..input }
}

#[test]
fn sweeps_find_many_users_for_the_price_of_their_meetings() {
    let input = input(40, 1_500, 28, calendar(40, 49));
    let polls = input.run(Policy::Auto).expect("something to count");
    let sweeps = swept(input, 0).run(Policy::Auto).expect("something to count");
    assert!(sweeps.wrong_s < 0.6 * polls.wrong_s, "{} of {}", sweeps.wrong_s, polls.wrong_s);
}

#[test]
fn auto_spends_no_more_calls_than_even() {
    let input = input(12, 1_500, 28, calendar(12, 70));
    let even = input.run(Policy::Even).expect("something to count");
    for input in [input.clone(), swept(input.clone(), 0), swept(input, 20)] {
        let auto = input.run(Policy::Auto).expect("something to count");
        for ((auto, _), (even, _)) in auto.months.iter().zip(&even.months) {
            assert!(auto <= even, "{auto} of {even}");
        }
        assert!(auto.calls * 100 >= even.calls * 95, "{} of {}", auto.calls, even.calls);
    }
}

#[test]
fn sweeps_at_an_interval_leave_the_other_calls_to_polls() {
    let input = input(12, 1_500, 28, calendar(12, 70));
    let every = |minutes| {
        let sweep = SweepMode::Every(Duration::from_mins(minutes));
        ReplayInput { sweep, ..swept(input.clone(), 20) }.run(Policy::Auto).expect("something to count")
    };
    let even = input.run(Policy::Even).expect("something to count");
    for minutes in [30, 60] {
        let auto = every(minutes);
        assert!(auto.calls <= even.calls && auto.calls * 100 >= even.calls * 90, "{auto:?}");
        assert!(auto.wrong_s < even.wrong_s, "{} of {}", auto.wrong_s, even.wrong_s);
    }
}

#[test]
fn with_only_foreign_meetings_sweeps_change_nothing() {
    let input = input(6, 1_500, 28, calendar(6, 49));
    let foreign = swept(input.clone(), 100);
    assert!(matches!(foreign.choice(), SweepChoice::NotTrusted { .. }));
    assert_eq!(foreign.run(Policy::Auto), input.run(Policy::Auto));
}

proptest! {
    #![proptest_config(crate::testing::cases_costing(64))]

    #[test]
    fn no_month_is_overspent_whatever_users_do(
        users in 1_u32..5,
        calls in 1_u64..600,
        raw in prop::collection::vec((0..5_u32, 0..40_i64, 0..1440_i64, 1..200_i64, 0..9_u64), 1..120),
    ) {
        let visits = raw.into_iter().map(|(user, day, from, minutes, conference)| {
            visit(user % users, conference, day, from, minutes)
        });
        let input = input(users, calls, 10, visits.collect());
        let swept = swept(input.clone(), 30);
        let often = ReplayInput { sweep: SweepMode::Every(Duration::from_mins(7)), ..swept.clone() };
        let auto = [&input, &swept, &often].map(|input| (input, Policy::Auto));
        for (input, policy) in auto.into_iter().chain([(&input, Policy::Even)]) {
            let Some(outcome) = input.run(policy) else { continue };
            for (spent, calls) in &outcome.months {
                prop_assert!(spent <= calls);
            }
            prop_assert!(outcome.missed_visits <= outcome.visits);
        }
    }
}
