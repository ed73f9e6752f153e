//! Runs tasks concurrently and stops them together.
//!
//! Guards: a task that ends early, fails or panics stops the others in order, and its reason becomes the error of the
//! process; draining has a deadline. Not here: which tasks there are (`daemon`).

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;

/// Deadline for tasks to stop: less than the promised ten seconds, more than a slow receiver needs to answer.
pub const DRAIN: Duration = Duration::from_secs(8);

/// Why the daemon stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A task returned an error.
    #[error("{task} failed: {reason}")]
    Failed { task: &'static str, reason: String },
    /// A task ended unexpectedly.
    #[error("{0} ended unexpectedly")]
    Ended(&'static str),
    /// A task panicked.
    #[error("a task panicked: {0}")]
    Panicked(String),
    /// A task did not stop before the deadline.
    #[error("some tasks did not stop within {} s", DRAIN.as_secs())]
    Overdue,
}

/// Tasks that run and stop together.
#[derive(Debug)]
pub struct Supervisor {
    tasks: JoinSet<(&'static str, Result<(), String>)>,
    clock: SharedClock,
}

impl Supervisor {
    /// Without tasks. `clock` measures the draining and must be that of the machine.
    pub fn new(clock: SharedClock) -> Self {
        Self { tasks: JoinSet::new(), clock }
    }

    /// Starts a task. Its future ends when the token it was built with is cancelled.
    pub fn spawn<E: std::fmt::Display>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { (name, task.await.map_err(|error| error.to_string())) });
    }

    /// Waits until `stop` is cancelled, or cancels it at the first fault; then waits for all tasks.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Fault> {
        let mut fault = tokio::select! {
            // Checked first, because a task that ends after `stop` is no fault.
            biased;
            () = stop.cancelled() => None,
            Some(ended) = self.tasks.join_next() => Some(match ended {
                Ok((task, Ok(()))) => Fault::Ended(task),
                Ok((task, Err(reason))) => Fault::Failed { task, reason },
                Err(error) => Fault::Panicked(error.to_string()),
            }),
        };
        stop.cancel();
        let deadline = self.clock.sleep_until(self.clock.now().plus(DRAIN));
        tokio::pin!(deadline);
        loop {
            let ended = tokio::select! {
                ended = self.tasks.join_next() => ended,
                () = &mut deadline => {
                    self.tasks.abort_all();
                    return Err(fault.unwrap_or(Fault::Overdue));
                }
            };
            let late = match ended {
                None => return fault.map_or(Ok(()), Err),
                Some(Ok((_, Ok(())))) => None,
                Some(Ok((task, Err(reason)))) => Some(Fault::Failed { task, reason }),
                Some(Err(error)) => Some(Fault::Panicked(error.to_string())),
            };
            fault = fault.or(late);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;

    fn supervisor() -> Supervisor {
        Supervisor::new(Arc::new(SystemClock))
    }

    #[tokio::test]
    async fn a_task_that_ends_by_itself_takes_the_others_down() {
        let (stop, mut tasks) = (CancellationToken::new(), supervisor());
        let child = stop.clone();
        tasks.spawn("waiting", async move {
            child.cancelled().await;
            Ok::<(), Fault>(())
        });
        tasks.spawn("hasty", async { Ok::<(), Fault>(()) });
        let fault = tasks.run(stop).await.expect_err("must end with a fault");
        assert_eq!(fault.to_string(), "hasty ended unexpectedly");
    }

    #[tokio::test]
    async fn a_task_that_ends_at_once_when_asked_is_no_fault() {
        for _ in 0..100 {
            let (stop, mut tasks) = (CancellationToken::new(), supervisor());
            let child = stop.clone();
            tasks.spawn("quick", async move {
                child.cancelled().await;
                Ok::<(), Fault>(())
            });
            let asks = stop.clone();
            let (ended, ()) = tokio::join!(tasks.run(stop), async move {
                tokio::task::yield_now().await;
                asks.cancel();
                tokio::task::yield_now().await;
            });
            assert!(ended.is_ok());
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_fault() {
        let mut tasks = supervisor();
        tasks.spawn("fragile", async {
            assert_eq!(std::hint::black_box(1), 2, "breaks on purpose");
            Ok::<(), Fault>(())
        });
        assert!(matches!(tasks.run(CancellationToken::new()).await, Err(Fault::Panicked(_))));
    }

    #[tokio::test]
    async fn being_asked_to_stop_is_no_fault() {
        let (stop, mut tasks) = (CancellationToken::new(), supervisor());
        let child = stop.clone();
        tasks.spawn("waiting", async move {
            child.cancelled().await;
            Ok::<(), Fault>(())
        });
        stop.cancel();
        assert!(tasks.run(stop).await.is_ok());
    }
}
