//! The body of a good answer, leniently: JSON bytes in, [`Observation`] out.
//!
//! Guards: no answer panics; odd ones are [`Fault::Malformed`] with the place; a foreign body is never "no meetings";
//! a record of somebody else spoils the whole answer. One pass over the bytes, ids borrowed from them. Deliberately
//! not here: which record belongs to which meeting (`unite`), the HTTP status and what an error means (`classify`).
//!
//! Field names, types and the open questions are those of DingTalk's page "Query the list of ongoing meetings for a
//! user" (`GET /v1.0/conference/users/lists`), whose own sample lacks `attendStatus` and has the map key `key`.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::lenient::{Flag, Id, Number, Words};
use crate::ids::{ConferenceId, UnionId};
use crate::presence::attendance::{Attendance, Role};
use crate::presence::observation::{Evidence, Observation};
use crate::time::Timestamp;

mod unite;

/// The most meetings one answer may list or have records for. Nobody is in 200 meetings; more is somebody's mistake.
pub const MAX_CONFERENCES: usize = 200;
/// The most characters kept of a nick.
pub const MAX_NICK_CHARS: usize = 128;
/// The most characters kept of a device type.
pub const MAX_DEVICE_CHARS: usize = 64;
/// 9999-12-31T23:59:59.999Z: times beyond it (or before 1970) are not times.
const MAX_TIME_MS: i64 = 253_402_300_799_999;

/// Keys that never stand in a good answer. One of them at the top level makes the body foreign, whatever stands
/// beside it: errors of the gateway, of the legacy host and of the address ban can all come with a 2xx.
pub const FOREIGN_KEYS: [&str; 10] = [
    "errcode",
    "errmsg",
    "sub_code",
    "sub_msg",
    "code",
    "Code",
    "status",
    "punish",
    "error",
    "accessdenieddetail",
];

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// What it says.
    pub observation: Observation,
    /// How many things in it were out of range, of an unknown kind or twice, and were left out or carried as unknown.
    pub oddities: u32,
}

/// Why a body is not a good answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// One of [`FOREIGN_KEYS`] stands in it.
    #[error("the answer holds keys of an error or of another service")]
    Foreign,
    /// Not JSON, not complete, or not the documented shape: where. Quotes nothing of the body.
    #[error("{0}")]
    Malformed(String),
}

/// Reads a body that came with status 200 about `asked`.
pub fn observation(body: &[u8], asked: &UnionId, observed_at: Timestamp) -> Result<Parsed, Fault> {
    if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Fault::Malformed("the answer is not a JSON object".into()));
    }
    let top: Top<'_> = serde_json::from_slice(body).map_err(|e| malformed(&e))?;
    if top.foreign {
        return Err(Fault::Foreign);
    }
    if !top.known && !top.empty {
        return Err(Fault::Malformed("neither onGoingConfIdList nor memberModelMap is there".into()));
    }
    let evidence =
        if top.listed.is_some() && top.records.is_some() { Evidence::Explicit } else { Evidence::Weak };
    let mut oddities = 0;
    let entries = unite::entries(
        &top.listed.unwrap_or_default(),
        top.records.unwrap_or_default(),
        asked.as_str(),
        &mut oddities,
    )?;
    Ok(Parsed { observation: Observation { observed_at, entries, evidence }, oddities })
}

/// The marker in front of this file's own messages: whatever lacks it may quote the body and is not shown.
const OURS: &str = "answer: ";

pub(super) fn malformed(error: &serde_json::Error) -> Fault {
    let text = error.to_string();
    Fault::Malformed(match text.strip_prefix(OURS) {
        Some(ours) => ours.to_owned(),
        None => format!("not valid JSON at line {} column {}", error.line(), error.column()),
    })
}

pub(super) fn bad<E: de::Error>(what: &str) -> E {
    E::custom(format_args!("{OURS}{what}"))
}

/// Names the place of an error, unless a deeper place is named already.
fn at<E: de::Error>(place: &'static str) -> impl Fn(E) -> E {
    move |error| if error.to_string().starts_with(OURS) { error } else { bad(place) }
}

/// The whole body.
#[derive(Default)]
struct Top<'a> {
    listed: Option<Vec<Id<'a>>>,
    records: Option<Vec<(Id<'a>, Option<Record<'a>>)>>,
    /// At least one of the two documented keys stood there, be it with null.
    known: bool,
    /// `{}`.
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
                            top.listed = value.map_err(at("onGoingConfIdList is not a list"))?.map(|l| l.0);
                        }
                        "memberModelMap" => {
                            maps = maps.saturating_add(1);
                            let value = map.next_value::<Option<Records<'de>>>();
                            top.records = value.map_err(at("memberModelMap is not an object"))?.map(|r| r.0);
                        }
                        other => {
                            top.foreign |= FOREIGN_KEYS.contains(&other);
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                if lists > 1 || maps > 1 {
                    return Err(bad("a key stands there twice"));
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
                while let Some(id) = seq.next_element().map_err(at("onGoingConfIdList: not a text"))? {
                    if ids.len() == MAX_CONFERENCES {
                        return Err(bad("onGoingConfIdList is too long"));
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
                        return Err(bad("memberModelMap is too big"));
                    }
                    if records.iter().any(|(seen, _)| *seen == key) {
                        return Err(bad("memberModelMap: a key stands there twice"));
                    }
                    let value = map.next_value();
                    records.push((key, value.map_err(at("memberModelMap: not a record"))?));
                }
                Ok(Records(records))
            }
        }
        deserializer.deserialize_map(Maps)
    }
}

/// One member record as it stands there.
#[derive(Default)]
pub(super) struct Record<'a> {
    pub(super) union_id: Option<Id<'a>>,
    pub(super) conference_id: Option<Id<'a>>,
    nick: Option<Words<'a>>,
    device: Option<Words<'a>>,
    joined: Number,
    left: Number,
    duration: Number,
    status: Number,
    host: Flag,
    co_host: Flag,
    outer: Flag,
    pstn: Flag,
}

impl<'de: 'a, 'a> Deserialize<'de> for Record<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By hand, because a derived one would take an array for an object and `[]` for an empty record.
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Record<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record<'de>, A::Error> {
                let mut record = Record::default();
                let mut seen = 0_u16;
                while let Some(Id(key)) = map.next_key()? {
                    if let Some(field) = record.field(&key, &mut map)? {
                        if seen & (1 << field) != 0 {
                            return Err(bad("memberModelMap: a field stands there twice"));
                        }
                        seen |= 1 << field;
                    }
                }
                Ok(record)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl<'de> Record<'de> {
    /// Takes one field in; its number, when it is one of ours.
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<Option<u8>, A::Error> {
        macro_rules! take {
            ($number:literal, $field:ident, $name:literal) => {{
                self.$field = map.next_value().map_err(at(concat!(
                    "memberModelMap: ",
                    $name,
                    " is of the wrong kind"
                )))?;
                Some($number)
            }};
        }
        Ok(match key {
            "unionId" => take!(0, union_id, "unionId"),
            "conferenceId" => take!(1, conference_id, "conferenceId"),
            "userNick" => take!(2, nick, "userNick"),
            "deviceType" => take!(3, device, "deviceType"),
            "joinTime" => take!(4, joined, "joinTime"),
            "leaveTime" => take!(5, left, "leaveTime"),
            "duration" => take!(6, duration, "duration"),
            "attendStatus" => take!(7, status, "attendStatus"),
            "host" => take!(8, host, "host"),
            "coHost" => take!(9, co_host, "coHost"),
            "outerOrgMember" => take!(10, outer, "outerOrgMember"),
            "pstnJoin" => take!(11, pstn, "pstnJoin"),
            _ => {
                map.next_value::<IgnoredAny>()?;
                None
            }
        })
    }

    fn attendance(
        self,
        conference_id: ConferenceId,
        asked: &str,
        oddities: &mut u32,
    ) -> Result<Attendance, Fault> {
        if self.union_id.as_ref().is_some_and(|Id(theirs)| !theirs.is_empty() && theirs != asked) {
            return Err(Fault::Malformed("memberModelMap: the record of somebody else".into()));
        }
        Ok(self.told(conference_id, oddities))
    }

    /// The same, whoever it is about.
    pub(super) fn told(self, conference_id: ConferenceId, oddities: &mut u32) -> Attendance {
        let status = match self.status {
            Number::Absent => None,
            Number::Value(code) => Some(code),
            // No status at all would let the times decide; an unknown one decides nothing.
            Number::Odd => Some(i64::MIN),
        };
        if status.is_some_and(|code| !(1..=6).contains(&code)) {
            *oddities += 1;
        }
        let role = match (self.host.0, self.co_host.0) {
            (true, _) => Role::Host,
            (false, true) => Role::CoHost,
            (false, false) => Role::Attendee,
        };
        Attendance {
            conference_id,
            status: status.map(Into::into),
            joined: in_range(self.joined, oddities).filter(|&ms| ms != 0).map(Timestamp::from_ms),
            left: in_range(self.left, oddities).filter(|&ms| ms != 0).map(Timestamp::from_ms),
            duration_ms: in_range(self.duration, oddities),
            role,
            external: self.outer.0,
            by_phone: self.pstn.0,
            device: self.device.and_then(|words| words.clean(MAX_DEVICE_CHARS)),
            nick: self.nick.and_then(|words| words.clean(MAX_NICK_CHARS)),
        }
    }
}

/// A time or duration in milliseconds; what cannot be one is left out and counted.
pub(super) fn in_range(number: Number, oddities: &mut u32) -> Option<i64> {
    match number {
        Number::Absent => None,
        Number::Value(ms) if (0..=MAX_TIME_MS).contains(&ms) => Some(ms),
        Number::Value(_) | Number::Odd => {
            *oddities += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests;
