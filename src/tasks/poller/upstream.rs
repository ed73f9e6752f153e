//! One organisation as the poller sees it: its client, its limits, who is due, and whether it answers at all.
//!
//! Guards: never more than `concurrency` in flight, never more than `rate` a second, never past the month's calls; a call
//! is made only under a reservation that is already on disk. Deliberately not here: what answers mean (`dingtalk`).

use std::time::Duration;

use super::roster::{DueQueue, Rhythm};
use crate::dingtalk::client::Client;
use crate::ids::OrgName;
use crate::policy::pace;
use crate::policy::quota::{MonthBudget, RateLimiter};
use crate::time::Timestamp;

/// One organisation's half of the poller.
#[derive(Debug)]
pub struct Upstream {
    /// By the config's name.
    pub name: OrgName,
    /// Who asks.
    pub client: Client,
    /// Calls a second.
    pub limiter: RateLimiter,
    /// Calls a month.
    pub budget: MonthBudget,
    /// Calls in flight.
    pub concurrency: usize,
    pub(super) due: DueQueue,
    pub(super) in_flight: usize,
    pub(super) suspects_in_flight: usize,
    /// People paced by the budget.
    pub(super) paced: usize,
    pub(super) paused_until: Option<Timestamp>,
    /// Failures of the organisation as a whole, in a row.
    pub(super) troubles: u32,
    /// The class of the trouble that was logged last; `None` while all is well.
    pub(super) trouble: Option<&'static str>,
    /// A reservation of calls is being written down.
    pub(super) reserving: bool,
    /// Calls refused by a rate limit this month.
    pub(super) throttled: u64,
}

impl Upstream {
    /// One that nobody belongs to yet. `throttled`: as stored for this month.
    pub fn new(
        name: OrgName,
        client: Client,
        limiter: RateLimiter,
        budget: MonthBudget,
        concurrency: usize,
        throttled: u64,
    ) -> Self {
        Self {
            name,
            client,
            limiter,
            budget,
            concurrency: concurrency.max(1),
            due: DueQueue::default(),
            in_flight: 0,
            suspects_in_flight: 0,
            paced: 0,
            paused_until: None,
            troubles: 0,
            trouble: None,
            reserving: false,
            throttled,
        }
    }

    /// How far apart two looks at one person are.
    pub(super) fn interval(&self, rhythm: Rhythm, now: Timestamp, min_interval: Duration) -> Duration {
        match rhythm {
            Rhythm::Every(interval) => interval,
            Rhythm::Auto => match self.budget.left(now) {
                None => min_interval,
                Some(calls) => {
                    let left = self.budget.month_ends_at(now).since(now);
                    pace::even_interval(self.paced.max(1), left, calls, min_interval)
                }
            },
        }
    }

    /// Suspects get at most half of the places, and at least one.
    pub(super) fn room_for_suspects(&self) -> bool {
        self.suspects_in_flight < (self.concurrency / 2).max(1)
    }

    /// Whether the organisation waits, and until when.
    pub(super) fn paused(&self, now: Timestamp) -> Option<Timestamp> {
        self.paused_until.filter(|until| *until > now)
    }

    pub(super) fn pause_until(&mut self, until: Timestamp) {
        self.paused_until = Some(self.paused_until.map_or(until, |already| already.max(until)));
    }
}
