//! What is kept of everybody who is paced: what is believed of them, and their day and visit seen ahead.
//!
//! Deliberately not here: their past (`diary`, `company`), how things are seen ahead (`ahead`).

use super::super::diary::{SLOTS, Stay};
use super::super::habits::Habit;
use super::super::lookahead::{Outlook, Trend};
use super::MINUTE_MS;

#[derive(Clone, Debug)]
pub(super) struct Inside {
    pub(super) conference: u64,
    pub(super) day: i32,
    pub(super) stay: Stay,
    pub(super) view: Option<View>,
}

/// Somebody's running visit, seen ahead from its last look.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Minute of the table at which it begins.
    pub(super) from: usize,
    pub(super) trend: Trend,
    pub(super) outlook: Outlook,
    pub(super) chance: Vec<f64>,
}

/// Somebody's day, seen ahead.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The instant of minute 0.
    pub(super) from: i64,
    /// Decisions in `[opens, until)` use it.
    pub(super) opens: i64,
    pub(super) until: i64,
    /// Local ms minus instant.
    pub(super) offset: i64,
    pub(super) chance: Vec<f64>,
    pub(super) patterns: [u8; SLOTS],
    pub(super) trend: Trend,
    pub(super) outlook: Outlook,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    pub(super) key: u64,
    pub(super) open: usize,
    pub(super) habit: Habit,
    pub(super) last_look: Option<i64>,
    /// At this instant what is believed was wrong with chance `wrong`.
    pub(super) anchor: i64,
    pub(super) wrong: f64,
    pub(super) inside: Option<Inside>,
    pub(super) table: Option<Box<Table>>,
    /// The table at hand, or put away, is for `[opens, until)` and was made at this price.
    pub(super) made: Option<(i64, i64, f64)>,
}

impl Table {
    pub(super) fn covers(&self, at: i64) -> bool {
        (self.opens..self.until).contains(&at)
    }
}

/// The minute of a table that an instant falls into, within it.
pub(super) fn minute_of(table: &Table, at: i64) -> usize {
    usize::try_from((at - table.from) / MINUTE_MS).unwrap_or(0).min(table.trend.end())
}
