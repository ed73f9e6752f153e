//! The rows of the reading statements.
//!
//! Guards: each column is read by its name and type. Deliberately not here: the statements.

use sqlx::{FromRow, Row};

use super::who::Person;
use crate::time::Timestamp;

/// The present state of a user; one row for each meeting the user is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPresence {
    /// Id of the row.
    pub person_id: i64,
    pub org: String,
    pub union_id: String,
    pub name: String,
    /// `inside`, `outside`, `unknown`.
    pub presence: String,
    /// Groups in the config.
    pub groups: Vec<String>,
    /// Whether the user is watched.
    pub watched: bool,
    /// Time of the newest successful poll.
    pub last_ok: Option<Timestamp>,
    /// When the next poll is due.
    pub next_poll: Option<Timestamp>,
    /// The open visit; `None`: in no meeting, as far as known.
    pub meeting: Option<OpenVisit>,
}

/// A visit that has not ended, as far as known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenVisit {
    /// `vis_...`
    pub visit_id: String,
    pub conference_id: String,
    /// Its title, if known.
    pub title: Option<String>,
    /// When it began, as reported.
    pub started: Option<Timestamp>,
    /// When the user joined.
    pub joined: Timestamp,
    /// `reported`, `observed`, `inferred`: how `joined` is known.
    pub join_basis: String,
    /// `attendee`, `co_host`, `host`.
    pub role: String,
    /// The newest device seen.
    pub device: Option<String>,
    /// Of another organisation.
    pub external: bool,
    /// By telephone.
    pub by_phone: bool,
}

/// Counts of the watch list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Watched users.
    pub watched: i64,
    /// Users in a meeting.
    pub inside: i64,
    /// Users whose presence is unknown.
    pub unknown: i64,
    /// Time of the newest successful poll of any user.
    pub last_ok: Option<Timestamp>,
}

/// A visit as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitRow {
    /// Id of the user's row.
    pub person_id: i64,
    /// The organisation.
    pub org: String,
    /// The unionId of the user.
    pub union_id: String,
    /// Name of the user in the config.
    pub name: String,
    /// `vis_...`
    pub visit_id: String,
    pub conference_id: String,
    /// The title of the meeting, if known.
    pub title: Option<String>,
    /// The n-th of this person to this meeting.
    pub ordinal: i64,
    /// When it began, as far as known.
    pub joined: Timestamp,
    /// `reported`, `observed`, `inferred`.
    pub join_basis: String,
    /// The join lies at or after this; `None`: not known.
    pub join_earliest: Option<Timestamp>,
    /// `None` while inside.
    pub left: Option<Timestamp>,
    /// Why it ended.
    pub left_reason: Option<String>,
    /// Where `left` comes from.
    pub leave_basis: Option<String>,
    /// The leave lies at or after this.
    pub leave_earliest: Option<Timestamp>,
    /// The leave lies at or before this.
    pub leave_latest: Option<Timestamp>,
    /// `attendee`, `co_host`, `host`.
    pub role: String,
    /// Of another organisation.
    pub external: bool,
    /// By telephone.
    pub by_phone: bool,
    /// The newest device seen.
    pub device: Option<String>,
    /// The newest nick seen.
    pub nick: Option<String>,
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    pub sequence: i64,
    /// `evt_...`
    pub id: String,
    pub event_type: String,
    /// `None`: about the daemon itself.
    pub org: Option<String>,
    /// Name of the user, by the present config.
    pub name: Option<String>,
    /// unionId of the user.
    pub union_id: Option<String>,
    pub conference_id: Option<String>,
    /// The title of the meeting, if known.
    pub title: Option<String>,
    /// When it happened, as far as known.
    pub time: Timestamp,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// The bytes that are signed and sent.
    pub body: String,
    /// A text of the row is not UTF-8 any more, so `body` may not be what was sent.
    pub is_damaged: bool,
}

/// When a user was polled, and with which errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthRow {
    pub org: String,
    pub union_id: String,
    pub name: String,
    /// `inside`, `outside`, `unknown`.
    pub presence: String,
    /// Time of the newest poll.
    pub last_poll: Option<Timestamp>,
    /// Time of the newest successful poll.
    pub last_ok: Option<Timestamp>,
    /// When the next poll is due.
    pub next_poll: Option<Timestamp>,
    /// Class and text of the newest failure.
    pub last_error: Option<String>,
    /// When it failed.
    pub last_error_at: Option<Timestamp>,
    /// Failures in the last 24 hours, to the hour.
    pub errors_24h: i64,
}

/// Calls of one month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRow {
    pub org: String,
    /// `2026-11`
    pub month: String,
    /// Calls charged or reserved.
    pub used: i64,
    /// Calls refused by a rate limit.
    pub throttled: i64,
    /// `None`: no limit.
    pub call_limit: Option<i64>,
    /// Expected calls at the end of the month.
    pub projected: Option<i64>,
}

type Stored = sqlx::sqlite::SqliteRow;

fn at(row: &Stored, column: &str) -> sqlx::Result<Timestamp> {
    row.try_get(column).map(Timestamp::from_ms)
}

fn maybe_at(row: &Stored, column: &str) -> sqlx::Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_ms))
}

/// Written by this program, so another content means no groups.
fn groups(row: &Stored) -> sqlx::Result<Vec<String>> {
    Ok(serde_json::from_str(&row.try_get::<String, _>("groups")?).unwrap_or_default())
}

impl FromRow<'_, Stored> for Person {
    fn from_row(row: &Stored) -> sqlx::Result<Self> {
        Ok(Self {
            person_id: row.try_get("person_id")?,
            org: row.try_get("org")?,
            union_id: row.try_get("union_id")?,
            name: row.try_get("name")?,
            watched: row.try_get("watched")?,
        })
    }
}

impl FromRow<'_, Stored> for UserPresence {
    fn from_row(row: &Stored) -> sqlx::Result<Self> {
        let meeting = match row.try_get::<Option<String>, _>("conference_id")? {
            Some(conference_id) => Some(OpenVisit {
                visit_id: row.try_get("visit_id")?,
                conference_id,
                title: row.try_get("title")?,
                started: maybe_at(row, "started_ms")?,
                joined: at(row, "joined_ms")?,
                join_basis: row.try_get("join_basis")?,
                role: row.try_get("role")?,
                device: row.try_get("device")?,
                external: row.try_get("external")?,
                by_phone: row.try_get("by_phone")?,
            }),
            None => None,
        };
        Ok(Self {
            person_id: row.try_get("person_id")?,
            org: row.try_get("org")?,
            union_id: row.try_get("union_id")?,
            name: row.try_get("name")?,
            presence: row.try_get("presence")?,
            groups: groups(row)?,
            watched: row.try_get("watched")?,
            last_ok: maybe_at(row, "last_ok_ms")?,
            next_poll: maybe_at(row, "next_poll_ms")?,
            meeting,
        })
    }
}

impl FromRow<'_, Stored> for Counts {
    fn from_row(row: &Stored) -> sqlx::Result<Self> {
        Ok(Self {
            watched: row.try_get("watched")?,
            inside: row.try_get("inside")?,
            unknown: row.try_get("unknown")?,
            last_ok: maybe_at(row, "last_ok_ms")?,
        })
    }
}

impl FromRow<'_, Stored> for VisitRow {
    fn from_row(row: &Stored) -> sqlx::Result<Self> {
        let (joined, join_basis) = (at(row, "joined_ms")?, row.try_get::<String, _>("join_basis")?);
        let seen_outside = maybe_at(row, "seen_outside_ms")?.map(|at| at.min(joined));
        Ok(Self {
            person_id: row.try_get("person_id")?,
            org: row.try_get("org")?,
            union_id: row.try_get("union_id")?,
            name: row.try_get("name")?,
            visit_id: row.try_get("visit_id")?,
            conference_id: row.try_get("conference_id")?,
            title: row.try_get("title")?,
            ordinal: row.try_get("ordinal")?,
            join_earliest: if join_basis == "reported" { Some(joined) } else { seen_outside },
            joined,
            join_basis,
            left: maybe_at(row, "left_ms")?,
            left_reason: row.try_get("left_reason")?,
            leave_basis: row.try_get("leave_basis")?,
            leave_earliest: maybe_at(row, "leave_earliest_ms")?,
            leave_latest: maybe_at(row, "leave_latest_ms")?,
            role: row.try_get("role")?,
            external: row.try_get("external")?,
            by_phone: row.try_get("by_phone")?,
            device: row.try_get("device")?,
            nick: row.try_get("nick")?,
        })
    }
}

impl FromRow<'_, Stored> for EventRow {
    fn from_row(row: &Stored) -> sqlx::Result<Self> {
        let (id, event_type, body) = (Text::of(row, "id")?, Text::of(row, "type")?, Text::of(row, "body")?);
        let (org, conference_id) = (Text::of(row, "org")?, Text::of(row, "conference_id")?);
        let is_damaged = [&id, &event_type, &body, &org, &conference_id].iter().any(|text| text.is_damaged);
        Ok(Self {
            sequence: row.try_get("sequence")?,
            id: id.text.unwrap_or_default(),
            event_type: event_type.text.unwrap_or_default(),
            org: org.text,
            // Of other tables, and not part of the event.
            name: Text::of(row, "name")?.text,
            union_id: Text::of(row, "union_id")?.text,
            conference_id: conference_id.text,
            title: Text::of(row, "title")?.text,
            time: at(row, "time_ms")?,
            recorded: at(row, "recorded_ms")?,
            body: body.text.unwrap_or_default(),
            is_damaged,
        })
    }
}

/// A text that is read also if the disk changed it, because one damaged row must not hide the others.
struct Text {
    text: Option<String>,
    is_damaged: bool,
}

impl Text {
    fn of(row: &Stored, column: &str) -> sqlx::Result<Self> {
        let bytes: Option<Vec<u8>> = row.try_get(column)?;
        Ok(match bytes.map(String::from_utf8).transpose() {
            Ok(text) => Self { text, is_damaged: false },
            Err(error) => {
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                Self { text: Some(text), is_damaged: true }
            }
        })
    }
}

impl FromRow<'_, Stored> for HealthRow {
    fn from_row(row: &Stored) -> sqlx::Result<Self> {
        Ok(Self {
            org: row.try_get("org")?,
            union_id: row.try_get("union_id")?,
            name: row.try_get("name")?,
            presence: row.try_get("presence")?,
            last_poll: maybe_at(row, "last_poll_ms")?,
            last_ok: maybe_at(row, "last_ok_ms")?,
            next_poll: maybe_at(row, "next_poll_ms")?,
            last_error: row.try_get("last_error")?,
            last_error_at: maybe_at(row, "last_error_ms")?,
            errors_24h: row.try_get("errors_24h")?,
        })
    }
}

impl FromRow<'_, Stored> for BudgetRow {
    fn from_row(row: &Stored) -> sqlx::Result<Self> {
        Ok(Self {
            org: row.try_get("org")?,
            month: row.try_get("month")?,
            used: row.try_get("used")?,
            throttled: row.try_get("throttled")?,
            call_limit: row.try_get("call_limit")?,
            projected: row.try_get("projected")?,
        })
    }
}
