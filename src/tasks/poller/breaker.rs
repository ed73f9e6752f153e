//! Whether an organisation answers: its circuit breaker, the last failure, and the newest good answer.
//!
//! Guards: one log line for each change of state. Not here: which failure opens the circuit, and for how long
//! (`policy::failure_policy`), what follows (`failures`).

use crate::policy::circuit::{Cause, CircuitBreaker, OpenCircuit};
use crate::time::Timestamp;

/// The state of an organisation's answers.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    circuit: CircuitBreaker,
    /// Class of the last logged failure; `None` while calls succeed.
    trouble: Option<&'static str>,
    /// Text of the last failure.
    text: String,
    /// Slowed down by refusals, and that is logged.
    slowed: bool,
    /// The newest good poll of any user since the start.
    last_good: Option<Timestamp>,
}

impl Breaker {
    /// The circuit breaker.
    pub(super) fn circuit(&self) -> CircuitBreaker {
        self.circuit
    }

    pub(super) fn set_circuit(&mut self, circuit: CircuitBreaker) {
        self.circuit = circuit;
    }

    /// Set while the circuit is open.
    pub(super) fn open(&self) -> Option<OpenCircuit> {
        self.circuit.open
    }

    pub(super) fn is_open(&self) -> bool {
        self.circuit.open.is_some()
    }

    /// Open for this reason.
    pub(super) fn is_open_for(&self, cause: Cause) -> bool {
        self.circuit.open.is_some_and(|open| open.cause == cause)
    }

    /// Time of the first failure since the last good answer.
    pub(super) fn failing_since(&self) -> Option<Timestamp> {
        self.circuit.since
    }

    /// Opens the circuit until then, or keeps it open.
    pub(super) fn open_until(&mut self, cause: Cause, now: Timestamp, until: Timestamp) {
        self.circuit = self.circuit.opened_until(cause, now, until);
    }

    /// The next probe is due at once.
    pub(super) fn probe_now(&mut self, now: Timestamp) {
        if let Some(open) = self.circuit.open.as_mut() {
            open.until = open.until.min(now);
            open.attempts = 0;
        }
    }

    /// A good answer came; returns the circuit that it closed.
    pub(super) fn answered(&mut self, now: Timestamp) -> Option<OpenCircuit> {
        let open = self.circuit.open;
        if open.is_some_and(|open| now < open.until) {
            // Started before the circuit opened: it does not prove that the next call would be answered.
            return None;
        }
        self.circuit = CircuitBreaker::default();
        open
    }

    /// The newest good poll of any user since the start.
    pub(super) fn last_good(&self) -> Option<Timestamp> {
        self.last_good
    }

    pub(super) fn set_last_good(&mut self, at: Timestamp) {
        self.last_good = Some(at);
    }

    /// Text of the last failure.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn set_text(&mut self, text: &str) {
        text.clone_into(&mut self.text);
    }

    /// Class of the last failure while the circuit is open.
    pub(super) fn trouble(&self) -> Option<&'static str> {
        self.circuit.open.and(self.trouble)
    }

    /// Notes the class of a failure while the circuit is open; returns whether it is to be logged. `before`: the
    /// circuit before the failure.
    pub(super) fn note_trouble(&mut self, class: &'static str, before: CircuitBreaker) -> bool {
        let cause = |open: Option<OpenCircuit>| open.map(|open| open.cause);
        let is_known = cause(before.open) == cause(self.circuit.open) && self.trouble == Some(class);
        self.trouble = Some(class);
        !is_known
    }

    pub(super) fn take_trouble(&mut self) -> Option<&'static str> {
        self.trouble.take()
    }

    /// The rate was halved; returns whether that is to be logged.
    pub(super) fn slow_down(&mut self) -> bool {
        !std::mem::replace(&mut self.slowed, true)
    }

    /// The rate is back at its limit; returns whether that is to be logged.
    pub(super) fn speed_up(&mut self) -> bool {
        std::mem::take(&mut self.slowed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(1_795_413_600_000);

    fn after(seconds: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn an_answer_from_before_the_wait_is_over_does_not_close_the_circuit() {
        let mut breaker = Breaker::default();
        breaker.open_until(Cause::Upstream, NOW, after(60));
        assert_eq!(breaker.answered(after(1)), None);
        assert!(breaker.is_open_for(Cause::Upstream));
        assert_eq!(breaker.answered(after(60)).map(|open| open.cause), Some(Cause::Upstream));
        assert!(!breaker.is_open() && breaker.failing_since().is_none());
    }

    #[test]
    fn a_probe_by_hand_comes_at_once_and_counts_anew() {
        let mut breaker = Breaker::default();
        breaker.open_until(Cause::Auth, NOW, after(60));
        breaker.open_until(Cause::Auth, after(60), after(180));
        breaker.probe_now(after(70));
        let open = breaker.open().unwrap();
        assert_eq!((open.until, open.attempts, open.since), (after(70), 0, NOW));
    }

    #[test]
    fn the_same_trouble_is_logged_once() {
        let mut breaker = Breaker::default();
        let closed = breaker.circuit();
        breaker.open_until(Cause::Auth, NOW, after(60));
        assert!(breaker.note_trouble("forbidden", closed));
        let open = breaker.circuit();
        assert!(!breaker.note_trouble("forbidden", open));
        assert!(breaker.note_trouble("credentials", open));
        assert_eq!(breaker.trouble(), Some("credentials"));
        assert!(breaker.slow_down() && !breaker.slow_down() && breaker.speed_up() && !breaker.speed_up());
    }
}
