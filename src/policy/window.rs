//! Open time: windows of wall-clock time in which users are polled, minus blackouts.
//!
//! Guards: a window follows the wall clock of its zone on every day of the year. Where a bound is in a repeated hour,
//! the longer window applies. Not here: which user has which window (`config`), polling users past the end of a window
//! (`tasks`).

use std::time::Duration;

use chrono::{Datelike, Days, NaiveDate, NaiveTime, TimeDelta};
use chrono_tz::Tz;

use super::civil;
use crate::time::{Timestamp, duration_ms};

const DAY_MS: i64 = 86_400_000;
/// How far ahead a change is searched: longer than any real holiday.
const LOOK_AHEAD_MS: i64 = 5 * 366 * DAY_MS;

/// A window: open on some days of the week, from one time of day to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Days on which it opens, Monday first.
    pub days: [bool; 7],
    /// Opening time, in minutes after midnight.
    pub from_minute: u16,
    /// Closing time, in minutes after midnight, exclusive; at or before `from_minute` it is on the following day.
    pub to_minute: u16,
    /// Zone of the wall clock.
    pub time_zone: Tz,
}

/// A blackout: whole days without polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blackout {
    /// First day.
    pub first: NaiveDate,
    /// Last day, inclusive.
    pub last: NaiveDate,
    /// Zone of the calendar.
    pub time_zone: Tz,
}

/// When a user may be polled: the union of windows, minus blackouts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTime {
    windows: Option<Vec<Window>>,
    blackouts: Vec<Blackout>,
}

impl OpenTime {
    /// Open while one of `windows` is open, except in `blackouts`. `None`: always; an empty list: never.
    pub fn new(windows: Option<Vec<Window>>, blackouts: Vec<Blackout>) -> Self {
        Self { windows, blackouts }
    }

    /// The open time without blackouts, for an ordinary month.
    #[must_use]
    pub fn without_blackouts(&self) -> Self {
        Self { windows: self.windows.clone(), blackouts: Vec::new() }
    }

    /// Whether it is open at `instant`.
    pub fn open_at(&self, instant: Timestamp) -> bool {
        !self.spans(instant.as_ms(), instant.as_ms().saturating_add(1)).is_empty()
    }

    /// The first instant strictly after `now` at which it opens or closes; `None`: not within five years.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let now = now.as_ms();
        let mut ahead = 9 * DAY_MS;
        loop {
            let until = now.saturating_add(ahead);
            let change = match self.spans(now, until).first() {
                Some(&(from, to)) if from == now => (to < until).then_some(to),
                Some(&(from, _)) => Some(from),
                None => None,
            };
            if change.is_some() || ahead >= LOOK_AHEAD_MS {
                return change.map(Timestamp::from_ms);
            }
            ahead = (ahead * 8).min(LOOK_AHEAD_MS);
        }
    }

    /// Whether there are no windows and no blackouts: the usual case, with cheap answers.
    pub fn is_always(&self) -> bool {
        self.windows.is_none() && self.blackouts.is_empty()
    }

    /// The first open instant at or after `from`; `None`: not within five years.
    pub fn opens_at(&self, from: Timestamp) -> Option<Timestamp> {
        if self.open_at(from) { Some(from) } else { self.next_change(from) }
    }

    /// Whether only a blackout closes it at `instant`.
    pub fn is_day_off(&self, instant: Timestamp) -> bool {
        !self.open_at(instant) && self.without_blackouts().open_at(instant)
    }

    /// The instant at which `open` of open time has passed since `from`; always an open instant. `None`: not within
    /// five years.
    pub fn after(&self, from: Timestamp, open: Duration) -> Option<Timestamp> {
        let mut missing = duration_ms(open);
        let mut from = from.as_ms();
        let end = from.saturating_add(LOOK_AHEAD_MS);
        let mut ahead = 9 * DAY_MS;
        while from < end {
            let until = from.saturating_add(ahead).min(end);
            for (start, stop) in self.spans(from, until) {
                if missing < stop - start {
                    return Some(Timestamp::from_ms(start + missing));
                }
                missing -= stop - start;
            }
            from = until;
            ahead = (ahead * 2).min(64 * DAY_MS);
        }
        None
    }

    /// Open time in `[from, to)`.
    pub fn open_between(&self, from: Timestamp, to: Timestamp) -> Duration {
        let open_ms: i64 = self.spans(from.as_ms(), to.as_ms()).iter().map(|(from, to)| to - from).sum();
        Duration::from_millis(u64::try_from(open_ms).unwrap_or(0))
    }

    /// The open spans within `[from, to)`, in ms: sorted, disjoint, not empty.
    fn spans(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        let mut open = match &self.windows {
            None => vec![(from, to)],
            Some(windows) => windows.iter().flat_map(|window| window.spans(from, to)).collect(),
        };
        open.sort_unstable();
        let mut merged: Vec<(i64, i64)> = Vec::new();
        for (start, end) in open {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        for blackout in &self.blackouts {
            let (first, last) = blackout.span();
            merged = merged
                .into_iter()
                .flat_map(|(start, end)| [(start, end.min(first)), (start.max(last), end)])
                .collect();
            merged.retain(|(start, end)| start < end);
        }
        merged
            .into_iter()
            .map(|(start, end)| (start.max(from), end.min(to)))
            .filter(|(start, end)| start < end)
            .collect()
    }
}

impl Window {
    /// The window's spans that overlap `[from, to)`, not clipped.
    fn spans(&self, from: i64, to: i64) -> Vec<(i64, i64)> {
        let date = |ms| civil::wall(Timestamp::from_ms(ms), self.time_zone).date();
        // Starts two days earlier: a span may last past midnight, and a skipped day may lie in between.
        let (mut day, last) = (back(date(from), 2), date(to));
        let mut spans = Vec::new();
        while day <= last {
            if self.days[day.weekday().num_days_from_monday() as usize] {
                spans.push(self.on(day));
            }
            let Some(next) = day.succ_opt() else { break };
            day = next;
        }
        spans.retain(|&(start, end)| start < to && end > from);
        spans
    }

    fn on(&self, day: NaiveDate) -> (i64, i64) {
        let past_midnight = i64::from(self.to_minute <= self.from_minute);
        let midnight = day.and_time(NaiveTime::MIN);
        let opens = midnight + TimeDelta::minutes(i64::from(self.from_minute));
        let closes = midnight + TimeDelta::minutes(i64::from(self.to_minute) + past_midnight * 24 * 60);
        let first = civil::first_instant(opens, self.time_zone).as_ms();
        (first, civil::last_instant(closes, self.time_zone).as_ms().max(first))
    }
}

impl Blackout {
    fn span(&self) -> (i64, i64) {
        let after = self.last.succ_opt().unwrap_or(NaiveDate::MAX);
        let midnight = |day: NaiveDate| civil::first_instant(day.and_time(NaiveTime::MIN), self.time_zone);
        (midnight(self.first).as_ms(), midnight(after).as_ms())
    }
}

fn back(day: NaiveDate, days: u64) -> NaiveDate {
    day.checked_sub_days(Days::new(days)).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use chrono::Timelike;
    use proptest::prelude::*;

    use super::*;
    use crate::policy::civil::tests::{ZONES, at};

    const WORKDAYS: [bool; 7] = [true, true, true, true, true, false, false];

    fn window(days: [bool; 7], from: u16, to: u16, time_zone: Tz) -> Window {
        Window { days, from_minute: from * 60, to_minute: to * 60, time_zone }
    }

    fn open(windows: Vec<Window>) -> OpenTime {
        OpenTime::new(Some(windows), Vec::new())
    }

    fn hours(open: &OpenTime, from: &str, to: &str) -> u64 {
        open.open_between(at(from), at(to)).as_secs() / 3600
    }

    #[test]
    fn a_window_is_open_from_and_not_at_to() {
        let office = open(vec![window(WORKDAYS, 9, 18, Tz::Asia__Shanghai)]);
        // 2026-11-23 is a Monday; Shanghai is eight hours ahead.
        for (instant, expected) in [
            ("2026-11-23T00:59:59.999Z", false),
            ("2026-11-23T01:00:00Z", true),
            ("2026-11-23T09:59:59.999Z", true),
            ("2026-11-23T10:00:00Z", false),
            ("2026-11-22T04:00:00Z", false),
        ] {
            assert_eq!(office.open_at(at(instant)), expected, "{instant}");
        }
        assert_eq!(office.next_change(at("2026-11-20T10:00:00Z")), Some(at("2026-11-23T01:00:00Z")));
        assert_eq!(office.next_change(at("2026-11-23T01:00:00Z")), Some(at("2026-11-23T10:00:00Z")));
    }

    #[test]
    fn thirty_days_from_a_monday_have_198_office_hours() {
        let office = open(vec![window(WORKDAYS, 9, 18, Tz::Asia__Shanghai)]);
        assert_eq!(hours(&office, "2026-05-31T16:00:00Z", "2026-06-30T16:00:00Z"), 198);
    }

    #[test]
    fn a_window_past_midnight_belongs_to_the_day_it_opens() {
        let friday = [false, false, false, false, true, false, false];
        let night = open(vec![window(friday, 22, 6, Tz::UTC)]);
        assert!(night.open_at(at("2026-11-28T05:59:00Z")), "Saturday morning");
        assert!(!night.open_at(at("2026-11-27T05:59:00Z")), "Friday morning");
        assert_eq!(hours(&night, "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"), 8);
    }

    #[test]
    fn open_time_is_counted_over_nights_and_weekends() {
        let office = open(vec![window(WORKDAYS, 9, 18, Tz::UTC)]);
        // Friday 17:00 and two open hours more: Monday 10:00.
        let two_hours = Duration::from_hours(2);
        assert_eq!(office.after(at("2026-11-20T17:00:00Z"), two_hours), Some(at("2026-11-23T10:00:00Z")));
        assert_eq!(
            office.after(at("2026-11-20T17:00:00Z"), Duration::from_hours(1)),
            Some(at("2026-11-23T09:00:00Z"))
        );
        assert_eq!(office.opens_at(at("2026-11-21T00:00:00Z")), Some(at("2026-11-23T09:00:00Z")));
        assert_eq!(office.opens_at(at("2026-11-20T17:00:00Z")), Some(at("2026-11-20T17:00:00Z")));
        assert_eq!(open(Vec::new()).after(at("2026-11-20T17:00:00Z"), two_hours), None);
        assert!(OpenTime::new(None, Vec::new()).is_always() && !office.is_always());
    }

    #[test]
    fn a_blackout_differs_from_a_closed_window() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 23).expect("a date");
        let off = Blackout { first: day, last: day, time_zone: Tz::UTC };
        let office = OpenTime::new(Some(vec![window(WORKDAYS, 9, 18, Tz::UTC)]), vec![off]);
        assert!(office.is_day_off(at("2026-11-23T10:00:00Z")));
        assert!(!office.is_day_off(at("2026-11-23T20:00:00Z")), "closed anyway");
        assert!(!office.is_day_off(at("2026-11-24T10:00:00Z")), "open");
    }

    #[test]
    fn equal_bounds_are_a_whole_day_and_days_join() {
        let all = open(vec![window([true; 7], 0, 0, Tz::Europe__Berlin)]);
        assert_eq!(all.next_change(at("2026-11-23T00:00:00Z")), None);
        assert_eq!(hours(&all, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"), 8760);
    }

    #[test]
    fn a_night_with_a_change_of_clocks_has_its_real_length() {
        let night = open(vec![window([true; 7], 0, 6, Tz::Europe__Berlin)]);
        assert_eq!(hours(&night, "2026-03-28T23:00:00Z", "2026-03-29T12:00:00Z"), 5);
        assert_eq!(hours(&night, "2026-10-24T22:00:00Z", "2026-10-25T12:00:00Z"), 7);
    }

    #[test]
    fn a_window_inside_the_missing_hour_does_not_open_that_day() {
        let berlin = Tz::Europe__Berlin;
        let short = Window { days: [true; 7], from_minute: 130, to_minute: 170, time_zone: berlin };
        let short = open(vec![short]);
        assert_eq!(short.next_change(at("2026-03-28T12:00:00Z")), Some(at("2026-03-30T00:10:00Z")));
    }

    #[test]
    fn blackouts_take_whole_days_in_their_own_zone() {
        let day = |text: &str| text.parse::<NaiveDate>().expect("a day");
        let festival =
            Blackout { first: day("2027-02-05"), last: day("2027-02-12"), time_zone: Tz::Asia__Shanghai };
        let always = OpenTime::new(None, vec![festival]);
        assert!(always.open_at(at("2027-02-04T15:59:59Z")));
        assert_eq!(always.next_change(at("2027-01-01T00:00:00Z")), Some(at("2027-02-04T16:00:00Z")));
        assert_eq!(always.next_change(at("2027-02-04T16:00:00Z")), Some(at("2027-02-12T16:00:00Z")));
        assert_eq!(always.next_change(at("2027-02-12T16:00:00Z")), None);
    }

    #[test]
    fn an_empty_list_of_windows_is_never_open() {
        let never = open(Vec::new());
        assert!(!never.open_at(at("2026-11-23T00:00:00Z")));
        assert_eq!(never.next_change(at("2026-11-23T00:00:00Z")), None);
    }

    fn a_window() -> impl Strategy<Value = Window> {
        (any::<[bool; 7]>(), 0..1440_u16, 0..1440_u16, prop::sample::select(&ZONES[..])).prop_map(
            |(days, from_minute, to_minute, time_zone)| Window { days, from_minute, to_minute, time_zone },
        )
    }

    fn some_open_time() -> impl Strategy<Value = OpenTime> {
        let blackouts =
            prop::collection::vec((0..800_u64, 0..30_u64, prop::sample::select(&ZONES[..])), 0..3);
        (prop::collection::vec(a_window(), 0..4), blackouts).prop_map(|(windows, blackouts)| {
            let start = NaiveDate::from_ymd_opt(2026, 1, 1).expect("a day");
            let blackouts = blackouts
                .into_iter()
                .map(|(from, length, time_zone)| Blackout {
                    first: start + Days::new(from),
                    last: start + Days::new(from + length),
                    time_zone,
                })
                .collect();
            OpenTime::new(Some(windows), blackouts)
        })
    }

    /// From 2026 to 2028, half of it around a change of offset in Berlin.
    fn an_instant() -> impl Strategy<Value = Timestamp> {
        prop_oneof![
            1_767_225_600_000_i64..1_830_000_000_000,
            1_774_742_400_000_i64..1_774_756_800_000,
            1_792_882_800_000_i64..1_792_900_000_000,
        ]
        .prop_map(Timestamp::from_ms)
    }

    /// Reference implementation on the wall clock, without instants.
    fn open_by_wall_clock(window: &Window, instant: Timestamp) -> bool {
        let wall = civil::wall(instant, window.time_zone);
        let minute = u16::try_from(wall.hour() * 60 + wall.minute()).expect("a minute of the day");
        let today = wall.weekday().num_days_from_monday() as usize;
        let yesterday = (today + 6) % 7;
        if window.to_minute > window.from_minute {
            window.days[today] && (window.from_minute..window.to_minute).contains(&minute)
        } else {
            (window.days[today] && minute >= window.from_minute)
                || (window.days[yesterday] && minute < window.to_minute)
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn far_from_changes_of_offset_it_is_what_the_wall_clock_says(window in a_window(), now in an_instant()) {
            let day = Duration::from_hours(36);
            prop_assume!(civil::next_offset_change(window.time_zone, now.minus(day), now.plus(day)).is_none());
            prop_assert_eq!(open(vec![window.clone()]).open_at(now), open_by_wall_clock(&window, now));
        }

        #[test]
        fn a_change_is_later_and_is_the_first_one(open in some_open_time(), now in an_instant(), part in 0.0..1.0_f64) {
            let Some(change) = open.next_change(now) else { return Ok(()) };
            prop_assert!(change > now);
            prop_assert_ne!(open.open_at(now), open.open_at(change));
            let between = now.plus(change.since(now).mul_f64(part));
            if between < change {
                prop_assert_eq!(open.open_at(between), open.open_at(now));
                prop_assert_eq!(open.next_change(between), Some(change));
            }
        }

        #[test]
        fn open_time_adds_up(open in some_open_time(), now in an_instant(), a in 0..400_u64, b in 0..400_u64) {
            let middle = now.plus(Duration::from_hours(a));
            let end = middle.plus(Duration::from_hours(b));
            let sum = open.open_between(now, middle) + open.open_between(middle, end);
            prop_assert_eq!(open.open_between(now, end), sum);
            // And it equals the sum of the spans between changes.
            let (mut at, mut walked) = (now, Duration::ZERO);
            while at < end {
                let next = open.next_change(at).map_or(end, |change| change.min(end));
                if open.open_at(at) {
                    walked += next.since(at);
                }
                at = next;
            }
            prop_assert_eq!(walked, sum);
        }
    }
}
