//! One organisation in the poller: its limits, its due users, and its circuit breaker.
//!
//! Guards: at most `concurrency` calls in flight, at most `rate` a second, at most the month's limit; a call is made
//! only under a reservation that is already on disk. Not here: what answers mean (`dingtalk`).

use std::sync::Arc;

use chrono_tz::Tz;

use super::effects::CallCount;
use super::pacing::Pacing;
use super::report::PollNow;
use super::roster::{DueQueue, UserKey};
use super::share::Share;
use crate::dingtalk::client::{Answer, Client};
use crate::ids::OrgName;
use crate::policy::circuit::{Cause, CircuitBreaker};
use crate::policy::quota::{Month, MonthBudget, RateLimiter};
use crate::policy::{backoff, pace};
use crate::store::Usage;
use crate::telemetry::health::OrgHealth;
use crate::time::Timestamp;

/// A good answer that waits until the gap before it is emitted.
#[derive(Debug)]
pub(super) struct HeldAnswer {
    pub(super) user: UserKey,
    pub(super) manual: Option<PollNow>,
    pub(super) answer: Answer,
}

/// What an [`Upstream`] is made of.
#[derive(Debug)]
pub struct UpstreamParts {
    /// Name in the config.
    pub name: OrgName,
    /// Calls DingTalk.
    pub client: Client,
    /// Calls a second.
    pub limiter: RateLimiter,
    /// Calls a month.
    pub budget: MonthBudget,
    /// Most calls in flight.
    pub concurrency: usize,
    /// The zone in which the month begins.
    pub month_time_zone: Tz,
    /// Calls refused this month by a rate limit, as stored.
    pub throttled: u64,
    /// Input of readiness.
    pub health: Arc<OrgHealth>,
}

/// An organisation as the poller gets it.
#[derive(Debug)]
pub struct Upstream {
    pub(super) client: Client,
    pub(super) state: UpstreamState,
}

/// An organisation's state in the poller.
#[derive(Debug)]
pub(super) struct UpstreamState {
    pub(super) name: OrgName,
    pub(super) limiter: RateLimiter,
    pub(super) budget: MonthBudget,
    pub(super) concurrency: usize,
    pub(super) month_time_zone: Tz,
    pub(super) health: Arc<OrgHealth>,
    pub(super) due: DueQueue,
    pub(super) in_flight: usize,
    pub(super) failing_in_flight: usize,
    /// What its users need of the month's calls.
    pub(super) share: Share,
    /// The pacing groups, where the month has a limit.
    pub(super) pacing: Option<Pacing>,
    pub(super) paused_until: Option<Timestamp>,
    /// The circuit breaker.
    pub(super) standing: CircuitBreaker,
    /// Seed of the jitter of its waits.
    pub(super) key: u64,
    /// Class of the last logged failure; `None` while calls succeed.
    pub(super) trouble: Option<&'static str>,
    /// Text of the last failure.
    pub(super) error_text: String,
    /// Slowed down by refusals, and that is logged.
    pub(super) slowed: bool,
    /// The newest good poll of any user since the start.
    pub(super) last_good: Option<Timestamp>,
    /// An outage is over and its gap is not emitted yet: answers since then wait in `held`.
    pub(super) gap_pending: bool,
    pub(super) held: Vec<HeldAnswer>,
    /// Recent outages, for users who were not polled since.
    pub(super) hidden: Vec<(Timestamp, Timestamp)>,
    /// Recent intervals without polls that are in the history already, for all users.
    pub(super) covered: Vec<(Timestamp, Timestamp)>,
    /// The month of the budget alert.
    pub(super) alert_month: Month,
    /// A reservation of calls is being written.
    pub(super) reserving: bool,
    /// Calls refused this month: by a rate limit, a ban or a spent month.
    pub(super) throttled: u64,
    /// `throttled` has changed since it was written.
    pub(super) usage_changed: bool,
    /// Due users wait for a call or a reservation to end.
    pub(super) full: bool,
}

impl Upstream {
    /// An organisation without users.
    pub fn new(parts: UpstreamParts) -> Self {
        let UpstreamParts { name, client, limiter, budget, concurrency, month_time_zone, throttled, health } =
            parts;
        let state = UpstreamState {
            key: backoff::key(&["organisation", name.as_str()]),
            name,
            limiter,
            alert_month: budget.month(Timestamp::default()),
            budget,
            concurrency: concurrency.max(1),
            month_time_zone,
            health,
            due: DueQueue::default(),
            in_flight: 0,
            failing_in_flight: 0,
            share: Share::default(),
            pacing: None,
            paused_until: None,
            standing: CircuitBreaker::default(),
            trouble: None,
            error_text: String::new(),
            slowed: false,
            last_good: None,
            gap_pending: false,
            held: Vec::new(),
            hidden: Vec::new(),
            covered: Vec::new(),
            reserving: false,
            throttled,
            usage_changed: false,
            full: false,
        };
        Self { client, state }
    }
}

impl UpstreamState {
    /// Takes over the config's values. What was spent and learned is kept; a pause ends with a probe.
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
        // The operator may have fixed the reason of the failures.
        self.probe_now(now);
    }

    /// Ends a pause: the next probe is sent at once.
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

    /// Calls that may be in flight; one at a time while the circuit is open.
    pub(super) fn places(&self) -> usize {
        if self.standing.open.is_some() { 1 } else { self.concurrency }
    }

    /// Calls by the end of the month at the rate since its beginning.
    pub(super) fn projected(&self, now: Timestamp) -> Option<u64> {
        let began = self.budget.month(now).begins_at(self.month_time_zone);
        self.budget.limit()?;
        Some(pace::projection(self.budget.used(now), began, self.budget.month_ends_at(now), now))
    }

    /// The calls of a month, to be stored.
    pub(super) fn call_count(&self, month: Month, used: u64, now: Timestamp) -> CallCount {
        CallCount {
            org: self.name.clone(),
            month,
            usage: Usage { used, throttled: self.throttled },
            limit: self.budget.limit(),
            projected: self.projected(now),
        }
    }

    /// Failing users get at most half of the slots, and at least one.
    pub(super) fn room_for_failing(&self) -> bool {
        self.failing_in_flight < (self.concurrency / 2).max(1)
    }

    /// Until when the organisation is paused.
    pub(super) fn paused(&self, now: Timestamp) -> Option<Timestamp> {
        self.paused_until.filter(|until| *until > now)
    }

    pub(super) fn pause_until(&mut self, until: Timestamp) {
        self.paused_until = Some(self.paused_until.map_or(until, |already| already.max(until)));
    }
}
