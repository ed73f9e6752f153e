//! What a queue knows of the lanes in the database, and what it has asked of them.
//!
//! Guards: one question at a time; a lane that becomes ready is asked for, with or without a wake-up. Not here: how much is
//! wanted (`queue`), the lanes themselves (`store::outbox`).

use crate::time::Timestamp;

/// The lanes of one webhook, as of the last answer.
#[derive(Debug)]
pub(super) struct Lanes {
    /// There may be work that no answer has shown.
    unchecked: bool,
    /// When the next free lane is ready.
    next_ready: Option<Timestamp>,
    /// A question is on its way: whether for a probe.
    asked: Option<bool>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { unchecked: true, next_ready: None, asked: None }
    }
}

impl Lanes {
    /// There may be new work.
    pub(super) fn recheck(&mut self) {
        self.unchecked = true;
    }

    pub(super) fn is_unchecked(&self) -> bool {
        self.unchecked
    }

    /// All there is was seen.
    pub(super) fn checked(&mut self) {
        self.unchecked = false;
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Some delivery may be ready to be sent now.
    pub(super) fn may_have_work(&self, now: Timestamp) -> bool {
        self.unchecked || self.next_ready.is_some_and(|ready| ready <= now)
    }

    /// Some delivery may wait, ready or not.
    pub(super) fn may_hold_any(&self) -> bool {
        self.unchecked || self.next_ready.is_some()
    }

    pub(super) fn next_ready(&self) -> Option<Timestamp> {
        self.next_ready
    }

    /// A question goes out.
    pub(super) fn ask(&mut self, probe: bool) {
        self.unchecked = false;
        self.asked = Some(probe);
    }

    /// The question was answered. Gives whether it was for a probe.
    pub(super) fn answered(&mut self, next_ready: Option<Timestamp>) -> bool {
        self.next_ready = next_ready;
        self.asked.take().unwrap_or(false)
    }

    /// The question was lost.
    pub(super) fn lost(&mut self) {
        self.asked = None;
        self.unchecked = true;
    }
}
