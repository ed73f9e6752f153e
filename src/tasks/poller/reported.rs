//! What was reported about users who are not polled.
//!
//! Not here: the reasons (`reasons`), what the history has (`open_gaps`).

use std::collections::BTreeMap;

use crate::policy::circuit::Cause;
use crate::policy::liveness::UserReason;
use crate::store::gaps::Because;
use crate::telemetry::health::Unpolled;
use crate::time::Timestamp;

/// Since when a user is not polled, where that is known, and why.
pub(super) type OpenRow = (Option<Timestamp>, Because);

/// What was reported.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    /// The gaps that go on: of the organisation (`None`), or of single users.
    pub(super) rows: BTreeMap<Option<i64>, OpenRow>,
    pub(super) next: Timestamp,
    /// Why the organisation is not polled, as reported.
    pub(super) cause: Option<Cause>,
    /// Reported since it was asked for.
    pub(super) reported: bool,
}

impl Reasons {
    /// The gaps that go on.
    pub(super) fn rows(&self) -> &BTreeMap<Option<i64>, OpenRow> {
        &self.rows
    }

    pub(super) fn take_reported(&mut self) -> bool {
        std::mem::take(&mut self.reported)
    }
}

/// The users of an organisation, counted by reason.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// At least one user's window is open.
    pub(super) open: bool,
    pub(super) unpolled: Vec<Unpolled>,
}

impl Tally {
    pub(super) fn add(&mut self, reason: UserReason, next: Timestamp) {
        match self.unpolled.iter_mut().find(|unpolled| unpolled.reason == reason) {
            Some(unpolled) => {
                unpolled.users += 1;
                unpolled.next = unpolled.next.min(next);
            }
            None => self.unpolled.push(Unpolled { reason, users: 1, next }),
        }
    }
}
