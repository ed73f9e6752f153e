//! The pacer: takes observations, returns the next poll of each user.
//!
//! Guards: the next poll is strictly later than now, never sooner than `min_interval` after the last one; the same calls
//! in the same order give the same polls. A user's day is forecast once; after that the cost of a decision depends on the
//! minutes ahead, not on the number of users. Not here: making calls, and counting them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::co_meetings::{CoMeetingGraph, CoMeetings};
use super::duration_model::DurationModel;
use super::hours::Hours;
use super::join_model::JoinModel;
use super::shadow_price::ShadowPrice;
use super::visit_history::{LocalVisit, VisitHistory};
use crate::time::{Timestamp, duration_ms};

mod alongside_sweeps;
mod choose;
mod co_presence;
mod forecast;
mod learning;
mod spending;
mod types;
mod watched;

pub use spending::whole_calls;
pub use types::{CallBudget, Next, Person, Rule, Seen, Settings, SweepAllocation, Visit, Why};
use watched::{Inside, Watched, minute_of};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
/// Visits that must be learned before the pacer leaves even spreading.
const ENOUGH: f64 = 20.0;
/// Below this interval the rule's resolution of a minute is too coarse, and there is nothing to save.
const FINE_MS: i64 = 120_000;
/// Forecasts of this many users are cached; one is up to 100 KB. Others are computed again when needed.
const AT_HAND: usize = 64;

/// The pacer of one group of users.
#[derive(Clone, Debug)]
pub struct Pacer {
    settings: Settings,
    people: Vec<Watched>,
    histories: Vec<VisitHistory>,
    co_meetings: Vec<CoMeetings>,
    joins: JoinModel,
    durations: DurationModel,
    co_meeting_graph: CoMeetingGraph,
    /// Users seen inside, by conference.
    members: BTreeMap<u64, BTreeSet<u32>>,
    price: Option<ShadowPrice>,
    /// The last local day learned.
    learned: Option<i32>,
    hours: Vec<Hours>,
    /// `hours` cover the time between these instants.
    laid_out: (i64, i64),
    /// Number of users by open time.
    counts: Vec<f64>,
    /// Cache of the open quarters by open time and day.
    open_slots: BTreeMap<(usize, i32), u128>,
    /// Users with a cached forecast, least recently used first.
    at_hand: VecDeque<usize>,
    /// Size of that cache.
    room: usize,
}

impl Pacer {
    /// A pacer without history.
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
            histories: vec![VisitHistory::default(); people.len()],
            co_meetings: vec![CoMeetings::default(); people.len()],
            joins: JoinModel::default(),
            durations: DurationModel::default(),
            co_meeting_graph: CoMeetingGraph::default(),
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

    /// Caches the forecasts of all users: faster, with more memory, and the same decisions.
    #[must_use]
    pub fn at_ease(self) -> Self {
        Self { room: usize::MAX, ..self }
    }

    /// Takes an answer about `person`. Returns the other users whose next poll may have moved.
    pub fn observed(&mut self, person: u32, now: Timestamp, seen: &[Seen]) -> Vec<u32> {
        self.turn(now);
        let mut moved = BTreeSet::new();
        let now_ms = now.as_ms();
        let before = self.people[person as usize].inside.as_ref().map(|inside| inside.conference);
        let mut running: Option<(Seen, i32, LocalVisit)> = None;
        for record in seen {
            let (day, stay) = self.on_the_wall(record.conference, record.joined, record.left);
            let new = self.histories[person as usize].note(day, stay);
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
        watched.last_poll = Some(now_ms);
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

    /// The next poll of `person`. Strictly later than `now`.
    pub fn next_poll_at(&mut self, person: u32, now: Timestamp, call_budget: &CallBudget) -> Next {
        self.turn(now);
        let at = now.as_ms();
        let index = person as usize;
        let open = self.people[index].open;
        let Some((start, end)) = self.hours[open].span_at(at) else {
            let opens = self.hours[open].open_from(at).unwrap_or(at + DAY_MS);
            let why = Why { rule: Rule::Closed, ..Why::default() };
            return Next::Replan(Timestamp::from_ms(opens.max(at + 1)), why);
        };
        let min_ms = duration_ms(self.settings.min_interval).max(1);
        let even_ms = self.even_ms(at, call_budget);
        let soonest = self.people[index].last_poll.map_or(at + 1, |last| (last + min_ms).max(at + 1));
        if call_budget.calls.is_none() || even_ms <= FINE_MS {
            let interval = Duration::from_millis(u64::try_from(even_ms.max(min_ms)).unwrap_or(1));
            return self.evenly(index, at, interval, Rule::Plenty);
        }
        let standing = self.standing(at, (start, end), call_budget);
        if call_budget.calls.is_some_and(|calls| call_budget.used >= calls) || standing.spent() {
            let why = Why { rule: Rule::Spent, lead: standing.lead(), ..Why::default() };
            return self.after_closing(index, at, end, why);
        }
        if let Some(sweeps) = &call_budget.sweeps {
            return self.beside_sweeps(index, at, soonest, sweeps, (call_budget, &standing));
        }
        if self.joins.seen() < ENOUGH {
            let interval = Duration::from_millis(u64::try_from(even_ms.max(min_ms)).unwrap_or(1));
            return self.evenly(index, at, interval, Rule::Even);
        }
        if self.price.is_none() {
            self.set_price(at, call_budget);
        }
        let price = self.price.as_mut().map_or(1.0, |price| price.now(&standing));
        self.prepare(index, at, price);
        self.choose(index, at, soonest, price, standing.lead())
    }

    /// The price of a call now, in wrong minutes, if there is one.
    pub fn price(&self) -> Option<f64> {
        self.price.as_ref().map(ShadowPrice::base)
    }

    /// Expected wrong minutes and calls of `person` from `now` to closing.
    pub fn expected(&mut self, person: u32, now: Timestamp, call_budget: &CallBudget) -> (f64, f64) {
        self.turn(now);
        if self.price.is_none() {
            self.set_price(now.as_ms(), call_budget);
        }
        let price = self.price.as_ref().map_or(1.0, ShadowPrice::base);
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
