//! `/metrics`: counters, and the current state of the database and the daemon.
//!
//! Guards: only for requests from this machine or with the token; no user is named unless the config allows it; if the
//! database does not answer, only its metrics are missing. Not here: counting (`telemetry::metrics`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Extension;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::proxy::Client;
use super::response::not_found;
use super::state::{Measured, State};
use super::visitor::{is_operator, unauthorised};
use crate::ids::{OrgName, WebhookName};
use crate::policy::circuit::Cause;
use crate::policy::liveness::DeliveryReason;
use crate::store::history::{BudgetRow, Counts, Filter, UserPresence as Standing};
use crate::store::stats::{BlockedWebhook, Queue, file_sizes};
use crate::store::{PushMonth, StoreError};
use crate::telemetry::health::{Health, SweepState, Sweeps, Unpolled, UserReason};
use crate::telemetry::log;
use crate::telemetry::metrics::{CONTENT_TYPE, Page, seconds};
use crate::telemetry::push::PushHealth;
use crate::time::Timestamp;

/// Timeout of reading the database; scrapers wait ten seconds.
const READ_TIME: Duration = Duration::from_secs(5);
/// Maximum number of users and months on the page.
const MAX_ROWS: u32 = 10_000;
/// All states of a webhook.
const STATES: [&str; 4] = ["up", "down", "paused", "disabled"];

/// What is read from the database.
struct DatabaseState {
    counts: Counts,
    queues: Vec<Queue>,
    blocked: Vec<BlockedWebhook>,
    budget: Vec<BudgetRow>,
    push: Vec<PushMonth>,
    people: Vec<Standing>,
    webhooks: Arc<[WebhookName]>,
}

/// The page.
pub(super) async fn metrics(
    Shared(state): Shared<State>,
    Extension(client): Extension<Client>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if !client.is_local && !is_operator(&state, &headers, &uri) {
        return unauthorised();
    }
    let Some(measured) = state.0.measured.get() else {
        return not_found("metrics are not enabled").into_response();
    };
    let now = state.0.clock.now();
    let mut page = Page::default();
    measured.metrics.write(&mut page);
    health(&mut page, &state, now);
    liveness(&mut page, &state.0.health);
    sweeps(&mut page, &state.0.health.sweeps());
    push(&mut page, &state.0.health.push());
    settings(&mut page, measured);
    let help = "Log lines dropped because stderr was not read.";
    page.family("presenced_log_lines_dropped_total", "counter", help);
    page.sample(&[], log::dropped_lines());
    let read = timeout(READ_TIME, read(&state, measured.per_user.load(Ordering::Relaxed))).await;
    page.family("presenced_database_answers", "gauge", "Whether the database was read for this page.");
    page.sample(&[], u8::from(matches!(read, Ok(Ok(_)))));
    if let Ok(Ok(read)) = read {
        database(&mut page, &read, now);
    }
    let sizes = file_sizes(&measured.database);
    page.family("presenced_database_size_bytes", "gauge", "Size of the database files.");
    page.sample(&[("file", "main")], sizes.main_bytes);
    page.sample(&[("file", "wal")], sizes.wal_bytes);
    (StatusCode::OK, [(header::CONTENT_TYPE, CONTENT_TYPE)], page.text()).into_response()
}

async fn read(state: &State, per_user: bool) -> Result<DatabaseState, StoreError> {
    let history = &state.0.history;
    let people = if per_user { history.now(&Filter::default(), true, MAX_ROWS).await? } else { Vec::new() };
    Ok(DatabaseState {
        counts: history.counts(&Filter::default()).await?,
        queues: history.webhooks().queues().await?,
        blocked: state.blocked_webhooks().await?,
        webhooks: state.webhooks(),
        budget: history.budget(MAX_ROWS).await?,
        push: history.push_months().await?,
        people,
    })
}

fn health(page: &mut Page, state: &State, now: Timestamp) {
    let readiness = state.0.health.readiness(now);
    page.family("presenced_ready", "gauge", "Whether the daemon is ready, as in /readyz.");
    page.sample(&[], u8::from(readiness.ready));
    page.family("presenced_check_ok", "gauge", "Whether one check of /readyz passes.");
    for check in &readiness.checks {
        let org = check.org.as_ref().map_or("", |org| org.as_str());
        page.sample(&[("check", check.name), ("org", org)], u8::from(check.ok));
    }
}

/// The reasons for which users are not polled.
fn liveness(page: &mut Page, health: &Health) {
    let help = "1 for the reason why no user of an organisation is polled.";
    page.family("presenced_polling_blocked", "gauge", help);
    for (org, blocked) in health.blocked() {
        for cause in Cause::ALL {
            let labels = [("org", org.as_str()), ("reason", cause.name())];
            page.sample(&labels, u8::from(blocked.as_ref().is_some_and(|blocked| blocked.cause == cause)));
        }
    }
    let unpolled = health.unpolled();
    let users = |all: &[Unpolled], reason| {
        all.iter().find(|unpolled| unpolled.reason == reason).map_or(0, |unpolled| unpolled.users)
    };
    page.family(
        "presenced_refused_users",
        "gauge",
        "Users that DingTalk refuses; retried at growing intervals.",
    );
    for (org, all) in &unpolled {
        page.sample(&[("org", org.as_str())], users(all, UserReason::Refused));
    }
    let help = "Users who are not polled as planned while others of their organisation are.";
    page.family("presenced_unpolled_users", "gauge", help);
    for (org, all) in &unpolled {
        for reason in UserReason::ALL {
            page.sample(&[("org", org.as_str()), ("reason", reason.name())], users(all, reason));
        }
    }
}

fn push(page: &mut Page, push: &[(OrgName, PushHealth)]) {
    let mut family = |name, kind, help, value: fn(&PushHealth) -> u64| {
        page.family(name, kind, help);
        for (org, health) in push {
            page.sample(&[("org", org.as_str())], value(health));
        }
    };
    let up = "Whether the push connection is up.";
    family("presenced_push_connected", "gauge", up, |health| u64::from(health.down.is_none()));
    let made = "Push connections that were made.";
    family("presenced_push_connections_total", "counter", made, |health| health.connections);
    let odd = "Frames and events that were pushed and not understood.";
    family("presenced_push_not_understood_total", "counter", odd, |health| health.not_understood);
}

fn sweeps(page: &mut Page, sweeps: &[(OrgName, Sweeps)]) {
    page.family("presenced_sweeps_state", "gauge", "1 for the state of sweeps of an organisation.");
    for (org, sweeps) in sweeps {
        for state in SweepState::ALL {
            let labels = [("org", org.as_str()), ("state", state.name())];
            page.sample(&labels, u8::from(sweeps.state == state));
        }
    }
    let help = "Polls that agreed with sweeps since the last contradiction, up to the number needed.";
    page.family("presenced_sweeps_agreed_looks", "gauge", help);
    for (org, sweeps) in sweeps {
        page.sample(&[("org", org.as_str())], sweeps.agreed);
    }
    page.family("presenced_sweeps_needed_looks", "gauge", "Polls that must agree before sweeps are trusted.");
    for (org, sweeps) in sweeps {
        page.sample(&[("org", org.as_str())], sweeps.needed);
    }
    page.family("presenced_budget_sweep_calls", "gauge", "Calls of this month made by sweeps.");
    for (org, sweeps) in sweeps {
        page.sample(&[("org", org.as_str())], sweeps.calls);
    }
    page.family("presenced_last_sweep_timestamp_seconds", "gauge", "Time of the last complete sweep.");
    for (org, last) in sweeps.iter().filter_map(|(org, sweeps)| Some((org, sweeps.last?))) {
        page.sample(&[("org", org.as_str())], seconds(last));
    }
}

fn settings(page: &mut Page, measured: &Measured) {
    let attempts = measured.active_config.attempts();
    page.family("presenced_build_info", "gauge", "Always 1; the version is in the label.");
    page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.family("presenced_start_time_seconds", "gauge", "When the daemon started.");
    page.sample(&[], seconds(measured.active_config.started()));
    page.family("presenced_config_last_reload_successful", "gauge", "0 if the last reload was refused.");
    page.sample(&[], u8::from(attempts.refused.is_none()));
    page.family("presenced_config_loaded_timestamp_seconds", "gauge", "When the active config was read.");
    page.sample(&[], seconds(attempts.loaded));
    page.family("presenced_config_reloads_total", "counter", "Attempts to reload the config.");
    page.sample(&[("outcome", "ok")], attempts.succeeded);
    page.sample(&[("outcome", "refused")], attempts.failed);
    page.family("presenced_config_restart_needed", "gauge", "Changes that need a restart.");
    page.sample(&[], attempts.restart_for.len());
}

fn database(page: &mut Page, read: &DatabaseState, now: Timestamp) {
    let DatabaseState { counts, queues, blocked, budget, push, people, webhooks } = read;
    page.family("presenced_people", "gauge", "Watched users, by presence.");
    let outside = counts.watched - counts.inside - counts.unknown;
    for (presence, n) in [("in", counts.inside), ("out", outside), ("unknown", counts.unknown)] {
        page.sample(&[("presence", presence)], n);
    }
    if let Some(at) = counts.last_ok {
        page.family(
            "presenced_last_good_poll_timestamp_seconds",
            "gauge",
            "Time of the last successful poll.",
        );
        page.sample(&[], seconds(at));
    }
    queue(page, queues, now);
    blocked_webhooks(page, webhooks, blocked);
    spending(page, budget);
    let help = "Events that DingTalk pushed in the newest month, repeats included.";
    page.family("presenced_push_messages", "gauge", help);
    for month in push {
        page.sample(&[("org", &month.org)], month.messages);
    }
    if !people.is_empty() {
        page.family(
            "presenced_user_in_meeting",
            "gauge",
            "1 if the user is in a meeting, 0 if not, -1 if unknown.",
        );
        for person in people {
            let inside = match person.presence.as_str() {
                "inside" => 1,
                "outside" => 0,
                _ => -1,
            };
            let labels = [("org", person.org.as_str()), ("user", person.name.as_str())];
            page.sample(&labels, inside);
        }
    }
}

fn queue(page: &mut Page, queues: &[Queue], now: Timestamp) {
    page.family("presenced_webhook_state", "gauge", "1 for the state of the webhook.");
    for queue in queues {
        for state in STATES {
            let labels = [("webhook", queue.webhook.as_str()), ("state", state)];
            page.sample(&labels, u8::from(queue.state == state));
        }
    }
    page.family("presenced_webhook_pending_deliveries", "gauge", "Deliveries waiting to be sent.");
    for queue in queues {
        page.sample(&[("webhook", &queue.webhook)], queue.pending);
    }
    page.family("presenced_webhook_dead_letters", "gauge", "Dead letters in the database.");
    for queue in queues {
        page.sample(&[("webhook", &queue.webhook)], queue.dead);
    }
    let help = "Age of the oldest waiting delivery; 0 if none waits.";
    page.family("presenced_webhook_oldest_pending_seconds", "gauge", help);
    for queue in queues {
        let age = queue.oldest.map_or(0.0, |at| now.since(at).as_secs_f64());
        page.sample(&[("webhook", &queue.webhook)], age);
    }
}

/// Includes removed webhooks with waiting deliveries.
fn blocked_webhooks(page: &mut Page, webhooks: &[WebhookName], blocked: &[BlockedWebhook]) {
    let help = "1 for the reason why deliveries of a webhook wait.";
    page.family("presenced_delivery_blocked", "gauge", help);
    let names: BTreeSet<&str> = webhooks
        .iter()
        .map(WebhookName::as_str)
        .chain(blocked.iter().map(|one| one.webhook.as_str()))
        .collect();
    for name in names {
        let reason = blocked.iter().find(|one| one.webhook == name).map(|one| one.reason);
        for known in DeliveryReason::ALL.map(DeliveryReason::name) {
            page.sample(&[("webhook", name), ("reason", known)], u8::from(reason == Some(known)));
        }
    }
}

/// The newest month of each organisation.
fn spending(page: &mut Page, budget: &[BudgetRow]) {
    let mut newest: Vec<&BudgetRow> = Vec::new();
    for row in budget {
        match newest.iter_mut().find(|known| known.org == row.org) {
            Some(known) if known.month < row.month => *known = row,
            Some(_) => {}
            None => newest.push(row),
        }
    }
    let mut family = |name, help, value: fn(&BudgetRow) -> Option<i64>| {
        page.family(name, "gauge", help);
        for row in &newest {
            if let Some(value) = value(row) {
                page.sample(&[("org", &row.org)], value);
            }
        }
    };
    let used = "Calls of this month, including those reserved for the next minutes.";
    family("presenced_budget_used_calls", used, |row| Some(row.used));
    family("presenced_budget_limit_calls", "Limit of calls this month.", |row| row.call_limit);
    let projected = "Calls expected at the end of the month.";
    family("presenced_budget_projected_calls", projected, |row| row.projected);
    family("presenced_budget_throttled_calls", "Calls that were rate limited this month.", |row| {
        Some(row.throttled)
    });
}
