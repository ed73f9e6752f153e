//! One organisation as the poller gets it from the config: its client, its limits and its health.
//!
//! Not here: its state while it is polled (`state`).

use std::sync::Arc;

use chrono_tz::Tz;

use super::limits::CallLimits;
use crate::dingtalk::client::Client;
use crate::ids::OrgName;
use crate::policy::quota::{MonthBudget, RateLimiter};
use crate::telemetry::health::OrgHealth;

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
    pub(super) set_up: SetUp,
}

/// What the poller of an organisation begins with.
#[derive(Debug)]
pub(super) struct SetUp {
    pub(super) name: OrgName,
    pub(super) limits: CallLimits,
    pub(super) health: Arc<OrgHealth>,
}

impl Upstream {
    /// An organisation without users.
    pub fn new(parts: UpstreamParts) -> Self {
        let UpstreamParts { name, client, limiter, budget, concurrency, month_time_zone, throttled, health } =
            parts;
        let limits = CallLimits::new(limiter, budget, month_time_zone, concurrency, throttled);
        Self { client, set_up: SetUp { name, limits, health } }
    }
}
