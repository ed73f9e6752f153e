//! The alert `webhook`: a receiver that has been down for ten minutes or is disabled is reported to the other
//! receivers; so is its recovery.
//!
//! Guards: each change is emitted once, because the alert and the record of it are one transaction; a receiver gets no
//! alert about itself. Not here: when a change is worth an alert (`policy::webhook_alert`), when a receiver is down
//! (`policy::delivery`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::ids::WebhookName;
use crate::policy::delivery::{Health, WebhookState};
use crate::policy::webhook_alert::{AlertStep, SentAlert, next_step};
use crate::presence::event::EventType;
use crate::presence::system::{self, AlertName};
use crate::store::{Outgoing, Store, StoreError};
use crate::time::Timestamp;
use crate::webhook::routing::{Subscription, recipients};

/// Delay after a failed database access.
const DATABASE_PAUSE: Duration = Duration::from_secs(30);

/// Watches the stored health of the receivers.
#[derive(Debug)]
pub struct WebhookAlerts {
    /// Holds the stored health.
    pub store: Store,
    /// The daemon's clock.
    pub clock: SharedClock,
    /// Notified when stored health changes.
    pub states_wake: Arc<Notify>,
    /// Notified when there is something to deliver.
    pub outbox_wake: Arc<Notify>,
    /// The receivers, which are also the watched webhooks.
    pub subscriptions: watch::Receiver<Arc<[Subscription]>>,
}

impl WebhookAlerts {
    /// Emits alerts until `stop`. Retries after database errors.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StoreError> {
        loop {
            // Registered before the check, so that a write in between wakes the loop.
            let woken = self.states_wake.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            let due = match self.step().await {
                Ok(due) => due,
                Err(error) => {
                    tracing::error!(%error, "alerts about webhooks cannot be written; retrying");
                    Some(self.clock.now().plus(DATABASE_PAUSE))
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = woken => {}
                () = self.clock.sleep_until(due.unwrap_or_default()), if due.is_some() => {}
            }
        }
    }

    /// Emits what changed; returns when to check again, if nothing is written before.
    pub async fn step(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        let mut again: Option<Timestamp> = None;
        let subscriptions = Arc::clone(&self.subscriptions.borrow());
        for (webhook, health, told) in self.store.alerts().of_webhooks().await? {
            if !subscriptions.iter().any(|one| one.webhook == webhook) {
                continue;
            }
            match next_step(&health, told, now) {
                AlertStep::Nothing => {}
                AlertStep::CheckAt(at) => again = Some(again.map_or(at, |first| first.min(at))),
                AlertStep::Send(next) => self.tell(webhook, &health, next, now).await?,
            }
        }
        Ok(again)
    }

    async fn tell(
        &self,
        webhook: WebhookName,
        health: &Health,
        told: SentAlert,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let counts = self.store.recorder().system_counts(None).await?;
        let earlier = counts.get(&EventType::SystemAlert).copied().unwrap_or(0);
        let firing = told != SentAlert::Resolved;
        let text = summary(&webhook, health);
        let source = self.store.source();
        let draft = system::system_alert(source, None, AlertName::Webhook, firing, &text, now, earlier);
        let subscriptions = Arc::clone(&self.subscriptions.borrow());
        let webhooks = recipients(&subscriptions, &draft, None, Some(&webhook));
        tracing::warn!(%webhook, alert = "webhook", state = if firing { "firing" } else { "resolved" }, "{text}");
        self.store.alerts().record_webhook_alert(webhook, told, Outgoing { draft, webhooks }).await?;
        self.outbox_wake.notify_one();
        Ok(())
    }
}

/// Text for operators. The receiver's answer is left out, because the text goes to other receivers.
fn summary(webhook: &WebhookName, health: &Health) -> String {
    let trouble = health.last_error.as_deref().unwrap_or("no answer");
    match &health.state {
        WebhookState::Up if health.is_refusing() => format!(
            "webhook `{webhook}` refuses every event ({trouble}); events become dead letters after their attempts"
        ),
        WebhookState::Down { since, .. } => format!(
            "webhook `{webhook}` has accepted nothing since {since} ({trouble}); what is for it waits, and is sent in order once it accepts again"
        ),
        WebhookState::Disabled { reason } => format!(
            "webhook `{webhook}` is disabled ({reason}); what waited for it is kept as dead letters until `presenced webhook enable` and `replay`"
        ),
        WebhookState::Up => format!("webhook `{webhook}` is up again"),
        WebhookState::Paused { .. } => format!("webhook `{webhook}` is paused"),
    }
}
