//! When a receiver's ill health is sent to the others, and when its recovery is.
//!
//! Guards: a short illness is nobody's business; each turn is sent once, however often one looks and whatever was
//! restarted in between. Deliberately not here: who is sent, and how (`tasks`).

use std::time::Duration;

use super::delivery::{Health, WebhookState};
use crate::time::Timestamp;

/// Down for so long is worth an alert.
pub const FIRES_AFTER: Duration = Duration::from_mins(10);

/// What was sent last about a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SentAlert {
    /// Nothing, or that it is well again.
    #[default]
    Resolved,
    /// That it is down.
    Down,
    /// That it is disabled.
    Disabled,
}

impl SentAlert {
    /// The word in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolved => "silent",
            Self::Down => "down",
            Self::Disabled => "disabled",
        }
    }

    /// The reverse of [`SentAlert::name`].
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Resolved, Self::Down, Self::Disabled].into_iter().find(|sent| sent.name() == name)
    }
}

/// What follows from a webhook's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertStep {
    /// All that is to be sent was sent.
    Nothing,
    /// To be sent now.
    Send(SentAlert),
    /// To be looked at again then, if nothing turns before.
    CheckAt(Timestamp),
}

/// What is to be sent at `now`. A webhook that refuses every event is sent like one that is down, at once. A webhook that the operator paused keeps what was sent: neither ill nor well.
pub fn next_step(health: &Health, sent: SentAlert, now: Timestamp) -> AlertStep {
    match (&health.state, sent) {
        (WebhookState::Up, SentAlert::Resolved) if health.is_refusing() => AlertStep::Send(SentAlert::Down),
        (WebhookState::Up, SentAlert::Down) if health.is_refusing() => AlertStep::Nothing,
        (WebhookState::Up, SentAlert::Down | SentAlert::Disabled) => AlertStep::Send(SentAlert::Resolved),
        (WebhookState::Disabled { .. }, SentAlert::Resolved | SentAlert::Down) => {
            AlertStep::Send(SentAlert::Disabled)
        }
        (WebhookState::Down { since, .. }, SentAlert::Resolved) => {
            let due = since.plus(FIRES_AFTER);
            if due <= now { AlertStep::Send(SentAlert::Down) } else { AlertStep::CheckAt(due) }
        }
        (WebhookState::Up, SentAlert::Resolved)
        | (WebhookState::Down { .. }, SentAlert::Down | SentAlert::Disabled)
        | (WebhookState::Disabled { .. }, SentAlert::Disabled)
        | (WebhookState::Paused { .. }, _) => AlertStep::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: Timestamp = Timestamp::from_ms(1_700_000_000_000);

    fn of(state: WebhookState) -> Health {
        Health { state, ..Health::default() }
    }

    fn down() -> WebhookState {
        WebhookState::Down { since: T0, probe_at: T0, probes: 0 }
    }

    fn disabled() -> WebhookState {
        WebhookState::Disabled { reason: "gone".to_owned() }
    }

    fn paused() -> WebhookState {
        WebhookState::Paused { reason: "by hand".to_owned() }
    }

    #[test]
    fn ten_minutes_down_fire_and_not_a_moment_less() {
        let due = T0.plus(FIRES_AFTER);
        assert_eq!(next_step(&of(down()), SentAlert::Resolved, T0), AlertStep::CheckAt(due));
        assert_eq!(
            next_step(&of(down()), SentAlert::Resolved, due.minus(Duration::from_millis(1))),
            AlertStep::CheckAt(due)
        );
        assert_eq!(next_step(&of(down()), SentAlert::Resolved, due), AlertStep::Send(SentAlert::Down));
        assert_eq!(next_step(&of(down()), SentAlert::Down, due.plus(FIRES_AFTER)), AlertStep::Nothing);
    }

    #[test]
    fn disabled_is_told_at_once_and_once() {
        assert_eq!(next_step(&of(disabled()), SentAlert::Resolved, T0), AlertStep::Send(SentAlert::Disabled));
        assert_eq!(next_step(&of(disabled()), SentAlert::Down, T0), AlertStep::Send(SentAlert::Disabled));
        assert_eq!(next_step(&of(disabled()), SentAlert::Disabled, T0), AlertStep::Nothing);
    }

    #[test]
    fn up_resolves_what_fired_and_nothing_else() {
        assert_eq!(
            next_step(&of(WebhookState::Up), SentAlert::Down, T0),
            AlertStep::Send(SentAlert::Resolved)
        );
        assert_eq!(
            next_step(&of(WebhookState::Up), SentAlert::Disabled, T0),
            AlertStep::Send(SentAlert::Resolved)
        );
        assert_eq!(next_step(&of(WebhookState::Up), SentAlert::Resolved, T0), AlertStep::Nothing);
    }

    #[test]
    fn a_receiver_that_refuses_every_event_fires_at_once_and_resolves_when_it_accepts() {
        let refusing = Health { last_error: Some("answered 301".to_owned()), ..Health::default() };
        assert_eq!(next_step(&refusing, SentAlert::Resolved, T0), AlertStep::Send(SentAlert::Down));
        assert_eq!(next_step(&refusing, SentAlert::Down, T0), AlertStep::Nothing);
        assert_eq!(
            next_step(&of(WebhookState::Up), SentAlert::Down, T0),
            AlertStep::Send(SentAlert::Resolved)
        );
    }

    #[test]
    fn paused_says_nothing() {
        for sent in [SentAlert::Resolved, SentAlert::Down, SentAlert::Disabled] {
            assert_eq!(next_step(&of(paused()), sent, T0.plus(FIRES_AFTER)), AlertStep::Nothing);
            assert_eq!(SentAlert::parse(sent.name()), Some(sent));
        }
        assert_eq!(SentAlert::parse("loud"), None);
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn what_was_told_is_not_told_again(kind in 0..4, sent in 0..3, ms in 0_i64..3_600_000) {
            let state = [WebhookState::Up, down(), disabled(), paused()][usize::try_from(kind).unwrap()].clone();
            let sent = [SentAlert::Resolved, SentAlert::Down, SentAlert::Disabled][usize::try_from(sent).unwrap()];
            let now = T0.plus(Duration::from_millis(ms.unsigned_abs()));
            match next_step(&of(state.clone()), sent, now) {
                AlertStep::Send(next) => {
                    prop_assert_ne!(next, sent);
                    prop_assert_eq!(next_step(&of(state.clone()), next, now), AlertStep::Nothing);
                }
                AlertStep::CheckAt(at) => prop_assert!(at > now),
                AlertStep::Nothing => {}
            }
        }
    }
}
