//! Deliveries that this process has leased and has not sent yet.
//!
//! Guards: a leased delivery is either sent or written back; nothing here drops one. Not here: which ones go together
//! (`batcher`), when they may be sent (`queue`).

use std::collections::VecDeque;

use crate::store::outbox::{Claimed, Ending, Finished, Ticket};
use crate::time::Timestamp;
use crate::webhook::send::Message;

/// A leased delivery that waits for its request.
#[derive(Debug)]
pub(super) struct Leased {
    pub(super) claimed: Claimed,
    /// It is sent to try whether a webhook that is down works again.
    pub(super) probe: bool,
}

/// What a request holds of one delivery: the ticket to finish it with, and what follows in the same lane.
pub(super) type Sending = (Ticket, VecDeque<Claimed>);

impl Leased {
    /// The next delivery of a lane, with the rest of its run.
    pub(super) fn next_of(mut behind: VecDeque<Claimed>) -> Option<Self> {
        let mut claimed = behind.pop_front()?;
        claimed.behind = behind;
        Some(Self { claimed, probe: false })
    }

    pub(super) fn id(&self) -> i64 {
        self.claimed.ticket.delivery_id
    }

    /// Deliveries in hand: this one and those behind it.
    pub(super) fn len(&self) -> usize {
        1 + self.claimed.behind.len()
    }

    /// Ends it without a request.
    pub(super) fn unsent(self, ending: Ending, at: Timestamp) -> Finished {
        let strikes = self.claimed.ticket.strikes;
        Finished { ticket: self.claimed.ticket, ending, attempt: None, strikes, at, keeps_lane: false }
    }

    /// What is sent, and what is kept until the answer is there.
    pub(super) fn into_message(self) -> (Sending, Message) {
        let claimed = self.claimed;
        let message = Message {
            event_id: claimed.event_id,
            event_type: claimed.event_type,
            trigger: claimed.trigger,
            attempt: claimed.ticket.attempts.saturating_add(1),
            body: claimed.body,
        };
        ((claimed.ticket, claimed.behind), message)
    }
}
