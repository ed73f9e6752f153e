//! The pacer's state: the users, their histories and the learned models.
//!
//! Not here: the steps that use it (`learning`, `forecast`, `choose`, `spending`), its public functions (`pacer`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::co_meetings::{CoMeetingGraph, CoMeetings};
use super::super::duration_model::DurationModel;
use super::super::join_model::JoinModel;
use super::super::open_spans::OpenSpans;
use super::super::shadow_price::ShadowPrice;
use super::super::visit_history::VisitHistory;
use super::types::Settings;
use super::user::PacerUser;

/// Visits that must be learned before the pacer leaves even spreading.
pub(super) const ENOUGH: f64 = 20.0;

/// The pacer of one group of users.
#[derive(Clone, Debug)]
pub struct Pacer {
    pub(super) settings: Settings,
    pub(super) users: Vec<PacerUser>,
    pub(super) histories: Vec<VisitHistory>,
    pub(super) co_meetings: Vec<CoMeetings>,
    pub(super) joins: JoinModel,
    pub(super) durations: DurationModel,
    pub(super) co_meeting_graph: CoMeetingGraph,
    /// Users seen inside, by conference.
    pub(super) members: BTreeMap<u64, BTreeSet<u32>>,
    pub(super) price: Option<ShadowPrice>,
    /// The last local day learned.
    pub(super) learned: Option<i32>,
    pub(super) hours: Vec<OpenSpans>,
    /// `hours` cover the time between these instants.
    pub(super) computed: (i64, i64),
    /// Number of users by open time.
    pub(super) counts: Vec<f64>,
    /// Cache of the open quarters by open time and day.
    pub(super) open_slots: BTreeMap<(usize, i32), u128>,
    /// Users with a cached forecast, least recently used first.
    pub(super) cached: VecDeque<usize>,
    /// Size of that cache.
    pub(super) cache_size: usize,
}
