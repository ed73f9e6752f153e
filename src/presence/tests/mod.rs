//! The rules of the pure core, one test a rule, and what must hold for every history.
//!
//! Here: the shared bench. A [`Watch`] follows one person; times are whole seconds, looks are lists of records.

mod confirm;
mod envelope;
mod order;
mod properties;
mod situations;
mod stays;
mod sweeps;
mod upkeep;

use std::collections::BTreeMap;

use super::attendance::{AttendStatus, Attendance, Role};
use super::belief::{Belief, Presence};
use super::diff::{self, Outcome, Rules};
use super::event::{Card, Draft, EventType};
use super::observation::{Entry, Evidence, Observation};
use crate::ids::{ConferenceId, Identity, OrgName, UnionId};
use crate::time::Timestamp;

const SOURCE: &str = "urn:presenced:7f3a1c52";
const SILENT: Rules = Rules { leave_after_misses: 2, first_poll_silent: true };
const EMIT: Rules = Rules { leave_after_misses: 2, first_poll_silent: false };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_ms(1_699_347_000_000 + seconds * 1000)
}

fn card() -> Card {
    Card {
        identity: Identity {
            org: OrgName::default_name(),
            union_id: UnionId::parse("2iPOLbpUNMLzB5LuwggiiqiPwiEiE").unwrap(),
        },
        name: "Li Wei".into(),
        groups: vec!["ops".into()],
        tags: BTreeMap::from([("site".into(), "HZ".into())]),
        store_nick: true,
    }
}

/// A record with a status (0: none), without times.
fn record(conference: &str, status: i64) -> Attendance {
    Attendance {
        conference_id: ConferenceId::parse(conference).unwrap(),
        status: (status != 0).then(|| AttendStatus::from(status)),
        joined: None,
        left: None,
        duration_ms: None,
        role: Role::Attendee,
        external: false,
        by_phone: false,
        device: Some("Win".into()),
        nick: Some("Test Name".into()),
    }
}

/// Somebody inside since then.
fn active(conference: &str, joined: i64) -> Attendance {
    Attendance { joined: Some(at(joined)), ..record(conference, 3) }
}

/// Somebody who left.
fn gone(conference: &str, status: i64, joined: i64, left: i64) -> Attendance {
    Attendance { joined: Some(at(joined)), left: Some(at(left)), ..record(conference, status) }
}

fn look(seconds: i64, records: &[Attendance]) -> Observation {
    let entry = |record: &Attendance| (record.conference_id.clone(), Entry::Record(record.clone()));
    Observation {
        observed_at: at(seconds),
        entries: records.iter().map(entry).collect(),
        evidence: Evidence::Explicit,
    }
}

fn listed_only(mut seen: Observation, conference: &str) -> Observation {
    seen.entries.insert(ConferenceId::parse(conference).unwrap(), Entry::ListedOnly);
    seen
}

fn weak(mut seen: Observation) -> Observation {
    seen.evidence = Evidence::Weak;
    seen
}

struct Watch {
    belief: Belief,
    card: Card,
    rules: Rules,
}

impl Watch {
    /// Nobody has looked yet.
    fn new(rules: Rules) -> Self {
        Self { belief: Belief::default(), card: card(), rules }
    }

    /// Looked at in second 0; in no meeting.
    fn idle() -> Self {
        let mut watch = Self::new(EMIT);
        assert!(watch.look(0, &[]).events.is_empty());
        watch
    }

    /// In meeting `a` since second 5, seen at second 10.
    fn inside() -> Self {
        let mut watch = Self::idle();
        watch.look(10, &[active("a", 5)]);
        assert_eq!(watch.belief.presence(), Presence::Inside);
        watch
    }

    fn look(&mut self, seconds: i64, records: &[Attendance]) -> Outcome {
        self.observe(&look(seconds, records))
    }

    fn observe(&mut self, seen: &Observation) -> Outcome {
        let outcome = diff::observe(&self.belief, seen, &self.card, SOURCE, &self.rules);
        self.take(outcome)
    }

    fn upkeep(&mut self, seconds: i64, what: fn(&Belief, Timestamp, &Card, &str) -> Outcome) -> Outcome {
        let outcome = what(&self.belief, at(seconds), &self.card, SOURCE);
        self.take(outcome)
    }

    fn interrupt(&mut self, from: i64, to: i64) {
        self.belief = diff::interrupt(&self.belief, at(from), at(to));
    }

    fn take(&mut self, outcome: Outcome) -> Outcome {
        self.belief = outcome.belief.clone();
        outcome
    }
}

/// The last parts of the type names, in order: `joined presence=true`.
fn words(outcome: &Outcome) -> String {
    let word = |event: &Draft| match event.event_type {
        EventType::PresenceChanged => {
            let in_meeting = event.data.presence.as_ref().unwrap().in_meeting;
            format!("presence={}", in_meeting.map_or("null".into(), |is| is.to_string()))
        }
        EventType::ParticipantLeft => {
            let visit = event.data.visit.as_ref().unwrap();
            format!("left({})", visit.left_reason.unwrap().name())
        }
        other => other.name().rsplit('.').next().unwrap().replace("participant_", ""),
    };
    outcome.events.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The flags of an event, as JSON has them.
fn flags(event: &Draft) -> String {
    let json = serde_json::to_value(&event.data.flags).unwrap();
    json.as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// `basis (earliest, latest]` in seconds of this bench.
fn timing(event: &Draft) -> String {
    let seconds = |time: Timestamp| (time.as_ms() - at(0).as_ms()) / 1000;
    let timing = event.data.timing;
    let earliest = timing.earliest.map_or("-".into(), |earliest| seconds(earliest.0).to_string());
    let late = if timing.late { " late" } else { "" };
    format!(
        "{} {} ({earliest}, {}]{late}",
        seconds(event.time),
        timing.basis.name(),
        seconds(timing.latest.0)
    )
}
