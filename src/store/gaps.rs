//! Gaps: time without polls, and its reason.
//!
//! Guards: the reasons are a fixed set of words, here and in a CHECK of the table; a gap whose reason is in this daemon
//! is stored for every organisation with watched users; a closed window is stored once, also when the daemon restarts
//! within it. Deliberately not here: events about a gap (`tasks::alerts`), gaps that go on (`open_gaps`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use serde::Serialize;

use super::StoreError;
use super::bulk::bulk;
use super::database::Database;
use crate::ids::OrgName;
use crate::time::Timestamp;

const NOTE_CLOSED: &str = "\
INSERT INTO gaps (org, person_id, from_ms, to_ms, why) \
SELECT value ->> 'org', value ->> 'person', value ->> 'from', value ->> 'to', value ->> 'why' FROM jsonb_each(?1) \
WHERE (value ->> 'person' IS NULL OR EXISTS (SELECT 1 FROM people WHERE person_id = value ->> 'person')) \
    AND NOT EXISTS (SELECT 1 FROM gaps AS known WHERE known.org = value ->> 'org' \
    AND known.person_id IS (value ->> 'person') AND known.why = value ->> 'why' AND known.to_ms = value ->> 'to')";

const NOTE: &str =
    "INSERT INTO gaps (org, person_id, from_ms, to_ms, why, error) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const NOTE_ALL: &str = "INSERT INTO gaps (org, person_id, from_ms, to_ms, why) \
    SELECT DISTINCT org, NULL, ?1, ?2, ?3 FROM people WHERE watched = 1";
/// The error is the newest class of failed polls.
const NOTE_OWN: &str = "INSERT INTO gaps (org, person_id, from_ms, to_ms, why, error) \
    SELECT p.org, p.person_id, ?2, ?3, ?4, CASE WHEN ?4 = 'failed' THEN \
        (SELECT e.class FROM poll_errors AS e WHERE e.person_id = p.person_id ORDER BY e.hour_ms DESC LIMIT 1) END \
    FROM people AS p WHERE p.person_id = ?1";

/// Why there were no polls: the words in `gaps.why`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Why {
    /// Planned: no window was open.
    #[serde(rename = "window closed")]
    WindowClosed,
    /// Planned: a day off.
    #[serde(rename = "blackout")]
    Blackout,
    /// The daemon was down.
    #[serde(rename = "restart")]
    Restart,
    /// The disk was full, so results could not have been stored.
    #[serde(rename = "disk full")]
    DiskFull,
    /// The month's calls were spent.
    #[serde(rename = "budget")]
    Budget,
    /// DingTalk limited the request rate.
    #[serde(rename = "throttled")]
    Throttled,
    /// DingTalk banned this address.
    #[serde(rename = "banned")]
    Banned,
    /// Wrong credentials, missing permission or a wrong config.
    #[serde(rename = "auth")]
    Auth,
    /// DingTalk failed or was unreachable.
    #[serde(rename = "upstream")]
    Upstream,
    /// Polls of this user failed, those of others did not.
    #[serde(rename = "failed")]
    Failed,
    /// Polls came too late: the machine was suspended or overloaded.
    #[serde(rename = "late")]
    Late,
}

impl Why {
    /// All reasons.
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

    /// The word in the table and in JSON.
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

    /// Whether no polls were planned; otherwise polls were not possible.
    pub fn is_planned(self) -> bool {
        matches!(self, Self::WindowClosed | Self::Blackout)
    }

    /// The reason with this word.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.name() == name)
    }
}

/// A reason, and the class of the error behind it, if any (`outage`, `ip_not_allowed`, ...).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Because {
    pub why: Why,
    /// The class of the error.
    pub error: Option<&'static str>,
}

impl From<Why> for Because {
    fn from(why: Why) -> Self {
        Self { why, error: None }
    }
}

/// A closed window or a day off: planned time without polls.
#[derive(Clone, Debug, Serialize)]
pub struct ClosedTime {
    pub org: OrgName,
    /// `None`: all users of the organisation.
    pub person: Option<i64>,
    /// When it closed.
    pub from: Timestamp,
    /// When it opens again.
    pub to: Timestamp,
    /// A closed window, or a day off.
    pub why: Why,
}

/// Gaps: time without polls, and its reason.
#[derive(Clone, Copy, Debug)]
pub struct Gaps<'s> {
    pub(super) database: &'s Database,
}

impl Gaps<'_> {
    /// Records a gap.
    pub async fn note(
        self,
        org: OrgName,
        person_id: Option<i64>,
        from: Timestamp,
        to: Timestamp,
        because: impl Into<Because>,
    ) -> Result<(), StoreError> {
        let Because { why, error } = because.into();
        self.database
            .writer
            .write(move |connection| {
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

    /// Records a gap of one user, while others were polled.
    pub async fn note_of_user(
        self,
        person_id: i64,
        from: Timestamp,
        to: Timestamp,
        why: Why,
    ) -> Result<(), StoreError> {
        self.database
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    let note = sqlx::query(NOTE_OWN).bind(person_id).bind(from.as_ms()).bind(to.as_ms());
                    note.bind(why.name()).execute(connection).await?;
                    Ok(())
                })
            })
            .await
    }

    /// Records a gap of all users of all organisations.
    pub async fn note_for_all(self, from: Timestamp, to: Timestamp, why: Why) -> Result<(), StoreError> {
        self.database
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    let note = sqlx::query(NOTE_ALL).bind(from.as_ms()).bind(to.as_ms()).bind(why.name());
                    note.execute(connection).await?;
                    Ok(())
                })
            })
            .await
    }

    /// Records planned time without polls; rows that are stored already stay as they are.
    pub async fn note_closed(self, closed: Vec<ClosedTime>) -> Result<(), StoreError> {
        self.database
            .writer
            .write(move |connection| {
                Box::pin(async move {
                    bulk(connection, NOTE_CLOSED, &closed).await?;
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
