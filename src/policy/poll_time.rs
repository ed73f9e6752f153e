//! Time of a user's next poll within open time.
//!
//! Guards: the next poll is strictly later and in open time; intervals are counted in open time, so a long interval
//! does not skip whole windows and calls saved at night are available by day; polls do not bunch when a window opens,
//! nor at the full minute that many expressions name (DingTalk's own congestion peak). Not here: the length of the
//! interval (`quota`, `pace`), polling users past the end of a window (`tasks`).

use std::time::Duration;

use chrono_tz::Tz;

use super::cadence::Cron;
use super::pace::{self, Phase};
use super::window::OpenTime;
use crate::time::Timestamp;

/// Users with the same instant are spread over this time after it, or over a tenth of the time to the next instant.
const CRON_SPREAD: Duration = Duration::from_secs(30);
/// Period over which the instants of an expression are counted.
const COUNTED: Duration = Duration::from_hours(24 * 7);
/// Maximum number of instants counted; the rest of the period is extrapolated.
const COUNTED_INSTANTS: u32 = 2_000;

/// The next poll at an interval paced by the remaining calls: after that much open time. `None`: never open again.
pub fn paced(now: Timestamp, interval: Duration, phase: Phase, open: &OpenTime) -> Option<Timestamp> {
    let next = pace::next_poll_at(now, interval, phase);
    if open.is_always() { Some(next) } else { open.after(now, next.since(now)) }
}

/// The next poll at a fixed interval. An interval longer than the window still polls in every window.
pub fn every(now: Timestamp, interval: Duration, phase: Phase, open: &OpenTime) -> Option<Timestamp> {
    let next = pace::next_poll_at(now, interval, phase);
    if open.is_always() || open.open_at(next) {
        return Some(next);
    }
    let opens = open.opens_at(next)?;
    let open_span = open_span(open, opens);
    match open_span {
        Some(open_span) if interval > open_span => Some(opens.plus(phase.within(open_span))),
        _ => open.after(now, next.since(now)),
    }
}

/// The next poll at an instant of a cron expression on the wall clock of `zone`, in open time. `None`: there is none.
pub fn at_instants(
    now: Timestamp,
    cron: &Cron,
    zone: Tz,
    phase: Phase,
    open: &OpenTime,
) -> Option<Timestamp> {
    /// A schedule that opens and closes this often without containing an instant is treated as having none.
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

/// How often an expression matches in a second of open time, counted over the next week.
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

/// `next`; where that is closed, a time soon after the opening: at the user's offset within the interval, or within
/// the window where that is shorter.
pub fn within_hours(next: Timestamp, interval: Duration, phase: Phase, open: &OpenTime) -> Option<Timestamp> {
    if open.is_always() || open.open_at(next) {
        return Some(next);
    }
    let opens = open.opens_at(next)?;
    Some(
        opens
            .plus(phase.within(open_span(open, opens).map_or(interval, |open_span| open_span.min(interval)))),
    )
}

/// How long it stays open from `opens` on; `None`: for years.
fn open_span(open: &OpenTime, opens: Timestamp) -> Option<Duration> {
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
    fn an_hour_before_closing_an_interval_of_two_continues_in_the_morning() {
        let open = office(Tz::UTC);
        let next =
            paced(at("2026-11-23T17:00:00Z"), Duration::from_hours(2), phase(1), &open).expect("open again");
        assert!(next >= at("2026-11-24T09:00:00Z") && next <= at("2026-11-24T11:00:00Z"), "{next}");
    }

    #[test]
    fn a_fixed_interval_longer_than_the_window_polls_once_in_each() {
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
    fn instants_outside_the_window_are_skipped_and_users_do_not_share_a_second() {
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
    fn an_expression_with_no_instant_in_a_window_gives_none() {
        let cron = Cron::parse("0 3 * * *").expect("an expression");
        assert_eq!(at_instants(at("2026-11-23T10:00:00Z"), &cron, Tz::UTC, phase(1), &office(Tz::UTC)), None);
    }

    #[test]
    fn a_window_that_never_opens_gives_none() {
        let never = OpenTime::new(Some(Vec::new()), Vec::new());
        let (now, hour) = (at("2026-11-23T10:00:00Z"), Duration::from_hours(1));
        assert_eq!(paced(now, hour, phase(1), &never), None);
        assert_eq!(every(now, hour, phase(1), &never), None);
        assert_eq!(within_hours(now, hour, phase(1), &never), None);
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn the_next_poll_is_later_and_open(
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

        /// Whatever the windows, an interval is that much open time, or up to a half less.
        #[test]
        fn a_paced_interval_is_open_time(
            now in 1_700_000_000_000_i64..1_900_000_000_000, minutes in 1_u64..3_000, n in 0_u32..50,
        ) {
            let (open, now) = (office(Tz::Europe__Berlin), Timestamp::from_ms(now));
            let interval = Duration::from_mins(minutes);
            let next = paced(now, interval, phase(n), &open).expect("open again");
            let waited = open.open_between(now, next);
            prop_assert!(waited >= interval / 2 && waited <= interval + Duration::from_millis(2));
        }
    }
}
