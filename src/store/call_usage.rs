//! Calls to DingTalk, by organisation and month.
//!
//! Guards: the stored number is never too low. Deliberately not here: when to spend calls (`policy`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use super::database::Database;
use super::{StoreError, Usage};
use crate::ids::OrgName;

const USAGE: &str = "SELECT used, throttled FROM usage WHERE org = ?1 AND month = ?2";
const SET_USAGE: &str = "\
INSERT INTO usage (org, month, used, throttled, call_limit, projected) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
ON CONFLICT (org, month) DO UPDATE SET used = excluded.used, throttled = excluded.throttled, \
    call_limit = excluded.call_limit, projected = excluded.projected";

/// Calls to DingTalk, by organisation and month.
#[derive(Clone, Copy, Debug)]
pub struct CallUsage<'s> {
    pub(super) database: &'s Database,
}

impl CallUsage<'_> {
    /// Calls of a month (`2026-11`); zero if none are stored.
    pub async fn of_month(self, org: OrgName, month: String) -> Result<Usage, StoreError> {
        let row: Option<(i64, i64)> = sqlx::query_as(USAGE)
            .bind(org.as_str())
            .bind(&month)
            .fetch_optional(&self.database.readers)
            .await?;
        // The columns have CHECK (>= 0), so no value is truncated here.
        Ok(row.map_or_else(Usage::default, |(used, throttled)| Usage {
            used: used.try_into().unwrap_or(0),
            throttled: throttled.try_into().unwrap_or(0),
        }))
    }

    /// Sets the calls of a month. `used` includes calls that are reserved but not made yet, so that a crash never makes
    /// the count too low.
    pub async fn set(
        self,
        org: OrgName,
        month: String,
        usage: Usage,
        limit: Option<u64>,
        projected: Option<u64>,
    ) -> Result<(), StoreError> {
        self.database
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(SET_USAGE)
                        .bind(org.as_str())
                        .bind(month)
                        .bind(integer(usage.used))
                        .bind(integer(usage.throttled))
                        .bind(limit.map(integer))
                        .bind(projected.map(integer))
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await
    }
}

/// SQLite's integers end at 2^63; larger limits have no effect.
fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
