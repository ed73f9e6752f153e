//! Writing down what did not change: stretched snapshots, failures and moved plans, in one go a second.
//!
//! Guards: an unchanged poll costs no database work of its own; a crash loses at most a second of it, and nothing that
//! anybody was told. Deliberately not here: changes (`settle`).

use std::collections::BTreeMap;

use super::{Done, FLUSH_EVERY, Poller};
use crate::store::{PollFailure, StoreError, UnchangedPolls, Usage};
use crate::time::Timestamp;

/// More failures than this are not kept while the database refuses them; the newest are.
const MOST_MISSES: usize = 10_000;

impl Poller {
    /// Flushes when it is time; returns when it will be.
    pub(super) fn flush_if_due(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.flushing || (self.stretched.is_empty() && self.misses.is_empty() && self.replanned.is_empty())
        {
            return None;
        }
        let due = *self.next_flush.get_or_insert(now.plus(FLUSH_EVERY));
        if due > now {
            return Some(due);
        }
        self.next_flush = None;
        self.flushing = true;
        let (stretches, misses, plans) = self.take_pending();
        let store = self.tools.store.clone();
        self.running.start(async move {
            let retry = misses.clone();
            // Plans last: what is newest stands.
            let result = match store.watch_list().flush(stretches, misses).await {
                Ok(()) if !plans.is_empty() => store.watch_list().replan(plans).await,
                result => result,
            };
            Done::Flushed { retry, result }
        });
        None
    }

    pub(super) fn flushed(&mut self, retry: Vec<PollFailure>, result: Result<(), StoreError>) {
        self.flushing = false;
        match result {
            Ok(()) => self.tools.health.database(Ok(())),
            Err(error) => {
                // A lost stretch heals with the next one; failures are counted, so they are tried again.
                self.misses.splice(0..0, retry);
                let excess = self.misses.len().saturating_sub(MOST_MISSES);
                self.misses.drain(..excess);
                self.database_failed(&error);
            }
        }
    }

    /// At the end: everything that is still only in memory.
    pub(super) async fn last_flush(&mut self) -> Result<(), StoreError> {
        let (stretches, misses, plans) = self.take_pending();
        if !stretches.is_empty() || !misses.is_empty() {
            self.tools.store.watch_list().flush(stretches, misses).await?;
        }
        if !plans.is_empty() {
            self.tools.store.watch_list().replan(plans).await?;
        }
        self.keep_trust_at_last().await?;
        let now = self.tools.clock.now();
        for upstream in &mut self.upstreams {
            // What was reserved and not spent is given back.
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

    fn take_pending(&mut self) -> (Vec<UnchangedPolls>, Vec<PollFailure>, Vec<(i64, Timestamp)>) {
        let mut stretches = std::mem::take(&mut self.unflushed);
        for person in self.stretched.drain(..) {
            let watched = &mut self.users[person];
            stretches.extend(watched.unflushed());
            watched.polls = 0;
        }
        // Who is being looked at is written down with what comes of it.
        let plans: BTreeMap<i64, Timestamp> = self
            .replanned
            .drain(..)
            .map(|person| &self.users[person])
            .filter(|watched| !watched.busy && !watched.gone)
            .map(|watched| (watched.person_id, watched.due))
            .collect();
        (stretches, std::mem::take(&mut self.misses), plans.into_iter().collect())
    }
}
