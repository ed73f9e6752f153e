//! Operator actions on webhooks while the daemon runs: test, pause, resume, enable, send a snapshot, replay.
//!
//! Guards: a test goes to one webhook only, bypasses its queue and state, and is recorded like any event; events are
//! replayed only to webhooks that can receive them. Not here: the control socket (`control`), output (`app`, `cli`).

use std::sync::Arc;

use tokio::sync::{Mutex, Notify};

use super::dispatcher::operator::{Changed, DispatcherHandle, Stopping};
use super::poller::report::PollerHandle;
use crate::clock::SharedClock;
use crate::ids::WebhookName;
use crate::policy::delivery::{Outcome, Trigger, WebhookState};
use crate::policy::operator_action::OperatorAction;
use crate::presence::event::EventType;
use crate::presence::system;
use crate::store::outbox::Attempted;
use crate::store::outbox::replay::{Replayables, Selection};
use crate::store::{Outgoing, Store, StoreError};
use crate::webhook::send::Message;
use crate::webhook::send::trial::Trial;

/// Carries out operator actions.
#[derive(Debug)]
pub struct Operator {
    store: Store,
    clock: SharedClock,
    dispatcher: DispatcherHandle,
    poller: PollerHandle,
    outbox_wake: Arc<Notify>,
    /// One test at a time: a test's id contains the count of earlier ones.
    testing: Mutex<()>,
}

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No webhook has this name.
    #[error("no webhook is called `{0}`")]
    NoWebhook(WebhookName),
    /// The webhook is disabled.
    #[error("webhook `{0}` is disabled, so nothing would be sent: `presenced webhook enable {0}` first")]
    Disabled(WebhookName),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The daemon is stopping.
    #[error("{0}")]
    Stopping(String),
}

impl From<Stopping> for OperatorError {
    fn from(stopping: Stopping) -> Self {
        Self::Stopping(stopping.to_string())
    }
}

/// The result of a test.
#[derive(Debug)]
pub struct Tested {
    /// The event's id.
    pub event_id: String,
    /// The webhook's state before the test.
    pub standing: WebhookState,
    /// The request and its answer.
    pub trial: Trial,
    /// How long the answer took, in milliseconds.
    pub took_ms: u64,
}

impl Operator {
    /// With everything it uses.
    pub fn new(
        store: Store,
        clock: SharedClock,
        dispatcher: DispatcherHandle,
        poller: PollerHandle,
        outbox_wake: Arc<Notify>,
    ) -> Self {
        Self { store, clock, dispatcher, poller, outbox_wake, testing: Mutex::new(()) }
    }

    /// Sends `webhook.test` once, whether the webhook is up, down, paused or disabled.
    pub async fn test(&self, webhook: &WebhookName) -> Result<Tested, OperatorError> {
        let shown = self.dispatcher.show(webhook).await?;
        let (target, health) = shown.ok_or_else(|| OperatorError::NoWebhook(webhook.clone()))?;
        let (event_id, body) = self.test_event(webhook).await?;
        let message = Message {
            event_id: event_id.clone(),
            event_type: EventType::WebhookTest.name().to_owned(),
            trigger: Trigger::Test,
            attempt: 1,
            body,
        };
        let began = self.clock.now();
        let trial = target.sender.try_out(message).await;
        let at = self.clock.now();
        let accepted = trial.answer.outcome == Outcome::Accepted;
        let took = at.since(began);
        let attempt = Attempted::new(trial.answer.status, trial.answer.error.as_deref(), took);
        self.store.outbox().record_test(webhook.clone(), event_id.clone(), accepted, attempt, at).await?;
        if accepted && health.state.is_down() {
            self.dispatcher.change(webhook, OperatorAction::Answered).await?;
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Ok(Tested { event_id, standing: health.state, trial, took_ms })
    }

    /// Records the event without a delivery; returns its id and its bytes.
    async fn test_event(&self, webhook: &WebhookName) -> Result<(String, Vec<u8>), OperatorError> {
        let _one_at_a_time = self.testing.lock().await;
        let counts = self.store.recorder().system_counts(None).await?;
        let earlier = counts.get(&EventType::WebhookTest).copied().unwrap_or(0);
        let draft = system::webhook_test(self.store.source(), webhook, self.clock.now(), earlier);
        let event_id = draft.id.as_str().to_owned();
        self.store.recorder().record_system(None, vec![Outgoing { draft, webhooks: Arc::new([]) }]).await?;
        let body = self.store.outbox_reader().body(&event_id).await?;
        let lost = || StoreError::Corrupt {
            table: "events",
            row: event_id.clone(),
            what: "it was written and is not there".to_owned(),
        };
        let body = body.ok_or_else(lost)?;
        Ok((event_id, body))
    }

    /// Changes the state of a webhook; returns once it is stored.
    pub async fn change(
        &self,
        webhook: &WebhookName,
        change: OperatorAction,
    ) -> Result<Changed, OperatorError> {
        let changed = self.dispatcher.change(webhook, change).await?;
        changed.ok_or_else(|| OperatorError::NoWebhook(webhook.clone()))
    }

    /// Sends snapshots of all users to a webhook; returns the number of users.
    pub async fn snapshot(&self, webhook: &WebhookName) -> Result<usize, OperatorError> {
        if self.dispatcher.show(webhook).await?.is_none() {
            return Err(OperatorError::NoWebhook(webhook.clone()));
        }
        self.poller.snapshot(Arc::new([webhook.clone()])).await.map_err(OperatorError::Stopping)
    }

    /// Replays selected events to webhooks that are not disabled. `strict`: a disabled one is an error.
    pub async fn replay(&self, mut selection: Selection, strict: bool) -> Result<Replayables, OperatorError> {
        for webhook in std::mem::take(&mut selection.webhooks) {
            match self.dispatcher.show(&webhook).await? {
                None => return Err(OperatorError::NoWebhook(webhook)),
                Some((_, health)) if !matches!(health.state, WebhookState::Disabled { .. }) => {
                    selection.webhooks.push(webhook);
                }
                Some(_) if strict => return Err(OperatorError::Disabled(webhook)),
                Some(_) => {}
            }
        }
        let counts = self.store.outbox().replay(&selection, self.clock.now()).await?;
        self.outbox_wake.notify_one();
        Ok(counts)
    }
}
