//! Events that DingTalk pushed, by organisation and month.
//!
//! Guards: an event is counted before it is acknowledged, so the stored number is never too low. Not here: what an event
//! says (`stream`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::SqlitePool;

use super::StoreError;
use super::database::Database;
use crate::ids::OrgName;

const ADD: &str = "INSERT INTO push_messages (org, month, messages) VALUES (?1, ?2, 1) \
    ON CONFLICT (org, month) DO UPDATE SET messages = messages + 1";
const NEWEST: &str = "SELECT org, max(month) AS month, messages FROM push_messages GROUP BY org ORDER BY org";

/// Events that DingTalk pushed, by organisation and month.
#[derive(Clone, Copy, Debug)]
pub struct PushMessages<'s> {
    pub(super) database: &'s Database,
}

/// The events of one month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushMonth {
    /// The organisation.
    pub org: String,
    /// `2026-11`
    pub month: String,
    /// The events that were pushed, repeats included.
    pub messages: i64,
}

impl PushMessages<'_> {
    /// Counts one event of a month (`2026-11`).
    pub async fn add(self, org: OrgName, month: String) -> Result<(), StoreError> {
        self.database
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(ADD).bind(org.as_str()).bind(month).execute(connection).await?;
                    Ok(())
                })
            })
            .await
    }
}

/// The newest month of each organisation that was ever pushed something.
pub(super) async fn newest(readers: &SqlitePool) -> Result<Vec<PushMonth>, StoreError> {
    let rows: Vec<(String, String, i64)> = sqlx::query_as(NEWEST).fetch_all(readers).await?;
    Ok(rows.into_iter().map(|(org, month, messages)| PushMonth { org, month, messages }).collect())
}
