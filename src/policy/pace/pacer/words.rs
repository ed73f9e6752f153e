//! The words the pacer and who asks it exchange.
//!
//! Deliberately not here: what the pacer keeps for itself (`watched`).

use std::time::Duration;

use chrono_tz::Tz;

use crate::policy::window::OpenTime;
use crate::time::Timestamp;

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
    /// A fixed number of this person, for spreading: [`Phase::key`](crate::policy::pace::Phase::key).
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    /// From then on they were planned; for example when the month began.
    pub from: Timestamp,
    /// Until then.
    pub until: Timestamp,
    /// So many; `None`: no limit.
    pub calls: Option<u64>,
    /// Spent of them.
    pub used: u64,
    /// Where sweeps of everybody are made of the same calls; `calls` and `used` are those of the looks then.
    pub sweeps: Option<Rival>,
}

/// Sweeps that compete for the calls: only a look that saves more wrong time than its call would save in a sweep is made,
/// and a few in turn, so that it is found out who goes where no sweep shows them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rival {
    /// Wrong minutes that one more call saves in a sweep.
    pub worth: f64,
    /// Of the calls that are left, so many are for looks in turn.
    pub in_turn: u64,
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
    /// Sweeps show everybody, and this is their turn to be looked at all the same.
    InTurn,
}
