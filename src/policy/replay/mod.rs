//! What a policy would have done: the real pacing code in virtual time over a trace of visits.
//!
//! Guards: a policy learns only what its own polls, and the history before the counted days, tell; `hindsight` never
//! learns from the week it decides. Deliberately not here: reading traces and printing (`cli`).
//!
//! How it counts. The trace begins at the local midnight before its first join and ends at the one after its last
//! leave; the warm-up is its beginning, known in full as history is. The first and the last month have their share of the
//! calls by open time; what `even` spends of it is what the others have. Each answer is the truth at that instant: who is inside
//! what; the times of a visit seen before that has ended since; and a visit missed altogether while its conference
//! still goes on. Wrong is open time in which what the last look said about being inside is not so; nobody is believed
//! inside before the first look. A visit counts if it touches counted open time and is missed without a look inside it;
//! delays are open time from a join to the first look inside, from a leave to the first look after, of visits not missed.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono_tz::Tz;

use super::pace::{PacedUser, Settings, Visit};
use crate::time::Timestamp;

mod measure;
mod run;
#[cfg(test)]
mod tests;

/// What to replay.
#[derive(Clone, Debug)]
pub struct ReplayInput {
    /// Windows and bounds.
    pub settings: Settings,
    /// Who is watched; visits name them by index.
    pub users: Vec<PacedUser>,
    /// For a calendar month.
    pub calls_per_month: u64,
    /// When it turns.
    pub month_time_zone: Tz,
    /// The beginning of the trace that is history.
    pub warmup: Duration,
    /// Every visit of these users.
    pub visits: Vec<Visit>,
    /// Whether `auto` may sweep.
    pub sweep: SweepMode,
    /// Conferences of other organisations: no sweep shows them.
    pub foreign: BTreeSet<u64>,
}

pub use super::sweep::SweepMode;

/// Whether `auto` sweeps, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SweepChoice {
    /// `sweep = "off"`.
    Off,
    /// The warm-up has too few visits in meetings that a sweep shows.
    NotTrusted {
        /// So many more are needed.
        missing: u32,
    },
    /// It does.
    Sweeps {
        /// The part of the visits that no sweep shows.
        unseen: f64,
    },
}

/// Who decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// One interval for all.
    Even,
    /// The pacer.
    Auto,
    /// The pacer, taught by all weeks but the one it decides.
    Hindsight,
}

impl Policy {
    /// All, in the order they are shown.
    pub const ALL: [Self; 3] = [Self::Even, Self::Auto, Self::Hindsight];

    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Even => "even",
            Self::Auto => "auto",
            Self::Hindsight => "hindsight",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Who decided.
    pub policy: Policy,
    /// Calls spent.
    pub calls: u64,
    /// Seconds of open time, over all users, in which what was believed was wrong.
    pub wrong_s: f64,
    /// Visits that count.
    pub visits: usize,
    /// Of these, without a look inside.
    pub missed_visits: usize,
    /// From each join to its notice, in ms.
    pub join_ms: Vec<i64>,
    /// From each leave to its notice, in ms.
    pub leave_ms: Vec<i64>,
    /// Calls and what there were, by month.
    pub months: Vec<(u64, u64)>,
}

impl Outcome {
    /// Both together: organisations spend apart and are shown as one.
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

    /// From a join to its notice.
    pub fn joins(&self) -> Delays {
        Delays::of(&self.join_ms)
    }

    /// From a leave to its notice.
    pub fn leaves(&self) -> Delays {
        Delays::of(&self.leave_ms)
    }
}

/// Delays in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Delays {
    /// So many.
    pub count: usize,
    /// Their mean.
    pub mean_s: f64,
    /// Half are shorter.
    pub median_s: f64,
    /// 95 % are shorter.
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
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "counts of visits are exact")]
fn number(count: usize) -> f64 {
    count as f64
}

/// Every time one user was seen, or missed where they had been, in order, and whether they were inside.
type Polls = Vec<(i64, bool)>;

impl ReplayInput {
    /// The counted stretch: from the end of the warm-up to the end of the trace. `None`: nothing is left to count.
    pub fn counted(&self) -> Option<(Timestamp, Timestamp)> {
        let (first, last) = self.ends()?;
        let from = Timestamp::from_ms(first).plus(self.warmup);
        (from.as_ms() < last).then_some((from, Timestamp::from_ms(last)))
    }

    /// Whether `auto` sweeps here, and why.
    pub fn choice(&self) -> SweepChoice {
        let Some((from, _)) = self.counted().filter(|_| self.sweep != SweepMode::Off) else {
            return SweepChoice::Off;
        };
        let confidence = run::sweeps::earned(self, from);
        if !confidence.is_trusted() {
            return SweepChoice::NotTrusted { missing: confidence.missing() };
        }
        SweepChoice::Sweeps { unseen: 1.0 - confidence.coverage_of_all() }
    }

    /// Runs one policy.
    pub fn run(&self, policy: Policy) -> Option<Outcome> {
        let (from, to) = self.counted()?;
        let result = run::run(self, policy, from, to);
        Some(measure::measure(self, policy, from, to, &result))
    }

    /// The local midnights around the trace.
    fn ends(&self) -> Option<(i64, i64)> {
        let first = self.visits.iter().map(|visit| visit.joined).min()?;
        let last = self.visits.iter().map(|visit| visit.left.unwrap_or(visit.joined)).max()?;
        let zone = self.settings.time_zone;
        let midnight = |at: Timestamp, days: u64| {
            let day = super::civil::wall(at, zone).date() + chrono::Days::new(days);
            super::civil::first_instant(day.and_time(chrono::NaiveTime::MIN), zone).as_ms()
        };
        Some((midnight(first, 0), midnight(last, 1)))
    }
}
