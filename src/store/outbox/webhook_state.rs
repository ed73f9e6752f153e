//! The stored state of each webhook: its health, and which alert about it was sent.
//!
//! Guards: what cannot have been written by this program is an error that names the row. Deliberately not here: when a
//! state changes (`policy::delivery`), deliveries (`turn`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use serde::Serialize;
use sqlx::SqliteConnection;

use crate::ids::WebhookName;
use crate::policy::delivery::{Health, WebhookState};
use crate::policy::webhook_alert::SentAlert;
use crate::store::StoreError;
use crate::store::bulk::bulk;
use crate::time::Timestamp;

const STATES: &str =
    "SELECT webhook, state, failures, down_since_ms, probe_ms, probes, reason FROM webhooks ORDER BY webhook";

const SET_STATE: &str = "\
INSERT INTO webhooks (webhook, state, failures, down_since_ms, probe_ms, probes, reason) \
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6 \
FROM jsonb_each(?1) WHERE true \
ON CONFLICT (webhook) DO UPDATE SET state = excluded.state, failures = excluded.failures, \
    down_since_ms = excluded.down_since_ms, probe_ms = excluded.probe_ms, probes = excluded.probes, \
    reason = excluded.reason";

const ALERTS: &str = "\
SELECT webhook, state, failures, down_since_ms, probe_ms, probes, reason, alert FROM webhooks ORDER BY webhook";

const SET_ALERT: &str = "UPDATE webhooks SET alert = ?2 WHERE webhook = ?1";

/// The health of every webhook that ever had a state.
pub(super) async fn all(connection: &mut SqliteConnection) -> Result<Vec<(WebhookName, Health)>, StoreError> {
    let rows: Vec<StateRow> = sqlx::query_as(STATES).fetch_all(connection).await?;
    rows.into_iter().map(health).collect()
}

/// The health of every webhook that ever had a state, and the alert that was sent about it.
pub(in crate::store) async fn with_alerts(
    connection: &mut SqliteConnection,
) -> Result<Vec<(WebhookName, Health, SentAlert)>, StoreError> {
    let rows: Vec<AlertRow> = sqlx::query_as(ALERTS).fetch_all(connection).await?;
    rows.into_iter().map(with_alert).collect()
}

/// Writes the health of some webhooks.
pub(super) async fn save(
    connection: &mut SqliteConnection,
    states: &[(WebhookName, Health)],
) -> Result<(), StoreError> {
    let rows: Vec<_> = states.iter().map(|(webhook, health)| state_row(webhook, health)).collect();
    bulk(connection, SET_STATE, &rows).await?;
    Ok(())
}

/// Records which alert about a webhook was sent; runs inside the transaction that writes the alert.
pub(in crate::store) async fn set_sent_alert(
    connection: &mut SqliteConnection,
    webhook: &WebhookName,
    told: SentAlert,
) -> Result<(), StoreError> {
    let noted = sqlx::query(SET_ALERT).bind(webhook.as_str()).bind(told.name()).execute(connection).await?;
    if noted.rows_affected() == 1 {
        return Ok(());
    }
    Err(StoreError::corrupt("webhooks", webhook, "it has no row to note an alert in".to_owned()))
}

type AlertRow = (String, String, u32, Option<i64>, Option<i64>, u32, Option<String>, String);

fn with_alert(row: AlertRow) -> Result<(WebhookName, Health, SentAlert), StoreError> {
    let (webhook, state, failures, since_ms, probe_ms, probes, reason, alert) = row;
    let row: StateRow = (webhook, state, failures, since_ms, probe_ms, probes, reason);
    let (webhook, health) = health(row)?;
    // The column has a CHECK.
    Ok((webhook, health, SentAlert::parse(&alert).unwrap_or_default()))
}

#[derive(Serialize)]
struct StateOut<'a>(&'a str, &'static str, u32, Option<Timestamp>, Option<Timestamp>, u32, Option<&'a str>);

fn state_row<'a>(webhook: &'a WebhookName, health: &'a Health) -> StateOut<'a> {
    let (since, probe_at, probes, reason) = match &health.state {
        WebhookState::Up => (None, None, 0, health.last_error.as_deref()),
        WebhookState::Down { since, probe_at, probes } => {
            (Some(*since), Some(*probe_at), *probes, health.last_error.as_deref())
        }
        WebhookState::Disabled { reason } | WebhookState::Paused { reason } => {
            (None, None, 0, Some(reason.as_str()))
        }
    };
    StateOut(webhook.as_str(), health.state.name(), health.failures, since, probe_at, probes, reason)
}

type StateRow = (String, String, u32, Option<i64>, Option<i64>, u32, Option<String>);

fn health(row: StateRow) -> Result<(WebhookName, Health), StoreError> {
    let (name, state, failures, since_ms, probe_ms, probes, reason) = row;
    let odd = |what: String| StoreError::corrupt("webhooks", &name, what);
    let webhook = WebhookName::parse(&name).map_err(|e| odd(format!("the name {e}")))?;
    let reason_of_trouble = reason.clone();
    let reason = reason.unwrap_or_default();
    let standing = match (state.as_str(), since_ms, probe_ms) {
        ("up", ..) => WebhookState::Up,
        ("down", Some(since), Some(probe_at)) => WebhookState::Down {
            since: Timestamp::from_ms(since),
            probe_at: Timestamp::from_ms(probe_at),
            probes,
        },
        ("disabled", ..) => WebhookState::Disabled { reason },
        ("paused", ..) => WebhookState::Paused { reason },
        _ => return Err(odd("it is down, but since when or until when is missing".to_owned())),
    };
    let trouble =
        reason_of_trouble.filter(|_| matches!(standing, WebhookState::Up | WebhookState::Down { .. }));
    Ok((webhook, Health { state: standing, failures, last_error: trouble, ..Health::default() }))
}
