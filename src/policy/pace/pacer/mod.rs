//! The pacer: what was seen goes in, the next look comes out.
//!
//! Guards: the next look is strictly later than now, never sooner than `min_interval` after the last one; the same
//! calls in the same order give the same looks. A person's day is looked through once; after that a decision costs the
//! minutes ahead, whatever the number of people. Deliberately not here: asking, and counting what was asked.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::company::{Circle, Company};
use super::diary::{Diary, Stay};
use super::habits::Habits;
use super::hours::Hours;
use super::price::Price;
use super::stays::Stays;
use crate::time::{Timestamp, duration_ms};

mod ahead;
mod beside;
mod choose;
mod lessons;
mod spending;
mod together;
mod watched;
mod words;

pub use spending::whole_calls;
use watched::{Inside, Watched, minute_of};
pub use words::{Allowance, Next, Person, Rival, Rule, Seen, Settings, Visit, Why};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// What is worth knowing before anything but even spreading: so many visits.
const ENOUGH: f64 = 20.0;
/// Below this the minutes that the rule thinks in are too coarse, and there is nothing to save.
const FINE_MS: i64 = 120_000;
/// So many people's days seen ahead are kept at hand; a day is up to 100 KB. Others are worked out again when needed.
const AT_HAND: usize = 64;

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
    /// Whose days are at hand, the longest unused first.
    at_hand: VecDeque<usize>,
    /// How many are.
    room: usize,
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
            at_hand: VecDeque::new(),
            room: AT_HAND,
            settings,
        };
        pacer.lay_out(now.as_ms());
        pacer
    }

    /// Keeps everybody's day at hand, where time is dearer than memory. Nothing is decided otherwise.
    #[must_use]
    pub fn at_ease(self) -> Self {
        Self { room: usize::MAX, ..self }
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
        if let Some(sweeps) = &allowance.sweeps {
            return self.beside_sweeps(index, at, soonest, sweeps, (allowance, &standing));
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
}
