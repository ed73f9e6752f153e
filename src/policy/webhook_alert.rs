//! Decides when the other webhooks get an alert about a webhook's failure or recovery.
//!
//! Guards: a short outage causes no alert; each change of state is sent once, however often this is called and
//! whatever was restarted in between. Not here: the recipients, and sending (`tasks`).

use std::time::Duration;

use super::delivery::{Health, WebhookState};
use crate::time::Timestamp;

/// A webhook that is down this long causes an alert.
pub const FIRES_AFTER: Duration = Duration::from_mins(10);

/// The last alert sent about a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SentAlert {
    /// None, or that it recovered.
    #[default]
    Resolved,
    /// It is down, or refuses every event.
    Down,
    /// It is disabled.
    Disabled,
}

impl SentAlert {
    /// Name in the database.
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

/// The next step for a webhook's alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertStep {
    /// The last alert sent still applies.
    Nothing,
    /// Send this alert now.
    Send(SentAlert),
    /// Check again at this time, unless the state changes before.
    CheckAt(Timestamp),
}

/// The next step at `now`. A webhook that refuses every event is reported as down, at once. While a webhook is paused,
/// the last alert stays as it is.
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
    fn ten_minutes_down_cause_an_alert_and_less_do_not() {
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
    fn a_disabled_webhook_is_reported_at_once_and_once() {
        assert_eq!(next_step(&of(disabled()), SentAlert::Resolved, T0), AlertStep::Send(SentAlert::Disabled));
        assert_eq!(next_step(&of(disabled()), SentAlert::Down, T0), AlertStep::Send(SentAlert::Disabled));
        assert_eq!(next_step(&of(disabled()), SentAlert::Disabled, T0), AlertStep::Nothing);
    }

    #[test]
    fn a_webhook_that_is_up_resolves_a_sent_alert_and_nothing_else() {
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
    fn a_receiver_that_refuses_every_event_is_reported_at_once_and_resolved_when_it_accepts() {
        let refusing = Health { last_error: Some("answered 301".to_owned()), ..Health::default() };
        assert_eq!(next_step(&refusing, SentAlert::Resolved, T0), AlertStep::Send(SentAlert::Down));
        assert_eq!(next_step(&refusing, SentAlert::Down, T0), AlertStep::Nothing);
        assert_eq!(
            next_step(&of(WebhookState::Up), SentAlert::Down, T0),
            AlertStep::Send(SentAlert::Resolved)
        );
    }

    #[test]
    fn a_paused_webhook_causes_no_alert() {
        for sent in [SentAlert::Resolved, SentAlert::Down, SentAlert::Disabled] {
            assert_eq!(next_step(&of(paused()), sent, T0.plus(FIRES_AFTER)), AlertStep::Nothing);
            assert_eq!(SentAlert::parse(sent.name()), Some(sent));
        }
        assert_eq!(SentAlert::parse("loud"), None);
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn an_alert_is_never_sent_twice(kind in 0..4, sent in 0..3, ms in 0_i64..3_600_000) {
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
