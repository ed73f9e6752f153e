//! One successful answer about one person.
//!
//! Guards: the type that a failed, refused or foreign answer cannot become; its digest leaves out what ticks
//! (`duration`), so that "nothing changed" is one comparison. Deliberately not here: how it is parsed
//! (`dingtalk::wire`), what follows from it (`presence::diff`).

use std::collections::BTreeMap;

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
    /// Without any `userNick`: for those who do not store it (`privacy.store_nick = false`).
    #[must_use]
    pub fn without_nicks(mut self) -> Self {
        for entry in self.entries.values_mut() {
            if let Entry::Record(record) = entry {
                record.nick = None;
            }
        }
        self
    }

    /// A 64-bit digest of what can matter: everything but `observed_at` and each record's `duration`. Field by field,
    /// because it is stored: no release of the standard library can change it.
    pub fn digest(&self) -> i64 {
        let mut digest = Fnv1a::new();
        digest.byte(match self.evidence {
            Evidence::Explicit => 0,
            Evidence::Weak => 1,
        });
        for (conference, entry) in &self.entries {
            digest.text(conference.as_str());
            match entry {
                Entry::ListedOnly => digest.byte(0),
                Entry::Record(record) => {
                    digest.byte(1);
                    digest.record(record);
                }
            }
        }
        digest.0.cast_signed()
    }
}

/// FNV-1a, 64 bits: small, fixed for ever. Not for adversaries: what it tells apart are one person's own answers.
#[derive(Debug)]
struct Fnv1a(u64);

impl Fnv1a {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.byte(byte);
        }
    }

    fn text(&mut self, text: &str) {
        self.bytes(&(text.len() as u64).to_be_bytes());
        self.bytes(text.as_bytes());
    }

    /// Absent differs from every number and every text.
    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// Taken apart by name: a new field does not compile until it is decided whether it matters.
    fn record(&mut self, record: &Attendance) {
        let Attendance {
            conference_id,
            status,
            joined,
            left,
            duration_ms: _,
            role,
            external,
            by_phone,
            device,
            nick,
        } = record;
        let number = |digest: &mut Self, number: i64| digest.bytes(&number.to_be_bytes());
        self.text(conference_id.as_str());
        self.option(status.map(super::attendance::AttendStatus::code), number);
        self.option(joined.map(Timestamp::as_ms), number);
        self.option(left.map(Timestamp::as_ms), number);
        self.text(role.name());
        self.byte(u8::from(*external));
        self.byte(u8::from(*by_phone));
        self.option(device.as_deref(), Self::text);
        self.option(nick.as_deref(), Self::text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::attendance::{AttendStatus, Role};

    fn record() -> Attendance {
        Attendance {
            conference_id: ConferenceId::parse("a").unwrap(),
            status: Some(AttendStatus::Active),
            joined: Some(Timestamp::from_ms(5)),
            left: None,
            duration_ms: Some(7),
            role: Role::Attendee,
            external: false,
            by_phone: false,
            device: None,
            nick: None,
        }
    }

    fn digest(entry: Entry) -> i64 {
        let entries = BTreeMap::from([(ConferenceId::parse("a").unwrap(), entry)]);
        let observed_at = Timestamp::from_ms(9);
        Observation { observed_at, entries, evidence: Evidence::Explicit }.digest()
    }

    #[test]
    fn what_ticks_does_not_matter() {
        let later = Attendance { duration_ms: Some(99), ..record() };
        assert_eq!(digest(Entry::Record(record())), digest(Entry::Record(later)));
    }

    #[test]
    fn everything_else_does() {
        let others = [
            Attendance { status: Some(AttendStatus::Left), ..record() },
            Attendance { status: None, ..record() },
            Attendance { joined: None, ..record() },
            Attendance { left: Some(Timestamp::from_ms(5)), ..record() },
            Attendance { role: Role::Host, ..record() },
            Attendance { external: true, ..record() },
            Attendance { by_phone: true, ..record() },
            Attendance { device: Some(String::new()), ..record() },
            Attendance { nick: Some(String::new()), ..record() },
            record(),
        ];
        let mut digests: Vec<_> = others.into_iter().map(|record| digest(Entry::Record(record))).collect();
        digests.push(digest(Entry::ListedOnly));
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), 11);
    }

    #[test]
    fn weak_absence_differs_from_a_stated_one() {
        let seen =
            |evidence| Observation { observed_at: Timestamp::from_ms(9), entries: BTreeMap::new(), evidence };
        assert_ne!(seen(Evidence::Weak).digest(), seen(Evidence::Explicit).digest());
    }

    #[test]
    fn it_is_the_same_in_every_release() {
        assert_eq!(digest(Entry::Record(record())), GOLDEN);
    }

    /// Computed apart from this code.
    const GOLDEN: i64 = -1_323_775_712_605_999_608;
}
