//! How the daemon is, as far as it knows without its database: what `status` asks for.
//!
//! Guards: asks nobody, so it answers whatever hangs. Deliberately not here: what is stored (`store::stats`).

use std::sync::Arc;

use crate::clock::SharedClock;
use crate::control::{DegradedOrg, RefusedConfig, RefusedUsers, StatusReport, SweepReport, UnpolledUsers};
use crate::ids::OrgName;
use crate::telemetry::health::{Health, Sweeps, UserReason};
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
        let unpolled = self.unpolled_users();
        let refused = unpolled.iter().filter(|users| users.reason == UserReason::Refused.name());
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
            refused_users: refused
                .map(|UnpolledUsers { org, users, next_ms, .. }| RefusedUsers {
                    org: org.clone(),
                    users: *users,
                    next_ms: *next_ms,
                })
                .collect(),
            unpolled_users: unpolled,
            sweeps: self.health.sweeps().into_iter().map(|(org, sweeps)| told(&org, sweeps)).collect(),
        }
    }
}

impl Condition {
    fn unpolled_users(&self) -> Vec<UnpolledUsers> {
        let mut all = Vec::new();
        for (org, unpolled) in self.health.unpolled() {
            all.extend(unpolled.into_iter().map(|one| UnpolledUsers {
                org: org.to_string(),
                reason: one.reason.name().to_owned(),
                users: one.users,
                next_ms: one.next.as_ms(),
            }));
        }
        all
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
