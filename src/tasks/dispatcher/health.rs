//! The state of one webhook: up, down, paused or disabled, and whether that is to be written.
//!
//! Guards: every change of the state is logged once and written with the next transaction. Not here: the rules
//! (`policy::delivery`, `policy::operator_action`), what may be sent in which state (`queue`).

use super::batcher;
use super::operator::Changed;
use crate::ids::WebhookName;
use crate::policy::delivery::{Attempt, Decision, Health, Outcome, Rules, WebhookState};
use crate::policy::operator_action::{self, OperatorAction};
use crate::store::outbox::Ticket;
use crate::time::Timestamp;
use crate::webhook::answer::Answer;

#[derive(Debug)]
pub(super) struct WebhookHealth {
    health: Health,
    /// Not written to the database yet.
    changed: bool,
}

impl WebhookHealth {
    /// As an earlier process stored it.
    pub(super) fn stored(health: Health) -> Self {
        Self { health, changed: false }
    }

    pub(super) fn get(&self) -> &Health {
        &self.health
    }

    pub(super) fn state(&self) -> &WebhookState {
        &self.health.state
    }

    pub(super) fn is_to_be_written(&self) -> bool {
        self.changed
    }

    /// The health, if it is to be written with this transaction.
    pub(super) fn take_changed(&mut self) -> Option<Health> {
        std::mem::take(&mut self.changed).then(|| self.health.clone())
    }

    /// It was not written; it is written with the next transaction.
    pub(super) fn write_again(&mut self) {
        self.changed = true;
    }

    /// Another config may repair the webhook: one that is down is probed at once.
    pub(super) fn probe_now(&mut self, now: Timestamp) {
        operator_action::apply(&mut self.health, OperatorAction::Answered, now);
    }

    /// An operator's change. It is written even where nothing changes, because the operator waits for that write.
    pub(super) fn change(
        &mut self,
        webhook: &WebhookName,
        change: OperatorAction,
        now: Timestamp,
    ) -> Changed {
        let was = self.health.state.clone();
        operator_action::apply(&mut self.health, change, now);
        self.changed = true;
        let is = &self.health.state;
        if was.name() != is.name() {
            tracing::info!(%webhook, was = was.name(), state = is.name(), "webhook state changed by hand");
        }
        Changed { was, now: is.clone() }
    }

    /// What the answer to a request means for each of its deliveries, and for the webhook.
    pub(super) fn judge(
        &mut self,
        webhook: &WebhookName,
        tickets: &[&Ticket],
        (probe, rules): (bool, &Rules),
        answer: &Answer,
        at: Timestamp,
    ) -> Vec<Decision> {
        // The key spreads waits; an accepted delivery does not wait.
        let accepted = answer.outcome == Outcome::Accepted;
        let key = |ticket: &Ticket| format!("{}/{}", ticket.webhook, ticket.delivery_id);
        let keys: Vec<String> =
            tickets.iter().map(|ticket| if accepted { String::new() } else { key(ticket) }).collect();
        let attempts: Vec<Attempt<'_>> = tickets
            .iter()
            .zip(&keys)
            .map(|(ticket, key)| Attempt {
                delivery_id: ticket.delivery_id,
                key,
                strikes: ticket.strikes,
                probe,
                outcome: answer.outcome,
                retry_after: answer.retry_after,
                at,
            })
            .collect();
        let (was, failures) = (self.health.state.clone(), self.health.failures);
        let trouble = self.health.last_error.clone();
        let verdicts = batcher::decide(&mut self.health, &attempts, answer.silence.is_some(), rules);
        self.health.note(answer.public_error());
        self.changed |=
            self.health.state != was || self.health.failures != failures || self.health.last_error != trouble;
        self.log(webhook, &was, trouble.is_some(), answer);
        verdicts
    }

    /// One line where the state is another one than before the answer.
    fn log(&self, webhook: &WebhookName, was: &WebhookState, was_in_trouble: bool, answer: &Answer) {
        let state = &self.health;
        if state.is_refusing() && !was_in_trouble {
            tracing::warn!(%webhook, why = state.last_error.as_deref(), "webhook refuses every event");
        }
        if state.state.name() != was.name() {
            let why = answer.error.as_deref().unwrap_or("accepted");
            tracing::warn!(%webhook, state = state.state.name(), why, "webhook state changed");
        }
    }
}
