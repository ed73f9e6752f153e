//! Writes unchanged polls, failures and moved plans of all organisations together, once a second.
//!
//! Guards: an unchanged poll costs no database work of its own; a crash loses at most a second of it, and never
//! anything that was emitted; one flush runs at a time; a failed poll is kept until it is written, within a bound. Not
//! here: changes (`answers`), what waits in an organisation (`pending_writes`).

use super::pending_writes::Batch;
use super::settings::FLUSH_EVERY;
use crate::store::{PollFailure, Store, StoreError};
use crate::time::Timestamp;

/// At most this many failures are kept while the database refuses them; the newest are.
const MAX_POLL_FAILURES: usize = 10_000;

/// When the next flush is due, and what the last one could not write.
#[derive(Debug, Default)]
pub(super) struct FlushQueue {
    failures: Vec<PollFailure>,
    writing: bool,
    due: Option<Timestamp>,
}

impl FlushQueue {
    /// When the next flush is due; `None`: nothing waits, or a flush is running.
    pub(super) fn due(&mut self, something_waits: bool, now: Timestamp) -> Option<Timestamp> {
        let waits = something_waits || !self.failures.is_empty();
        (!self.writing && waits).then(|| *self.due.get_or_insert(now.plus(FLUSH_EVERY)))
    }

    /// The rows of a flush that starts now.
    pub(super) fn begin(&mut self, batches: impl Iterator<Item = Batch>) -> Batch {
        (self.due, self.writing) = (None, true);
        let mut all = Batch { failures: std::mem::take(&mut self.failures), ..Batch::default() };
        for Batch { unchanged, failures, plans } in batches {
            all.unchanged.extend(unchanged);
            all.failures.extend(failures);
            all.plans.extend(plans);
        }
        all
    }

    /// A flush has ended; `retry`: failures that were not written.
    pub(super) fn finish(&mut self, mut retry: Vec<PollFailure>) {
        self.writing = false;
        retry.drain(..retry.len().saturating_sub(MAX_POLL_FAILURES));
        self.failures = retry;
    }
}

/// Writes a batch. A lost extension is repaired by the next one; failures are counted, so they are returned.
pub(super) async fn write(store: &Store, batch: Batch) -> Result<(), (Vec<PollFailure>, StoreError)> {
    let Batch { unchanged, failures, plans } = batch;
    let retry = failures.clone();
    // Plans are written last, so the newest time wins.
    let result = if unchanged.is_empty() && failures.is_empty() {
        Ok(())
    } else {
        store.watch_list().flush(unchanged, failures).await
    };
    let result = match result {
        Ok(()) if !plans.is_empty() => store.watch_list().replan(plans).await,
        result => result,
    };
    result.map_err(|error| (retry, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::OrgName;

    fn failure(person_id: i64) -> PollFailure {
        let (org, at) = (OrgName::default_name(), Timestamp::default());
        PollFailure { person_id, org, at, class: "outage", text: String::new(), next_poll: at }
    }

    #[test]
    fn one_flush_a_second_and_one_at_a_time() {
        let (mut queue, now) = (FlushQueue::default(), Timestamp::from_ms(5_000));
        assert_eq!(queue.due(false, now), None);
        assert_eq!(queue.due(true, now), Some(now.plus(FLUSH_EVERY)));
        assert_eq!(queue.due(true, now.plus(FLUSH_EVERY)), Some(now.plus(FLUSH_EVERY)));
        queue.begin(std::iter::empty());
        assert_eq!(queue.due(true, now), None, "a flush is running");
        queue.finish(Vec::new());
        assert_eq!(queue.due(false, now), None);
    }

    #[test]
    fn failures_that_were_not_written_come_first_and_the_newest_are_kept() {
        let mut queue = FlushQueue::default();
        queue.finish((0..10_002).map(failure).collect());
        assert!(queue.due(false, Timestamp::default()).is_some());
        let new = Batch { failures: vec![failure(77)], ..Batch::default() };
        let batch = queue.begin([new].into_iter());
        let people: Vec<i64> = batch.failures.iter().map(|failure| failure.person_id).collect();
        assert_eq!((people.len(), people[0], people[10_000]), (10_001, 2, 77));
    }
}
