//! The pacer's state: the users, what was learned of them, and the price of a call.
//!
//! Not here: the steps that use it (`forecast`, `decide`), its public functions (`pacer`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::calendar::Calendar;
use super::learning::Learned;
use super::spending::Spending;
use super::types::Settings;
use super::user::PacerUser;

/// Visits that must be learned before the pacer leaves even spreading.
pub(super) const ENOUGH: f64 = 20.0;

/// The pacer of one group of users.
#[derive(Clone, Debug)]
pub struct Pacer {
    pub(super) settings: Settings,
    pub(super) users: Vec<PacerUser>,
    pub(super) calendar: Calendar,
    pub(super) learned: Learned,
    /// Users seen inside, by conference.
    pub(super) members: BTreeMap<u64, BTreeSet<u32>>,
    pub(super) spending: Spending,
    /// Number of users who were inside at their last poll.
    pub(super) inside: usize,
    /// Users with a cached forecast, least recently used first.
    pub(super) cached: VecDeque<usize>,
    /// A user who rejoins within this time has not left: finding out would take two calls.
    pub(super) short_gap_ms: i64,
    /// Size of that cache.
    pub(super) cache_size: usize,
}
