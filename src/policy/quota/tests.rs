//! The limits over generated times, and one case for each rule.

use chrono_tz::Tz;
use proptest::prelude::*;

use super::*;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(ms)
}

/// 2026-11-23T06:00:00Z
const NOW: Timestamp = Timestamp::from_ms(1_795_413_600_000);
const SHANGHAI: Tz = Tz::Asia__Shanghai;

#[test]
fn a_burst_is_the_rate_and_then_waits_out_the_second() {
    let mut limiter = RateLimiter::new(3);
    for _ in 0..3 {
        assert_eq!(limiter.try_start(at(5000)), Ok(()));
    }
    assert_eq!(limiter.try_start(at(5000)), Err(at(6001)));
    assert_eq!(limiter.try_start(at(6000)), Err(at(6001)));
    assert_eq!(limiter.try_start(at(6001)), Ok(()));
}

#[test]
fn a_pause_blocks_all_starts_and_is_not_shortened() {
    let mut limiter = RateLimiter::new(5);
    limiter.pause_until(at(9000));
    limiter.pause_until(at(7000));
    assert_eq!(limiter.try_start(at(8000)), Err(at(9000)));
    assert_eq!(limiter.try_start(at(9000)), Ok(()));
}

#[test]
fn a_refusal_halves_the_rate_once_and_it_recovers_without_another() {
    let mut limiter = RateLimiter::new(20);
    limiter.throttled(NOW);
    limiter.throttled(NOW.plus(Duration::from_millis(300)));
    assert_eq!(limiter.effective_rate(NOW), 10);
    limiter.throttled(NOW.plus(Duration::from_secs(1)));
    assert_eq!(limiter.effective_rate(NOW.plus(Duration::from_secs(1))), 5);
    assert_eq!(limiter.effective_rate(NOW.plus(Duration::from_secs(11))), 7);
    assert_eq!(limiter.effective_rate(NOW.plus(Duration::from_secs(100))), 20);
    limiter.recover();
    assert_eq!(limiter.effective_rate(NOW), 20);
    let mut slow = RateLimiter::new(1);
    slow.throttled(NOW);
    assert_eq!(slow.effective_rate(NOW), 1);
}

#[test]
fn another_rate_keeps_recent_starts() {
    let mut limiter = RateLimiter::new(2);
    assert!(limiter.try_start(at(5000)).is_ok());
    assert!(limiter.try_start(at(5001)).is_ok());
    limiter.set_rate(3);
    assert!(limiter.try_start(at(5002)).is_ok());
    limiter.set_rate(1);
    assert_eq!(limiter.try_start(at(5003)), Err(at(6003)));
}

#[test]
fn a_clock_set_back_costs_a_second_at_most() {
    let mut limiter = RateLimiter::new(1);
    assert!(limiter.try_start(at(10_000_000)).is_ok());
    assert_eq!(limiter.next_free(at(5000)), at(6001));
    assert!(limiter.try_start(at(5000)).is_err());
    let mut two = RateLimiter::new(2);
    assert!(two.try_start(at(10_000_000)).is_ok());
    assert!(two.try_start(at(5000)).is_ok());
    assert_eq!(two.try_start(at(5500)), Err(at(6001)));
}

#[test]
fn a_call_in_flight_keeps_its_slot_until_a_second_after_its_end() {
    let mut limiter = RateLimiter::new(2);
    limiter.begin();
    limiter.begin();
    assert_eq!(limiter.next_free(at(5000)), at(6000), "both may arrive at any moment");
    limiter.done(at(7000));
    assert_eq!(limiter.next_free(at(7000)), at(8001));
    limiter.done(at(7500));
    assert_eq!(limiter.next_free(at(8001)), at(8001));
    limiter.begin();
    assert_eq!(limiter.next_free(at(8001)), at(8501));
}

#[test]
fn calls_are_spread_over_the_remaining_open_time() {
    let budget = MonthBudget::new(SHANGHAI, Some(1000), NOW, 0);
    let open = Duration::from_hours(10 * 50);
    // Ten users, fifty open hours each, a thousand calls: one each half hour.
    assert_eq!(budget.even_open_interval(open, 0, NOW), Some(Duration::from_mins(30)));
    assert_eq!(budget.even_open_interval(open, 500, NOW), Some(Duration::from_hours(1)));
    assert_eq!(budget.even_open_interval(open, 5000, NOW), Some(Duration::from_hours(10)));
    assert_eq!(budget.even_open_interval(Duration::ZERO, 0, NOW), None);
    assert_eq!(MonthBudget::new(SHANGHAI, None, NOW, 0).even_open_interval(open, 0, NOW), None);
}

proptest! {
    #![proptest_config(crate::testing::cases())]

    /// Whatever the latency of each call, DingTalk never receives more than the rate in any second.
    #[test]
    fn never_more_than_rate_arrivals_in_any_second(
        rate in 1_u32..8, delays in proptest::collection::vec((0_i64..900, 0_i64..900), 1..150),
    ) {
        let mut limiter = RateLimiter::new(rate);
        let (mut now, mut arrivals) = (1_000_000_i64, Vec::new());
        let mut under_way: Vec<i64> = Vec::new();
        for (there, back) in delays {
            loop {
                under_way.sort_unstable();
                while under_way.first().is_some_and(|end| *end <= now) {
                    limiter.done(at(under_way.remove(0)));
                }
                let free = limiter.next_free(at(now)).as_ms();
                if free == now {
                    break;
                }
                now = under_way.first().map_or(free, |end| free.min(*end).max(now + 1));
            }
            limiter.begin();
            arrivals.push(now + there);
            under_way.push(now + there + back);
        }
        arrivals.sort_unstable();
        for window in arrivals.windows(rate as usize + 1) {
            prop_assert!(window[rate as usize] - window[0] > 1000, "{window:?}");
        }
    }

    /// In any order of starts, pauses, refusals and changes of the rate, no second has more starts than the highest
    /// rate in force.
    #[test]
    fn never_more_than_rate_starts_in_any_second(
        rate in 1_u32..8,
        steps in proptest::collection::vec((0_i64..700, 0_u8..12), 1..120),
    ) {
        let mut limiter = RateLimiter::new(rate);
        let mut now = 1_000_000;
        let mut started = Vec::new();
        for (wait, what) in steps {
            now += wait;
            match what {
                0 => limiter.throttled(at(now)),
                1 => limiter.pause_until(at(now + 300)),
                2 => limiter.recover(),
                3 => now = limiter.next_free(at(now)).as_ms(),
                _ => {}
            }
            let free = limiter.next_free(at(now));
            prop_assert!(free >= at(now));
            match limiter.try_start(at(now)) {
                Ok(()) => {
                    prop_assert_eq!(free, at(now));
                    started.push(now);
                }
                Err(until) => {
                    prop_assert!(until > at(now));
                    prop_assert_eq!(until, free);
                }
            }
        }
        for window in started.windows(rate as usize + 1) {
            prop_assert!(window[rate as usize] - window[0] > 1000, "{window:?}");
        }
    }

    /// A start at `next_free` is always allowed.
    #[test]
    fn a_start_at_next_free_is_allowed(rate in 1_u32..50, waits in proptest::collection::vec(0_i64..50, 1..200)) {
        let mut limiter = RateLimiter::new(rate);
        let mut now = 1_000_000;
        for wait in waits {
            now = limiter.next_free(at(now + wait)).as_ms();
            prop_assert_eq!(limiter.try_start(at(now)), Ok(()));
        }
    }
}

#[test]
fn the_month_follows_the_zone() {
    let before = at(1_796_054_399_999); // 2026-11-30T15:59:59.999Z = 23:59:59.999 in Shanghai
    let after = at(1_796_054_400_000);
    assert_eq!(Month::of(before, SHANGHAI).to_string(), "2026-11");
    assert_eq!(Month::of(after, SHANGHAI).to_string(), "2026-12");
    assert_eq!(Month::of(after, Tz::UTC).to_string(), "2026-11");
    let budget = MonthBudget::new(SHANGHAI, Some(5000), NOW, 0);
    assert_eq!(budget.month_ends_at(NOW), after);
    assert_eq!(budget.month_ends_at(before), after);
    assert_eq!(Month::of(after, SHANGHAI).next().to_string(), "2027-01");
}

/// Reserves if needed, then takes.
fn take(budget: &mut MonthBudget, now: Timestamp) -> Result<Ticket, Refusal> {
    if let Some(reservation) = budget.reserve(now) {
        budget.reserved(reservation);
    }
    budget.try_take(now)
}

#[test]
fn the_limit_is_spent_exactly_and_then_waits_for_the_next_month() {
    let mut budget = MonthBudget::new(SHANGHAI, Some(3), NOW, 1);
    for _ in 0..2 {
        let ticket = take(&mut budget, NOW).unwrap();
        budget.settle(ticket, 1);
    }
    let next_month = at(1_796_054_400_000);
    assert_eq!(take(&mut budget, NOW), Err(Refusal::SpentUntil(next_month)));
    assert_eq!(budget.left(NOW), Some(0));
    assert_eq!(budget.reserve(NOW), None);
    assert_eq!(budget.left(next_month), Some(3));
    assert!(take(&mut budget, next_month).is_ok());
    assert_eq!(budget.used(next_month), 1);
}

#[test]
fn no_call_is_taken_before_its_reservation_is_stored() {
    let mut budget = MonthBudget::new(SHANGHAI, None, NOW, 7);
    assert_eq!(budget.try_take(NOW), Err(Refusal::ReserveFirst));
    let reservation = budget.reserve(NOW).unwrap();
    assert_eq!((reservation.month.to_string().as_str(), reservation.calls), ("2026-11", 9));
    budget.reserved(reservation);
    assert!(budget.try_take(NOW).is_ok());
    assert_eq!(budget.left(NOW), None);
}

#[test]
fn a_settled_call_counts_its_real_cost() {
    let mut budget = MonthBudget::new(SHANGHAI, Some(100), NOW, 0);
    for (calls, used) in [(1, 1), (0, 1), (2, 3)] {
        let ticket = take(&mut budget, NOW).unwrap();
        budget.settle(ticket, calls);
        assert_eq!(budget.used(NOW), used);
    }
    assert_eq!(budget.exact(NOW).calls, 3);
}

#[test]
fn a_call_across_the_end_of_a_month_is_not_refunded_to_the_new_month() {
    let mut budget = MonthBudget::new(SHANGHAI, Some(100), NOW, 50);
    let ticket = take(&mut budget, NOW).unwrap();
    let next_month = budget.month_ends_at(NOW);
    let next = take(&mut budget, next_month).unwrap();
    budget.settle(ticket, 0);
    assert_eq!(budget.used(next_month), 1);
    budget.settle(next, 1);
    assert_eq!(budget.used(next_month), 1);
}

#[test]
fn a_month_that_dingtalk_reports_as_spent_is_spent() {
    let mut budget = MonthBudget::new(SHANGHAI, Some(100), NOW, 5);
    budget.exhausted(NOW);
    let next_month = budget.month_ends_at(NOW);
    assert_eq!(take(&mut budget, NOW), Err(Refusal::SpentUntil(next_month)));
    assert_eq!(budget.used(NOW), 5);
    assert!(take(&mut budget.clone(), next_month).is_ok());
    budget.resume();
    assert!(take(&mut budget, NOW).is_ok());
    let mut boundless = MonthBudget::new(SHANGHAI, None, NOW, 5);
    boundless.exhausted(NOW);
    assert_eq!(take(&mut boundless, NOW), Err(Refusal::SpentUntil(next_month)));
}

#[test]
fn a_clock_set_back_across_the_end_of_a_month_does_not_refill() {
    let mut budget = MonthBudget::new(SHANGHAI, Some(1), NOW, 0);
    let next_month = budget.month_ends_at(NOW);
    let ticket = take(&mut budget, next_month).unwrap();
    budget.settle(ticket, 1);
    assert!(matches!(take(&mut budget, NOW), Err(Refusal::SpentUntil(_))));
}

#[test]
fn the_even_interval_is_time_left_by_calls_left_times_users() {
    // 31 days from the start of the month: the documented 536 s a call for 5,000 calls.
    let october = Month { year: 2026, month: 10 }.begins_at(SHANGHAI);
    let budget = MonthBudget::new(SHANGHAI, Some(5000), october, 0);
    assert_eq!(budget.even_interval(1, october).map(|i| i.as_secs()), Some(535));
    assert_eq!(budget.even_interval(10, october).map(|i| i.as_secs()), Some(5356));
    assert_eq!(budget.even_interval(0, october), None);
    let free = MonthBudget::new(SHANGHAI, None, october, 0);
    assert_eq!(free.even_interval(1, october), None);
    let spent = MonthBudget::new(SHANGHAI, Some(5000), NOW, 5000);
    assert_eq!(spent.even_interval(4, NOW), Some(spent.month_ends_at(NOW).since(NOW)));
}

#[test]
fn reservations_follow_the_call_rate() {
    let mut budget = MonthBudget::new(SHANGHAI, None, NOW, 0);
    let mut writes = 0;
    for call in 0..1000 {
        let now = NOW.plus(Duration::from_millis(call * 10));
        if let Some(reservation) = budget.reserve(now) {
            writes += 1;
            budget.reserved(reservation);
        }
        let ticket = budget.try_take(now).unwrap();
        budget.settle(ticket, 1);
        assert!(budget.persisted >= budget.used && budget.persisted <= budget.used + 102);
    }
    // 100 a second for ten seconds: about one write a second, and a few while the rate grows.
    assert!(writes <= 20, "{writes}");
}

proptest! {
    #![proptest_config(crate::testing::cases())]

    /// In any order of takes, settlements and ends of months: the stored count covers the spent calls, is ahead by
    /// little, and no month is overspent.
    #[test]
    fn the_stored_count_covers_the_spent_calls(
        limit in proptest::option::of(1_u64..60),
        start in 0_u64..20,
        steps in proptest::collection::vec((0_u8..10, 0_u32..3, 0_i64..400), 1..150),
    ) {
        let mut budget = MonthBudget::new(SHANGHAI, limit, NOW, start);
        let mut now = NOW;
        let mut open = Vec::new();
        let mut taken = 0_u64;
        for (what, calls, wait) in steps {
            now = now.plus(Duration::from_millis(wait.unsigned_abs()));
            if what == 0 && open.is_empty() {
                now = budget.month_ends_at(now);
                taken = 0;
            } else if what < 4 && !open.is_empty() {
                let ticket: Ticket = open.swap_remove(usize::from(what) % open.len());
                budget.settle(ticket, calls);
            } else {
                let before = budget.left(now);
                match take(&mut budget, now) {
                    Ok(ticket) => {
                        prop_assert_ne!(before, Some(0));
                        taken += 1;
                        open.push(ticket);
                    }
                    Err(refusal) => {
                        prop_assert_eq!(before, Some(0));
                        prop_assert_eq!(refusal, Refusal::SpentUntil(budget.month_ends_at(now)));
                        prop_assert!(budget.month_ends_at(now) > now);
                    }
                }
            }
            if budget.month == Month::of(now, SHANGHAI) && taken > 0 {
                prop_assert!(budget.persisted >= budget.used(now), "{budget:?}");
            }
        }
    }

    /// In every zone a month ends where the next one begins, to the millisecond.
    #[test]
    fn months_meet_without_a_gap(zone in 0..chrono_tz::TZ_VARIANTS.len(), ms in 0_i64..4_000_000_000_000) {
        let zone = chrono_tz::TZ_VARIANTS[zone];
        let month = Month::of(at(ms), zone);
        let end = month.next().begins_at(zone);
        prop_assert!(end > at(ms));
        prop_assert_eq!(Month::of(end, zone), month.next());
        prop_assert_eq!(Month::of(end.minus(Duration::from_millis(1)), zone), month);
    }
}
