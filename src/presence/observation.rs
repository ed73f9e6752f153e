//! One successful answer about one user.
//!
//! Guards: a failed, refused or mismatched answer cannot become an [`Observation`]. The digest leaves out `duration`,
//! which changes with every poll, so that one comparison detects an unchanged answer. Deliberately not here: parsing
//! (`dingtalk::wire`), what an observation changes (`presence::diff`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attendance::Attendance;
use crate::ids::ConferenceId;
use crate::time::Timestamp;

/// What one answer reports about one meeting.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A member record of the user.
    Record(Attendance),
    /// The meeting is listed without a member record: presence in it is unknown. It is not a leave.
    ListedOnly,
}

/// How strongly an answer proves that the user is not in a meeting it does not list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The answer has both lists.
    #[default]
    Explicit,
    /// The answer is `{}`, or a list is null or missing. It still means "no meetings".
    Weak,
}

/// One fully understood answer about one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Time the answer arrived, by the daemon's clock.
    pub observed_at: Timestamp,
    /// Every meeting that is listed or has a record.
    pub entries: BTreeMap<ConferenceId, Entry>,
    /// How strongly a missing meeting proves absence.
    pub evidence: Evidence,
}

impl Observation {
    /// Removes every `userNick`, as `privacy.store_nick = false` requires.
    #[must_use]
    pub fn without_nicks(mut self) -> Self {
        for entry in self.entries.values_mut() {
            if let Entry::Record(record) = entry {
                record.nick = None;
            }
        }
        self
    }

    /// A 64-bit digest of everything except `observed_at` and each record's `duration`. It is stored, so it hashes
    /// field by field and does not depend on the standard library's hashes.
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

/// FNV-1a, 64 bits. It need not resist attackers: it only distinguishes answers about one user.
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

    /// An absent value has another digest than every number and every text.
    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// Destructures by name, so that a new field does not compile until its place in the digest is decided.
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
    fn the_duration_is_not_in_the_digest() {
        let later = Attendance { duration_ms: Some(99), ..record() };
        assert_eq!(digest(Entry::Record(record())), digest(Entry::Record(later)));
    }

    #[test]
    fn every_other_field_is_in_the_digest() {
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
    fn weak_evidence_differs_from_explicit_evidence() {
        let seen =
            |evidence| Observation { observed_at: Timestamp::from_ms(9), entries: BTreeMap::new(), evidence };
        assert_ne!(seen(Evidence::Weak).digest(), seen(Evidence::Explicit).digest());
    }

    #[test]
    fn the_digest_is_the_same_in_every_release() {
        assert_eq!(digest(Entry::Record(record())), GOLDEN);
    }

    /// Computed by an independent implementation.
    const GOLDEN: i64 = -1_323_775_712_605_999_608;
}
