//! Input and result of a replay.
//!
//! Not here: the replay itself (`run`), comparing it with the trace (`measure`).

use std::collections::BTreeSet;
use std::time::Duration;

use chrono_tz::Tz;

use crate::policy::civil;
use crate::policy::pace::{PacedUser, Settings, Visit};
use crate::policy::sweep::SweepMode;
use crate::time::Timestamp;

/// Input of a replay: the trace and the settings.
#[derive(Clone, Debug)]
pub struct ReplayInput {
    /// Open times and bounds of the interval.
    pub settings: Settings,
    /// Watched users; visits refer to them by index.
    pub users: Vec<PacedUser>,
    /// Calls of a calendar month.
    pub calls_per_month: u64,
    /// Zone of the calendar month.
    pub month_time_zone: Tz,
    /// Length of the warm-up.
    pub warmup: Duration,
    /// Every visit of these users.
    pub visits: Vec<Visit>,
    /// When `auto` sweeps.
    pub sweep: SweepMode,
    /// Conferences of other organisations: sweeps do not list them.
    pub foreign: BTreeSet<u64>,
}

/// Whether `auto` sweeps in this replay, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SweepChoice {
    /// Sweeps are off (`sweep = "off"`).
    Off,
    /// The warm-up has too few visits in meetings that sweeps list.
    NotTrusted {
        /// Number of visits still needed.
        missing: u32,
    },
    /// Sweeps are made.
    Sweeps {
        /// Share of the visits that no sweep lists.
        unseen: f64,
    },
}

/// A polling policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// One interval for all users.
    Even,
    /// The pacer.
    Auto,
    /// The pacer with knowledge of all weeks but the one it decides.
    Hindsight,
    /// One interval for all users, shorter where the week had more changes.
    Histogram,
    /// No user is polled.
    Never,
    /// The best polls with knowledge of the trace.
    Clairvoyant,
}

impl Policy {
    /// All policies, in the order they are shown.
    pub const ALL: [Self; 6] =
        [Self::Even, Self::Auto, Self::Hindsight, Self::Histogram, Self::Never, Self::Clairvoyant];

    /// Name in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Auto => "auto",
            Self::Hindsight => "hindsight",
            Self::Histogram => "histogram",
            Self::Never => "never",
            Self::Clairvoyant => "clairvoyant",
        }
    }
}

/// Result of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The policy.
    pub policy: Policy,
    /// Calls spent.
    pub calls: u64,
    /// Seconds of open time, over all users, in which the known state was wrong.
    pub wrong_s: f64,
    /// Number of visits that count.
    pub visits: usize,
    /// Number of visits without a poll during them.
    pub missed_visits: usize,
    /// Delay of each join, in ms.
    pub join_ms: Vec<i64>,
    /// Delay of each leave, in ms.
    pub leave_ms: Vec<i64>,
    /// Calls spent and available, by month.
    pub months: Vec<(u64, u64)>,
}

impl Outcome {
    /// The sum of two organisations' results.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.calls += other.calls;
        self.wrong_s += other.wrong_s;
        self.visits += other.visits;
        self.missed_visits += other.missed_visits;
        self.join_ms.extend(other.join_ms);
        self.leave_ms.extend(other.leave_ms);
        self.months.extend(other.months);
        self
    }

    /// Delays of joins.
    pub fn joins(&self) -> Delays {
        Delays::of(&self.join_ms)
    }

    /// Delays of leaves.
    pub fn leaves(&self) -> Delays {
        Delays::of(&self.leave_ms)
    }
}

/// Statistics of delays, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Delays {
    /// Number of delays.
    pub count: usize,
    /// Mean.
    pub mean_s: f64,
    /// Median.
    pub median_s: f64,
    /// 95th percentile.
    pub p95_s: f64,
}

impl Delays {
    fn of(ms: &[i64]) -> Self {
        let mut ms = ms.to_vec();
        ms.sort_unstable();
        let Some(last) = ms.len().checked_sub(1) else { return Self::default() };
        let at = |percent: usize| seconds(ms[last * percent / 100]);
        let mean_s = seconds(ms.iter().sum()) / number(ms.len());
        Self { count: ms.len(), mean_s, median_s: at(50), p95_s: at(95) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "whole milliseconds of months are exact")]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "counts of visits are exact")]
fn number(count: usize) -> f64 {
    count as f64
}

/// The polls of one user in order: time in ms, and whether the user was inside. A sweep that shows the user counts
/// too.
pub(super) type Polls = Vec<(i64, bool)>;

/// The polls of a policy.
pub(super) struct RunResult {
    /// Polls by user.
    pub(super) polls: Vec<Polls>,
    /// Calls spent and available, by month.
    pub(super) months: Vec<(u64, u64)>,
    /// Calls in total.
    pub(super) calls: u64,
}

impl ReplayInput {
    /// The counted period: from the end of the warm-up to the end of the trace. `None`: it is empty.
    pub fn counted(&self) -> Option<(Timestamp, Timestamp)> {
        let (first, last) = self.ends()?;
        let from = Timestamp::from_ms(first).plus(self.warmup);
        (from.as_ms() < last).then_some((from, Timestamp::from_ms(last)))
    }

    /// The local midnights before and after the trace.
    pub(super) fn ends(&self) -> Option<(i64, i64)> {
        let first = self.visits.iter().map(|visit| visit.joined).min()?;
        let last = self.visits.iter().map(|visit| visit.left.unwrap_or(visit.joined)).max()?;
        let zone = self.settings.time_zone;
        let midnight = |at: Timestamp, days: u64| {
            let day = civil::wall(at, zone).date() + chrono::Days::new(days);
            civil::first_instant(day.and_time(chrono::NaiveTime::MIN), zone).as_ms()
        };
        Some((midnight(first, 0), midnight(last, 1)))
    }
}
