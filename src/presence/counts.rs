//! How many events of each type there were about one person: part of the next ones' ids.
//!
//! Guards: no heap, so that a hundred thousand idle people cost little; in JSON only what is not zero, by name, so
//! that the catalogue may grow. Deliberately not here: the counts of `system.*` (`store`).

use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;

use super::event::EventType;

/// A count for each type of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts([u32; EventType::ALL.len()]);

impl Counts {
    /// How many there were, and one more from now on.
    pub(super) fn take(&mut self, event_type: EventType) -> u32 {
        let count = &mut self.0[event_type as usize];
        let before = *count;
        *count = count.saturating_add(1);
        before
    }

    /// How many there were.
    pub(super) fn get(&self, event_type: EventType) -> u32 {
        self.0[event_type as usize]
    }

    /// None at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|&count| count == 0)
    }
}

impl Serialize for Counts {
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

impl<'de> Deserialize<'de> for Counts {
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
    fn only_what_is_not_zero_is_stored() {
        let mut counts = Counts::default();
        assert!(counts.is_empty());
        assert_eq!(counts.take(EventType::WatchStale), 0);
        assert_eq!(counts.take(EventType::WatchStale), 1);
        let json = serde_json::to_string(&counts).unwrap();
        assert_eq!(json, r#"{"watch.stale":2}"#);
        assert_eq!(serde_json::from_str::<Counts>(&json).unwrap(), counts);
        assert!(serde_json::from_str::<Counts>(r#"{"of.a.later.release":3}"#).unwrap().is_empty());
    }
}
