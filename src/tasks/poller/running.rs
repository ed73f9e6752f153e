//! Calls and commits that run beside the loop, as futures inside the poller's own task.
//!
//! Guards: everything that is started is returned once. They are futures of one task and not tasks of their own,
//! because a task for each call costs a hand-over to the scheduler at its start and two wake-ups at its end; here all
//! calls whose answers came together continue in one go. A panic in one of them ends the poller, which ends the daemon
//! (`app::supervise`). Not here: what is started and what follows from a result.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

/// The futures in flight.
pub(super) struct Running<T>(FuturesUnordered<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T> Default for Running<T> {
    fn default() -> Self {
        Self(FuturesUnordered::new())
    }
}

impl<T> fmt::Debug for Running<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Running").field(&self.0.len()).finish()
    }
}

impl<T> Running<T> {
    /// Adds a future. It is first polled when the loop waits next.
    pub(super) fn start(&mut self, work: impl Future<Output = T> + Send + 'static) {
        self.0.push(Box::pin(work));
    }

    /// The next result; `None`: nothing runs. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<T> {
        self.0.next().await
    }

    /// A result that is available at once.
    pub(super) fn ready(&mut self) -> Option<T> {
        self.0.next().now_or_never().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
