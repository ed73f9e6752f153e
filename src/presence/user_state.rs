//! The stored state of one watched user between two polls.
//!
//! Guards: the state is the whole input of the next comparison, so it can be stored and loaded after a crash. Its size
//! is bounded; a user in no meeting and without visits needs no heap memory. The stored JSON keeps its member names.
//! Deliberately not here: the state in one meeting (`meeting_state`), how it changes (`diff`, `sweep`, `lifecycle`).

use serde::{Deserialize, Serialize};

use super::event::EventType;
use super::event_counts::EventCounts;
use super::meeting_state::{MeetingPhase, MeetingState, is_false};
use super::visit::Visit;
use crate::ids::{ConferenceId, EventId, VisitId};
use crate::time::Timestamp;

/// Maximum number of unlisted meetings to keep. A kept meeting gives a rejoin its ordinal and detects a `joinTime` that
/// did not change. DingTalk lists only ongoing meetings, and few users return to more than a handful of them. If a
/// user returns to a dropped meeting, the ordinals of that meeting start again at 1.
pub const MAX_CLOSED: usize = 8;

/// Whether a user is in a meeting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Not known: `in_meeting` is null.
    #[default]
    Unknown,
    /// At least one visit is open: `in_meeting` is true.
    Inside,
    /// No visit is open: `in_meeting` is false.
    Outside,
}

impl Presence {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Inside => "inside",
            Self::Outside => "outside",
        }
    }
}

/// The state of one watched user, stored as JSON. The default is the state before the first poll.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserState {
    /// Version of the JSON.
    pub(super) v: Version,
    /// In a meeting, in none, or not known.
    pub presence: Presence,
    /// The last `user.presence_changed` event said null, so the next known presence needs an event.
    #[serde(rename = "told_unknown", skip_serializing_if = "is_false")]
    pub(super) unknown_emitted: bool,
    /// Time of the newest successful poll.
    #[serde(rename = "last_look", skip_serializing_if = "Option::is_none")]
    pub(super) last_poll: Option<Timestamp>,
    /// Time of the newest sweep of all meetings that was applied.
    #[serde(rename = "last_swept", skip_serializing_if = "Option::is_none")]
    pub(super) last_sweep: Option<Timestamp>,
    /// Listed meetings and at most [`MAX_CLOSED`] others, sorted by conference id.
    #[serde(rename = "conferences", skip_serializing_if = "Vec::is_empty")]
    pub(super) meetings: Vec<MeetingState>,
    /// Number of earlier events by type.
    #[serde(skip_serializing_if = "EventCounts::is_empty")]
    pub(super) counts: EventCounts,
    /// Boxed because it is rare.
    #[serde(rename = "trouble", skip_serializing_if = "Option::is_none")]
    pub(super) problems: Option<Box<WatchProblems>>,
}

/// Version of the stored JSON: 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Version(u8);

impl Default for Version {
    fn default() -> Self {
        Self(1)
    }
}

/// What has kept a user from being observed since the last successful poll. The next successful poll clears it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct WatchProblems {
    /// No poll ran in this interval, so the end of a visit in it was not observed.
    #[serde(rename = "blind", skip_serializing_if = "Option::is_none")]
    pub(super) unobserved: Option<UnobservedInterval>,
    /// Time of the `watch.stale` event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stale_at: Option<Timestamp>,
    /// Time of the `watch.rejected` event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rejected_at: Option<Timestamp>,
}

/// An interval without polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UnobservedInterval {
    pub(super) from: Timestamp,
    /// `None`: until the next successful poll.
    pub(super) to: Option<Timestamp>,
}

impl UserState {
    /// In a meeting, in none, or not known.
    pub fn presence(&self) -> Presence {
        self.presence
    }

    /// Time of the newest successful poll.
    pub fn last_poll(&self) -> Option<Timestamp> {
        self.last_poll
    }

    /// Time of the newest sweep of all meetings that was applied.
    pub fn last_sweep(&self) -> Option<Timestamp> {
        self.last_sweep
    }

    /// Open visits, sorted by conference id.
    pub fn open_visits(&self) -> impl Iterator<Item = &Visit> {
        self.meetings.iter().filter_map(|meeting| meeting.open()).map(|open| &open.visit)
    }

    /// The meetings the user is in, sorted.
    pub fn inside(&self) -> impl Iterator<Item = &ConferenceId> {
        self.open_visits().map(|visit| &visit.conference_id)
    }

    /// The meetings the user is in or was in lately.
    pub fn visited(&self) -> impl Iterator<Item = &ConferenceId> {
        self.meetings.iter().filter(|meeting| meeting.visits > 0).map(|meeting| &meeting.conference_id)
    }

    /// The newest poll missed a meeting with an open visit, and another poll must confirm the leave.
    pub fn awaits_confirmation(&self) -> bool {
        self.meetings.iter().any(|meeting| meeting.misses > 0 && meeting.open().is_some())
    }

    /// `watch.stale` was emitted, and no poll succeeded since.
    pub fn is_stale(&self) -> bool {
        self.problems.as_ref().is_some_and(|problems| problems.stale_at.is_some())
    }

    /// `watch.rejected` was emitted, and no poll succeeded since.
    pub fn is_rejected(&self) -> bool {
        self.problems.as_ref().is_some_and(|problems| problems.rejected_at.is_some())
    }

    /// Whether an observation with the same digest as the last one changes only what
    /// [`UserState::record_unchanged_poll`] changes: a poll succeeded, no sweep was applied since, no meeting is
    /// missed or awaits a confirmation, and there are no problems.
    pub fn is_settled(&self) -> bool {
        self.last_poll.is_some()
            && self.last_sweep <= self.last_poll
            && self.problems.is_none()
            && self.meetings.iter().all(|meeting| meeting.misses == 0 && !meeting.awaits_sweep_confirmation())
    }

    /// Applies an identical answer to a settled state: updates the time of the newest poll and of the last sight of
    /// each open visit. Allocates nothing.
    pub fn record_unchanged_poll(&mut self, at: Timestamp) {
        let at = self.last_poll.map_or(at, |last| last.max(at));
        self.last_poll = Some(at);
        for meeting in &mut self.meetings {
            let is_current = meeting.is_current();
            if let MeetingPhase::Inside(open) = &mut meeting.phase
                && is_current
            {
                open.seen_at = at;
            }
        }
    }

    /// The state of a meeting, if there is one.
    pub(super) fn meeting(&self, conference_id: &ConferenceId) -> Option<&MeetingState> {
        self.place_of(conference_id).ok().map(|place| &self.meetings[place])
    }

    /// Adds a meeting unless it is there. Keeps the order.
    pub(super) fn add_meeting(&mut self, conference_id: &ConferenceId) {
        if let Err(place) = self.place_of(conference_id) {
            self.meetings.insert(place, MeetingState::new(conference_id.clone()));
        }
    }

    fn place_of(&self, conference_id: &ConferenceId) -> Result<usize, usize> {
        self.meetings.binary_search_by(|meeting| meeting.conference_id.cmp(conference_id))
    }

    /// Drops unlisted meetings without a visit, and the oldest ended ones beyond [`MAX_CLOSED`].
    pub(super) fn drop_old_meetings(&mut self) {
        self.meetings.retain(|meeting| meeting.listed || meeting.visits > 0 || meeting.open().is_some());
        let age = |meeting: &MeetingState| (meeting.ended, meeting.conference_id.clone());
        let mut over: Vec<_> = self.meetings.iter().filter(|meeting| meeting.is_over()).map(age).collect();
        if over.len() <= MAX_CLOSED {
            return;
        }
        over.sort_unstable_by(|a, b| b.cmp(a));
        let oldest = over[MAX_CLOSED - 1].clone();
        self.meetings.retain(|meeting| !meeting.is_over() || age(meeting) >= oldest);
        self.meetings.shrink_to_fit();
    }

    /// Stores the id of a joined or left event with its visit, so that a later correction can name the event.
    pub(super) fn link_event(&mut self, event_type: EventType, visit: &VisitId, id: &EventId) {
        for meeting in &mut self.meetings {
            match (&mut meeting.phase, event_type) {
                (MeetingPhase::Inside(open), EventType::ParticipantJoined) if open.visit.id == *visit => {
                    open.joined_event = Some(id.clone());
                }
                (MeetingPhase::Outside(Some(closed)), EventType::ParticipantLeft)
                    if closed.visit.id == *visit =>
                {
                    closed.left_event = Some(id.clone());
                }
                _ => {}
            }
        }
    }

    /// The newest answer itself reported the user inside a meeting.
    pub(super) fn saw_inside(&self) -> bool {
        self.meetings.iter().any(|meeting| meeting.open().is_some() && meeting.is_current())
    }

    /// The problems, added if there are none.
    pub(super) fn problems_mut(&mut self) -> &mut WatchProblems {
        self.problems.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(name: &str, ended_ms: i64) -> MeetingState {
        let conference_id = ConferenceId::parse(name).unwrap();
        MeetingState {
            visits: 1,
            ended: Some(Timestamp::from_ms(ended_ms)),
            ..MeetingState::new(conference_id)
        }
    }

    #[test]
    fn empty_json_is_the_state_before_the_first_poll() {
        let state: UserState = serde_json::from_str("{}").unwrap();
        assert_eq!(state, UserState::default());
        assert!(!state.is_settled());
        assert_eq!(serde_json::to_string(&state).unwrap(), r#"{"v":1,"presence":"unknown"}"#);
    }

    #[test]
    fn stored_json_keeps_its_member_names() {
        let bounds = r#"{"after":1,"sure_at":2}"#;
        let visit = r#"{"id":"vis_a","conference_id":"a","ordinal":1,"anchor":1,"joined":1,"join_basis":"observed",
            "end":null,"role":"host","external":false,"by_phone":false,"device":null,"nick":null}"#;
        let meeting = |name: &str, phase: &str, rest: &str| {
            format!(r#"{{"conference_id":"{name}","stage":{phase},"visits":1,"listed":true{rest}}}"#)
        };
        let inside = format!(
            r#"{{"inside":{{"visit":{visit},"seen_at":3,"join_time":1,"stale_leave":2,"missed_at":4,"hidden":true,
                "joined_event":"evt_a","swept":{{"opened":{bounds},"seen_at":5,"missed":{{"at":6,"count":1}}}}}}}}"#
        );
        let outside = format!(
            r#"{{"outside":{{"visit":{visit},"leave_time":1,"left_event":"evt_b","joined_event":"evt_a",
                "swept":{bounds}}}}}"#
        );
        let flags = r#","misses":1,"unreported":true,"unrecognized":true,"doubt":true,
            "sighted":{"since":1,"at":2,"count":1}"#;
        let meetings = [
            meeting("a", &inside, r#","status":3,"newest_join":1,"ended":2"#),
            meeting("b", &outside, ""),
            meeting("c", r#""nothing""#, flags),
            meeting("d", r#""pending""#, ""),
        ];
        let json = format!(
            r#"{{"v":1,"presence":"inside","told_unknown":true,"last_look":9,"last_swept":8,
                "conferences":[{}],"counts":{{"watch.stale":2}},
                "trouble":{{"blind":{{"from":1,"to":2}},"stale_at":3,"rejected_at":4}}}}"#,
            meetings.join(",")
        );
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let state: UserState = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&state).unwrap(), json);
    }

    #[test]
    fn an_idle_user_is_small() {
        assert!(size_of::<UserState>() <= 128, "{}", size_of::<UserState>());
    }

    #[test]
    fn the_oldest_ended_meetings_are_dropped() {
        let mut state = UserState::default();
        for n in 0..20 {
            state.meetings.push(over(&format!("c{n:02}"), i64::from((n * 7) % 20)));
        }
        state.drop_old_meetings();
        assert_eq!(state.meetings.len(), MAX_CLOSED);
        assert!(state.meetings.iter().all(|meeting| meeting.ended >= Some(Timestamp::from_ms(12))));
    }

    #[test]
    fn of_equally_old_meetings_only_the_excess_is_dropped() {
        let mut state = UserState {
            meetings: (0..12).map(|n| over(&format!("c{n}"), 5)).collect(),
            ..UserState::default()
        };
        state.drop_old_meetings();
        assert_eq!(state.meetings.len(), MAX_CLOSED);
    }
}
