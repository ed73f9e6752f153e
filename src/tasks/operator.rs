//! What the operator does to webhooks while the daemon runs: try one out, pause, resume, enable, tell it how everybody
//! stands, send again.
//!
//! Guards: a test goes to one webhook only, around its queue and its standing, and is written down like any event; what
//! is sent again goes only where something can arrive. Deliberately not here: the socket this is asked through
//! (`control`), words for people (`app`, `cli`).

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

/// Does it.
#[derive(Debug)]
pub struct Operator {
    store: Store,
    clock: SharedClock,
    dispatcher: DispatcherHandle,
    poller: PollerHandle,
    outbox_wake: Arc<Notify>,
    /// One test at a time: a test's id counts those before it.
    testing: Mutex<()>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No webhook is called that.
    #[error("no webhook is called `{0}`")]
    NoWebhook(WebhookName),
    /// Nothing would arrive.
    #[error("webhook `{0}` is disabled, so nothing would be sent: `presenced webhook enable {0}` first")]
    Disabled(WebhookName),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The daemon ends.
    #[error("{0}")]
    Stopping(String),
}

impl From<Stopping> for OperatorError {
    fn from(stopping: Stopping) -> Self {
        Self::Stopping(stopping.to_string())
    }
}

/// What came of a test.
#[derive(Debug)]
pub struct Tested {
    /// The event's id.
    pub event_id: String,
    /// How the webhook stands.
    pub standing: WebhookState,
    /// The request and its answer.
    pub trial: Trial,
    /// How long the answer took, in milliseconds.
    pub took_ms: u64,
}

impl Operator {
    /// With everything it works through.
    pub fn new(
        store: Store,
        clock: SharedClock,
        dispatcher: DispatcherHandle,
        poller: PollerHandle,
        outbox_wake: Arc<Notify>,
    ) -> Self {
        Self { store, clock, dispatcher, poller, outbox_wake, testing: Mutex::new(()) }
    }

    /// Sends `webhook.test` now, whether the webhook is up, down, paused or disabled, once.
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
        let attempt = Attempted { status: trial.answer.status, error: trial.answer.error.clone() };
        self.store.outbox().record_test(webhook.clone(), event_id.clone(), accepted, attempt, at).await?;
        if accepted && health.state.is_down() {
            self.dispatcher.change(webhook, OperatorAction::Answered).await?;
        }
        let took_ms = u64::try_from(at.since(began).as_millis()).unwrap_or(u64::MAX);
        Ok(Tested { event_id, standing: health.state, trial, took_ms })
    }

    /// Writes the event down, for nobody's queue; gives its id and its bytes.
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

    /// Changes how a webhook stands; returns once that is written down.
    pub async fn change(
        &self,
        webhook: &WebhookName,
        change: OperatorAction,
    ) -> Result<Changed, OperatorError> {
        let changed = self.dispatcher.change(webhook, change).await?;
        changed.ok_or_else(|| OperatorError::NoWebhook(webhook.clone()))
    }

    /// Lets a webhook be told how everybody stands; returns how many people that is about.
    pub async fn snapshot(&self, webhook: &WebhookName) -> Result<usize, OperatorError> {
        if self.dispatcher.show(webhook).await?.is_none() {
            return Err(OperatorError::NoWebhook(webhook.clone()));
        }
        self.poller.snapshot(Arc::new([webhook.clone()])).await.map_err(OperatorError::Stopping)
    }

    /// Sends again what was selected, to webhooks that are not disabled. `strict`: a disabled one is an error.
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
