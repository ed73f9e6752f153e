//! The pacer: what was seen goes in, the next look comes out.
//!
//! Guards: the next look is strictly later than now, never sooner than `min_interval` after the last one; the same
//! calls in the same order give the same looks. A person's day is looked through once; after that a decision costs the
//! minutes ahead, whatever the number of people. Deliberately not here: asking, and counting what was asked.
#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "counts, minutes and milliseconds here are far below 2^52"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono_tz::Tz;

use super::company::{Circle, Company, met_then};
use super::diary::{Before, Diary, SLOTS, Stay, slot_of, split};
use super::habits::{Habit, Habits, Joins};
use super::hours::Hours;
use super::lookahead::{self, Outlook, Trend};
use super::price::{Price, Standing};
use super::stays::Stays;
use crate::policy::civil;
use crate::policy::window::OpenTime;
use crate::time::{Timestamp, duration_ms};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// Chances are followed from so long before opening, for who is inside already then.
const PRELUDE: usize = 120;
/// Open time without end is cut into days, each seen so far beyond its end.
const BEYOND_MS: i64 = 6 * 3_600_000;
/// A visit is seen so far ahead.
const VISIT_AHEAD: usize = 300;
/// Calls that finding somebody inside brings with it, on average.
const CALLS_OF_A_VISIT: f64 = 1.5;
/// Who was inside when it closed is so likely still believed wrongly when it opens.
const OVER_NIGHT: f64 = 0.9;
/// A visit nobody has seen yet ends so much more slowly than the mean says: the long ones take most of the time.
const ENDS_UNSEEN: f64 = 0.6;
/// Who was looked at since a colleague joined, and was outside, is so much less likely to come too.
const LOOKED_SINCE: f64 = 0.3;
/// What is worth knowing before anything but even spreading: so many visits.
const ENOUGH: f64 = 20.0;
/// Below this the minutes that the rule thinks in are too coarse, and there is nothing to save.
const FINE_MS: i64 = 120_000;

/// What does not change from look to look.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose wall clock people live by.
    pub time_zone: Tz,
    /// Never looked at more often.
    pub min_interval: Duration,
    /// Never looked at less often while it is open, if the calls reach.
    pub max_interval: Duration,
    /// When there are looks at all; people name theirs by index.
    pub open: Vec<OpenTime>,
}

/// Somebody to be paced.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// A fixed number of this person, for spreading: [`Phase::key`](super::Phase::key).
    pub key: u64,
    /// Index into [`Settings::open`].
    pub open: usize,
}

/// A finished or running visit from the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Index of the person.
    pub person: u32,
    /// Which conference; any number that is the same for the same conference.
    pub conference: u64,
    /// When it began.
    pub joined: Timestamp,
    /// When it ended, if known.
    pub left: Option<Timestamp>,
}

/// A record in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which conference.
    pub conference: u64,
    /// `joinTime`, else when it was first seen.
    pub joined: Timestamp,
    /// `leaveTime` of who is not inside any more; `None`: inside.
    pub left: Option<Timestamp>,
}

/// The calls that may be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// From then on they were planned; for example when the month began.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// So many; `None`: no limit.
    pub calls: Option<u64>,
    /// Spent of them.
    pub used: u64,
}

/// What to do next about somebody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Look then.
    Look(Timestamp, Why),
    /// No look before then; ask again at that time.
    AskAgain(Timestamp, Why),
}

/// What speaks for a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Why {
    /// Which rule decided.
    pub rule: Rule,
    /// Believed to be inside.
    pub inside: bool,
    /// Wrong minutes that a call must be worth.
    pub price: f64,
    /// How likely what is believed is wrong now.
    pub wrong_now: f64,
    /// How likely it is wrong at that time.
    pub wrong_then: f64,
    /// Expected wrong minutes until then.
    pub cost: f64,
    /// The chance of a change in the hour before that time, per minute at its highest.
    pub peak: f64,
    /// Of the last four weeks, a bit each, and 16 for each other day (three at most): joins at that time of day.
    pub pattern: u8,
    /// Days of spending one is ahead.
    pub lead: f64,
}

/// Which rule decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// Too little is known: even spreading.
    #[default]
    Even,
    /// A call a minute or more is affordable: even spreading.
    Plenty,
    /// The call is worth its price then.
    Worth,
    /// No call is worth its price before closing.
    NotWorth,
    /// Closed.
    Closed,
    /// `max_interval` is over.
    Longest,
    /// The calls of today are spent.
    Spent,
}

#[derive(Clone, Debug)]
struct Inside {
    conference: u64,
    day: i32,
    stay: Stay,
    view: Option<View>,
}

/// Somebody's running visit, seen ahead from its last look.
#[derive(Clone, Debug)]
struct View {
    /// Minute of the table at which it begins.
    from: usize,
    trend: Trend,
    outlook: Outlook,
    chance: Vec<f64>,
}

/// Somebody's day, seen ahead.
#[derive(Clone, Debug)]
struct Table {
    /// The instant of minute 0.
    from: i64,
    /// Decisions in `[opens, until)` use it.
    opens: i64,
    until: i64,
    /// Local ms minus instant.
    offset: i64,
    chance: Vec<f64>,
    patterns: [u8; SLOTS],
    trend: Trend,
    outlook: Outlook,
}

#[derive(Clone, Debug, Default)]
struct Watched {
    key: u64,
    open: usize,
    habit: Habit,
    last_look: Option<i64>,
    /// At this instant what is believed was wrong with chance `wrong`.
    anchor: i64,
    wrong: f64,
    inside: Option<Inside>,
    table: Option<Box<Table>>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Pacer {
    settings: Settings,
    people: Vec<Watched>,
    diaries: Vec<Diary>,
    circles: Vec<Circle>,
    habits: Habits,
    stays: Stays,
    company: Company,
    /// Who was seen inside which conference.
    members: BTreeMap<u64, BTreeSet<u32>>,
    price: Option<Price>,
    /// The last local day that was learned.
    learned: Option<i32>,
    hours: Vec<Hours>,
    /// `hours` are laid out for these instants.
    laid_out: (i64, i64),
    /// People by open time.
    counts: Vec<f64>,
    /// Open days by open time are asked often.
    open_slots: BTreeMap<(usize, i32), u128>,
}

impl Pacer {
    /// Knows nothing yet.
    pub fn new(settings: Settings, people: &[Person], now: Timestamp) -> Self {
        let mut counts = vec![0.0; settings.open.len()];
        for person in people {
            counts[person.open] += 1.0;
        }
        let watched = |person: &Person| Watched {
            key: person.key,
            open: person.open,
            anchor: now.as_ms(),
            ..Watched::default()
        };
        let mut pacer = Self {
            people: people.iter().map(watched).collect(),
            diaries: vec![Diary::default(); people.len()],
            circles: vec![Circle::default(); people.len()],
            habits: Habits::default(),
            stays: Stays::default(),
            company: Company::default(),
            members: BTreeMap::new(),
            price: None,
            learned: None,
            hours: Vec::new(),
            laid_out: (0, 0),
            counts,
            open_slots: BTreeMap::new(),
            settings,
        };
        pacer.lay_out(now.as_ms());
        pacer
    }

    /// Forgets every lesson and learns these visits, up to now; the price and what is believed stand.
    pub fn learn_from(&mut self, visits: &[Visit], now: Timestamp) {
        let people = self.people.len();
        self.diaries = vec![Diary::default(); people];
        self.circles = vec![Circle::default(); people];
        (self.habits, self.stays, self.company) = (Habits::default(), Stays::default(), Company::default());
        for watched in &mut self.people {
            watched.habit = Habit::default();
            watched.table = None;
            if let Some(inside) = &mut watched.inside {
                inside.view = None;
            }
        }
        let mut days: BTreeMap<i32, Vec<(u32, Stay)>> = BTreeMap::new();
        for visit in visits {
            let (day, stay) = self.on_the_wall(visit.conference, visit.joined, visit.left);
            days.entry(day).or_default().push((visit.person, stay));
        }
        let today = split(self.local(now.as_ms())).0;
        self.learned = days.keys().next().map(|first| first - 1);
        for (day, stays) in days {
            self.learn_until(day.min(today) - 1);
            for (person, stay) in stays {
                self.diaries[person as usize].note(day, stay);
            }
        }
        self.learn_until(today - 1);
    }

    /// An answer about `person`. Gives back who else's next look may have moved.
    pub fn observed(&mut self, person: u32, now: Timestamp, seen: &[Seen]) -> Vec<u32> {
        self.turn(now);
        let mut moved = BTreeSet::new();
        let now_ms = now.as_ms();
        let before = self.people[person as usize].inside.as_ref().map(|inside| inside.conference);
        let mut running: Option<(Seen, i32, Stay)> = None;
        for record in seen {
            let (day, stay) = self.on_the_wall(record.conference, record.joined, record.left);
            let new = self.diaries[person as usize].note(day, stay);
            if record.left.is_none() {
                if running.as_ref().is_none_or(|(other, ..)| other.joined <= record.joined) {
                    running = Some((*record, day, stay));
                }
                if new {
                    self.joined(person, record, now_ms, &mut moved);
                } else {
                    self.still_there(person, record.conference, now_ms, &mut moved);
                }
                self.members.entry(record.conference).or_default().insert(person);
            }
        }
        if let Some(left) =
            before.filter(|left| seen.iter().all(|r| r.conference != *left || r.left.is_some()))
        {
            let when = seen.iter().filter(|r| r.conference == left).filter_map(|r| r.left).max();
            self.left(person, left, when.map_or(now_ms, Timestamp::as_ms), now_ms, &mut moved);
        }
        let watched = &mut self.people[person as usize];
        watched.last_look = Some(now_ms);
        (watched.anchor, watched.wrong) = (now_ms, 0.0);
        watched.inside = running.map(|(record, day, stay)| Inside {
            conference: record.conference,
            day,
            stay,
            view: None,
        });
        moved.remove(&person);
        moved.into_iter().collect()
    }

    /// When to look at `person` next. Strictly later than `now`.
    pub fn next_look(&mut self, person: u32, now: Timestamp, allowance: &Allowance) -> Next {
        self.turn(now);
        let at = now.as_ms();
        let index = person as usize;
        let open = self.people[index].open;
        let Some((start, end)) = self.hours[open].span_at(at) else {
            let opens = self.hours[open].open_from(at).unwrap_or(at + DAY_MS);
            let why = Why { rule: Rule::Closed, ..Why::default() };
            return Next::AskAgain(Timestamp::from_ms(opens.max(at + 1)), why);
        };
        let min_ms = duration_ms(self.settings.min_interval).max(1);
        let even_ms = self.even_ms(at, allowance);
        let soonest = self.people[index].last_look.map_or(at + 1, |last| (last + min_ms).max(at + 1));
        if allowance.calls.is_none() || even_ms <= FINE_MS {
            let interval = Duration::from_millis(u64::try_from(even_ms.max(min_ms)).unwrap_or(1));
            return self.evenly(index, at, interval, Rule::Plenty);
        }
        let standing = self.standing(at, (start, end), allowance);
        if allowance.calls.is_some_and(|calls| allowance.used >= calls) || standing.spent() {
            let why = Why { rule: Rule::Spent, lead: standing.lead(), ..Why::default() };
            return self.after_closing(index, at, end, why);
        }
        if self.habits.seen() < ENOUGH {
            let interval = Duration::from_millis(u64::try_from(even_ms.max(min_ms)).unwrap_or(1));
            return self.evenly(index, at, interval, Rule::Even);
        }
        if self.price.is_none() {
            self.set_price(at, allowance);
        }
        let price = self.price.as_mut().map_or(1.0, |price| price.now(&standing));
        self.prepare(index, at, price);
        self.choose(index, at, soonest, price, standing.lead())
    }

    /// The price of a call now, in wrong minutes, if there is one.
    pub fn price(&self) -> Option<f64> {
        self.price.as_ref().map(Price::base)
    }

    /// What is expected of `person` from `now` to closing: wrong minutes and calls.
    pub fn expected(&mut self, person: u32, now: Timestamp, allowance: &Allowance) -> (f64, f64) {
        self.turn(now);
        if self.price.is_none() {
            self.set_price(now.as_ms(), allowance);
        }
        let price = self.price.as_ref().map_or(1.0, Price::base);
        if self.hours[self.people[person as usize].open].span_at(now.as_ms()).is_none() {
            return (0.0, 0.0);
        }
        self.prepare(person as usize, now.as_ms(), price);
        let Some(table) = &self.people[person as usize].table else { return (0.0, 0.0) };
        let at = minute_of(table, now.as_ms());
        let (value, calls) = (table.outlook.value[at], table.outlook.calls[at]);
        ((value - price * calls).max(0.0), calls)
    }

    fn local(&self, at: i64) -> i64 {
        at + civil::offset_ms(Timestamp::from_ms(at), self.settings.time_zone)
    }

    fn on_the_wall(&self, conference: u64, joined: Timestamp, left: Option<Timestamp>) -> (i32, Stay) {
        let (day, joined_ms) = split(self.local(joined.as_ms()));
        let lasted = |left: Timestamp| joined_ms + (left.as_ms() - joined.as_ms()).max(0);
        (day, Stay { joined_ms, left_ms: left.map(lasted), conference })
    }

    /// Lays out the open time around `at`.
    fn lay_out(&mut self, at: i64) {
        self.laid_out = (at - 3 * DAY_MS, at + 75 * DAY_MS);
        let (from, to) = (Timestamp::from_ms(self.laid_out.0), Timestamp::from_ms(self.laid_out.1));
        self.hours = self.settings.open.iter().map(|open| Hours::of(open, from, to)).collect();
    }

    /// Learns the days that are over.
    fn turn(&mut self, now: Timestamp) {
        let at = now.as_ms();
        if at < self.laid_out.0 + DAY_MS || at > self.laid_out.1 - 40 * DAY_MS {
            self.lay_out(at);
        }
        let today = split(self.local(at)).0;
        if self.learned.is_none() {
            self.learned = Some(today - 1);
        }
        if self.learned < Some(today - 1) {
            self.learn_until(today - 1);
            if let Some(price) = &mut self.price {
                price.day_over();
            }
            self.members.retain(|_, members| {
                members.retain(|who| self.people[*who as usize].inside.is_some());
                !members.is_empty()
            });
        }
    }

    fn learn_until(&mut self, last: i32) {
        while let Some(day) = self.learned.map(|learned| learned + 1).filter(|day| *day <= last) {
            self.learned = Some(day);
            self.open_slots.retain(|(_, known), _| *known > day - 40);
            self.habits.fade();
            self.stays.fade();
            let mut befores = Vec::new();
            for class in 0..self.settings.open.len() {
                befores.push(self.before(class, day));
            }
            for index in 0..self.people.len() {
                let class = self.people[index].open;
                let open = self.open_on(class, day);
                let before = &befores[class];
                self.habits.learn(&mut self.people[index].habit, &self.diaries[index], before, day, open);
                self.stays.learn(&self.diaries[index], before, day);
            }
            let diaries: Vec<&Diary> = self.diaries.iter().collect();
            let of = |index: usize| befores[self.people[index].open].clone();
            self.company.learn(day, of, &diaries, &mut self.circles);
        }
    }

    /// The quarters of a local day that are open.
    fn open_on(&mut self, class: usize, day: i32) -> u128 {
        if let Some(bits) = self.open_slots.get(&(class, day)) {
            return *bits;
        }
        let noon = i64::from(day) * DAY_MS + DAY_MS / 2;
        let offset = self.local(noon) - noon;
        let midnight = i64::from(day) * DAY_MS - offset;
        let open = &self.settings.open[class];
        let hours = Hours::of(open, Timestamp::from_ms(midnight), Timestamp::from_ms(midnight + DAY_MS));
        let mut bits = 0;
        for slot in 0..SLOTS {
            if hours.span_at(midnight + slot as i64 * 900_000).is_some() {
                bits |= 1_u128 << slot;
            }
        }
        self.open_slots.insert((class, day), bits);
        bits
    }

    fn before(&mut self, class: usize, day: i32) -> Before {
        let open: Vec<bool> = (0..=21).map(|back| self.open_on(class, day - back) != 0).collect();
        Before::of(day, |other| usize::try_from(day - other).is_ok_and(|back| open[back]))
    }

    /// Somebody was newly seen inside: so may be their company.
    fn joined(&mut self, person: u32, record: &Seen, now: i64, moved: &mut BTreeSet<u32>) {
        let (day, joined_ms) = split(self.local(record.joined.as_ms()));
        let slot = slot_of(joined_ms).0.min(SLOTS - 1);
        let class = self.people[person as usize].open;
        let before = self.before(class, day);
        let others: Vec<u32> = self.circles[person as usize].colleagues().collect();
        for other in others {
            let index = other as usize;
            if self.people[index].inside.is_some() {
                continue;
            }
            let met = met_then(&self.diaries[person as usize], &self.diaries[index], &before, slot);
            let mut chance = self.company.chance(&self.circles[person as usize], other, met);
            if self.people[index].last_look.is_some_and(|last| last > record.joined.as_ms() + 2 * MINUTE_MS) {
                chance *= LOOKED_SINCE;
            }
            let wrong = self.wrong_at(index, now);
            if chance > wrong {
                let watched = &mut self.people[index];
                (watched.anchor, watched.wrong) = (now, chance);
                moved.insert(other);
            }
        }
    }

    /// Somebody is still inside: so probably is who was there with them.
    fn still_there(&mut self, person: u32, conference: u64, now: i64, moved: &mut BTreeSet<u32>) {
        let together = self.company.leaves_together();
        for other in self.others_in(conference, person) {
            let wrong = self.wrong_at(other as usize, now) * (1.0 - together);
            let watched = &mut self.people[other as usize];
            (watched.anchor, watched.wrong) = (now, wrong);
            moved.insert(other);
        }
    }

    /// Somebody has left: so may have who was there with them.
    fn left(&mut self, person: u32, conference: u64, when: i64, now: i64, moved: &mut BTreeSet<u32>) {
        if let Some(members) = self.members.get_mut(&conference) {
            members.remove(&person);
        }
        let together = self.company.leaves_together();
        for other in self.others_in(conference, person) {
            if self.people[other as usize].last_look.is_some_and(|last| last > when + MINUTE_MS) {
                continue;
            }
            let wrong = self.wrong_at(other as usize, now).max(together);
            let watched = &mut self.people[other as usize];
            (watched.anchor, watched.wrong) = (now, wrong);
            moved.insert(other);
        }
    }

    fn others_in(&self, conference: u64, person: u32) -> Vec<u32> {
        let inside = |other: &u32| {
            let inside = self.people[*other as usize].inside.as_ref();
            *other != person && inside.is_some_and(|inside| inside.conference == conference)
        };
        self.members.get(&conference).into_iter().flatten().copied().filter(inside).collect()
    }

    /// How likely what is believed of somebody is wrong at `now`.
    fn wrong_at(&self, index: usize, now: i64) -> f64 {
        let watched = &self.people[index];
        let Some(table) = watched.table.as_deref().filter(|table| table.covers(now)) else {
            return watched.wrong;
        };
        let (from, to) = (minute_of(table, watched.anchor.max(table.opens)), minute_of(table, now));
        match &watched.inside {
            None => table.trend.at(from, watched.wrong, to),
            Some(Inside { view: Some(view), .. }) => {
                let within = |minute: usize| minute.saturating_sub(view.from).min(view.trend.end());
                view.trend.at(within(from), watched.wrong, within(to))
            }
            Some(_) => watched.wrong,
        }
    }

    /// Person-minutes of open time in `[from, to)`.
    fn open_minutes(&self, from: i64, to: i64) -> f64 {
        let open = |(hours, count): (&Hours, &f64)| hours.open_ms(from, to) as f64 * count / 60_000.0;
        self.hours.iter().zip(&self.counts).map(open).sum()
    }

    fn even_ms(&self, at: i64, allowance: &Allowance) -> i64 {
        let left = allowance.calls.map_or(u64::MAX, |calls| calls.saturating_sub(allowance.used));
        let minutes = self.open_minutes(at, allowance.until.as_ms());
        let ms = minutes * 60_000.0 / (left.max(1) as f64);
        // Longer than a month is a month.
        Duration::from_secs_f64((ms / 1000.0).clamp(0.0, 2.7e6)).as_millis().try_into().unwrap_or(i64::MAX)
    }

    fn standing(&self, at: i64, span: (i64, i64), allowance: &Allowance) -> Standing {
        let (from, until) = (allowance.from.as_ms(), allowance.until.as_ms());
        let all = self.open_minutes(from, until).max(1.0);
        let closes = span.1.min(self.midnight_after(at));
        Standing {
            used: allowance.used as f64,
            calls: allowance.calls.unwrap_or(u64::MAX) as f64,
            passed: self.open_minutes(from, at) / all,
            day: self.open_minutes(span.0.max(closes - DAY_MS), closes) / all,
            at_close: self.open_minutes(from, closes) / all,
        }
    }

    fn midnight_after(&self, at: i64) -> i64 {
        let offset = self.local(at) - at;
        (i64::from(split(at + offset).0) + 1) * DAY_MS - offset
    }

    fn after_closing(&self, index: usize, at: i64, closes: i64, why: Why) -> Next {
        let again = closes.min(self.midnight_after(at)).max(at + 1);
        let opens = self.hours[self.people[index].open].open_from(again).unwrap_or(again);
        Next::AskAgain(Timestamp::from_ms(opens), why)
    }

    /// Even spreading over open time.
    fn evenly(&self, index: usize, at: i64, interval: Duration, rule: Rule) -> Next {
        let watched = &self.people[index];
        let why = Why { rule, inside: watched.inside.is_some(), ..Why::default() };
        let step = match watched.last_look {
            Some(last) => duration_ms(interval) - self.hours[watched.open].open_ms(last, at),
            None => duration_ms(super::Phase::from_key(watched.key).within(interval)),
        };
        match self.hours[watched.open].after(at, step.max(1)) {
            Some(when) => Next::Look(Timestamp::from_ms(when), why),
            None => Next::AskAgain(Timestamp::from_ms(at + DAY_MS), why),
        }
    }

    /// The first price: what is expected to spend a day's calls.
    fn set_price(&mut self, at: i64, allowance: &Allowance) {
        let even = self.even_ms(at, allowance) as f64 / 60_000.0;
        let mut price = (even * even / 600.0).clamp(0.01, 100.0);
        let sample: Vec<usize> = (0..self.people.len()).step_by(1 + self.people.len() / 60).collect();
        for _ in 0..4 {
            let (mut calls, mut minutes) = (0.0, 0.0);
            for index in &sample {
                let open = self.people[*index].open;
                let Some(opens) = self.hours[open].open_from(at) else { continue };
                let kept = self.people[*index].clone();
                // Five open days are a week of most people.
                let mut from = opens;
                for _ in 0..5 {
                    self.people[*index].table = None;
                    self.prepare(*index, from, price);
                    let Some(table) = &self.people[*index].table else { break };
                    calls += table.outlook.calls[minute_of(table, table.opens)];
                    minutes += (table.until - table.opens) as f64 / 60_000.0;
                    let next = self.hours[open].open_from(table.until);
                    from = next.unwrap_or(table.until);
                }
                self.people[*index] = kept;
            }
            let ratio = calls * even / minutes.max(1.0);
            price = (price * (ratio * ratio).clamp(0.05, 20.0)).clamp(1e-3, 1e3);
        }
        self.price = Some(Price::new(price));
    }

    /// Looks through the part of the day that `at` is in, unless that was done.
    fn prepare(&mut self, index: usize, at: i64, price: f64) {
        if self.people[index].table.as_deref().is_none_or(|table| !table.covers(at)) {
            self.people[index].table = self.table(index, at, price).map(Box::new);
        }
        let Some(table) = self.people[index].table.take() else { return };
        let watched = &self.people[index];
        if watched.inside.as_ref().is_some_and(|inside| inside.view.is_none()) {
            let view = self.view(index, &table, at.max(watched.anchor.min(at)), price);
            if let Some(inside) = &mut self.people[index].inside {
                inside.view = Some(view);
            }
        }
        let watched = &mut self.people[index];
        if watched.anchor < table.opens {
            watched.wrong = match &watched.inside {
                Some(_) => OVER_NIGHT,
                None => table.trend.unlooked(minute_of(&table, table.opens)),
            };
            watched.anchor = table.opens;
            if let Some(inside) = &mut watched.inside {
                inside.view = None;
            }
        }
        if watched.inside.as_ref().is_some_and(|inside| inside.view.is_none()) {
            let view = self.view(index, &table, self.people[index].anchor, price);
            if let Some(inside) = &mut self.people[index].inside {
                inside.view = Some(view);
            }
        }
        self.people[index].table = Some(table);
    }

    fn table(&mut self, index: usize, at: i64, price: f64) -> Option<Table> {
        let class = self.people[index].open;
        let (mut opens, mut until) = self.hours[class].span_at(at)?;
        let mut end = until;
        if until - opens > 30 * 3_600_000 {
            let offset = self.local(at) - at;
            let midnight = i64::from(split(at + offset).0) * DAY_MS - offset;
            opens = opens.max(midnight);
            until = until.min(midnight + DAY_MS);
            end = end.min(until + BEYOND_MS);
        }
        let prelude = PRELUDE as i64 * MINUTE_MS;
        let from = opens - prelude;
        let offset = self.local(opens) - opens;
        let count = usize::try_from((end - from + MINUTE_MS - 1) / MINUTE_MS).unwrap_or(0);
        let (mut chance, mut back) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut patterns = [0; SLOTS];
        let mut joins: Option<(i32, Joins)> = None;
        let mean = self.stays.mean_minutes();
        for step in 0..count {
            let (day, ms) = split(from + offset + step as i64 * MINUTE_MS);
            if joins.as_ref().is_none_or(|(known, _)| *known != day) {
                let before = self.before(class, day);
                let ahead = self.habits.ahead(&self.people[index].habit, &self.diaries[index], &before);
                if joins.is_none() || step <= PRELUDE {
                    patterns = ahead.patterns;
                }
                joins = Some((day, ahead));
            }
            let minute = usize::try_from(ms / MINUTE_MS).unwrap_or(0).min(1439);
            chance.push(joins.as_ref().map_or(0.0, |(_, joins)| joins.chance[minute]));
            back.push(ENDS_UNSEEN / mean);
        }
        let trend = Trend::new(&chance, &back);
        let longest =
            usize::try_from(duration_ms(self.settings.max_interval) / MINUTE_MS).unwrap_or(usize::MAX);
        let found = |to: usize, known: &Outlook| {
            (known.value[to] + price * CALLS_OF_A_VISIT, known.calls[to] + CALLS_OF_A_VISIT)
        };
        let outlook = lookahead::outlook(&trend, found, price, (0.0, 0.0), longest.max(1));
        Some(Table { from, opens, until, offset, chance, patterns, trend, outlook })
    }

    fn view(&self, index: usize, table: &Table, at: i64, price: f64) -> View {
        let from = minute_of(table, at);
        let count = VISIT_AHEAD.min(table.trend.end() - from);
        let watched = &self.people[index];
        let mut chance = vec![0.0; count];
        if let Some(inside) = &watched.inside {
            let midnight = i64::from(inside.day) * DAY_MS - table.offset;
            let since = table.from + from as i64 * MINUTE_MS - midnight;
            let class = watched.open;
            let before = self.before_known(class, inside.day);
            chance = self.stays.ahead(&self.diaries[index], &before, &inside.stay, since, count);
        }
        let trend = Trend::new(&chance, &table.chance[from..from + count]);
        let at_end = (table.outlook.value[from + count], table.outlook.calls[from + count]);
        let found = |to: usize, _: &Outlook| (table.outlook.value[from + to], table.outlook.calls[from + to]);
        let longest =
            usize::try_from(duration_ms(self.settings.max_interval) / MINUTE_MS).unwrap_or(usize::MAX);
        let outlook = lookahead::outlook(&trend, found, price, at_end, longest.max(1));
        View { from, trend, outlook, chance }
    }

    fn before_known(&self, class: usize, day: i32) -> Before {
        Before::of(day, |other| self.open_slots.get(&(class, other)).is_none_or(|bits| *bits != 0))
    }

    fn choose(&self, index: usize, at: i64, soonest: i64, price: f64, lead: f64) -> Next {
        let watched = &self.people[index];
        let Some(table) = &watched.table else {
            return Next::AskAgain(Timestamp::from_ms(at + MINUTE_MS), Why::default());
        };
        let anchor = minute_of(table, watched.anchor.max(table.opens));
        let first = minute_of(table, soonest.max(at));
        let max_ms = duration_ms(self.settings.max_interval);
        let latest =
            watched.last_look.unwrap_or(table.opens).max(table.opens).saturating_add(max_ms).max(soonest);
        let last = minute_of(table, latest.min(table.from + table.trend.end() as i64 * MINUTE_MS));
        let (choice, wrong_now, peak) = if let Some(Inside { view: Some(view), .. }) = &watched.inside {
            let within = |minute: usize| minute.saturating_sub(view.from).min(view.trend.end());
            let value = |to: usize, wrong: f64| {
                let outside = table.outlook.value[(view.from + to).min(table.trend.end())];
                (1.0 - wrong) * view.outlook.value[to] + wrong * outside
            };
            let range = (within(first), within(last));
            let mut choice =
                lookahead::choose(&view.trend, within(anchor), watched.wrong, range, price, value);
            // Where the view ends before closing does, its end is the latest look.
            if choice.minute.is_none() && view.from + view.trend.end() < table.trend.end() {
                choice.minute = Some(view.trend.end());
            }
            choice.minute = choice.minute.map(|minute| minute + view.from);
            let peak = choice.minute.map_or(0.0, |minute| peak(&view.chance, within(minute)));
            (choice, view.trend.at(within(anchor), watched.wrong, within(minute_of(table, at))), peak)
        } else {
            let value = |to: usize, wrong: f64| table.outlook.value[to] + wrong * price * CALLS_OF_A_VISIT;
            let choice = lookahead::choose(&table.trend, anchor, watched.wrong, (first, last), price, value);
            let peak = choice.minute.map_or(0.0, |minute| peak(&table.chance, minute));
            (choice, table.trend.at(anchor, watched.wrong, minute_of(table, at)), peak)
        };
        let mut why = Why {
            rule: Rule::Worth,
            inside: watched.inside.is_some(),
            price,
            wrong_now,
            wrong_then: choice.wrong,
            cost: choice.cost,
            peak,
            pattern: 0,
            lead,
        };
        let minute = match choice.minute {
            Some(minute) => minute,
            None if last < minute_of(table, table.until) => {
                why.rule = Rule::Longest;
                last
            }
            None => {
                why.rule = Rule::NotWorth;
                let hours = &self.hours[watched.open];
                let opens = hours.open_from(table.until).unwrap_or(table.until + DAY_MS);
                return Next::AskAgain(Timestamp::from_ms(opens.max(at + 1)), why);
            }
        };
        // Within the minute everybody has a place of their own, so that calls never bunch on the full minute.
        let place = i64::try_from(watched.key % 60_000).unwrap_or(0);
        let when = table.from + minute as i64 * MINUTE_MS - MINUTE_MS / 2 + place;
        let when = when.max(soonest).max(at + 1);
        let slot = slot_of(split(when + table.offset).1).0.min(SLOTS - 1);
        why.pattern = table.patterns[slot];
        if when >= table.until {
            return Next::AskAgain(Timestamp::from_ms(table.until.max(at + 1)), why);
        }
        Next::Look(Timestamp::from_ms(when), why)
    }
}

impl Table {
    fn covers(&self, at: i64) -> bool {
        (self.opens..self.until).contains(&at)
    }
}

/// This share of `calls`, in whole calls.
pub fn whole_calls(calls: u64, share: f64) -> u64 {
    let parts = Duration::from_secs_f64(share.clamp(0.0, 1.0)).as_nanos();
    u64::try_from(u128::from(calls) * parts / 1_000_000_000).unwrap_or(calls)
}

/// The minute of a table that an instant falls into, within it.
fn minute_of(table: &Table, at: i64) -> usize {
    usize::try_from((at - table.from) / MINUTE_MS).unwrap_or(0).min(table.trend.end())
}

/// The largest chance in the hour before.
fn peak(chance: &[f64], minute: usize) -> f64 {
    let minute = minute.min(chance.len());
    chance[minute.saturating_sub(60)..minute].iter().fold(0.0, |most: f64, one| most.max(*one))
}
