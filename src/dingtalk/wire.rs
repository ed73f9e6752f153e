//! Reads the body of a good answer to the list call, leniently: JSON bytes in, [`Observation`] out.
//!
//! Guards: no answer causes a panic. A malformed one is a [`BodyError::Malformed`] with the place. A foreign body is never
//! "no meetings". A record of another user makes the whole answer invalid. The bytes are read once, and ids are borrowed
//! from them. Not here: a single record (`record`), which record belongs to which meeting (`merge`), the HTTP status and
//! what an error means (`classify`).
//!
//! Field names, types and open questions are those of DingTalk's page "Query the list of ongoing meetings for a user"
//! (`GET /v1.0/conference/users/lists`), whose sample lacks `attendStatus` and has the map key `key`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::lenient::Id;
use crate::ids::UnionId;
use crate::presence::observation::{Evidence, Observation};
use crate::time::Timestamp;

mod merge;
mod record;

pub use self::record::{BodyError, FOREIGN_KEYS, MAX_CONFERENCES};
pub(super) use self::record::{Record, in_range, malformed};
use self::record::{at_place, invalid};

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// What the answer says.
    pub observation: Observation,
    /// How many values were out of range, of an unknown kind or duplicates; they were left out or kept as unknown.
    pub oddities: u32,
}

/// Reads a body that came with status 200 about `asked`.
pub fn observation(body: &[u8], asked: &UnionId, observed_at: Timestamp) -> Result<Parsed, BodyError> {
    if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(BodyError::Malformed("the answer is not a JSON object".into()));
    }
    let top: Top<'_> = serde_json::from_slice(body).map_err(|e| malformed(&e))?;
    if top.foreign {
        return Err(BodyError::Foreign);
    }
    if !top.known && !top.empty {
        return Err(BodyError::Malformed("neither onGoingConfIdList nor memberModelMap is there".into()));
    }
    let evidence =
        if top.listed.is_some() && top.records.is_some() { Evidence::Explicit } else { Evidence::Weak };
    let mut oddities = 0;
    let entries = merge::entries(
        &top.listed.unwrap_or_default(),
        top.records.unwrap_or_default(),
        asked.as_str(),
        &mut oddities,
    )?;
    Ok(Parsed { observation: Observation { observed_at, entries, evidence }, oddities })
}

/// The whole body.
#[derive(Default)]
struct Top<'a> {
    listed: Option<Vec<Id<'a>>>,
    records: Option<Vec<(Id<'a>, Option<Record<'a>>)>>,
    /// Whether at least one of the two documented keys is present, even with null.
    known: bool,
    /// Whether the body is `{}`.
    empty: bool,
    foreign: bool,
}

impl<'de> Deserialize<'de> for Top<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tops;
        impl<'de> Visitor<'de> for Tops {
            type Value = Top<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top<'de>, A::Error> {
                let mut top = Top { empty: true, ..Top::default() };
                let (mut lists, mut maps) = (0_u8, 0_u8);
                while let Some(Id(key)) = map.next_key()? {
                    top.empty = false;
                    match &*key {
                        "onGoingConfIdList" => {
                            lists = lists.saturating_add(1);
                            let value = map.next_value::<Option<Listed<'de>>>();
                            top.listed =
                                value.map_err(at_place("onGoingConfIdList is not a list"))?.map(|l| l.0);
                        }
                        "memberModelMap" => {
                            maps = maps.saturating_add(1);
                            let value = map.next_value::<Option<Records<'de>>>();
                            top.records =
                                value.map_err(at_place("memberModelMap is not an object"))?.map(|r| r.0);
                        }
                        other => {
                            top.foreign |= FOREIGN_KEYS.contains(&other);
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                if lists > 1 || maps > 1 {
                    return Err(invalid("a key appears twice"));
                }
                top.known = lists + maps > 0;
                Ok(top)
            }
        }
        deserializer.deserialize_map(Tops)
    }
}

struct Listed<'a>(Vec<Id<'a>>);

impl<'de> Deserialize<'de> for Listed<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Lists;
        impl<'de> Visitor<'de> for Lists {
            type Value = Listed<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Listed<'de>, A::Error> {
                let mut ids = Vec::new();
                while let Some(id) = seq.next_element().map_err(at_place("onGoingConfIdList: not a text"))? {
                    if ids.len() == MAX_CONFERENCES {
                        return Err(invalid("onGoingConfIdList is too long"));
                    }
                    ids.push(id);
                }
                Ok(Listed(ids))
            }
        }
        deserializer.deserialize_seq(Lists)
    }
}

struct Records<'a>(Vec<(Id<'a>, Option<Record<'a>>)>);

impl<'de> Deserialize<'de> for Records<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Maps;
        impl<'de> Visitor<'de> for Maps {
            type Value = Records<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Records<'de>, A::Error> {
                let mut records: Vec<(Id<'de>, Option<Record<'de>>)> = Vec::new();
                while let Some(key) = map.next_key::<Id<'de>>()? {
                    if records.len() == MAX_CONFERENCES {
                        return Err(invalid("memberModelMap is too big"));
                    }
                    if records.iter().any(|(seen, _)| *seen == key) {
                        return Err(invalid("memberModelMap: a key appears twice"));
                    }
                    let value = map.next_value();
                    records.push((key, value.map_err(at_place("memberModelMap: not a record"))?));
                }
                Ok(Records(records))
            }
        }
        deserializer.deserialize_map(Maps)
    }
}

#[cfg(test)]
mod tests;
