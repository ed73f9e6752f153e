//! Merges listed ids and records: assigns each record to a meeting, and merges two records of one meeting.
//!
//! Guards: a record is never lost and never counted twice. Of two records, the one that says inside counts. An assignment
//! that had to be guessed is counted as an oddity. Not here: the JSON (`wire`), what a record says (`record`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use super::record::{BodyError, MAX_CONFERENCES, Record};
use crate::dingtalk::lenient::Id;
use crate::ids::ConferenceId;
use crate::presence::attendance::AttendancePhase;
use crate::presence::observation::Entry;

/// The union of listed ids and records. A record belongs to its own conference id, or else to its key if that is listed. One
/// id and one record belong together. Otherwise the key counts as the id.
pub(super) fn entries(
    listed: &[Id<'_>],
    records: Vec<(Id<'_>, Option<Record<'_>>)>,
    asked: &str,
    oddities: &mut u32,
) -> Result<BTreeMap<ConferenceId, Entry>, BodyError> {
    let mut entries = BTreeMap::new();
    for id in listed {
        entries.insert(conference(&id.0, "onGoingConfIdList")?, Entry::ListedOnly);
    }
    let sole = if entries.len() == 1 && records.len() == 1 { entries.keys().next().cloned() } else { None };
    for (key, record) in records {
        let own = record.as_ref().and_then(|r| r.conference_id.as_ref()).filter(|id| !id.0.is_empty());
        let id = if let Some(own) = own {
            conference(&own.0, "memberModelMap: conferenceId")?
        } else if entries.contains_key(&*key.0) {
            conference(&key.0, "memberModelMap: a key")?
        } else if let Some(sole) = &sole {
            sole.clone()
        } else {
            *oddities += 1;
            conference(&key.0, "memberModelMap: a key")?
        };
        let entry = match record {
            Some(record) => Entry::Record(record.checked_attendance(id.clone(), asked, oddities)?),
            // Like an id without a record, it leaves presence unknown; it does not mean that the user left.
            None => Entry::ListedOnly,
        };
        put(&mut entries, id, entry, oddities);
    }
    if entries.len() > MAX_CONFERENCES {
        return Err(BodyError::Malformed(format!("more than {MAX_CONFERENCES} meetings")));
    }
    Ok(entries)
}

fn conference(text: &str, place: &str) -> Result<ConferenceId, BodyError> {
    ConferenceId::parse(text).map_err(|error| BodyError::Malformed(format!("{place} {error}")))
}

/// Merges two records of one meeting (perhaps several devices): the one that says inside counts.
fn put(entries: &mut BTreeMap<ConferenceId, Entry>, id: ConferenceId, entry: Entry, oddities: &mut u32) {
    fn weight(entry: &Entry) -> u8 {
        match entry {
            Entry::ListedOnly => 0,
            Entry::Record(record) => match record.phase() {
                AttendancePhase::Outside => 1,
                AttendancePhase::Unknown => 2,
                AttendancePhase::Pending => 3,
                AttendancePhase::Inside => 4,
            },
        }
    }
    match entries.entry(id) {
        Slot::Vacant(slot) => {
            slot.insert(entry);
        }
        Slot::Occupied(mut slot) => {
            if matches!((slot.get(), &entry), (Entry::Record(_), Entry::Record(_))) {
                *oddities += 1;
            }
            if weight(&entry) > weight(slot.get()) {
                slot.insert(entry);
            }
        }
    }
}
