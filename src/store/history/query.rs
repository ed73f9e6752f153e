//! What answers are about: users, periods, pages.
//!
//! Guards: every answer has a limit. Deliberately not here: the statements.

use std::time::Duration;

use crate::time::Timestamp;

/// The most rows of one answer, whatever limit is requested.
pub const MAX_ROWS: u32 = 100_000;

/// Visits that began longer before a period are not found; no meeting lasts a month.
pub(super) const LONGEST_VISIT: Duration = Duration::from_hours(24 * 31);

/// The users that an answer is about; without anything all users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One user (`Person::person_id`).
    pub person_id: Option<i64>,
    /// Users of this organisation.
    pub org: Option<String>,
    /// Users who are in this group of the config.
    pub group: Option<String>,
}

/// Selects visits.
#[derive(Clone, Debug, Default)]
pub struct VisitQuery {
    /// Visits of these users.
    pub filter: Filter,
    /// Visits to this meeting.
    pub conference_id: Option<String>,
    /// Visits that ended at or after this, or go on.
    pub since: Option<Timestamp>,
    /// Visits that began before this.
    pub until: Option<Timestamp>,
    /// Visits before this one (join and id), in the order of their joins: the first one of the page before.
    pub before: Option<(Timestamp, String)>,
    /// The number of visits, at most [`MAX_ROWS`].
    pub limit: u32,
}

/// Selects events.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Events with a higher sequence, oldest first. `None`: the newest.
    pub after: Option<i64>,
    /// Events of this organisation.
    pub org: Option<String>,
    /// Events about one of these people (`Person::person_id`). An empty list matches no event.
    pub people: Option<Vec<i64>>,
    /// Events about users of this group.
    pub group: Option<String>,
    /// An exact type, or a pattern with `*`.
    pub event_type: Option<String>,
    /// Events that happened at or after this.
    pub since: Option<Timestamp>,
    /// Events that happened before this.
    pub until: Option<Timestamp>,
    /// The number of events, at most [`MAX_ROWS`].
    pub limit: u32,
}
