//! Requests: started, and taken in when they came back.
//!
//! Guards: what a request held comes back with it, whatever became of it. They are futures inside the dispatcher's own
//! task, as the poller's calls are: a task each costs a hand-over at its start and another at its end. A panic in one of
//! them ends the dispatcher, which ends the daemon (`app::supervise`). Deliberately not here: when one may start, and
//! what its answer means (`desk`).

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::Dispatcher;
use super::desk::InHand;
use crate::store::outbox::{Claimed, Ticket};
use crate::webhook::send::{Message, Sent};

/// Answers nobody needs any more that are read to the end so that their connections can be used again.
const MOST_LEFTOVERS: usize = 256;

/// A request that came back.
#[derive(Debug)]
pub(super) struct Returned {
    desk: usize,
    /// Of every event the request held, and what is behind it in its lane.
    tickets: Vec<(Ticket, VecDeque<Claimed>)>,
    probe: bool,
    sent: Sent,
}

/// The requests that are out.
#[derive(Default)]
pub(super) struct Requests(FuturesUnordered<Pin<Box<dyn Future<Output = Returned> + Send>>>);

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Requests").field(&self.0.len()).finish()
    }
}

impl Requests {
    /// Adds one. It begins when the loop waits next.
    fn start(&mut self, request: impl Future<Output = Returned> + Send + 'static) {
        self.0.push(Box::pin(request));
    }

    /// The next one that came back; `None`: none is out. Dropping this future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Returned> {
        self.0.next().await
    }

    /// One that is back already.
    pub(super) fn ready(&mut self) -> Option<Returned> {
        self.0.next().now_or_never().flatten()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Breaks off all of them.
    pub(super) fn break_off(&mut self) {
        self.0.clear();
    }
}

impl Dispatcher {
    pub(super) fn send(&mut self, desk: usize, next: Vec<InHand>) {
        let sender = self.desks[desk].target.sender.clone();
        // A probe is alone.
        let probe = next.iter().any(|one| one.probe);
        let (tickets, messages) = next.into_iter().map(|one| addressed(one.claimed)).unzip();
        self.requests
            .start(async move { Returned { desk, tickets, probe, sent: sender.send_all(messages).await } });
    }

    pub(super) fn returned(&mut self, returned: Returned) {
        let Returned { desk: at, tickets, probe, sent } = returned;
        if let Some(leftover) = sent.leftover
            && self.leftovers.len() < MOST_LEFTOVERS
        {
            self.leftovers.spawn(leftover.drain());
        }
        let now = self.clock.now();
        for (ticket, _) in &tickets {
            self.metrics.webhook_attempt(ticket.webhook.as_str(), sent.answer.status);
        }
        let (finished, forgiven) = self.desks[at].answered(tickets, probe, &sent.answer, now);
        self.finished.extend(finished);
        self.forgiven.extend(forgiven);
    }
}

fn addressed(claimed: Claimed) -> ((Ticket, VecDeque<Claimed>), Message) {
    let message = Message {
        event_id: claimed.event_id,
        event_type: claimed.event_type,
        trigger: claimed.trigger,
        attempt: claimed.ticket.attempts.saturating_add(1),
        body: claimed.body,
    };
    ((claimed.ticket, claimed.behind), message)
}
