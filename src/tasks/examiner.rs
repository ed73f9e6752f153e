//! The examiner: looks through the whole database once, right after the start.
//!
//! Guards: damage that the quick look before the start does not see (an index that does not fit its table) ends the daemon
//! within seconds, before much is written; looking is beside everything else and ends at once when the daemon stops.
//! Deliberately not here: the look itself (`store::check`).

use tokio_util::sync::CancellationToken;

use crate::store::{Store, StoreError};

/// Looks once, then waits for `stop`; an error is damage.
pub async fn run(store: Store, stop: CancellationToken) -> Result<(), StoreError> {
    let told = stop.clone();
    match store.examine(move || !told.is_cancelled()).await {
        Ok(whole) => tracing::debug!(whole, "the database was looked through"),
        Err(error @ StoreError::DamagedInUse { .. }) => return Err(error),
        // That it could not be looked at is no damage.
        Err(error) => tracing::warn!(%error, "the database could not be looked through"),
    }
    stop.cancelled().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;

    #[tokio::test]
    async fn a_stop_ends_the_look_and_a_whole_file_ends_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("presence.db");
        let store = Store::open(&path, chrono_tz::UTC, Arc::new(ManualClock::default())).await.unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        run(store.clone(), stop).await.unwrap();
        assert!(store.examine(|| true).await.unwrap());
        store.close().await.unwrap();
    }
}
