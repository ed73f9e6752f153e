//! Decides what follows from a delivery attempt: for the delivery (delivered, retry, dead letter) and for its webhook
//! (up, down, disabled).
//!
//! A strike is an attempt that counts against a delivery; after [`Rules::attempts`] strikes it is a dead letter.
//!
//! Guards: one bad event never blocks a lane for days; an outage of the receiver costs no delivery a strike; waits
//! grow up to a maximum, and `Retry-After` only makes them longer. Not here: sending (`webhook`), storing
//! (`store::outbox`), the order of lanes (`tasks::dispatcher`).

mod answer;
mod rules;
mod state;

#[cfg(test)]
mod tests;

use std::time::Duration;

use self::rules::wait;
use crate::time::Timestamp;

pub use self::answer::{LONGEST_RETRY_AFTER, Outcome, outcome_of_status};
pub use self::rules::Rules;
pub use self::state::{DOWN_AFTER, Health, REFUSING_AFTER, Refusals, WebhookState};

/// Why a delivery exists; sent as the header `presenced-trigger`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// An event was recorded.
    Event,
    /// The operator replays an event.
    Replay,
    /// The operator tests the webhook.
    Test,
}

impl Trigger {
    /// Name in the header and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Replay => "replay",
            Self::Test => "test",
        }
    }

    /// The reverse of [`Trigger::name`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Event, Self::Replay, Self::Test].into_iter().find(|trigger| trigger.name() == name)
    }
}

/// One attempt, with all that a decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Id of the delivery.
    pub delivery_id: i64,
    /// Input of the jitter's hash: the webhook and the event.
    pub key: &'a str,
    /// Strikes before this attempt.
    pub strikes: u32,
    /// It was the probe of a webhook that is down.
    pub probe: bool,
    /// Outcome of the request.
    pub outcome: Outcome,
    /// The receiver's `Retry-After`.
    pub retry_after: Option<Duration>,
    /// When the attempt ended.
    pub at: Timestamp,
}

/// The next step for a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStep {
    /// The receiver accepted it.
    Delivered,
    /// Retry, not before this time.
    Retry(Timestamp),
    /// Given up: a dead letter.
    Dead,
}

/// The decision after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The next step for the delivery.
    pub next: DeliveryStep,
    /// Strikes of the delivery from now on.
    pub strikes: u32,
    /// Deliveries that each get one strike back, because the receiver was down.
    pub refunded: Vec<i64>,
}

/// Decides the next step and updates `health`.
pub fn decide(health: &mut Health, attempt: &Attempt<'_>, rules: &Rules) -> Decision {
    match attempt.outcome {
        Outcome::Accepted => {
            answered(health);
            health.refusals = Refusals::default();
            if health.state.is_down() {
                health.state = WebhookState::Up;
            }
            Decision { next: DeliveryStep::Delivered, strikes: attempt.strikes, refunded: Vec::new() }
        }
        Outcome::Gone => {
            health.state = WebhookState::Disabled { reason: "the receiver answered 410 Gone".to_owned() };
            Decision { next: DeliveryStep::Dead, strikes: attempt.strikes, refunded: Vec::new() }
        }
        Outcome::Refused => refused(health, attempt, rules),
        Outcome::Unavailable => unavailable(health, attempt, rules),
    }
}

/// A refusal is caused by the event, so it is a strike whether the webhook is up or down: otherwise a single lane with
/// a bad first event would keep a recovered webhook down.
fn refused(health: &mut Health, attempt: &Attempt<'_>, rules: &Rules) -> Decision {
    answered(health);
    health.refusals.add(attempt.delivery_id);
    probe_failed(health, attempt, rules);
    let strikes = attempt.strikes.saturating_add(1);
    let next = if strikes >= rules.attempts { DeliveryStep::Dead } else { retry(attempt, strikes, rules) };
    Decision { next, strikes, refunded: Vec::new() }
}

fn unavailable(health: &mut Health, attempt: &Attempt<'_>, rules: &Rules) -> Decision {
    if health.state != WebhookState::Up {
        // The receiver's fault, not the event's: the delivery stays due until the webhook is up.
        probe_failed(health, attempt, rules);
        return Decision {
            next: DeliveryStep::Retry(attempt.at),
            strikes: attempt.strikes,
            refunded: Vec::new(),
        };
    }
    health.failures = health.failures.saturating_add(1);
    if health.failures >= DOWN_AFTER {
        let probe_at = attempt.at.plus(wait(1, attempt.key, attempt.retry_after, rules));
        health.state = WebhookState::Down { since: attempt.at, probe_at, probes: 0 };
        let refunded = std::mem::take(&mut health.counted_deliveries);
        return Decision { next: DeliveryStep::Retry(attempt.at), strikes: attempt.strikes, refunded };
    }
    health.counted_deliveries.push(attempt.delivery_id);
    let strikes = attempt.strikes.saturating_add(1);
    // If the row of failures is no longer than the strikes, all of them may be this delivery's: no other delivery has
    // shown yet that the receiver accepts others.
    let others_succeed = health.failures < strikes;
    let next = if strikes >= rules.attempts && others_succeed {
        DeliveryStep::Dead
    } else {
        retry(attempt, strikes, rules)
    };
    Decision { next, strikes, refunded: Vec::new() }
}

fn answered(health: &mut Health) {
    health.failures = 0;
    health.counted_deliveries.clear();
}

fn probe_failed(health: &mut Health, attempt: &Attempt<'_>, rules: &Rules) {
    // An attempt that started before the webhook went down gives no new information.
    if !attempt.probe {
        return;
    }
    if let WebhookState::Down { since, probe_at, probes } = &mut health.state {
        if attempt.at.since(*since) >= rules.give_up_after {
            let reason = format!("down since {since}");
            health.state = WebhookState::Disabled { reason };
            return;
        }
        *probes = probes.saturating_add(1);
        *probe_at = attempt.at.plus(wait(probes.saturating_add(1), attempt.key, attempt.retry_after, rules));
    }
}

fn retry(attempt: &Attempt<'_>, strikes: u32, rules: &Rules) -> DeliveryStep {
    DeliveryStep::Retry(attempt.at.plus(wait(strikes, attempt.key, attempt.retry_after, rules)))
}
