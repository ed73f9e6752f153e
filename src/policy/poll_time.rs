//! When the next look at somebody falls, where looking has its hours.
//!
//! Guards: the next look is strictly later and inside a window; intervals are counted in open time, so a long one does
//! not skip whole windows and calls saved at night are there in the day; nobody is looked at in a bunch when a window
//! opens, nor at the full minute that many expressions name (DingTalk's own congestion peak). Deliberately not here:
//! how long the interval is (`quota`, `pace`), following users past the end of a window (`tasks`).

use std::time::Duration;

use chrono_tz::Tz;

use super::cadence::Cron;
use super::pace::{self, Phase};
use super::window::OpenTime;
use crate::time::Timestamp;

/// People who share an instant are spread over so long after it, or over a tenth of the time to the next one.
const CRON_SPREAD: Duration = Duration::from_secs(30);
/// How often an expression comes true is counted over so long.
const COUNTED: Duration = Duration::from_hours(24 * 7);
/// So many of its instants are counted; the rest are taken to be like them.
const COUNTED_INSTANTS: u32 = 2_000;

/// The next look with an interval that is paced by the calls left: so much open time later. `None`: never open again.
pub fn paced(now: Timestamp, interval: Duration, phase: Phase, open: &OpenTime) -> Option<Timestamp> {
    let next = pace::next_poll_at(now, interval, phase);
    if open.is_always() { Some(next) } else { open.after(now, next.since(now)) }
}

/// The next look with a fixed interval. One that is longer than the window does not skip a window.
pub fn every(now: Timestamp, interval: Duration, phase: Phase, open: &OpenTime) -> Option<Timestamp> {
    let next = pace::next_poll_at(now, interval, phase);
    if open.is_always() || open.open_at(next) {
        return Some(next);
    }
    let opens = open.opens_at(next)?;
    let stretch = stretch(open, opens);
    match stretch {
        Some(stretch) if interval > stretch => Some(opens.plus(phase.within(stretch))),
        _ => open.after(now, next.since(now)),
    }
}

/// The next look at the instants of an expression on the wall clock of `zone`, as far as they fall into open time.
/// `None`: there is none any more.
pub fn at_instants(
    now: Timestamp,
    cron: &Cron,
    zone: Tz,
    phase: Phase,
    open: &OpenTime,
) -> Option<Timestamp> {
    /// No window opens and closes this often without holding an instant that is worth waiting for.
    const TRIES: u32 = 400;
    let mut after = now;
    for _ in 0..TRIES {
        let instant = cron.next_after(after, zone)?;
        if open.open_at(instant) {
            let gap = cron.next_after(instant, zone).map_or(CRON_SPREAD, |next| next.since(instant) / 10);
            let spread = instant.plus(phase.within(gap.min(CRON_SPREAD)));
            return Some(if open.open_at(spread) { spread } else { instant });
        }
        after = Timestamp::from_ms(open.opens_at(instant)?.as_ms().saturating_sub(1));
    }
    None
}

/// How often an expression comes true in a second of open time, counted over the next week.
pub fn instants_a_second(cron: &Cron, zone: Tz, open: &OpenTime, now: Timestamp) -> f64 {
    let until = now.plus(COUNTED);
    let (mut at, mut hits, mut seen) = (now, 0_u32, 0_u32);
    while let Some(next) = cron.next_after(at, zone).filter(|next| *next < until) {
        hits += u32::from(open.open_at(next));
        at = next;
        seen += 1;
        if seen == COUNTED_INSTANTS {
            break;
        }
    }
    let counted = if seen == COUNTED_INSTANTS { at } else { until };
    f64::from(hits) / open.open_between(now, counted).as_secs_f64().max(1.0)
}

/// `next`, or, where that is closed, soon after the opening: at the user's place in the interval, or in the window
/// where that is shorter.
pub fn within_hours(next: Timestamp, interval: Duration, phase: Phase, open: &OpenTime) -> Option<Timestamp> {
    if open.is_always() || open.open_at(next) {
        return Some(next);
    }
    let opens = open.opens_at(next)?;
    Some(opens.plus(phase.within(stretch(open, opens).map_or(interval, |stretch| stretch.min(interval)))))
}

/// How long it stays open from `opens` on; `None`: for years.
fn stretch(open: &OpenTime, opens: Timestamp) -> Option<Duration> {
    open.next_change(opens).map(|closes| closes.since(opens))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Identity, OrgName, UnionId};
    use crate::policy::civil::tests::{ZONES, at};
    use crate::policy::window::Window;

    fn phase(n: u32) -> Phase {
        let union_id = UnionId::parse(&format!("user{n}")).expect("a valid id");
        Phase::of(&Identity { org: OrgName::default_name(), union_id })
    }

    fn office(zone: Tz) -> OpenTime {
        let days = [true, true, true, true, true, false, false];
        let window = Window { days, from_minute: 9 * 60, to_minute: 18 * 60, time_zone: zone };
        OpenTime::new(Some(vec![window]), Vec::new())
    }

    #[test]
    fn an_hour_before_the_end_an_interval_of_two_goes_on_in_the_morning() {
        let open = office(Tz::UTC);
        let next =
            paced(at("2026-11-23T17:00:00Z"), Duration::from_hours(2), phase(1), &open).expect("open again");
        assert!(next >= at("2026-11-24T09:00:00Z") && next <= at("2026-11-24T11:00:00Z"), "{next}");
    }

    #[test]
    fn a_fixed_interval_longer_than_the_window_looks_once_in_each() {
        let open = office(Tz::UTC);
        let mut now = at("2026-11-23T09:00:00Z");
        let mut days = Vec::new();
        for _ in 0..5 {
            now = every(now, Duration::from_hours(24), phase(3), &open).expect("open again");
            days.push(now.to_string()[..10].to_owned());
        }
        let mut distinct = days.clone();
        distinct.dedup();
        assert_eq!(days, distinct, "one a day");
        assert!(days.len() == 5 && days[4].as_str() <= "2026-12-01", "{days:?}");
    }

    #[test]
    fn instants_outside_the_window_are_left_out_and_people_do_not_share_a_second() {
        let open = office(Tz::UTC);
        let cron = Cron::parse("@hourly").expect("an expression");
        let night = at("2026-11-23T18:30:00Z");
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..100 {
            let next = at_instants(night, &cron, Tz::UTC, phase(n), &open).expect("one");
            assert!(next >= at("2026-11-24T09:00:00Z") && next <= at("2026-11-24T09:00:30Z"), "{next}");
            seen.insert(next);
        }
        assert!(seen.len() > 90, "{}", seen.len());
    }

    #[test]
    fn an_expression_that_no_window_holds_gives_nothing_and_ends() {
        let cron = Cron::parse("0 3 * * *").expect("an expression");
        assert_eq!(at_instants(at("2026-11-23T10:00:00Z"), &cron, Tz::UTC, phase(1), &office(Tz::UTC)), None);
    }

    #[test]
    fn never_open_is_never() {
        let never = OpenTime::new(Some(Vec::new()), Vec::new());
        let (now, hour) = (at("2026-11-23T10:00:00Z"), Duration::from_hours(1));
        assert_eq!(paced(now, hour, phase(1), &never), None);
        assert_eq!(every(now, hour, phase(1), &never), None);
        assert_eq!(within_hours(now, hour, phase(1), &never), None);
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn the_next_look_is_later_and_open(
            now in 1_700_000_000_000_i64..1_900_000_000_000, minutes in 1_u64..3_000, n in 0_u32..50,
            zone in prop::sample::select(&ZONES[..]),
        ) {
            let (open, now) = (office(zone), Timestamp::from_ms(now));
            let interval = Duration::from_mins(minutes);
            let cron = Cron::parse("*/7 * * * *").expect("an expression");
            for next in [
                paced(now, interval, phase(n), &open),
                every(now, interval, phase(n), &open),
                at_instants(now, &cron, zone, phase(n), &open),
            ] {
                let next = next.expect("open again");
                prop_assert!(next > now);
                prop_assert!(open.open_at(next), "{next} is closed");
            }
            let clamped = within_hours(now, interval, phase(n), &open).expect("open again");
            prop_assert!(clamped >= now && open.open_at(clamped));
        }

        /// Whatever the hours, an interval is that much open time, within a half.
        #[test]
        fn a_paced_interval_is_open_time(
            now in 1_700_000_000_000_i64..1_900_000_000_000, minutes in 1_u64..3_000, n in 0_u32..50,
        ) {
            let (open, now) = (office(Tz::Europe__Berlin), Timestamp::from_ms(now));
            let interval = Duration::from_mins(minutes);
            let next = paced(now, interval, phase(n), &open).expect("open again");
            let waited = open.open_between(now, next);
            prop_assert!(waited >= interval / 2 && waited <= interval + interval / 2 + Duration::from_millis(2));
        }
    }
}
