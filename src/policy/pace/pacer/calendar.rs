//! Open time in local days: which quarters of a day are open, and the open spans around now.
//!
//! Guards: both are computed once and cached. Not here: windows themselves (`policy::window`), queries about open spans
//! (`open_spans`).
#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "counts, minutes and milliseconds here are far below 2^52"
)]

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::super::open_spans::OpenSpans;
use super::super::visit_history::{ComparableDays, LocalVisit, SLOTS, split};
use super::user::DAY_MS;
use crate::policy::civil;
use crate::policy::window::OpenTime;
use crate::time::Timestamp;

/// Open times of a group's users, with caches. Users refer to an open time by index, called `class` here.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    time_zone: Tz,
    open: Vec<OpenTime>,
    /// Number of users by open time.
    counts: Vec<f64>,
    /// Open spans by open time, within `computed`.
    pub(super) hours: Vec<OpenSpans>,
    computed: (i64, i64),
    /// Cache of the open quarters by open time and day.
    open_slots: BTreeMap<(usize, i32), u128>,
}

impl Calendar {
    /// `counts`: number of users by open time.
    pub(super) fn new(time_zone: Tz, open: Vec<OpenTime>, counts: Vec<f64>, now: i64) -> Self {
        let (hours, computed, open_slots) = (Vec::new(), (0, 0), BTreeMap::new());
        let mut calendar = Self { time_zone, open, counts, hours, computed, open_slots };
        calendar.compute_open_spans(now);
        calendar
    }

    /// Computes the open spans around `at`, unless they are known.
    pub(super) fn advance_to(&mut self, at: i64) {
        if at < self.computed.0 + DAY_MS || at > self.computed.1 - 40 * DAY_MS {
            self.compute_open_spans(at);
        }
    }

    fn compute_open_spans(&mut self, at: i64) {
        self.computed = (at - 3 * DAY_MS, at + 75 * DAY_MS);
        let (from, to) = (Timestamp::from_ms(self.computed.0), Timestamp::from_ms(self.computed.1));
        self.hours = self.open.iter().map(|open| OpenSpans::of(open, from, to)).collect();
    }

    /// Number of open times.
    pub(super) fn classes(&self) -> usize {
        self.open.len()
    }

    /// Removes days before `day` from the cache.
    pub(super) fn forget_before(&mut self, day: i32) {
        self.open_slots.retain(|(_, known), _| *known >= day);
    }

    /// The days comparable with `day`.
    pub(super) fn comparable_days(&mut self, class: usize, day: i32) -> ComparableDays {
        let open: Vec<bool> = (0..=21).map(|back| self.open_on(class, day - back) != 0).collect();
        ComparableDays::of(day, |other| usize::try_from(day - other).is_ok_and(|back| open[back]))
    }

    /// The same from the cache: a day that is not in it counts as open.
    pub(super) fn cached_comparable_days(&self, class: usize, day: i32) -> ComparableDays {
        ComparableDays::of(day, |other| self.open_slots.get(&(class, other)).is_none_or(|bits| *bits != 0))
    }

    /// The quarters of a local day that are open.
    pub(super) fn open_on(&mut self, class: usize, day: i32) -> u128 {
        if let Some(bits) = self.open_slots.get(&(class, day)) {
            return *bits;
        }
        let noon = i64::from(day) * DAY_MS + DAY_MS / 2;
        let offset = self.local(noon) - noon;
        let midnight = i64::from(day) * DAY_MS - offset;
        let open = &self.open[class];
        let hours = OpenSpans::of(open, Timestamp::from_ms(midnight), Timestamp::from_ms(midnight + DAY_MS));
        let mut bits = 0;
        for slot in 0..SLOTS {
            if hours.span_at(midnight + slot as i64 * 900_000).is_some() {
                bits |= 1_u128 << slot;
            }
        }
        self.open_slots.insert((class, day), bits);
        bits
    }

    /// Minutes of open time in `[from, to)`, summed over the users.
    pub(super) fn open_minutes(&self, from: i64, to: i64) -> f64 {
        let open = |(hours, count): (&OpenSpans, &f64)| hours.open_ms(from, to) as f64 * count / 60_000.0;
        self.hours.iter().zip(&self.counts).map(open).sum()
    }

    /// The first local midnight after `at`.
    pub(super) fn midnight_after(&self, at: i64) -> i64 {
        let offset = self.local(at) - at;
        (i64::from(split(at + offset).0) + 1) * DAY_MS - offset
    }

    /// A visit in local time, with its day.
    pub(super) fn local_visit(
        &self,
        conference: u64,
        joined: Timestamp,
        left: Option<Timestamp>,
    ) -> (i32, LocalVisit) {
        let (day, joined_ms) = split(self.local(joined.as_ms()));
        let lasted = |left: Timestamp| joined_ms + (left.as_ms() - joined.as_ms()).max(0);
        (day, LocalVisit { joined_ms, left_ms: left.map(lasted), conference })
    }

    /// The local day of an instant.
    pub(super) fn day_of(&self, at: i64) -> i32 {
        split(self.local(at)).0
    }

    /// Local time in ms since the epoch.
    pub(super) fn local(&self, at: i64) -> i64 {
        at + civil::offset_ms(Timestamp::from_ms(at), self.time_zone)
    }
}
