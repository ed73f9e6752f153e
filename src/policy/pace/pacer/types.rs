//! Types that the pacer and its callers exchange.
//!
//! Not here: the pacer's own state (`user`).

use std::time::Duration;

use chrono_tz::Tz;

use crate::policy::window::OpenTime;
use crate::time::Timestamp;

/// Settings of a pacer.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time zone of the users' habits.
    pub time_zone: Tz,
    /// Shortest interval between two polls of a user.
    pub min_interval: Duration,
    /// Longest interval in open time, if the calls suffice.
    pub max_interval: Duration,
    /// Open times; users refer to theirs by index.
    pub open: Vec<OpenTime>,
}

/// A user to be paced.
#[derive(Clone, Copy, Debug)]
pub struct PacedUser {
    /// A fixed number for spreading: [`Phase::key`](crate::policy::pace::Phase::key).
    pub key: u64,
    /// Index into [`Settings::open`].
    pub open: usize,
}

/// A finished or running visit from the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Index of the user.
    pub user: u32,
    /// Key of the conference ([`conference_key`](crate::policy::pace::conference_key)).
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
    /// `leaveTime` if the user has left; `None`: inside.
    pub left: Option<Timestamp>,
}

/// The calls that may be spent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallBudget {
    /// Start of the plan, for example of the month.
    pub from: Timestamp,
    /// End of the plan.
    pub until: Timestamp,
    /// Calls of the plan; `None`: no limit.
    pub calls: Option<u64>,
    /// Calls spent.
    pub used: u64,
    /// Set where trusted sweeps share the calls; `calls` and `used` are then those of the polls.
    pub sweeps: Option<SweepAllocation>,
}

/// How trusted sweeps and polls share the calls: a poll is made only if it saves more wrong time than its call would save
/// in a sweep; a few polls go round all users to find meetings that sweeps do not list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SweepAllocation {
    /// Wrong minutes that one more call saves in a sweep.
    pub worth: f64,
    /// Remaining calls reserved for those polls in turn.
    pub in_turn: u64,
}

/// The next step for a user.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PollDecision {
    /// Poll at this time.
    Poll(Timestamp, Why),
    /// Do not poll before this time; decide again then. A re-plan time is not a poll.
    Replan(Timestamp, Why),
}

/// The reasons for a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Why {
    /// Which rule decided.
    pub rule: Rule,
    /// Known to be inside.
    pub inside: bool,
    /// Wrong minutes that a call must be worth.
    pub price: f64,
    /// Probability that the known state is wrong now.
    pub wrong_now: f64,
    /// Probability that it is wrong at that time.
    pub wrong_then: f64,
    /// Expected wrong minutes until then.
    pub cost: f64,
    /// Highest probability of a change in a minute of the hour before that time.
    pub peak: f64,
    /// Earlier joins at that time of day: a bit for each of the last four weeks, and 16 for each other day (at most three).
    pub pattern: u8,
    /// Days of spending ahead of the plan.
    pub lead: f64,
}

/// Which rule decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// Too little history: even spreading.
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
    /// Trusted sweeps cover all users; this is the user's turn for a poll.
    InTurn,
}
