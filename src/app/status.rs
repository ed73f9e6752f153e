//! The part of `status` that the daemon knows without its database.
//!
//! Guards: waits for nothing, so it answers even if a task hangs. Not here: what is stored (`store::stats`).

use std::sync::Arc;

use crate::clock::SharedClock;
use crate::control::{
    DegradedOrg, PushReport, RefusedConfig, RefusedUsers, StatusReport, SweepReport, UnpolledUsers,
};
use crate::ids::OrgName;
use crate::telemetry::health::{Health, Sweeps, UserReason};
use crate::telemetry::push::PushHealth;
use crate::telemetry::settings::ActiveConfig;
use crate::time::Timestamp;

/// What a status report is made from.
#[derive(Clone, Debug)]
pub(super) struct StatusSource {
    pub(super) health: Arc<Health>,
    pub(super) active_config: Arc<ActiveConfig>,
    pub(super) clock: SharedClock,
}

impl StatusSource {
    pub(super) fn report(&self) -> StatusReport {
        let now = self.clock.now();
        let (readiness, attempts) = (self.health.readiness(now), self.active_config.attempts());
        let unpolled = self.unpolled_users();
        let refused = unpolled.iter().filter(|users| users.reason == UserReason::Refused.name());
        let failed = readiness.checks.iter().filter(|check| !check.ok);
        StatusReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: self.active_config.started().as_ms(),
            loaded_ms: attempts.loaded.as_ms(),
            refused: attempts.refused.map(|(at, why)| RefusedConfig { at_ms: at.as_ms(), why }),
            restart_for: attempts.restart_for,
            ready: readiness.ready,
            reasons: failed
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
            sweeps: self
                .health
                .sweeps()
                .into_iter()
                .map(|(org, sweeps)| sweep_report(&org, sweeps))
                .collect(),
            push: self.health.push().into_iter().map(|(org, push)| push_report(&org, push)).collect(),
        }
    }

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

fn push_report(org: &OrgName, push: PushHealth) -> PushReport {
    let PushHealth { down, why, since, next, connections, events, not_understood, ticket } = push;
    PushReport {
        org: org.to_string(),
        connected: down.is_none(),
        reason: down.map(str::to_owned),
        why,
        since_ms: since.as_ms(),
        next_ms: next.map(Timestamp::as_ms),
        connections,
        events,
        not_understood,
        ticket_ms: ticket.map(Timestamp::as_ms),
    }
}

fn sweep_report(org: &OrgName, sweeps: Sweeps) -> SweepReport {
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
