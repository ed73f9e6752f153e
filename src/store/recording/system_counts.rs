//! How many system events of each type were created for each organisation.
//!
//! Guards: the counts grow in the transaction that writes the events, because a count is part of the next event's id.
//! Deliberately not here: the events (`events`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::collections::BTreeMap;

use sqlx::SqliteConnection;

use crate::ids::OrgName;
use crate::presence::event::{EventType, NewEvent};
use crate::store::StoreError;

const COUNTS: &str = "SELECT counts FROM organisations WHERE org = ?1";
const SET_COUNTS: &str = "\
INSERT INTO organisations (org, counts) VALUES (?1, ?2) ON CONFLICT (org) DO UPDATE SET counts = excluded.counts";

/// The row of the daemon itself.
const DAEMON: &str = "";

pub(in crate::store) type Counts = BTreeMap<EventType, u64>;

/// Adds events that were just written to the counts; runs inside their transaction.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    written: &[(Option<&OrgName>, &NewEvent)],
) -> Result<(), StoreError> {
    let mut added: BTreeMap<&str, Counts> = BTreeMap::new();
    for (org, draft) in written.iter().filter(|(_, draft)| draft.identity.is_none()) {
        *added.entry(row(*org)).or_default().entry(draft.event_type).or_default() += 1;
    }
    for (org, added) in added {
        let mut total = read_row(connection, org).await?;
        for (event_type, count) in added {
            *total.entry(event_type).or_default() += count;
        }
        let total = serde_json::to_string(&total)?;
        sqlx::query(SET_COUNTS).bind(org).bind(total).execute(&mut *connection).await?;
    }
    Ok(())
}

pub(in crate::store) async fn read(
    connection: &mut SqliteConnection,
    org: Option<&OrgName>,
) -> Result<Counts, StoreError> {
    read_row(connection, row(org)).await
}

fn row(org: Option<&OrgName>) -> &str {
    org.map_or(DAEMON, OrgName::as_str)
}

async fn read_row(connection: &mut SqliteConnection, org: &str) -> Result<Counts, StoreError> {
    let stored: Option<String> = sqlx::query_scalar(COUNTS).bind(org).fetch_optional(connection).await?;
    let parse = |text: String| {
        serde_json::from_str(&text).map_err(|error| {
            let what = format!("counts cannot be parsed: {error}");
            StoreError::corrupt("organisations", &format!("'{org}'"), what)
        })
    };
    stored.map_or_else(|| Ok(Counts::new()), parse)
}
