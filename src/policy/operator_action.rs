//! Applies an operator's action to a webhook's state.
//!
//! Guards: a pause delays deliveries and loses none; only `enable` re-enables a disabled webhook; a webhook that was
//! down before a pause is probed after it, so its receiver is not flooded. Not here: state changes caused by the
//! receiver (`delivery`).

use super::delivery::{DOWN_AFTER, Health, WebhookState};
use crate::time::Timestamp;

/// An action of the operator, or an event caused by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperatorAction {
    /// Send nothing; deliveries stay pending.
    Pause,
    /// End a pause; a webhook that is down is probed at once.
    Resume,
    /// Set the webhook to up, whatever its state.
    Enable,
    /// A test request was accepted: a webhook that is down is probed at once.
    Answered,
}

/// Applies an action. An action that does not apply (pausing a disabled webhook, resuming one that is up) changes
/// nothing.
pub fn apply(health: &mut Health, action: OperatorAction, now: Timestamp) {
    match (action, &mut health.state) {
        (OperatorAction::Pause, WebhookState::Up | WebhookState::Down { .. }) => {
            health.state = WebhookState::Paused { reason: format!("by hand at {now}") };
        }
        (OperatorAction::Resume, WebhookState::Paused { .. }) => {
            health.counted_deliveries.clear();
            // The failure count is kept during a pause: it shows that the receiver was not reachable before.
            health.state = if health.failures >= DOWN_AFTER {
                WebhookState::Down { since: now, probe_at: now, probes: 0 }
            } else {
                WebhookState::Up
            };
        }
        (OperatorAction::Resume | OperatorAction::Answered, WebhookState::Down { probe_at, .. }) => {
            *probe_at = (*probe_at).min(now);
        }
        (OperatorAction::Enable, _) => *health = Health::default(),
        (OperatorAction::Pause, WebhookState::Paused { .. } | WebhookState::Disabled { .. })
        | (OperatorAction::Resume, WebhookState::Up | WebhookState::Disabled { .. })
        | (
            OperatorAction::Answered,
            WebhookState::Up | WebhookState::Paused { .. } | WebhookState::Disabled { .. },
        ) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_ms(1_700_000_000_000);

    fn health(state: WebhookState, failures: u32) -> Health {
        Health { state, failures, counted_deliveries: vec![1], ..Health::default() }
    }

    fn after(mut health: Health, action: OperatorAction) -> WebhookState {
        apply(&mut health, action, T0);
        health.state
    }

    fn down() -> WebhookState {
        WebhookState::Down {
            since: Timestamp::from_ms(0),
            probe_at: T0.plus(std::time::Duration::from_hours(1)),
            probes: 9,
        }
    }

    fn disabled() -> WebhookState {
        WebhookState::Disabled { reason: "gone".to_owned() }
    }

    #[test]
    fn a_pause_is_undone_by_resume() {
        let mut health = health(WebhookState::Up, 2);
        apply(&mut health, OperatorAction::Pause, T0);
        assert_eq!(health.state.name(), "paused");
        apply(&mut health, OperatorAction::Resume, T0);
        assert_eq!((health.state, health.failures), (WebhookState::Up, 2));
    }

    #[test]
    fn a_webhook_that_was_down_before_a_pause_is_probed_after_it() {
        let mut health = health(down(), DOWN_AFTER);
        apply(&mut health, OperatorAction::Pause, T0);
        apply(&mut health, OperatorAction::Resume, T0);
        assert_eq!(health.state, WebhookState::Down { since: T0, probe_at: T0, probes: 0 });
    }

    #[test]
    fn a_webhook_that_is_down_is_probed_at_once_and_stays_down_until_it_accepts() {
        for action in [OperatorAction::Resume, OperatorAction::Answered] {
            let after = after(health(down(), 5), action);
            assert_eq!(after, WebhookState::Down { since: Timestamp::from_ms(0), probe_at: T0, probes: 9 });
        }
    }

    #[test]
    fn only_enable_re_enables_a_disabled_webhook() {
        for action in [OperatorAction::Pause, OperatorAction::Resume, OperatorAction::Answered] {
            assert_eq!(after(health(disabled(), 5), action), disabled());
        }
        let mut health = health(disabled(), 5);
        apply(&mut health, OperatorAction::Enable, T0);
        assert_eq!(health, Health::default());
    }
}
