//! The outbox of an open database: deliveries are taken and written back.
//!
//! Guards: a turn of the dispatcher is one transaction; long work is done in portions, so that other writes do not
//! wait. Deliberately not here: the statements (`claim`, `turn`), sending again (`replay`), reading (`reader`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::sync::Arc;

use super::types::{Ask, Attempted, Claimed, Finished, Turn, TurnFailed, Turned};
use super::{claim, turn, webhook_state};
use crate::ids::WebhookName;
use crate::policy::delivery::Health;
use crate::store::StoreError;
use crate::store::database::Database;
use crate::time::{Timestamp, duration_ms};

const TESTED: &str = "\
INSERT INTO deliveries (webhook, org, person_id, sequence, trigger, state, attempts, next_ms, last_status, last_error, finished_ms) \
SELECT ?1, '', 0, sequence, 'test', ?3, 1, ?4, ?5, ?6, ?4 FROM events WHERE id = ?2";
const TESTED_ONCE: &str = "INSERT INTO attempts (delivery_id, nth, sent_ms, took_s, status, error) \
    VALUES (last_insert_rowid(), 1, ?1, ?2 / 1000.0, ?3, ?4)";

/// The outbox of an open database.
#[derive(Clone, Copy, Debug)]
pub struct Outbox<'s> {
    pub(in crate::store) database: &'s Database,
}

impl Outbox<'_> {
    /// Frees the leases of an earlier daemon. For the start only: the lock file guarantees that no other daemon sends.
    pub async fn free_leases(self) -> Result<u64, StoreError> {
        self.database.writer.write(|connection| Box::pin(turn::free_all(connection))).await
    }

    /// The health of every webhook that ever had a state.
    pub async fn webhook_states(self) -> Result<Vec<(WebhookName, Health)>, StoreError> {
        webhook_state::all(&mut *self.database.readers.acquire().await?).await
    }

    /// Writes back finished deliveries, then takes requested ones, in one transaction.
    pub async fn turn(self, turn: Turn) -> Result<Turned, TurnFailed> {
        let turn = Arc::new(turn);
        let shared = Arc::clone(&turn);
        let job = self
            .database
            .writer
            .write(move |connection| Box::pin(async move { turn::take_turn(connection, &shared).await }));
        let turned = job.await.map_err(|error| TurnFailed { error, turn: Arc::into_inner(turn) })?;
        self.database
            .disk_space
            .write_errors()
            .record_damaged_events(turned.granted.iter().flat_map(|granted| &granted.damaged));
        Ok(turned)
    }

    /// Takes up to `max` heads of free lanes that are ready at `now`.
    pub async fn claim(
        self,
        webhook: WebhookName,
        now: Timestamp,
        lease_until: Timestamp,
        max: u32,
    ) -> Result<Vec<Claimed>, StoreError> {
        let ask = Ask { webhook, max, run: 1, lease_until, probe: false };
        self.database
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    let granted = claim::grant(connection, std::slice::from_ref(&ask), now).await?;
                    Ok(granted.into_iter().flat_map(|one| one.claimed).collect())
                })
            })
            .await
    }

    /// Writes back finished deliveries; returns how many of them no longer existed.
    pub async fn finish(self, finished: Vec<Finished>) -> Result<u64, StoreError> {
        self.database
            .writer
            .write(move |connection| Box::pin(async move { turn::write_back(connection, &finished).await }))
            .await
    }

    /// When the next free lane of a webhook is ready; `None` when nothing waits.
    pub async fn next_ready(self, webhook: &WebhookName) -> Result<Option<Timestamp>, StoreError> {
        let ready = claim::next_ready(&mut *self.database.readers.acquire().await?, &[webhook]).await?;
        Ok(ready.into_iter().next().flatten())
    }

    /// Makes all pending deliveries of a webhook dead letters; returns their number. None of them may be in flight.
    pub async fn give_up_all(
        self,
        webhook: WebhookName,
        reason: String,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut given_up = 0;
        loop {
            let (webhook, reason) = (webhook.clone(), reason.clone());
            let some = self
                .database
                .writer
                .write(move |connection| {
                    Box::pin(async move { turn::give_up_some(connection, &webhook, &reason, at).await })
                })
                .await?;
            given_up += some;
            if some < turn::GIVEN_UP_AT_ONCE {
                return Ok(given_up);
            }
        }
    }

    /// Records a test that was sent at `at`, as ended whatever its result is.
    pub async fn record_test(
        self,
        webhook: WebhookName,
        event_id: String,
        accepted: bool,
        attempt: Attempted,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.database
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    let tested = sqlx::query(TESTED)
                        .bind(webhook.as_str())
                        .bind(event_id)
                        .bind(if accepted { "delivered" } else { "dead" })
                        .bind(at.as_ms())
                        .bind(attempt.status)
                        .bind(attempt.error.as_deref())
                        .execute(&mut *connection)
                        .await?;
                    if tested.rows_affected() == 1 {
                        sqlx::query(TESTED_ONCE)
                            .bind(at.minus(attempt.took).as_ms())
                            .bind(duration_ms(attempt.took))
                            .bind(attempt.status)
                            .bind(attempt.error)
                            .execute(connection)
                            .await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}
