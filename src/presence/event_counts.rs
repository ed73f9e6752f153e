//! Number of events emitted so far about one user, by type. The count is part of the next event's id.
//!
//! Guards: no heap memory, so that a hundred thousand idle users stay small; the JSON holds only non-zero counts, by
//! name, so that new types can be added. Deliberately not here: the counts of `system.*` events (`store`).

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;

use super::event::EventType;

/// One count for each [`EventType`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EventCounts([u32; EventType::ALL.len()]);

impl EventCounts {
    /// Adds one to a count and returns the count before.
    pub(super) fn increment(&mut self, event_type: EventType) -> u32 {
        let count = &mut self.0[event_type as usize];
        let before = *count;
        *count = count.saturating_add(1);
        before
    }

    pub(super) fn get(&self, event_type: EventType) -> u32 {
        self.0[event_type as usize]
    }

    /// All counts are zero.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|&count| count == 0)
    }
}

impl Serialize for EventCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for &event_type in EventType::ALL {
            if self.get(event_type) > 0 {
                map.serialize_entry(event_type.name(), &self.get(event_type))?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for EventCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = BTreeMap::<String, u32>::deserialize(deserializer)?;
        let mut counts = Self::default();
        for &event_type in EventType::ALL {
            counts.0[event_type as usize] = named.get(event_type.name()).copied().unwrap_or(0);
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_non_zero_counts_are_stored() {
        let mut counts = EventCounts::default();
        assert!(counts.is_empty());
        assert_eq!(counts.increment(EventType::WatchStale), 0);
        assert_eq!(counts.increment(EventType::WatchStale), 1);
        let json = serde_json::to_string(&counts).unwrap();
        assert_eq!(json, r#"{"watch.stale":2}"#);
        assert_eq!(serde_json::from_str::<EventCounts>(&json).unwrap(), counts);
        assert!(serde_json::from_str::<EventCounts>(r#"{"of.a.later.release":3}"#).unwrap().is_empty());
    }
}
