//! From a fact about a person to the event that tells it.
//!
//! Guards: ids hash the same facts in the same order; every event of one look carries the same resulting presence;
//! the order inside one look is joins and lefts by time, then the rest. Deliberately not here: which facts there are
//! (`diff`, `stay`, `ending`, `upkeep`).

use super::attendance::{AttendStatus, Attendance, Role};
use super::belief::{Belief, Presence};
use super::counts::Counts;
use super::data::{
    Changes, Data, Flag, Gap, MAX_LABEL_BYTES, MAX_MEETINGS, Meeting, Member, PresenceData, Status, Timing,
    User, VERSION, VisitData,
};
use super::event::{Card, Draft, EventType, Rfc3339};
use super::fingerprint::Fingerprint;
use super::text::clean_option;
use super::visit::{Basis, End, Visit};
use crate::ids::{ConferenceId, EventId};
use crate::time::Timestamp;

/// Something to tell about a person.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) event_type: EventType,
    pub(super) time: Timestamp,
    pub(super) basis: Basis,
    pub(super) earliest: Option<Timestamp>,
    pub(super) latest: Timestamp,
    pub(super) late: bool,
    /// What changed, for the id: the same facts are the same words.
    pub(super) what: String,
    pub(super) meeting: Option<About>,
    pub(super) flags: Vec<Flag>,
    pub(super) cause: Option<EventId>,
    pub(super) gap: Option<Gap>,
    pub(super) supersedes: Option<EventId>,
    pub(super) changes: Option<Changes>,
    pub(super) synthetic: bool,
}

/// The meeting a fact is about, and the person in it.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) conference_id: ConferenceId,
    pub(super) visit: Option<Visit>,
    pub(super) member: Member,
    pub(super) nick: Option<String>,
    pub(super) status: Status,
}

impl About {
    /// A stay, with the record's status if there is a record.
    pub(super) fn visit(visit: &Visit, now: Option<AttendStatus>, previous: Option<AttendStatus>) -> Self {
        Self {
            conference_id: visit.conference_id.clone(),
            member: Member {
                role: visit.role,
                external: visit.external,
                by_phone: visit.by_phone,
                device: visit.device.clone(),
            },
            nick: visit.nick.clone(),
            status: status(now, previous),
            visit: Some(visit.clone()),
        }
    }

    /// A record without a stay.
    pub(super) fn record(record: &Attendance, previous: Option<AttendStatus>) -> Self {
        Self {
            conference_id: record.conference_id.clone(),
            visit: None,
            member: Member {
                role: record.role,
                external: record.external,
                by_phone: record.by_phone,
                device: clean_option(record.device.as_deref(), MAX_LABEL_BYTES),
            },
            nick: record.nick.clone(),
            status: status(record.status, previous),
        }
    }
}

fn status(now: Option<AttendStatus>, previous: Option<AttendStatus>) -> Status {
    Status {
        code: now.map(AttendStatus::code),
        name: now.map(AttendStatus::name),
        previous: previous.map(AttendStatus::code),
    }
}

impl Fact {
    /// A fact seen at this very look.
    pub(super) fn at(event_type: EventType, at: Timestamp, what: impl Into<String>) -> Self {
        Self {
            event_type,
            time: at,
            basis: Basis::Observed,
            earliest: None,
            latest: at,
            late: false,
            what: what.into(),
            meeting: None,
            flags: Vec::new(),
            cause: None,
            gap: None,
            supersedes: None,
            changes: None,
            synthetic: false,
        }
    }

    /// The same with the window in which it happened.
    pub(super) fn since(mut self, earliest: Option<Timestamp>) -> Self {
        self.earliest = earliest.map(|earliest| earliest.min(self.latest));
        self
    }

    /// The same about a meeting.
    pub(super) fn about(mut self, meeting: About) -> Self {
        self.meeting = Some(meeting);
        self
    }

    /// The end of a stay. The visit holds its end.
    pub(super) fn left(end: End, about: About, flags: Vec<Flag>) -> Self {
        Self {
            time: end.at,
            basis: end.basis,
            earliest: Some(end.earliest),
            latest: end.latest,
            flags,
            ..Self::at(EventType::ParticipantLeft, end.at, end.reason.name()).about(about)
        }
    }

    /// Its place among the facts of one look: joins and lefts by time, at equal times lefts first, but the join of a
    /// stay of no length before its own left.
    pub(super) fn order(&self) -> (u8, Timestamp, u8) {
        let no_length = self.flags.contains(&Flag::ShortVisit)
            && self
                .meeting
                .as_ref()
                .and_then(|about| about.visit.as_ref())
                .is_some_and(|visit| visit.end.is_some_and(|end| end.at == visit.joined));
        match self.event_type {
            EventType::WatchStale | EventType::WatchRecovered | EventType::WatchRejected => {
                (0, Timestamp::default(), 0)
            }
            EventType::ParticipantLeft => (1, self.time, if no_length { 2 } else { 0 }),
            EventType::ParticipantJoined => (1, self.time, 1),
            EventType::ParticipantCorrected
            | EventType::ParticipantInvited
            | EventType::ParticipantJoinFailed => (2, Timestamp::default(), 0),
            EventType::ParticipantRoleChanged => (3, Timestamp::default(), 0),
            EventType::PresenceChanged
            | EventType::PresenceSnapshot
            | EventType::SystemGap
            | EventType::SystemAlert
            | EventType::WebhookTest => (4, Timestamp::default(), 0),
        }
    }
}

/// Turns the facts of one look into events.
#[derive(Debug)]
pub(super) struct Teller<'a> {
    pub(super) card: &'a Card,
    pub(super) source: &'a str,
    pub(super) observed_at: Timestamp,
    pub(super) previous_look: Option<Timestamp>,
    pub(super) presence: PresenceData,
    pub(super) cut: bool,
}

impl<'a> Teller<'a> {
    /// For a look that led to `next`.
    pub(super) fn new(
        card: &'a Card,
        source: &'a str,
        observed_at: Timestamp,
        previous_look: Option<Timestamp>,
        next: &Belief,
    ) -> Self {
        let in_meeting = match next.presence {
            Presence::Unknown => None,
            Presence::Inside => Some(true),
            Presence::Outside => Some(false),
        };
        let meetings = next.inside().take(MAX_MEETINGS).cloned().collect();
        let cut = next.inside().nth(MAX_MEETINGS).is_some();
        let presence = PresenceData { in_meeting, meetings };
        Self { card, source, observed_at, previous_look, presence, cut }
    }

    /// The event. Counts it.
    pub(super) fn draft(&self, counts: &mut Counts, fact: Fact) -> Draft {
        let id = self.id(&fact, counts.take(fact.event_type));
        let nick = fact.meeting.as_ref().and_then(|about| about.nick.as_deref());
        let (user, cut) = User::new(self.card, nick);
        let mut flags = fact.flags;
        if cut || self.cut {
            flags.push(Flag::Truncated);
        }
        flags.sort_unstable();
        flags.dedup();
        let (meeting, visit, member, status) = match fact.meeting {
            None => (None, None, None, None),
            Some(about) => (
                Some(Meeting { conference_id: about.conference_id }),
                about.visit.as_ref().map(visit_data),
                Some(about.member),
                Some(about.status),
            ),
        };
        let data = Data {
            v: VERSION,
            org: Some(self.card.identity.org.clone()),
            user: Some(user),
            presence: Some(self.presence.clone()),
            timing: Timing {
                basis: fact.basis,
                earliest: fact.earliest.map(Rfc3339),
                latest: Rfc3339(fact.latest),
                observed_at: Rfc3339(self.observed_at),
                previous_poll_at: self.previous_look.map(Rfc3339),
                late: fact.late,
            },
            cause: fact.cause.map(|id| id.as_str().to_owned()),
            gap: fact.gap,
            alert: None,
            supersedes: fact.supersedes,
            changes: fact.changes,
            flags,
            synthetic: fact.synthetic,
            meeting,
            visit,
            member,
            status,
        };
        Draft {
            id,
            event_type: fact.event_type,
            time: fact.time,
            identity: Some(self.card.identity.clone()),
            conference_id: data.meeting.as_ref().map(|meeting| meeting.conference_id.clone()),
            late: fact.late,
            host: data.member.as_ref().is_some_and(|member| member.role == Role::Host),
            data: Box::new(data),
        }
    }

    /// The event of a fact whose cause is among `earlier`: about a host if that is.
    pub(super) fn draft_after(&self, counts: &mut Counts, fact: Fact, earlier: &[Draft]) -> Draft {
        let host = earlier.iter().any(|event| event.host && Some(&event.id) == fact.cause.as_ref());
        Draft { host, ..self.draft(counts, fact) }
    }

    fn id(&self, fact: &Fact, earlier: u32) -> EventId {
        let visit = fact.meeting.as_ref().and_then(|about| about.visit.as_ref());
        let conference = fact.meeting.as_ref().map(|about| about.conference_id.as_str());
        Fingerprint::default()
            .text(self.source)
            .text(self.card.identity.org.as_str())
            .text(fact.event_type.name())
            .text(self.card.identity.union_id.as_str())
            .text_option(conference)
            .number(visit.map_or(i64::MIN, |visit| visit.anchor.as_ms()))
            .number(visit.map_or(0, |visit| i64::from(visit.ordinal)))
            .text(&fact.what)
            .number(i64::from(earlier))
            .event_id()
    }
}

fn visit_data(visit: &Visit) -> VisitData {
    VisitData {
        id: visit.id.clone(),
        ordinal: visit.ordinal,
        rejoin: visit.ordinal > 1,
        joined_at: Rfc3339(visit.joined),
        left_at: visit.end.map(|end| Rfc3339(end.at)),
        left_reason: visit.end.map(|end| end.reason),
        duration_ms: visit.end.map(|end| end.at.as_ms().saturating_sub(visit.joined.as_ms()).max(0)),
    }
}
