//! The law of liveness: every watched user and every pending delivery has the time of its next attempt, or a named reason.
//!
//! Guards: no state is left in which work is due, is not done, and has no reason; status, readiness, metrics and history
//! all take their words from here. Not here: the states themselves (`circuit`, `delivery`), showing a reason.

use std::time::Duration;

use super::circuit::Cause;
use crate::time::Timestamp;

/// A user's failed polls in a row that are a reason: fewer are a hiccup.
pub const FAILURES: u32 = 3;

/// What decides when a user is polled next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserPolling {
    /// When the next poll is due.
    pub due: Timestamp,
    /// A poll is in flight, or its answer is being written.
    pub busy: bool,
    /// A window of the user is open, or the user is followed past its end.
    pub open: bool,
    /// Refused polls in a row.
    pub refusals: u32,
    /// Failed polls in a row.
    pub failures: u32,
    /// A poll that has been due for longer is late.
    pub late_after: Duration,
}

/// Why a user is not polled as planned while other users of the organisation are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UserReason {
    /// DingTalk refuses this user.
    Refused,
    /// Polls of this user fail.
    Failed,
    /// The poll is due and waits for a call: the rate, the machine or slow answers.
    Late,
}

impl UserReason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Refused, Self::Failed, Self::Late];

    /// One word for it, for status and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Late => "late",
        }
    }
}

/// When a user is polled next, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextPoll {
    /// A poll is under way.
    InFlight,
    /// As planned.
    At(Timestamp),
    /// The user's windows are closed until the next poll. No fault.
    Closed(Timestamp),
    /// The user waits with the whole organisation, until its next attempt.
    Blocked(Cause, Timestamp),
    /// The user alone waits, until the next attempt; it is in the past where the poll is late.
    Waits(UserReason, Timestamp),
}

/// When a user is polled next. `blocked`: why the organisation is not polled, and its next attempt.
pub fn next_poll(user: &UserPolling, blocked: Option<(Cause, Timestamp)>, now: Timestamp) -> NextPoll {
    let waits = |reason| NextPoll::Waits(reason, user.due);
    match blocked {
        // Shown in closed time as well: an operator has to know of it.
        _ if user.refusals > 0 => waits(UserReason::Refused),
        _ if !user.open => NextPoll::Closed(user.due),
        Some((cause, next)) => NextPoll::Blocked(cause, next),
        None if user.failures >= FAILURES => waits(UserReason::Failed),
        None if user.busy => NextPoll::InFlight,
        None if now.since(user.due) > user.late_after => waits(UserReason::Late),
        None => NextPoll::At(user.due),
    }
}

/// The state of a webhook, as far as it decides about its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookMode {
    /// Deliveries are sent.
    Up,
    /// It failed too often, and is probed.
    Down,
    /// It answered that it is gone.
    Disabled,
    /// An operator paused it.
    Paused,
}

/// What decides when a webhook's pending deliveries are tried next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookDeliveries {
    /// The config has this webhook.
    pub configured: bool,
    /// Its state.
    pub mode: WebhookMode,
    /// When it is probed, while it is down.
    pub probe: Option<Timestamp>,
    /// It refuses every event.
    pub refusing: bool,
    /// Some delivery waits.
    pub pending: bool,
    /// When the first lane in back-off is ready; `None`: none is.
    pub retry: Option<Timestamp>,
}

/// Why some or all pending deliveries of a webhook are not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryReason {
    /// The webhook fails and is probed.
    Down,
    /// An operator paused it.
    Paused,
    /// It answered 410; an operator has to enable it.
    Disabled,
    /// It answers, and accepts nothing.
    Refusing,
    /// Deliveries of some users wait after a failed attempt.
    Retrying,
    /// It is not in the config any more.
    Removed,
}

impl DeliveryReason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Down, Self::Paused, Self::Disabled, Self::Refusing, Self::Retrying, Self::Removed];

    /// One word for it, for status, readiness and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Refusing => "refusing",
            Self::Retrying => "retrying",
            Self::Removed => "removed",
        }
    }
}

/// When a webhook's deliveries are tried next, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextDelivery {
    /// Every pending delivery is sent as it comes.
    Now,
    /// Some or all wait, until the next attempt; `None`: an operator has to act first.
    Waits(DeliveryReason, Option<Timestamp>),
}

/// When the pending deliveries of a webhook are tried next.
pub fn next_delivery(webhook: &WebhookDeliveries) -> NextDelivery {
    let waits = |reason, next| NextDelivery::Waits(reason, next);
    if !webhook.configured {
        // What is not in the config matters only while deliveries wait for it.
        return if webhook.pending { waits(DeliveryReason::Removed, None) } else { NextDelivery::Now };
    }
    match webhook.mode {
        WebhookMode::Down => waits(DeliveryReason::Down, webhook.probe),
        WebhookMode::Paused => waits(DeliveryReason::Paused, None),
        WebhookMode::Disabled => waits(DeliveryReason::Disabled, None),
        WebhookMode::Up if webhook.refusing => waits(DeliveryReason::Refusing, webhook.retry),
        WebhookMode::Up if webhook.retry.is_some() => waits(DeliveryReason::Retrying, webhook.retry),
        WebhookMode::Up => NextDelivery::Now,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);
    const MINUTE: Duration = Duration::from_mins(1);

    prop_compose! {
        fn users()(
            due in -10_000_000_i64..10_000_000, busy in any::<bool>(), open in any::<bool>(),
            refusals in 0_u32..3, failures in 0_u32..5,
        ) -> UserPolling {
            let due = Timestamp::from_ms(NOW.as_ms() + due);
            UserPolling { due, busy, open, refusals, failures, late_after: MINUTE }
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn a_user_who_is_due_is_polled_or_has_a_reason(user in users(), blocked in any::<bool>()) {
            let probe = NOW.plus(MINUTE);
            let blocked = blocked.then_some((Cause::Upstream, probe));
            match next_poll(&user, blocked, NOW) {
                NextPoll::At(at) => {
                    prop_assert!(user.open && blocked.is_none() && user.refusals == 0);
                    prop_assert!(at.plus(MINUTE) >= NOW, "without a reason no poll is late");
                }
                NextPoll::InFlight => prop_assert!(user.busy && user.open && blocked.is_none()),
                NextPoll::Closed(_) => prop_assert!(!user.open),
                NextPoll::Blocked(_, next) => prop_assert!(blocked.is_some() && next == probe),
                NextPoll::Waits(reason, next) => {
                    prop_assert_eq!(next, user.due);
                    prop_assert!(reason == UserReason::Refused || (user.open && blocked.is_none()));
                    prop_assert!(reason != UserReason::Late || NOW.since(user.due) > MINUTE);
                }
            }
        }

        #[test]
        fn pending_deliveries_are_sent_or_have_a_reason(
            configured in any::<bool>(), mode in 0_usize..4, refusing in any::<bool>(), pending in any::<bool>(),
            retry in prop::option::of(1_i64..1_000_000),
        ) {
            let modes = [WebhookMode::Up, WebhookMode::Down, WebhookMode::Disabled, WebhookMode::Paused];
            let at = |ms| Timestamp::from_ms(NOW.as_ms() + ms);
            let (mode, probe, retry) = (modes[mode], Some(at(5)), retry.map(at));
            let webhook = WebhookDeliveries { configured, mode, probe, refusing, pending, retry };
            match next_delivery(&webhook) {
                NextDelivery::Now => {
                    let sends = mode == WebhookMode::Up && !refusing && retry.is_none();
                    prop_assert!((configured && sends) || (!configured && !pending));
                }
                NextDelivery::Waits(reason, next) => {
                    let by_operator =
                        [DeliveryReason::Paused, DeliveryReason::Disabled, DeliveryReason::Removed].contains(&reason);
                    prop_assert!(next.is_none() || !by_operator);
                    prop_assert!(next.is_some() || by_operator || reason == DeliveryReason::Refusing);
                }
            }
        }
    }

    #[test]
    fn reasons_have_different_words() {
        let users: std::collections::BTreeSet<_> =
            UserReason::ALL.iter().map(|reason| reason.name()).collect();
        let hooks: std::collections::BTreeSet<_> =
            DeliveryReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!((users.len(), hooks.len()), (UserReason::ALL.len(), DeliveryReason::ALL.len()));
    }
}
