//! The daemon's own books: calls spent, events about nobody.
//!
//! Guards: the count of system events grows with the events themselves, in their transaction, because it is part of
//! the next one's id. Deliberately not here: when to spend (`policy`), what an alert is (`tasks`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use super::recording::Note;
use super::{Outgoing, Store, StoreError, Usage};
use crate::ids::OrgName;
use crate::presence::event::{EventType, NewEvent};

const USAGE: &str = "SELECT used, throttled FROM usage WHERE org = ?1 AND month = ?2";
const SET_USAGE: &str = "\
INSERT INTO usage (org, month, used, throttled, call_limit, projected) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
ON CONFLICT (org, month) DO UPDATE SET used = excluded.used, throttled = excluded.throttled, \
    call_limit = excluded.call_limit, projected = excluded.projected";
const COUNTS: &str = "SELECT counts FROM organisations WHERE org = ?1";
const SET_COUNTS: &str = "\
INSERT INTO organisations (org, counts) VALUES (?1, ?2) ON CONFLICT (org) DO UPDATE SET counts = excluded.counts";

/// The row of the daemon itself.
const DAEMON: &str = "";

type Counts = BTreeMap<EventType, u64>;

impl Store {
    /// Writes events about nobody (`system.*`, `webhook.test`). One whose id is stored already is left out.
    pub async fn record_system(&self, org: Option<OrgName>, events: Vec<Outgoing>) -> Result<(), StoreError> {
        self.note(Note::System { org, events }).await
    }

    /// How often each kind of system event was made for an organisation (`None`: the daemon): part of their ids.
    pub async fn system_counts(&self, org: Option<OrgName>) -> Result<Counts, StoreError> {
        let mut connection = self.readers().acquire().await?;
        counts(&mut connection, org.as_ref().map_or(DAEMON, OrgName::as_str)).await
    }

    /// The spending of a month (`2026-11`); nothing spent when nothing is known.
    pub async fn usage(&self, org: OrgName, month: String) -> Result<Usage, StoreError> {
        let row: Option<(i64, i64)> =
            sqlx::query_as(USAGE).bind(org.as_str()).bind(&month).fetch_optional(self.readers()).await?;
        // The columns have CHECK (>= 0), so nothing is ever cut off here.
        Ok(row.map_or_else(Usage::default, |(used, throttled)| Usage {
            used: used.try_into().unwrap_or(0),
            throttled: throttled.try_into().unwrap_or(0),
        }))
    }

    /// Sets the spending of a month; `used` includes calls reserved but not made yet, so that a crash never makes the
    /// count too low.
    pub async fn set_usage(
        &self,
        org: OrgName,
        month: String,
        usage: Usage,
        limit: Option<u64>,
        projected: Option<u64>,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
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

/// Adds what was just written to the counts; called inside its transaction.
pub(super) async fn count_system_events(
    connection: &mut SqliteConnection,
    written: &[(Option<&OrgName>, &NewEvent)],
) -> Result<(), StoreError> {
    let mut added: BTreeMap<&str, Counts> = BTreeMap::new();
    for (org, draft) in written.iter().filter(|(_, draft)| draft.identity.is_none()) {
        let org = org.map_or(DAEMON, OrgName::as_str);
        *added.entry(org).or_default().entry(draft.event_type).or_default() += 1;
    }
    for (org, added) in added {
        let mut total = counts(connection, org).await?;
        for (event_type, count) in added {
            *total.entry(event_type).or_default() += count;
        }
        let total = serde_json::to_string(&total)?;
        sqlx::query(SET_COUNTS).bind(org).bind(total).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn counts(connection: &mut SqliteConnection, org: &str) -> Result<Counts, StoreError> {
    let stored: Option<String> = sqlx::query_scalar(COUNTS).bind(org).fetch_optional(connection).await?;
    stored.map_or_else(
        || Ok(Counts::new()),
        |text| {
            serde_json::from_str(&text).map_err(|error| StoreError::Corrupt {
                table: "organisations",
                row: format!("'{org}'"),
                what: format!("counts is not what was written: {error}"),
            })
        },
    )
}

/// `SQLite` counts to 2^63; a budget beyond that is no budget.
fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
