//! What the poller keeps of itself beside looks: which alerts fire, and when windows were closed.
//!
//! Guards: a stretch of closed time is kept once, also when the daemon restarts within it. Deliberately not here: events
//! (`recording`), other gaps (`accounts`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use serde::Serialize;

use super::bulk::bulk;
use super::gaps::Why;
use super::{Store, StoreError};
use crate::ids::OrgName;
use crate::time::Timestamp;

/// The newest turn of each alert within the month before the newest event; `events_by_time` makes it a short read. The newest
/// event is the last one written: after the clock was set back, others have later times.
const FIRING: &str = "\
SELECT org, body ->> '$.data.alert.name', body ->> '$.data.alert.state', max(sequence) FROM events \
WHERE type = 'system.alert' \
    AND recorded_ms > (SELECT recorded_ms FROM events ORDER BY sequence DESC LIMIT 1) - 31 * 86400000 \
GROUP BY 1, 2";
const NOTE_CLOSED: &str = "\
INSERT INTO gaps (org, person_id, from_ms, to_ms, why) \
SELECT value ->> 'org', value ->> 'person', value ->> 'from', value ->> 'to', value ->> 'why' FROM jsonb_each(?1) \
WHERE (value ->> 'person' IS NULL OR EXISTS (SELECT 1 FROM people WHERE person_id = value ->> 'person')) \
    AND NOT EXISTS (SELECT 1 FROM gaps AS known WHERE known.org = value ->> 'org' \
    AND known.person_id IS (value ->> 'person') AND known.why = value ->> 'why' AND known.to_ms = value ->> 'to')";

/// A stretch without looks that was meant to be one.
#[derive(Clone, Debug, Serialize)]
pub struct Closed {
    /// Whose.
    pub org: OrgName,
    /// `None`: everybody of the organisation.
    pub person: Option<i64>,
    /// When it closed.
    pub from: Timestamp,
    /// When it opens again.
    pub to: Timestamp,
    /// A closed window, or a day off.
    pub why: Why,
}

impl Store {
    /// The alerts whose newest turn was to firing, by organisation (`None`: the daemon) and name.
    pub async fn firing_alerts(&self) -> Result<Vec<(Option<OrgName>, String)>, StoreError> {
        let rows: Vec<(Option<String>, String, String, i64)> =
            sqlx::query_as(FIRING).fetch_all(self.readers()).await?;
        let firing = rows.into_iter().filter(|(.., state, _)| state == "firing");
        // A name that does not parse any more is of no organisation there is.
        Ok(firing
            .filter_map(|(org, name, ..)| match org {
                None => Some((None, name)),
                Some(org) => OrgName::parse(&org).ok().map(|org| (Some(org), name)),
            })
            .collect())
    }

    /// Notes stretches of closed time; one that is known already is left as it is.
    pub async fn note_closed(&self, closed: Vec<Closed>) -> Result<(), StoreError> {
        self.write(move |connection| {
            Box::pin(async move {
                bulk(connection, NOTE_CLOSED, &closed).await?;
                Ok(())
            })
        })
        .await
    }
}
