//! Why users are not polled at this moment, for whoever reads the history by hand (`v_gaps`).
//!
//! Guards: only what changed is written; a user who was erased meanwhile gets no row. Deliberately not here: the words, and
//! gaps that are over (`gaps`); when a reason begins and ends (`tasks::poller`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use super::bulk::bulk;
use super::gaps::Because;
use super::{Store, StoreError};
use crate::ids::OrgName;
use crate::time::Timestamp;

const CLEAR: &str = "DELETE FROM open_gaps";
const END: &str = "DELETE FROM open_gaps WHERE (org, coalesce(person_id, 0)) IN \
    (SELECT value ->> 0, coalesce(value ->> 1, 0) FROM jsonb_each(?1))";
const BEGIN: &str = "INSERT OR REPLACE INTO open_gaps (org, person_id, from_ms, why, error) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM jsonb_each(?1) \
    WHERE value ->> 1 IS NULL OR value ->> 1 IN (SELECT person_id FROM people)";

/// Whose polls are missing: an organisation's, or those of one of its users.
pub type Whose = (OrgName, Option<i64>);

/// A gap that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenGap {
    /// The last good poll before it.
    pub from: Timestamp,
    /// Its reason.
    pub because: Because,
}

/// What is different from what was written last.
#[derive(Clone, Debug, Default)]
pub struct OpenGaps {
    /// Rows of an earlier daemon are removed first.
    pub anew: bool,
    /// Gaps that go on no longer.
    pub ended: Vec<Whose>,
    /// Gaps that began, or have another reason than before.
    pub begun: Vec<(Whose, OpenGap)>,
}

impl Store {
    /// Writes which gaps go on.
    pub async fn keep_open_gaps(&self, gaps: OpenGaps) -> Result<(), StoreError> {
        let OpenGaps { anew, ended, begun } = gaps;
        self.write(move |connection| {
            Box::pin(async move {
                if anew {
                    sqlx::query(CLEAR).execute(&mut *connection).await?;
                }
                let ended: Vec<_> = ended.iter().map(|(org, person)| (org.as_str(), person)).collect();
                bulk(connection, END, &ended).await?;
                let rows: Vec<_> = begun
                    .iter()
                    .map(|((org, person), OpenGap { from, because })| {
                        (org.as_str(), person, from.as_ms(), because.why.name(), because.error)
                    })
                    .collect();
                bulk(connection, BEGIN, &rows).await?;
                Ok(())
            })
        })
        .await
    }
}
