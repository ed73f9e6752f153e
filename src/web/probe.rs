//! `/healthz` and `/readyz`: for supervisors, load balancers and probes.
//!
//! Guards: the reasons are shown only to requests from this machine or with the token. Not here: what makes the daemon
//! ready (`telemetry::health`).

use std::time::Duration;

use axum::Extension;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use tokio::time::timeout;

use super::access;
use super::proxy::Client;
use super::response::json;
use super::state::State;
use super::visitor::is_operator;
use crate::store::stats::BlockedWebhook;
use crate::telemetry::health::{Check, Degraded, Readiness};

/// Timeout of reading the database.
const DATABASE_TIME: Duration = Duration::from_secs(2);

/// The process is alive.
pub(super) async fn healthz() -> Response {
    json(StatusCode::OK, r#"{"alive":true}"#.to_owned())
}

/// 200 or 503, with the reasons.
pub(super) async fn readyz(
    Shared(state): Shared<State>,
    Extension(client): Extension<Client>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let Readiness { mut ready, mut checks, degraded } = state.0.health.readiness(state.0.clock.now());
    // Reading shows that the database answers.
    let read = timeout(DATABASE_TIME, state.blocked_webhooks()).await.ok().and_then(Result::ok);
    if read.is_none() {
        ready = false;
        checks.push(Check { name: "database", org: None, ok: false, reason: "does not answer".to_owned() });
    }
    let webhooks = read.unwrap_or_default();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // With DNS rebinding a request comes from this machine, but has another host name.
    let local = client.is_local && access::is_known(&state, &headers, &uri);
    let may_know = local || is_operator(&state, &headers, &uri);
    json(status, body(ready, &checks, &degraded, &webhooks, may_know))
}

/// The answer; without reasons unless `may_know`.
fn body(
    ready: bool,
    checks: &[Check],
    degraded: &[Degraded],
    webhooks: &[BlockedWebhook],
    may_know: bool,
) -> String {
    if !may_know {
        return serde_json::json!({ "ready": ready }).to_string();
    }
    let reasons: Vec<String> = checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| match &check.org {
            Some(org) => format!("{} of {org}: {}", check.name, check.reason),
            None => format!("{}: {}", check.name, check.reason),
        })
        .collect();
    serde_json::json!({
        "ready": ready, "reasons": reasons, "checks": checks, "degraded": degraded, "webhooks": webhooks
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_are_for_this_machine_and_for_who_has_the_token() {
        let checks = [Check { name: "database", org: None, ok: false, reason: "disk full".to_owned() }];
        assert_eq!(body(false, &checks, &[], &[], false), r#"{"ready":false}"#);
        let known: serde_json::Value = serde_json::from_str(&body(false, &checks, &[], &[], true)).unwrap();
        assert_eq!(known["reasons"], serde_json::json!(["database: disk full"]));
    }
}
