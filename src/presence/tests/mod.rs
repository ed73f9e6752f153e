//! Tests of the presence rules: one test for each rule, and properties of every history.
//!
//! Here: the shared harness. A [`TestUser`] follows one user; times are whole seconds, polls are lists of records.

mod confirm;
mod envelope;
mod order;
mod properties;
mod situations;
mod sweeps;
mod visits;
mod without_poll;

use std::collections::BTreeMap;

use super::attendance::{AttendStatus, Attendance, Role};
use super::data::UserInfo;
use super::diff::{self, DiffRules, Transition};
use super::event::{EventType, NewEvent};
use super::lifecycle;
use super::observation::{Entry, Evidence, Observation};
use super::user_state::{Presence, UserState};
use crate::ids::{ConferenceId, Identity, OrgName, UnionId};
use crate::time::Timestamp;

const SOURCE: &str = "urn:presenced:7f3a1c52";
const SILENT: DiffRules = DiffRules { leave_after_misses: 2, first_poll_silent: true };
const EMIT: DiffRules = DiffRules { leave_after_misses: 2, first_poll_silent: false };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_ms(1_699_347_000_000 + seconds * 1000)
}

fn user_info() -> UserInfo {
    UserInfo {
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

/// A user who is inside since `joined`.
fn active(conference: &str, joined: i64) -> Attendance {
    Attendance { joined: Some(at(joined)), ..record(conference, 3) }
}

/// A user who left.
fn gone(conference: &str, status: i64, joined: i64, left: i64) -> Attendance {
    Attendance { joined: Some(at(joined)), left: Some(at(left)), ..record(conference, status) }
}

fn poll(seconds: i64, records: &[Attendance]) -> Observation {
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

struct TestUser {
    state: UserState,
    info: UserInfo,
    rules: DiffRules,
}

impl TestUser {
    /// Before the first poll.
    fn new(rules: DiffRules) -> Self {
        Self { state: UserState::default(), info: user_info(), rules }
    }

    /// Polled in second 0, in no meeting.
    fn idle() -> Self {
        let mut user = Self::new(EMIT);
        assert!(user.poll(0, &[]).events.is_empty());
        user
    }

    /// In meeting `a` since second 5, seen at second 10.
    fn inside() -> Self {
        let mut user = Self::idle();
        user.poll(10, &[active("a", 5)]);
        assert_eq!(user.state.presence(), Presence::Inside);
        user
    }

    fn poll(&mut self, seconds: i64, records: &[Attendance]) -> Transition {
        self.observe(&poll(seconds, records))
    }

    fn observe(&mut self, seen: &Observation) -> Transition {
        let transition = diff::observe(&self.state, seen, &self.info, SOURCE, &self.rules);
        self.take(transition)
    }

    fn without_poll(
        &mut self,
        seconds: i64,
        what: fn(&UserState, Timestamp, &UserInfo, &str) -> Transition,
    ) -> Transition {
        let transition = what(&self.state, at(seconds), &self.info, SOURCE);
        self.take(transition)
    }

    fn mark_unobserved(&mut self, from: i64, to: i64) {
        self.state = lifecycle::mark_unobserved(&self.state, at(from), at(to));
    }

    fn take(&mut self, transition: Transition) -> Transition {
        self.state = transition.state.clone();
        transition
    }
}

/// The last parts of the type names, in order, with details: `joined presence=true`.
fn summary(transition: &Transition) -> String {
    let part = |event: &NewEvent| match event.event_type {
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
    transition.events.iter().map(part).collect::<Vec<_>>().join(" ")
}

/// The flags of an event, as JSON has them.
fn flags(event: &NewEvent) -> String {
    let json = serde_json::to_value(&event.data.flags).unwrap();
    json.as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// `time basis (earliest, latest]`, in seconds of this harness.
fn timing(event: &NewEvent) -> String {
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
