//! The sentry: whether the database is still the file that was opened, and whether the disk has room again.
//!
//! Guards: a database that was deleted or replaced ends the daemon within ten seconds, before more is written to where
//! nobody will find it; a disk that was full and is not any more lets polling go on. Deliberately not here: what pauses
//! while the disk is full (`poller`).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::store::{Store, StoreError};
use crate::time::Timestamp;

/// Half of what is promised, so that one late look does not break the promise.
const EVERY: Duration = Duration::from_secs(5);

/// The sentry.
#[derive(Debug)]
pub struct Sentry {
    store: Store,
    clock: SharedClock,
}

impl Sentry {
    /// For an open database.
    pub fn new(store: Store, clock: SharedClock) -> Self {
        Self { store, clock }
    }

    /// Runs until `stop`, or until the file is not there any more.
    pub async fn run(self, stop: CancellationToken) -> Result<(), StoreError> {
        loop {
            let wake = self.step()?;
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = self.clock.sleep_until(wake) => {}
            }
        }
    }

    /// Looks once; gives when to look again.
    pub fn step(&self) -> Result<Timestamp, StoreError> {
        self.store.still_there()?;
        self.store.look_for_room();
        Ok(self.clock.now().plus(EVERY))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{Clock, ManualClock};

    #[tokio::test]
    async fn a_file_that_was_replaced_or_deleted_ends_the_watch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("presence.db");
        let clock = ManualClock::default();
        let store = Store::open(&path, chrono_tz::UTC, Arc::new(clock.clone())).await.unwrap();
        let sentry = Sentry::new(store.clone(), Arc::new(clock.clone()));
        assert!(sentry.step().unwrap() <= clock.now().plus(Duration::from_secs(10)));
        let aside = folder.path().join("aside");
        std::fs::rename(&path, &aside).unwrap();
        assert!(matches!(sentry.step(), Err(StoreError::Replaced { .. })));
        std::fs::copy(&aside, &path).unwrap();
        assert!(matches!(sentry.step(), Err(StoreError::Replaced { .. })), "another file of the same bytes");
        std::fs::rename(&aside, &path).unwrap();
        sentry.step().unwrap();
        store.close().await.unwrap();
    }
}
