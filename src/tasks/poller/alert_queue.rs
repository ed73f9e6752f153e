//! The poller's alerts and the system events that wait to be emitted.
//!
//! Guards: one event is emitted at a time, in order; a failed event is retried before any later one. Not here: when an alert
//! fires (`alerting`), recording an event (`tasks::alerts`).

use std::collections::VecDeque;
use std::time::Duration;

use crate::ids::OrgName;
use crate::policy::quota::Month;
use crate::presence::system::AlertName;
use crate::tasks::alerts::{AlertState, SystemEvent};
use crate::time::Timestamp;

/// The state of alerts and the events about them.
#[derive(Debug)]
pub(super) struct AlertQueue {
    state: AlertState,
    /// Events that are not emitted yet, in order.
    waiting: VecDeque<SystemEvent>,
    emitting: bool,
    retry_at: Timestamp,
    next_check: Timestamp,
    /// The month of the budget alert.
    month: Option<Month>,
}

/// What to do with the first event.
pub(super) enum EmitStep {
    Nothing,
    RetryAt(Timestamp),
    Emit(SystemEvent),
}

impl AlertQueue {
    pub(super) fn new(state: AlertState, now: Timestamp) -> Self {
        Self { state, waiting: VecDeque::new(), emitting: false, retry_at: now, next_check: now, month: None }
    }

    /// The conditions are checked again at `at` or earlier.
    pub(super) fn check_by(&mut self, at: Timestamp) {
        self.next_check = self.next_check.min(at);
    }

    pub(super) fn next_check(&self) -> Timestamp {
        self.next_check
    }

    /// Whether a check is due, which also plans the next one. A clock that was set back makes it due, too.
    pub(super) fn begin_check(&mut self, now: Timestamp, every: Duration) -> bool {
        let due = self.next_check <= now || self.next_check.since(now) > every;
        if due {
            self.next_check = now.plus(every);
        }
        due
    }

    /// Whether another month has begun since the last check. A problem of the new month is another alert.
    pub(super) fn begin_month(&mut self, month: Month) -> bool {
        self.month.replace(month).is_some_and(|before| before != month)
    }

    pub(super) fn fires(&self, org: &OrgName, name: AlertName) -> bool {
        self.state.fires(Some(org), name)
    }

    /// Sets one alert, and queues an event if it changed.
    pub(super) fn set(
        &mut self,
        org: &OrgName,
        name: AlertName,
        firing: Option<String>,
        resolved: &str,
        now: Timestamp,
    ) {
        self.waiting.extend(self.state.set(Some(org), name, firing, resolved, now));
    }

    pub(super) fn push(&mut self, event: SystemEvent) {
        self.waiting.push_back(event);
    }

    /// Starts with the first event, unless one is being emitted or has just failed.
    pub(super) fn begin_emit(&mut self, now: Timestamp) -> EmitStep {
        match self.waiting.front().filter(|_| !self.emitting) {
            None => EmitStep::Nothing,
            Some(_) if self.retry_at > now => EmitStep::RetryAt(self.retry_at),
            Some(event) => {
                self.emitting = true;
                EmitStep::Emit(event.clone())
            }
        }
    }

    /// The first event was emitted, and is returned.
    pub(super) fn emitted(&mut self) -> Option<SystemEvent> {
        self.emitting = false;
        self.waiting.pop_front()
    }

    /// The first event could not be emitted.
    pub(super) fn failed(&mut self, retry_at: Timestamp) {
        self.emitting = false;
        self.retry_at = retry_at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_795_413_600_000);
    const MINUTE: Duration = Duration::from_mins(1);

    fn queue() -> AlertQueue {
        let mut queue = AlertQueue::new(AlertState::default(), NOW);
        for name in [AlertName::Auth, AlertName::Budget] {
            queue.set(&OrgName::default_name(), name, Some("broken".to_owned()), "well", NOW);
        }
        queue
    }

    fn emitting(queue: &mut AlertQueue, now: Timestamp) -> Option<AlertName> {
        match queue.begin_emit(now) {
            EmitStep::Emit(SystemEvent::Alert { name, .. }) => Some(name),
            _ => None,
        }
    }

    #[test]
    fn one_event_is_emitted_at_a_time_in_order_and_a_failed_one_again() {
        let mut queue = queue();
        assert_eq!(emitting(&mut queue, NOW), Some(AlertName::Auth));
        assert_eq!(emitting(&mut queue, NOW), None, "one is being emitted");
        queue.failed(NOW.plus(MINUTE));
        assert!(matches!(queue.begin_emit(NOW), EmitStep::RetryAt(at) if at == NOW.plus(MINUTE)));
        assert_eq!(emitting(&mut queue, NOW.plus(MINUTE)), Some(AlertName::Auth));
        assert!(queue.emitted().is_some());
        assert_eq!(emitting(&mut queue, NOW.plus(MINUTE)), Some(AlertName::Budget));
    }

    #[test]
    fn a_check_is_due_at_the_earliest_time_asked_for_and_after_the_clock_was_set_back() {
        let mut queue = queue();
        assert!(queue.begin_check(NOW, MINUTE) && !queue.begin_check(NOW, MINUTE));
        queue.check_by(NOW.plus(MINUTE / 2));
        queue.check_by(NOW.plus(MINUTE * 3));
        assert!(queue.begin_check(NOW.plus(MINUTE / 2), MINUTE));
        assert!(queue.begin_check(NOW.minus(MINUTE * 9), MINUTE));
    }
}
