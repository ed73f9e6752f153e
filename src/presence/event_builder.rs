//! Builds an event about a user from a draft.
//!
//! Guards: an id hashes the same values in the same order; every event of one transition has the same resulting
//! presence; joins and lefts of one transition are ordered by time, before all other events but those about the watch.
//! Deliberately not here: which drafts there are (`diff`, `visit_start`, `visit_end`, `sweep`, `confirm`, `lifecycle`).

use super::attendance::{AttendStatus, Attendance, Role};
use super::data::{
    Changes, Data, Flag, Gap, MAX_LABEL_BYTES, MAX_MEETINGS, Meeting, Member, PresenceData, Rfc3339, Status,
    Timing, User, UserInfo, VERSION, VisitData,
};
use super::event::{EventType, NewEvent};
use super::event_counts::EventCounts;
use super::fingerprint::Fingerprint;
use super::text::clean_option;
use super::user_state::{Presence, UserState};
use super::visit::{Basis, Visit, VisitEnd};
use crate::ids::{ConferenceId, EventId, VisitId};
use crate::time::Timestamp;

/// An event before its id, its count and the resulting presence are known.
#[derive(Clone, Debug)]
pub(super) struct EventDraft {
    pub(super) event_type: EventType,
    pub(super) time: Timestamp,
    pub(super) basis: Basis,
    pub(super) earliest: Option<Timestamp>,
    pub(super) latest: Timestamp,
    pub(super) late: bool,
    /// What changed, as a text that is hashed into the id: the same change has the same text.
    pub(super) what: String,
    pub(super) meeting: Option<MeetingContext>,
    pub(super) flags: Vec<Flag>,
    pub(super) cause: Option<EventId>,
    pub(super) gap: Option<Gap>,
    pub(super) supersedes: Option<EventId>,
    pub(super) changes: Option<Changes>,
    pub(super) synthetic: bool,
}

/// The meeting of an event, and the user's attributes in it.
#[derive(Clone, Debug)]
pub(super) struct MeetingContext {
    pub(super) conference_id: ConferenceId,
    pub(super) visit: Option<Visit>,
    pub(super) member: Member,
    pub(super) nick: Option<String>,
    pub(super) status: Status,
}

impl MeetingContext {
    /// A visit. `now` is the status of the record that led to the event, if there is a record.
    pub(super) fn of_visit(visit: &Visit, now: Option<AttendStatus>, previous: Option<AttendStatus>) -> Self {
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

    /// A record without a visit.
    pub(super) fn of_record(record: &Attendance, previous: Option<AttendStatus>) -> Self {
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

impl EventDraft {
    /// A change that is observed at `at`.
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

    /// Sets the lower bound of the time.
    pub(super) fn since(mut self, earliest: Option<Timestamp>) -> Self {
        self.earliest = earliest.map(|earliest| earliest.min(self.latest));
        self
    }

    /// Sets the meeting.
    pub(super) fn with_meeting(mut self, meeting: MeetingContext) -> Self {
        self.meeting = Some(meeting);
        self
    }

    /// The left event of a visit that ends with `end`.
    pub(super) fn left(end: VisitEnd, meeting: MeetingContext, flags: Vec<Flag>) -> Self {
        Self {
            time: end.at,
            basis: end.basis,
            earliest: Some(end.earliest),
            latest: end.latest,
            flags,
            ..Self::at(EventType::ParticipantLeft, end.at, end.reason.name()).with_meeting(meeting)
        }
    }

    /// The visit that the event is about.
    pub(super) fn visit_id(&self) -> Option<&VisitId> {
        self.visit().map(|visit| &visit.id)
    }

    fn visit(&self) -> Option<&Visit> {
        self.meeting.as_ref().and_then(|meeting| meeting.visit.as_ref())
    }

    /// Sort key among the drafts of one transition: joins and lefts by time, at equal times lefts first. A visit of no
    /// length is the exception: its join precedes its left.
    pub(super) fn order(&self) -> (u8, Timestamp, u8) {
        let no_length = self.flags.contains(&Flag::ShortVisit)
            && self.visit().is_some_and(|visit| visit.end.is_some_and(|end| end.at == visit.joined));
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

/// Builds the events of one transition.
#[derive(Debug)]
pub(super) struct EventBuilder<'a> {
    info: &'a UserInfo,
    source: &'a str,
    observed_at: Timestamp,
    previous_poll: Option<Timestamp>,
    presence: PresenceData,
    /// `presence.meetings` does not hold all meetings.
    cut: bool,
}

impl<'a> EventBuilder<'a> {
    /// For a transition to the state `next`.
    pub(super) fn new(
        info: &'a UserInfo,
        source: &'a str,
        observed_at: Timestamp,
        previous_poll: Option<Timestamp>,
        next: &UserState,
    ) -> Self {
        let in_meeting = match next.presence {
            Presence::Unknown => None,
            Presence::Inside => Some(true),
            Presence::Outside => Some(false),
        };
        let meetings = next.inside().take(MAX_MEETINGS).cloned().collect();
        let cut = next.inside().nth(MAX_MEETINGS).is_some();
        let presence = PresenceData { in_meeting, meetings };
        Self { info, source, observed_at, previous_poll, presence, cut }
    }

    /// Builds the event, and counts it.
    pub(super) fn build(&self, counts: &mut EventCounts, draft: EventDraft) -> NewEvent {
        let id = self.id(&draft, counts.increment(draft.event_type));
        let nick = draft.meeting.as_ref().and_then(|meeting| meeting.nick.as_deref());
        let (user, cut) = User::new(self.info, nick);
        let timing = self.timing(&draft);
        let mut flags = draft.flags;
        if cut || self.cut {
            flags.push(Flag::Truncated);
        }
        flags.sort_unstable();
        flags.dedup();
        let (meeting, visit, member, status) = match draft.meeting {
            None => (None, None, None, None),
            Some(context) => (
                Some(Meeting { conference_id: context.conference_id, title: None, started_at: None }),
                context.visit.as_ref().map(visit_data),
                Some(context.member),
                Some(context.status),
            ),
        };
        let data = Data {
            v: VERSION,
            org: Some(self.info.identity.org.clone()),
            user: Some(user),
            presence: Some(self.presence.clone()),
            timing,
            cause: draft.cause.map(|id| id.as_str().to_owned()),
            gap: draft.gap,
            alert: None,
            supersedes: draft.supersedes,
            changes: draft.changes,
            flags,
            synthetic: draft.synthetic,
            meeting,
            visit,
            member,
            status,
        };
        NewEvent {
            id,
            event_type: draft.event_type,
            time: draft.time,
            identity: Some(self.info.identity.clone()),
            conference_id: data.meeting.as_ref().map(|meeting| meeting.conference_id.clone()),
            late: draft.late,
            host: data.member.as_ref().is_some_and(|member| member.role == Role::Host),
            data: Box::new(data),
        }
    }

    /// Builds an event whose cause is among `earlier`. It is about a host if its cause is.
    pub(super) fn build_after(
        &self,
        counts: &mut EventCounts,
        draft: EventDraft,
        earlier: &[NewEvent],
    ) -> NewEvent {
        let host = earlier.iter().any(|event| event.host && Some(&event.id) == draft.cause.as_ref());
        NewEvent { host, ..self.build(counts, draft) }
    }

    fn timing(&self, draft: &EventDraft) -> Timing {
        Timing {
            basis: draft.basis,
            earliest: draft.earliest.map(Rfc3339),
            latest: Rfc3339(draft.latest),
            observed_at: Rfc3339(self.observed_at),
            previous_poll_at: self.previous_poll.map(Rfc3339),
            late: draft.late,
        }
    }

    fn id(&self, draft: &EventDraft, earlier: u32) -> EventId {
        let visit = draft.visit();
        let conference = draft.meeting.as_ref().map(|meeting| meeting.conference_id.as_str());
        Fingerprint::default()
            .text(self.source)
            .text(self.info.identity.org.as_str())
            .text(draft.event_type.name())
            .text(self.info.identity.union_id.as_str())
            .text_option(conference)
            .number(visit.map_or(i64::MIN, |visit| visit.anchor.as_ms()))
            .number(visit.map_or(0, |visit| i64::from(visit.ordinal)))
            .text(&draft.what)
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
