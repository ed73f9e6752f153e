//! Notices new events, once for all readers of `/api/v1/stream`.
//!
//! Guards: the database is asked only while there is a reader; a reader never waits for another one; a reader that is far
//! behind reads what it missed by itself. Not here: what a reader may see (`stream`).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock as _, SystemClock};
use crate::store::StoreError;
use crate::store::history::lists::Lists;
use crate::store::history::{EventQuery, EventRow, History};

/// Maximum number of readers.
pub(super) const MAX_READERS: usize = 64;
/// How often the database is asked for new events.
const EVERY: Duration = Duration::from_millis(200);
/// The most events of a batch.
pub(super) const BATCH: u32 = 500;

/// Events after `from`, up to and with `to`.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) rows: Vec<EventRow>,
}

/// The newest events, and who waits for them.
#[derive(Debug)]
pub(super) struct Feed {
    places: Arc<Semaphore>,
    newest: watch::Sender<Arc<Batch>>,
    /// Readers end with the listener.
    pub(super) stop: CancellationToken,
}

impl Default for Feed {
    fn default() -> Self {
        let (newest, _) = watch::channel(Arc::default());
        Self { places: Arc::new(Semaphore::new(MAX_READERS)), newest, stop: CancellationToken::new() }
    }
}

impl Feed {
    /// A place among the readers, if one is free.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Receives batches.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Batch>> {
        self.newest.subscribe()
    }

    /// Asks for new events while there are readers.
    pub(super) async fn run(&self, history: &History) {
        loop {
            // The clock of the machine, because the clock of a demo runs faster.
            SystemClock.sleep_until(SystemClock.now().plus(EVERY)).await;
            if self.newest.receiver_count() == 0 {
                continue;
            }
            match self.next(history).await {
                Ok(Some(batch)) => drop(self.newest.send_replace(Arc::new(batch))),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "cannot read new events for the stream"),
            }
        }
    }

    async fn next(&self, history: &History) -> Result<Option<Batch>, StoreError> {
        let known = self.newest.borrow().to;
        let newest = Lists::of(history).newest_sequence().await?;
        if newest == known {
            return Ok(None);
        }
        if newest < known || newest - known > i64::from(BATCH) {
            return Ok(Some(Batch { from: newest, to: newest, rows: Vec::new() }));
        }
        let rows = after(history, known).await?;
        let to = rows.last().map_or(newest, |row| row.sequence);
        Ok(Some(Batch { from: known, to, rows }))
    }
}

/// The first events after a sequence.
pub(super) async fn after(history: &History, sequence: i64) -> Result<Vec<EventRow>, StoreError> {
    history.events(&EventQuery { after: Some(sequence), limit: BATCH, ..EventQuery::default() }).await
}
