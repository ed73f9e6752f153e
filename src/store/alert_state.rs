//! Alerts: which fire, and which were sent about webhooks.
//!
//! Guards: an alert about a webhook, and the record that it was sent, are one transaction. Deliberately not here: when
//! an alert fires (`tasks`, `policy::webhook_alert`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use super::database::Database;
use super::outbox::webhook_state;
use super::recording::WriteRequest;
use super::{Outgoing, StoreError};
use crate::ids::{OrgName, WebhookName};
use crate::policy::delivery::Health;
use crate::policy::webhook_alert::SentAlert;

/// The newest change of each alert within the last month; the index `events_by_time` makes this read short.
const FIRING: &str = "\
SELECT org, body ->> '$.data.alert.name', body ->> '$.data.alert.state', max(sequence) FROM events \
WHERE type = 'system.alert' \
    AND recorded_ms > (SELECT recorded_ms FROM events ORDER BY sequence DESC LIMIT 1) - 31 * 86400000 \
GROUP BY 1, 2";

/// Alerts: which fire, and which were sent about webhooks.
#[derive(Clone, Copy, Debug)]
pub struct Alerts<'s> {
    pub(super) database: &'s Database,
}

impl Alerts<'_> {
    /// The alerts whose newest change was to firing, by organisation (`None`: the daemon) and name.
    pub async fn firing(self) -> Result<Vec<(Option<OrgName>, String)>, StoreError> {
        let rows: Vec<(Option<String>, String, String, i64)> =
            sqlx::query_as(FIRING).fetch_all(&self.database.readers).await?;
        let firing = rows.into_iter().filter(|(.., state, _)| state == "firing");
        // A name that cannot be parsed belongs to no configured organisation.
        Ok(firing
            .filter_map(|(org, name, ..)| match org {
                None => Some((None, name)),
                Some(org) => OrgName::parse(&org).ok().map(|org| (Some(org), name)),
            })
            .collect())
    }

    /// The state of every webhook that ever had one, and the alert that was sent about it.
    pub async fn of_webhooks(self) -> Result<Vec<(WebhookName, Health, SentAlert)>, StoreError> {
        webhook_state::with_alerts(&mut *self.database.readers.acquire().await?).await
    }

    /// Writes an alert about a webhook, and that it was sent, in one transaction.
    pub async fn record_webhook_alert(
        self,
        webhook: WebhookName,
        told: SentAlert,
        event: Outgoing,
    ) -> Result<(), StoreError> {
        self.database.writer.request(WriteRequest::Alert { webhook, told, event: Box::new(event) }).await
    }
}
