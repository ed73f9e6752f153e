//! One organisation as the poller sees it: its client, its limits, who is due, and whether it answers at all.
//!
//! Guards: never more than `concurrency` in flight, never more than `rate` a second, never past the month's calls; a call
//! is made only under a reservation that is already on disk. Deliberately not here: what answers mean (`dingtalk`).

use std::sync::Arc;

use chrono_tz::Tz;

use super::pacing::Pacing;
use super::roster::DueQueue;
use super::share::Share;
use super::standing::Held;
use crate::dingtalk::client::Client;
use crate::ids::OrgName;
use crate::policy::circuit::{Cause, CircuitBreaker};
use crate::policy::quota::{Month, MonthBudget, RateLimiter};
use crate::policy::{backoff, pace};
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
    /// What its people need of the month.
    pub(super) share: Share,
    /// The rule that paces them, where there is a limit.
    pub(super) pacing: Option<Pacing>,
    pub(super) paused_until: Option<Timestamp>,
    /// How it stands, as far as failures go.
    pub(super) standing: CircuitBreaker,
    /// The spread of its waits.
    pub(super) key: u64,
    /// The class of the trouble that was logged last; `None` while all is well.
    pub(super) trouble: Option<&'static str>,
    /// The same for a person.
    pub(super) trouble_text: String,
    /// Slowed down by refusals, as was logged.
    pub(super) slowed: bool,
    /// The newest good look at anybody since the start.
    pub(super) last_good: Option<Timestamp>,
    /// An outage is over and not told yet: what was seen since waits in `held`.
    pub(super) gap_untold: bool,
    pub(super) held: Vec<Held>,
    /// Outages, for who was not looked at since.
    pub(super) hidden: Vec<(Timestamp, Timestamp)>,
    /// Stretches without looks that are in the history already, for everybody.
    pub(super) covered: Vec<(Timestamp, Timestamp)>,
    /// The month whose calls the budget alert is about.
    pub(super) alarm_month: Month,
    /// A reservation of calls is being written down.
    pub(super) reserving: bool,
    /// Calls refused this month: by a rate limit, a ban or a spent month.
    pub(super) throttled: u64,
    /// `throttled` has changed since it was written.
    pub(super) usage_changed: bool,
    /// Whoever is due waits for a call or a reservation to end.
    pub(super) full: bool,
}

impl Upstream {
    /// One that nobody belongs to yet.
    pub fn new(parts: Parts) -> Self {
        let Parts { name, client, limiter, budget, concurrency, month_time_zone, throttled, health } = parts;
        Self {
            key: backoff::key(&["organisation", name.as_str()]),
            name,
            client,
            limiter,
            alarm_month: budget.month(Timestamp::default()),
            budget,
            concurrency: concurrency.max(1),
            month_time_zone,
            health,
            due: DueQueue::default(),
            in_flight: 0,
            suspects_in_flight: 0,
            share: Share::default(),
            pacing: None,
            paused_until: None,
            standing: CircuitBreaker::default(),
            trouble: None,
            trouble_text: String::new(),
            slowed: false,
            last_good: None,
            gap_untold: false,
            held: Vec::new(),
            hidden: Vec::new(),
            covered: Vec::new(),
            reserving: false,
            throttled,
            usage_changed: false,
            full: false,
        }
    }

    /// Takes over what the config decides. What was spent and learned is kept; a pause ends with a probe.
    pub(super) fn adopt(&mut self, fresh: Self, now: Timestamp) {
        let limit = fresh.budget.limit();
        if self.month_time_zone == fresh.month_time_zone {
            self.budget.set_limit(limit);
        } else {
            self.budget = fresh.budget;
            self.month_time_zone = fresh.month_time_zone;
        }
        self.limiter.set_rate(fresh.limiter.effective_rate(now));
        self.concurrency = fresh.concurrency;
        self.health = fresh.health;
        // Whatever the calls failed for, the operator may just have put it right.
        self.probe_now(now);
        self.client = fresh.client;
    }

    /// Ends a pause: the next probe goes out at once, whatever the reason was.
    pub(super) fn probe_now(&mut self, now: Timestamp) {
        self.paused_until = None;
        if let Some(shut) = self.standing.open.as_mut() {
            shut.until = shut.until.min(now);
            shut.attempts = 0;
        }
    }

    /// No calls are left in the month, by our count or by DingTalk's.
    pub(super) fn is_month_spent(&self) -> bool {
        self.standing.open.is_some_and(|shut| shut.cause == Cause::MonthSpent)
    }

    /// Calls that may be in flight: after an outage one at a time, until one is good.
    pub(super) fn places(&self) -> usize {
        if self.standing.open.is_some() { 1 } else { self.concurrency }
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
