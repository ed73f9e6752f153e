//! What an attempt to deliver means: for the delivery (done, again later, given up) and for its webhook (up, down,
//! disabled).
//!
//! Guards: one bad event never blocks a lane for days, and a dead receiver never burns anybody's attempts; waits grow,
//! are capped, and `Retry-After` only ever makes them longer. Deliberately not here: sending (`webhook`), keeping
//! (`store::outbox`), the order of lanes (`tasks::dispatcher`).

mod answer;
mod rules;
mod state;

#[cfg(test)]
mod tests;

use std::time::Duration;

use self::rules::wait;
use crate::time::Timestamp;

pub use self::answer::{LONGEST_RETRY_AFTER, Outcome, outcome_of_status, retry_after};
pub use self::rules::Rules;
pub use self::state::{DOWN_AFTER, Health, REFUSING_AFTER, Refusals, WebhookState};

/// Why a delivery exists; travels as `presenced-trigger`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Something happened.
    Event,
    /// The operator wants it sent again.
    Replay,
    /// The operator tries the webhook out.
    Test,
}

impl Trigger {
    /// The word in the header and in the database.
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

/// One attempt, as far as a decision needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// The delivery.
    pub delivery_id: i64,
    /// What its jitter is hashed from: the webhook and the event.
    pub key: &'a str,
    /// Strikes before this attempt.
    pub strikes: u32,
    /// It went out as the probe of a webhook that is down.
    pub probe: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// The receiver asked for this wait.
    pub retry_after: Option<Duration>,
    /// When it ended.
    pub at: Timestamp,
}

/// What follows for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStep {
    /// The receiver has it.
    Delivered,
    /// Again, not before this.
    Retry(Timestamp),
    /// Given up.
    Dead,
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryDecision {
    /// For the delivery.
    pub next: DeliveryStep,
    /// Strikes of the delivery from now on.
    pub strikes: u32,
    /// Deliveries that each get one strike back, because it was the receiver's fault.
    pub refunded: Vec<i64>,
}

/// Decides what follows, and moves `health` along.
pub fn decide(health: &mut Health, attempt: &Attempt<'_>, rules: &Rules) -> DeliveryDecision {
    match attempt.outcome {
        Outcome::Accepted => {
            answered(health);
            health.refusals = Refusals::default();
            if health.state.is_down() {
                health.state = WebhookState::Up;
            }
            DeliveryDecision { next: DeliveryStep::Delivered, strikes: attempt.strikes, refunded: Vec::new() }
        }
        Outcome::Gone => {
            health.state = WebhookState::Disabled { reason: "the receiver answered 410 Gone".to_owned() };
            DeliveryDecision { next: DeliveryStep::Dead, strikes: attempt.strikes, refunded: Vec::new() }
        }
        Outcome::Refused => refused(health, attempt, rules),
        Outcome::Unavailable => unavailable(health, attempt, rules),
    }
}

/// A refusal is the event's fault, so it is a strike whether the webhook is up or down: a lone lane with a bad head
/// would otherwise keep a receiver down that is long back.
fn refused(health: &mut Health, attempt: &Attempt<'_>, rules: &Rules) -> DeliveryDecision {
    answered(health);
    health.refusals.add(attempt.delivery_id);
    probe_failed(health, attempt, rules);
    let strikes = attempt.strikes.saturating_add(1);
    let next = if strikes >= rules.attempts { DeliveryStep::Dead } else { retry(attempt, strikes, rules) };
    DeliveryDecision { next, strikes, refunded: Vec::new() }
}

fn unavailable(health: &mut Health, attempt: &Attempt<'_>, rules: &Rules) -> DeliveryDecision {
    if health.state != WebhookState::Up {
        // The receiver's fault, not the event's: the lane is ready, and waits for the webhook.
        probe_failed(health, attempt, rules);
        return DeliveryDecision {
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
        return DeliveryDecision {
            next: DeliveryStep::Retry(attempt.at),
            strikes: attempt.strikes,
            refunded,
        };
    }
    health.counted_deliveries.push(attempt.delivery_id);
    let strikes = attempt.strikes.saturating_add(1);
    // A row as long as the strikes may be made of this very delivery: nothing shows yet that others get through.
    let others_succeed = health.failures < strikes;
    let next = if strikes >= rules.attempts && others_succeed {
        DeliveryStep::Dead
    } else {
        retry(attempt, strikes, rules)
    };
    DeliveryDecision { next, strikes, refunded: Vec::new() }
}

fn answered(health: &mut Health) {
    health.failures = 0;
    health.counted_deliveries.clear();
}

fn probe_failed(health: &mut Health, attempt: &Attempt<'_>, rules: &Rules) {
    // What was still in flight when the webhook went down says nothing new.
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
