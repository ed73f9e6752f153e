//! How the daemon is, as far as it knows without its database: what `status` asks for.
//!
//! Guards: asks nobody, so it answers whatever hangs. Deliberately not here: what is stored (`store::census`).

use std::sync::Arc;

use crate::clock::SharedClock;
use crate::control::{DegradedOrg, RefusedConfig, RefusedUsers, StatusReport, SweepReport};
use crate::ids::OrgName;
use crate::telemetry::health::{Health, Sweeps};
use crate::telemetry::settings::InForce;
use crate::time::Timestamp;

/// Where the answer comes from.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) health: Arc<Health>,
    pub(super) in_force: Arc<InForce>,
    pub(super) clock: SharedClock,
}

impl Condition {
    /// The answer.
    pub(super) fn report(&self) -> StatusReport {
        let now = self.clock.now();
        let (readiness, attempts) = (self.health.readiness(now), self.in_force.attempts());
        let ill = readiness.checks.iter().filter(|check| !check.ok);
        StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: self.in_force.started().as_ms(),
            loaded_ms: attempts.loaded.as_ms(),
            refused: attempts.refused.map(|(at, why)| RefusedConfig { at_ms: at.as_ms(), why }),
            restart_for: attempts.restart_for,
            ready: readiness.ready,
            reasons: ill
                .map(|check| match &check.org {
                    Some(org) => format!("{} of {org}: {}", check.name, check.reason),
                    None => format!("{}: {}", check.name, check.reason),
                })
                .collect(),
            degraded: readiness
                .degraded
                .iter()
                .map(|degraded| DegradedOrg {
                    org: degraded.org.to_string(),
                    reason: degraded.reason.clone(),
                    since_ms: degraded.since.map(Timestamp::as_ms),
                    next_ms: degraded.next.map(Timestamp::as_ms),
                })
                .collect(),
            refused_users: self
                .health
                .refused()
                .into_iter()
                .map(|(org, refused)| RefusedUsers {
                    org: org.to_string(),
                    users: refused.users,
                    next_ms: refused.next.as_ms(),
                })
                .collect(),
            sweeps: self.health.sweeps().into_iter().map(|(org, sweeps)| told(&org, sweeps)).collect(),
        }
    }
}

fn told(org: &OrgName, sweeps: Sweeps) -> SweepReport {
    let Sweeps { state, why, agreed, needed, ids, calls, last } = sweeps;
    SweepReport {
        org: org.to_string(),
        state: state.name().to_owned(),
        why,
        agreed,
        needed,
        ids: ids.map(str::to_owned),
        calls,
        last_ms: last.map(Timestamp::as_ms),
    }
}
