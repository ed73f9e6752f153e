//! One member record of a good answer, and why a body is not a good answer.
//!
//! Guards: a field of the wrong kind is an error that names the field and quotes nothing; a field that is written twice is
//! an error; a number out of range is left out and counted. Not here: the lists and maps of records (`wire`), which record
//! belongs to which meeting (`merge`).

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::dingtalk::lenient::{DisplayText, Flag, Id, Number};
use crate::ids::ConferenceId;
use crate::presence::attendance::{Attendance, Role};
use crate::time::Timestamp;

/// The most meetings that one answer may list or have records for. A user is never in 200 meetings; more is a mistake.
pub const MAX_CONFERENCES: usize = 200;
/// The longest nick that is kept, in characters.
pub(super) const MAX_NICK_CHARS: usize = 128;
/// The longest device type that is kept, in characters.
const MAX_DEVICE_CHARS: usize = 64;
/// 9999-12-31T23:59:59.999Z. Numbers beyond it or before 1970 are not times.
const MAX_TIME_MS: i64 = 253_402_300_799_999;

/// Keys that no good answer has. One of them at the top level makes the body foreign, whatever else it holds, because
/// errors of the gateway, of the legacy host and of the address ban can all come with a 2xx status.
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

/// Why a body is not a good answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body has one of [`FOREIGN_KEYS`].
    #[error("the answer holds keys of an error or of another service")]
    Foreign,
    /// The body is not JSON, not complete or not in the documented form. The text names the place and quotes nothing.
    #[error("{0}")]
    Malformed(String),
}

/// Marks this file's own messages. Other messages may quote the body, so they are not shown.
const OURS: &str = "answer: ";

pub(in crate::dingtalk) fn malformed(error: &serde_json::Error) -> BodyError {
    let text = error.to_string();
    BodyError::Malformed(match text.strip_prefix(OURS) {
        Some(ours) => ours.to_owned(),
        None => format!("not valid JSON at line {} column {}", error.line(), error.column()),
    })
}

pub(super) fn invalid<E: de::Error>(what: &str) -> E {
    E::custom(format_args!("{OURS}{what}"))
}

/// Adds a place to an error, unless the error names a deeper place.
pub(super) fn at_place<E: de::Error>(place: &'static str) -> impl Fn(E) -> E {
    move |error| if error.to_string().starts_with(OURS) { error } else { invalid(place) }
}

/// One member record.
#[derive(Default)]
pub(in crate::dingtalk) struct Record<'a> {
    pub(in crate::dingtalk) union_id: Option<Id<'a>>,
    pub(in crate::dingtalk) conference_id: Option<Id<'a>>,
    nick: Option<DisplayText<'a>>,
    device: Option<DisplayText<'a>>,
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
        // A derived `Deserialize` would accept an array for an object, and `[]` for an empty record.
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
                            return Err(invalid("memberModelMap: a field appears twice"));
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
    /// Reads one field and returns its number, or `None` if the field is unknown.
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<Option<u8>, A::Error> {
        macro_rules! take {
            ($number:literal, $field:ident, $name:literal) => {{
                self.$field = map.next_value().map_err(at_place(concat!(
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

    pub(super) fn checked_attendance(
        self,
        conference_id: ConferenceId,
        asked: &str,
        oddities: &mut u32,
    ) -> Result<Attendance, BodyError> {
        if self.union_id.as_ref().is_some_and(|Id(owner)| !owner.is_empty() && owner != asked) {
            return Err(BodyError::Malformed("memberModelMap: a record of another user".into()));
        }
        Ok(self.into_attendance(conference_id, oddities))
    }

    /// The record as an attendance, without a check of the user.
    pub(in crate::dingtalk) fn into_attendance(
        self,
        conference_id: ConferenceId,
        oddities: &mut u32,
    ) -> Attendance {
        let status = match self.status {
            Number::Absent => None,
            Number::Value(code) => Some(code),
            // A broken status is kept as an unknown one. If it were dropped, the times would decide.
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

/// A time or duration in milliseconds. A number out of range is left out and counted.
pub(in crate::dingtalk) fn in_range(number: Number, oddities: &mut u32) -> Option<i64> {
    match number {
        Number::Absent => None,
        Number::Value(ms) if (0..=MAX_TIME_MS).contains(&ms) => Some(ms),
        Number::Value(_) | Number::Odd => {
            *oddities += 1;
            None
        }
    }
}
