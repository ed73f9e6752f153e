//! Gaps that go on: why users are not polled at this moment, for the view `v_gaps`.
//!
//! Guards: only changes are written; an erased user gets no row. Deliberately not here: the reasons, and gaps that are
//! over (`gaps`); when a reason begins and ends (`tasks::poller`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use super::StoreError;
use super::bulk::bulk;
use super::gaps::{Because, Gaps};
use crate::ids::OrgName;
use crate::time::Timestamp;

const CLEAR: &str = "DELETE FROM open_gaps";
const END: &str = "DELETE FROM open_gaps WHERE (org, coalesce(person_id, 0)) IN \
    (SELECT value ->> 0, coalesce(value ->> 1, 0) FROM jsonb_each(?1))";
const BEGIN: &str = "INSERT OR REPLACE INTO open_gaps (org, person_id, from_ms, why, error) \
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM jsonb_each(?1) \
    WHERE value ->> 1 IS NULL OR value ->> 1 IN (SELECT person_id FROM people)";

/// Subject of a gap: an organisation, or one of its users.
pub type Whose = (OrgName, Option<i64>);

/// A gap that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenGap {
    /// The last good poll before it.
    pub from: Timestamp,
    pub because: Because,
}

/// Changes since the last write.
#[derive(Clone, Debug, Default)]
pub struct OpenGaps {
    /// Remove the rows of an earlier daemon first.
    pub reset: bool,
    pub ended: Vec<Whose>,
    /// Gaps that began, or have another reason than before.
    pub begun: Vec<(Whose, OpenGap)>,
}

impl Gaps<'_> {
    /// Writes which gaps began and ended.
    pub async fn save_open(self, gaps: OpenGaps) -> Result<(), StoreError> {
        let OpenGaps { reset, ended, begun } = gaps;
        self.database
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    if reset {
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
