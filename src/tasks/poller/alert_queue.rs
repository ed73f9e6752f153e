//! The poller's alerts and the system events that wait to be emitted.
//!
//! Guards: one event is emitted at a time, in order; a failed event is retried before any later one. Not here: when an alert
//! fires (`alerting`), recording an event (`tasks::alerts`).

use std::collections::VecDeque;
use std::time::Duration;

use crate::ids::OrgName;
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
}

/// What to do with the first event.
pub(super) enum EmitStep {
    Nothing,
    RetryAt(Timestamp),
    Emit(SystemEvent),
}

impl AlertQueue {
    pub(super) fn new(state: AlertState, now: Timestamp) -> Self {
        Self { state, waiting: VecDeque::new(), emitting: false, retry_at: now, next_check: now }
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
