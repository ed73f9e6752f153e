//! One successful answer about one person.
//!
//! Guards: the type that a failed, refused or foreign answer cannot become; its digest leaves out what ticks
//! (`duration`), so that "nothing changed" is one comparison. Deliberately not here: how it is parsed
//! (`dingtalk::wire`), what follows from it (`presence::diff`).

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::attendance::Attendance;
use crate::ids::ConferenceId;
use crate::time::Timestamp;

/// What one answer holds about one meeting.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A member record.
    Record(Attendance),
    /// The meeting is listed, but no member record came with it: presence there is unknown, not left.
    ListedOnly,
}

/// How much an answer without the meeting proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Both members were there.
    #[default]
    Explicit,
    /// `{}`, null or missing lists: "no meetings", but said weakly.
    Weak,
}

/// One fully understood answer about one person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// When the answer had arrived, by our clock.
    pub observed_at: Timestamp,
    /// Every meeting that was listed or had a record: the union of both.
    pub entries: BTreeMap<ConferenceId, Entry>,
    /// How strongly the absence of a meeting is said.
    pub evidence: Evidence,
}

impl Observation {
    /// A 64-bit digest of what can matter: everything but `observed_at` and each record's `duration`. Stable over
    /// processes and releases of the standard library (FNV-1a), because it is stored.
    pub fn digest(&self) -> i64 {
        let mut hasher = Fnv1a::default();
        self.evidence.hash(&mut hasher);
        for (conference, entry) in &self.entries {
            conference.as_str().hash(&mut hasher);
            match entry {
                Entry::ListedOnly => 0_u8.hash(&mut hasher),
                Entry::Record(record) => {
                    1_u8.hash(&mut hasher);
                    Attendance { duration_ms: None, ..record.clone() }.hash(&mut hasher);
                }
            }
        }
        hasher.finish().cast_signed()
    }
}

/// FNV-1a, 64 bits: small, fixed for ever. Not for adversaries: what it tells apart are one person's own answers.
#[derive(Debug)]
struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv1a {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
