//! When nobody could look for a reason of our own.
//!
//! Guards: such a stretch is kept for every organisation that is watched. Deliberately not here: gaps of one organisation
//! (`accounts`), closed windows (`notices`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use super::{Store, StoreError};
use crate::time::Timestamp;

const NOTE: &str = "INSERT INTO gaps (org, person_id, from_ms, to_ms, why) \
    SELECT DISTINCT org, NULL, ?1, ?2, ?3 FROM people WHERE watched = 1";

impl Store {
    /// Notes that nobody was looked at, in any organisation.
    pub async fn note_pause(
        &self,
        from: Timestamp,
        to: Timestamp,
        why: &'static str,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            Box::pin(async move {
                let note = sqlx::query(NOTE).bind(from.as_ms()).bind(to.as_ms()).bind(why);
                note.execute(connection).await?;
                Ok(())
            })
        })
        .await
    }
}
