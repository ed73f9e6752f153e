//! Conversion between instants and wall-clock time in a zone, including both changes to and from summer time.
//!
//! Guards: a wall-clock time that does not exist (clocks put forward) or exists twice (put back) always maps to one
//! instant. Not here: what happens at those times (`cadence`, `window`).

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::time::Timestamp;

/// Step of the search for a change of the offset between two instants: no zone changes its offset twice within three days.
const STEP_MS: i64 = 3 * 86_400_000;

/// The wall-clock time in `zone` at `instant`.
pub fn wall(instant: Timestamp, zone: Tz) -> NaiveDateTime {
    utc(instant).with_timezone(&zone).naive_local()
}

/// Offset of the wall clock in `zone` from UTC at `instant`, in milliseconds.
pub fn offset_ms(instant: Timestamp, zone: Tz) -> i64 {
    let offset = zone.offset_from_utc_datetime(&utc(instant).naive_utc());
    i64::from(offset.fix().local_minus_utc()) * 1_000
}

/// The first instant in `(after, until]` at which the offset of `zone` has changed.
pub fn next_offset_change(zone: Tz, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
    let before = offset_ms(after, zone);
    let mut low = after.as_ms();
    while low < until.as_ms() {
        let high = low.saturating_add(STEP_MS).min(until.as_ms());
        if offset_ms(Timestamp::from_ms(high), zone) != before {
            return Some(bisect(zone, before, low, high));
        }
        low = high;
    }
    None
}

/// The first instant whose offset is not `before`; `low` has that offset, `high` does not.
fn bisect(zone: Tz, before: i64, mut low: i64, mut high: i64) -> Timestamp {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if offset_ms(Timestamp::from_ms(middle), zone) == before {
            low = middle;
        } else {
            high = middle;
        }
    }
    Timestamp::from_ms(high)
}

/// The first instant at which the wall clock in `zone` shows `wall`, or the jump past it.
pub fn first_instant(wall: NaiveDateTime, zone: Tz) -> Timestamp {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => stamp(&instant),
        LocalResult::None => jump_over(wall, zone),
    }
}

/// The last instant at which the wall clock in `zone` shows `wall`, or the jump past it.
pub fn last_instant(wall: NaiveDateTime, zone: Tz) -> Timestamp {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(_, instant) => stamp(&instant),
        LocalResult::None => jump_over(wall, zone),
    }
}

/// Whether the wall clock in `zone` shows the time of `instant` for the second time, because it was put back.
pub fn is_second_pass(instant: Timestamp, zone: Tz) -> bool {
    match zone.from_local_datetime(&wall(instant, zone)) {
        LocalResult::Ambiguous(first, _) => stamp(&first) < instant,
        LocalResult::Single(_) | LocalResult::None => false,
    }
}

/// The instant at which the clock was put forward past `wall`.
fn jump_over(wall: NaiveDateTime, zone: Tz) -> Timestamp {
    // Offsets lie between -12 and +14 hours, so the jump is within a day and a half of `wall` read as UTC.
    let reach = TimeDelta::hours(36);
    let mut after = stamp(&(wall - reach).and_utc());
    let until = stamp(&(wall + reach).and_utc());
    while let Some(change) = next_offset_change(zone, after, until) {
        if self::wall(change, zone) > wall {
            return change;
        }
        after = change;
    }
    // Not reached for a wall-clock time that does not exist; as UTC the result is at least near.
    stamp(&wall.and_utc())
}

fn stamp<Z: TimeZone>(instant: &DateTime<Z>) -> Timestamp {
    Timestamp::from_ms(instant.timestamp_millis())
}

/// Converts an instant, limited to the years 1 to 9998.
fn utc(instant: Timestamp) -> DateTime<Utc> {
    const FIRST_MS: i64 = -62_135_596_800_000;
    const LAST_MS: i64 = 253_370_764_800_000;
    DateTime::from_timestamp_millis(instant.as_ms().clamp(FIRST_MS, LAST_MS)).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Zones with every special case: no change, whole hours, half hours, a skipped day, a pause in Ramadan.
    pub(crate) const ZONES: [Tz; 8] = [
        Tz::Asia__Shanghai,
        Tz::UTC,
        Tz::Europe__Berlin,
        Tz::America__New_York,
        Tz::Australia__Lord_Howe,
        Tz::Pacific__Apia,
        Tz::Africa__Casablanca,
        Tz::Pacific__Chatham,
    ];

    pub(crate) fn at(text: &str) -> Timestamp {
        stamp(&text.parse::<DateTime<Utc>>().expect("an instant"))
    }

    fn civil(text: &str) -> NaiveDateTime {
        text.parse().expect("a civil time")
    }

    #[test]
    fn a_time_that_does_not_exist_is_the_instant_of_the_jump() {
        let berlin = Tz::Europe__Berlin;
        assert_eq!(first_instant(civil("2026-03-29T02:30:00"), berlin), at("2026-03-29T01:00:00Z"));
        assert_eq!(last_instant(civil("2026-03-29T02:00:00"), berlin), at("2026-03-29T01:00:00Z"));
    }

    #[test]
    fn a_skipped_day_is_the_instant_after_it() {
        let apia = Tz::Pacific__Apia;
        assert_eq!(first_instant(civil("2011-12-30T12:00:00"), apia), at("2011-12-30T10:00:00Z"));
    }

    #[test]
    fn a_time_that_comes_twice_has_a_first_and_a_last_instant() {
        let (berlin, half_past_two) = (Tz::Europe__Berlin, civil("2026-10-25T02:30:00"));
        assert_eq!(first_instant(half_past_two, berlin), at("2026-10-25T00:30:00Z"));
        assert_eq!(last_instant(half_past_two, berlin), at("2026-10-25T01:30:00Z"));
        assert!(!is_second_pass(at("2026-10-25T00:30:00Z"), berlin));
        assert!(is_second_pass(at("2026-10-25T01:30:00Z"), berlin));
    }

    #[test]
    fn finds_the_change_of_offset_to_the_millisecond() {
        let (from, to) = (at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z"));
        let spring = at("2026-03-29T01:00:00Z");
        assert_eq!(next_offset_change(Tz::Europe__Berlin, from, to), Some(spring));
        assert_eq!(next_offset_change(Tz::Europe__Berlin, spring, to), Some(at("2026-10-25T01:00:00Z")));
        assert_eq!(next_offset_change(Tz::Asia__Shanghai, from, to), None);
    }
}
