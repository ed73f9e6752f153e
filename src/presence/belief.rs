//! What is believed about one person between two polls.
//!
//! Guards: a belief is the whole input of the next diff, so it can be stored and taken up again after a crash.
//! Deliberately not here: how it changes (`presence::diff`).

use serde::{Deserialize, Serialize};

/// Whether somebody is in a meeting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Not known: `in_meeting` is null.
    #[default]
    Unknown,
    /// At least one visit is open: `in_meeting` is true.
    Inside,
    /// None is: `in_meeting` is false.
    Outside,
}

impl Presence {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Inside => "inside",
            Self::Outside => "outside",
        }
    }
}

/// What is believed about one person. `Belief::default()` = never looked at. Stored as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Belief {
    /// In a meeting or not.
    pub presence: Presence,
}
