//! Writes unchanged polls, failures and moved plans together, once a second.
//!
//! Guards: an unchanged poll costs no database work of its own; a crash loses at most a second of it, and never
//! anything that was emitted. Not here: changes (`answers`).

use super::pending_writes::Batch;
use super::{FLUSH_EVERY, Finished, Poller};
use crate::store::{PollFailure, StoreError, Usage};
use crate::time::Timestamp;

impl Poller {
    /// Flushes when it is time; returns when it will be.
    pub(super) fn flush_if_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        let due = self.pending.due(now, FLUSH_EVERY)?;
        if due > now {
            return Some(due);
        }
        let Batch { unchanged, failures, plans } = self.pending.begin(&mut self.users);
        let store = self.tools.store.clone();
        self.running.start(async move {
            let retry = failures.clone();
            // Plans are written last, so the newest time wins.
            let result = match store.watch_list().flush(unchanged, failures).await {
                Ok(()) if !plans.is_empty() => store.watch_list().replan(plans).await,
                result => result,
            };
            Finished::Flush { retry, result }
        });
        None
    }

    pub(super) fn flushed(&mut self, retry: Vec<PollFailure>, result: Result<(), StoreError>) {
        // A lost extension is repaired by the next one; failures are counted, so they are tried again.
        self.pending.finish(if result.is_err() { retry } else { Vec::new() });
        match result {
            Ok(()) => self.tools.health.database(Ok(())),
            Err(error) => self.database_failed(&error),
        }
    }

    /// Writes everything that is still only in memory, when the poller stops.
    pub(super) async fn last_flush(&mut self) -> Result<(), StoreError> {
        let Batch { unchanged, failures, plans } = self.pending.take(&mut self.users);
        if !unchanged.is_empty() || !failures.is_empty() {
            self.tools.store.watch_list().flush(unchanged, failures).await?;
        }
        if !plans.is_empty() {
            self.tools.store.watch_list().replan(plans).await?;
        }
        self.persist_sweeps_at_stop().await?;
        let now = self.tools.clock.now();
        for upstream in &mut self.upstreams {
            // Returns what was reserved and not spent.
            let exact = upstream.budget.exact(now);
            let usage = Usage { used: exact.calls, throttled: upstream.throttled };
            let (limit, projected) = (upstream.budget.limit(), upstream.projected(now));
            self.tools
                .store
                .call_usage()
                .set(upstream.name.clone(), exact.month.to_string(), usage, limit, projected)
                .await?;
        }
        Ok(())
    }
}
