//! What runs beside the loop: calls and commits, as futures inside the poller's own task.
//!
//! Guards: whatever was started comes back once. Futures of one task and not tasks of their own, because a task a call
//! costs a hand-over to the scheduler at its start and two wake-ups at its end; here all calls whose answers came
//! together are carried on in one go. A panic in one of them ends the poller, which ends the daemon (`app::supervise`).
//! Deliberately not here: what is started, what comes of it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::Done;

/// Everything that runs.
#[derive(Default)]
pub(super) struct Running(FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>);

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Running").field(&self.0.len()).finish()
    }
}

impl Running {
    /// Adds one. It begins when the loop waits next.
    pub(super) fn start(&mut self, work: impl Future<Output = Done> + Send + 'static) {
        self.0.push(Box::pin(work));
    }

    /// The next one that is done; `None`: nothing runs. Dropping this future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Done> {
        self.0.next().await
    }

    /// One that is done already.
    pub(super) fn ready(&mut self) -> Option<Done> {
        self.0.next().now_or_never().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
