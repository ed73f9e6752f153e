//! What polling is configured with and works with, and why it ends.
//!
//! Not here: what an organisation (`upstream`) and a user (`start`) are configured with.

use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use tokio::sync::Notify;

use crate::clock::SharedClock;
use crate::policy::sweep::SweepMode;
use crate::presence::diff::DiffRules;
use crate::presence::title::TitleRules;
use crate::store::{Store, StoreError};
use crate::telemetry::health::Health;
use crate::telemetry::metrics::Metrics;
use crate::time::Timestamp;
use crate::webhook::routing::Subscription;

/// Due users are started in ticks: one wake-up for several calls is cheaper than one for each.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// Unchanged polls are written at least this often.
pub(super) const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// What the config decides about polling.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How an answer is compared with the state.
    pub rules: DiffRules,
    /// Shortest interval of a paced user, and the delay of a confirming poll.
    pub min_interval: Duration,
    /// Longest interval of a paced user in open time; the call budget takes precedence.
    pub max_interval: Duration,
    /// Without a good poll for this long presence is unknown; `None`: three intervals, at least five minutes.
    pub stale_after: Option<Duration>,
    /// Delays after failed polls.
    pub backoff: crate::config::Backoff,
    /// How long a user who is inside is polled past the end of a window.
    pub overtime: Duration,
    /// The zone of cron expressions.
    pub time_zone: Tz,
    /// Whether a meeting is queried when a user's entry vanished from it.
    pub confirm_calls: bool,
    /// Which organisations are swept.
    pub sweep: SweepMode,
    /// Which titles of meetings are kept.
    pub titles: TitleRules,
}

/// What the poller works with.
#[derive(Clone, Debug)]
pub struct Tools {
    /// The database.
    pub store: Store,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// Notified when there is something to deliver.
    pub outbox_wake: Arc<Notify>,
    /// Which webhooks get which events.
    pub subscriptions: Arc<[Subscription]>,
    /// Input of readiness.
    pub health: Arc<Health>,
    /// Counters of polls, calls and events.
    pub metrics: Arc<Metrics>,
}

/// Why the poller ended before it was stopped.
#[derive(Debug, thiserror::Error)]
pub enum PollerError {
    /// The database failed at the start.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Good polls.
    pub good: u64,
    /// Failed polls.
    pub failed: u64,
    /// Recorded events.
    pub events: u64,
}

impl Totals {
    /// The sum of two counts.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            good: self.good + other.good,
            failed: self.failed + other.failed,
            events: self.events + other.events,
        }
    }
}

/// The earlier of two wake-ups.
pub(super) fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
