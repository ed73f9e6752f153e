//! Visit history of one user: the visits of the last five weeks, by day and quarter of an hour.
//!
//! Guards: the number of days and of visits a day is bounded. Not here: what is learned from it (`join_model`,
//! `duration_model`, `co_meetings`).

use std::collections::VecDeque;

/// Quarters of an hour in a day. A quarter is centred: 10:00 reaches from 9:52:30 to 10:07:30.
pub const SLOTS: usize = 96;
/// Minutes in a quarter.
pub const SLOT_MINUTES: usize = 15;
const DAYS_KEPT: usize = 36;
const VISITS_A_DAY: usize = 48;
const DAY_MS: i64 = 86_400_000;
const SLOT_MS: i64 = 900_000;

/// A visit in local time. Times are ms since the local midnight of the day of the join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalVisit {
    /// When it began.
    pub joined_ms: i64,
    /// When it ended, if known.
    pub left_ms: Option<i64>,
    /// Which conference.
    pub conference: u64,
}

/// One local day.
#[derive(Clone, Debug, Default)]
pub struct Day {
    /// Local days since 1970-01-01.
    pub day: i32,
    /// Bit n: a stay began in quarter n.
    pub joins: u128,
    /// Visits that began on it, in the order in which they were learned.
    pub visits: Vec<LocalVisit>,
    /// The visits without short gaps, in order of time: a user who rejoins at once has not left.
    pub stays: Vec<LocalVisit>,
}

/// The days of one user, oldest first.
#[derive(Clone, Debug, Default)]
pub struct VisitHistory {
    days: VecDeque<Day>,
}

/// The quarter whose centre is nearest, and the minute in it (0-14), of a time in ms after midnight.
pub fn slot_of(ms: i64) -> (usize, usize) {
    let shifted = ms + SLOT_MS / 2;
    let slot = shifted.div_euclid(SLOT_MS);
    let minute = shifted.rem_euclid(SLOT_MS) / 60_000;
    (usize::try_from(slot).unwrap_or(0), usize::try_from(minute).unwrap_or(0).min(SLOT_MINUTES - 1))
}

/// Weekday of a day, 0-6; equal numbers are equal weekdays.
pub fn weekday(day: i32) -> i32 {
    day.rem_euclid(7)
}

impl Day {
    fn join_stays(&mut self, gap_ms: i64) {
        let mut visits = self.visits.clone();
        visits.sort_by_key(|visit| visit.joined_ms);
        (self.stays, self.joins) = (Vec::with_capacity(visits.len()), 0);
        for visit in visits {
            match self.stays.last_mut() {
                Some(stay) if stay.left_ms.is_none_or(|left| visit.joined_ms <= left + gap_ms) => {
                    stay.left_ms = stay.left_ms.zip(visit.left_ms).map(|(one, other)| one.max(other));
                }
                _ => {
                    self.joins |= 1_u128 << slot_of(visit.joined_ms).0.min(SLOTS - 1);
                    self.stays.push(visit);
                }
            }
        }
    }
}

impl VisitHistory {
    /// The stay that contains a visit of this day; the visit itself, if there is none.
    pub fn stay(&self, day: i32, visit: &LocalVisit) -> LocalVisit {
        let stays = self.day(day).map_or(&[][..], |day| &day.stays);
        let stay = stays.iter().rev().find(|stay| stay.joined_ms <= visit.joined_ms);
        stay.map_or(*visit, |stay| LocalVisit { joined_ms: stay.joined_ms, ..*visit })
    }

    /// Adds a visit or updates a known one. Returns whether it is new.
    pub fn note(&mut self, day: i32, visit: LocalVisit, gap_ms: i64) -> bool {
        let at = self.days.partition_point(|known| known.day < day);
        if self.days.get(at).is_none_or(|known| known.day != day) {
            self.days.insert(at, Day { day, ..Day::default() });
            if self.days.len() > DAYS_KEPT {
                self.days.pop_front();
            }
        }
        let Some(known) = self.days.iter_mut().rev().find(|known| known.day == day) else { return false };
        let same =
            |old: &&mut LocalVisit| old.conference == visit.conference && old.joined_ms == visit.joined_ms;
        if let Some(old) = known.visits.iter_mut().find(same) {
            old.left_ms = visit.left_ms.or(old.left_ms);
            known.join_stays(gap_ms);
            return false;
        }
        if known.visits.len() < VISITS_A_DAY {
            known.visits.push(visit);
            known.join_stays(gap_ms);
        }
        true
    }

    /// The visits of a day, if there are any.
    pub fn day(&self, day: i32) -> Option<&Day> {
        let at = self.days.partition_point(|known| known.day < day);
        self.days.get(at).filter(|known| known.day == day)
    }

    /// The visits that began in quarter `slot` on the days that `day` resembles.
    pub fn like<'a>(
        &'a self,
        before: &'a ComparableDays,
        slot: usize,
    ) -> impl Iterator<Item = (i32, &'a LocalVisit)> + 'a {
        let days = before.weeks.iter().chain(&before.others).filter_map(|day| self.day(*day));
        days.filter(move |day| day.joins >> slot.min(SLOTS - 1) & 1 == 1).flat_map(move |day| {
            let here = move |visit: &&LocalVisit| slot_of(visit.joined_ms).0.min(SLOTS - 1) == slot;
            day.stays.iter().filter(here).map(move |visit| (day.day, visit))
        })
    }

    /// Evidence of the days of `before` for each quarter of a day.
    pub fn evidence(&self, before: &ComparableDays) -> Evidence {
        let joins = |day: &i32| self.day(*day).map_or(0, |known| known.joins);
        let mut evidence = Evidence { weeks: [0; 4], others: [0; 5] };
        for (bits, day) in evidence.weeks.iter_mut().zip(&before.weeks) {
            *bits = joins(day);
        }
        for (bits, day) in evidence.others.iter_mut().zip(&before.others) {
            *bits = joins(day);
        }
        evidence
    }
}

/// The days that a day is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparableDays {
    /// One, two, three and four weeks before.
    pub weeks: [i32; 4],
    /// The five open days before that are other weekdays, the latest first.
    pub others: Vec<i32>,
}

impl ComparableDays {
    /// The days comparable with `day`; `open` tells which days count.
    pub fn of(day: i32, open: impl Fn(i32) -> bool) -> Self {
        let others = (1..=21).map(|back| day - back).filter(|other| weekday(*other) != weekday(day));
        Self {
            weeks: [day - 7, day - 14, day - 21, day - 28],
            others: others.filter(|other| open(*other)).take(5).collect(),
        }
    }
}

/// Joins of comparable days, a bit a quarter.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    weeks: [u128; 4],
    others: [u128; 5],
}

/// How many distinct kinds of evidence there are.
pub const PATTERNS: usize = 64;

impl Evidence {
    /// The kind of evidence for a quarter: 0 is none. Bits 0-3: the same weekday one to four weeks ago; from 16 on: so
    /// many (three at most) of the other days.
    pub fn pattern(&self, slot: usize) -> usize {
        let bit = |bits: u128| usize::from(bits >> slot & 1 == 1);
        let weeks: usize = self.weeks.iter().enumerate().map(|(n, bits)| bit(*bits) << n).sum();
        let others: usize = self.others.iter().map(|bits| bit(*bits)).sum();
        weeks + 16 * others.min(3)
    }
}

/// Splits a local time in ms since the epoch into day and ms of the day.
pub fn split(local_ms: i64) -> (i32, i64) {
    let day = i32::try_from(local_ms.div_euclid(DAY_MS)).unwrap_or(i32::MAX);
    (day, local_ms.rem_euclid(DAY_MS))
}
