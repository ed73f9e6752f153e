//! One organisation as the poller sees it: its client, its limits, who is due, and whether it answers at all.
//!
//! Guards: never more than `concurrency` in flight, never more than `rate` a second, never past the month's calls; a call
//! is made only under a reservation that is already on disk. Deliberately not here: what answers mean (`dingtalk`).

use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;

use super::roster::{DueQueue, Rhythm};
use crate::dingtalk::client::Client;
use crate::dingtalk::error::class;
use crate::ids::OrgName;
use crate::policy::pace;
use crate::policy::quota::{MonthBudget, RateLimiter};
use crate::telemetry::health::OrgHealth;
use crate::time::Timestamp;

/// What an organisation's half of the poller is made of.
#[derive(Debug)]
pub struct Parts {
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
    /// When the month turns.
    pub month_time_zone: Tz,
    /// Calls refused by a rate limit this month, as stored.
    pub throttled: u64,
    /// What readiness is judged by.
    pub health: Arc<OrgHealth>,
}

/// One organisation's half of the poller.
#[derive(Debug)]
pub struct Upstream {
    pub(super) name: OrgName,
    pub(super) client: Client,
    pub(super) limiter: RateLimiter,
    pub(super) budget: MonthBudget,
    pub(super) concurrency: usize,
    pub(super) month_time_zone: Tz,
    pub(super) health: Arc<OrgHealth>,
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
    /// Whoever is due waits for a call or a reservation to end.
    pub(super) full: bool,
}

impl Upstream {
    /// One that nobody belongs to yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { name, client, limiter, budget, concurrency, month_time_zone, throttled, health } = parts;
        Self {
            name,
            client,
            limiter,
            budget,
            concurrency: concurrency.max(1),
            month_time_zone,
            health,
            due: DueQueue::default(),
            in_flight: 0,
            suspects_in_flight: 0,
            paced: 0,
            paused_until: None,
            troubles: 0,
            trouble: None,
            reserving: false,
            throttled,
            full: false,
        }
    }

    /// Takes over what the config decides; `renewed`: with other secrets, or another way to ask. What was spent, learned and waited for stays.
    pub(super) fn adopt(&mut self, fresh: Self, renewed: bool, now: Timestamp) {
        let limit = fresh.budget.limit();
        if self.month_time_zone == fresh.month_time_zone {
            let more = self.budget.limit() != limit;
            self.budget.set_limit(limit);
            self.forgive(more, "budget");
        } else {
            self.budget = fresh.budget;
            self.month_time_zone = fresh.month_time_zone;
            self.forgive(true, "budget");
        }
        self.limiter.set_rate(fresh.limiter.effective_rate(now));
        self.concurrency = fresh.concurrency;
        self.health = fresh.health;
        // Another secret or another address may put right what was refused.
        let mended = [class::UNAUTHORISED, class::CREDENTIALS, class::FORBIDDEN, class::MISCONFIGURED];
        mended.into_iter().for_each(|class| self.forgive(renewed, class));
        self.client = fresh.client;
    }

    /// Ends a pause that was made for this reason.
    fn forgive(&mut self, really: bool, trouble: &'static str) {
        if really && self.trouble == Some(trouble) {
            (self.paused_until, self.trouble, self.troubles) = (None, None, 0);
        }
    }

    /// How far apart two looks at one person are.
    pub(super) fn interval(&self, rhythm: Rhythm, now: Timestamp, min_interval: Duration) -> Duration {
        match rhythm {
            Rhythm::Every(interval) => interval,
            Rhythm::Auto => self
                .budget
                .even_interval(self.paced.max(1), now)
                .map_or(min_interval, |even| even.max(min_interval)),
        }
    }

    /// Calls by the end of the month, if spending goes on as it did since the month began.
    pub(super) fn projected(&self, now: Timestamp) -> Option<u64> {
        let began = self.budget.month(now).begins_at(self.month_time_zone);
        self.budget.limit()?;
        Some(pace::projection(self.budget.used(now), began, self.budget.month_ends_at(now), now))
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
