//! When nobody looked, and why.
//!
//! Guards: the words for it are few and fixed, here and by a CHECK in the file; a stretch without looks that has a reason
//! of our own is kept for every organisation that is watched. Deliberately not here: closed windows (`notices`), what is
//! told to others about a gap (`tasks::alerts`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use serde::Serialize;

use super::{Store, StoreError};
use crate::ids::OrgName;
use crate::time::Timestamp;

const NOTE: &str =
    "INSERT INTO gaps (org, person_id, from_ms, to_ms, why, error) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const NOTE_ALL: &str = "INSERT INTO gaps (org, person_id, from_ms, to_ms, why) \
    SELECT DISTINCT org, NULL, ?1, ?2, ?3 FROM people WHERE watched = 1";
/// The newest kind of failure is what kept us from looking.
const NOTE_OWN: &str = "INSERT INTO gaps (org, person_id, from_ms, to_ms, why, error) \
    SELECT p.org, p.person_id, ?2, ?3, ?4, CASE WHEN ?4 = 'failed' THEN \
        (SELECT e.class FROM poll_errors AS e WHERE e.person_id = p.person_id ORDER BY e.hour_ms DESC LIMIT 1) END \
    FROM people AS p WHERE p.person_id = ?1";

/// Why nobody looked: the words in `gaps.why`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Why {
    /// Nobody meant to look: no window was open.
    #[serde(rename = "window closed")]
    WindowClosed,
    /// Nobody meant to look: a day off.
    #[serde(rename = "blackout")]
    Blackout,
    /// The daemon was down.
    #[serde(rename = "restart")]
    Restart,
    /// What was seen could not have been written down.
    #[serde(rename = "disk full")]
    DiskFull,
    /// The month's calls were spent.
    #[serde(rename = "budget")]
    Budget,
    /// DingTalk said to wait.
    #[serde(rename = "throttled")]
    Throttled,
    /// DingTalk banned this address.
    #[serde(rename = "banned")]
    Banned,
    /// Credentials, permission or the config.
    #[serde(rename = "auth")]
    Auth,
    /// DingTalk was ill or out of reach.
    #[serde(rename = "upstream")]
    Upstream,
    /// Looks at this person failed, others did not.
    #[serde(rename = "failed")]
    Failed,
    /// Looks came too late: the machine slept, or had too much to do.
    #[serde(rename = "late")]
    Late,
}

impl Why {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::WindowClosed,
        Self::Blackout,
        Self::Restart,
        Self::DiskFull,
        Self::Budget,
        Self::Throttled,
        Self::Banned,
        Self::Auth,
        Self::Upstream,
        Self::Failed,
        Self::Late,
    ];

    /// The word in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::WindowClosed => "window closed",
            Self::Blackout => "blackout",
            Self::Restart => "restart",
            Self::DiskFull => "disk full",
            Self::Budget => "budget",
            Self::Throttled => "throttled",
            Self::Banned => "banned",
            Self::Auth => "auth",
            Self::Upstream => "upstream",
            Self::Failed => "failed",
            Self::Late => "late",
        }
    }

    /// Whether nobody meant to look; else nobody could.
    pub fn is_planned(self) -> bool {
        matches!(self, Self::WindowClosed | Self::Blackout)
    }

    /// By its word.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.name() == name)
    }
}

/// Why, and the class of the error behind it, where there was one (`outage`, `ip_not_allowed`, ...).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Because {
    /// The word.
    pub why: Why,
    /// The class.
    pub error: Option<&'static str>,
}

impl From<Why> for Because {
    fn from(why: Why) -> Self {
        Self { why, error: None }
    }
}

impl Store {
    /// Notes a stretch of time in which nobody looked.
    pub async fn note_gap(
        &self,
        org: OrgName,
        person_id: Option<i64>,
        from: Timestamp,
        to: Timestamp,
        because: impl Into<Because>,
    ) -> Result<(), StoreError> {
        let Because { why, error } = because.into();
        self.write(move |connection| {
            Box::pin(async move {
                let note = sqlx::query(NOTE)
                    .bind(org.as_str())
                    .bind(person_id)
                    .bind(from.as_ms())
                    .bind(to.as_ms())
                    .bind(why.name())
                    .bind(error);
                note.execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Notes that one person was not looked at, while others were.
    pub async fn note_own_gap(
        &self,
        person_id: i64,
        from: Timestamp,
        to: Timestamp,
        why: Why,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            Box::pin(async move {
                let note = sqlx::query(NOTE_OWN).bind(person_id).bind(from.as_ms()).bind(to.as_ms());
                note.bind(why.name()).execute(connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Notes that nobody was looked at, in any organisation.
    pub async fn note_pause(&self, from: Timestamp, to: Timestamp, why: Why) -> Result<(), StoreError> {
        self.write(move |connection| {
            Box::pin(async move {
                let note = sqlx::query(NOTE_ALL).bind(from.as_ms()).bind(to.as_ms()).bind(why.name());
                note.execute(connection).await?;
                Ok(())
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_the_same_in_json_and_in_the_table() {
        for why in Why::ALL {
            assert_eq!(serde_json::json!(why), why.name());
            assert_eq!(Why::named(why.name()), Some(why));
        }
        assert_eq!(Why::named("elsewhere"), None);
    }
}
