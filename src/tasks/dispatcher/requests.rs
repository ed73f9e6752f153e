//! The requests that are in flight.
//!
//! Guards: what a request held comes back with it, however it ended. Requests are futures of the dispatcher's own task, as
//! the poller's calls are: a task each would cost a hand-over at its start and another at its end. A panic in one of them
//! ends the dispatcher, which ends the daemon (`app::supervise`). Not here: when one may start, and what its answer means
//! (`queue`).

use std::fmt;
use std::pin::Pin;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::leased::{Leased, Sending};
use super::queues::{QueueKey, Start};
use crate::webhook::send::Sent;

/// A request that came back.
#[derive(Debug)]
pub(super) struct Returned {
    pub(super) queue: QueueKey,
    pub(super) sendings: Vec<Sending>,
    pub(super) probe: bool,
    pub(super) sent: Sent,
}

/// The requests that are in flight.
#[derive(Default)]
pub(super) struct Requests(FuturesUnordered<Pin<Box<dyn Future<Output = Returned> + Send>>>);

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Requests").field(&self.0.len()).finish()
    }
}

impl Requests {
    /// Adds one. It begins when the loop waits next.
    pub(super) fn start(&mut self, start: Start) {
        let Start { queue, sender, deliveries } = start;
        // A probe is alone.
        let probe = deliveries.iter().any(|one| one.probe);
        let (sendings, messages) = deliveries.into_iter().map(Leased::into_message).unzip();
        self.0.push(Box::pin(async move {
            Returned { queue, sendings, probe, sent: sender.send_all(messages).await }
        }));
    }

    /// The next one that came back; `None`: none is in flight. Dropping this future loses nothing.
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
