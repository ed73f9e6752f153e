//! What is believed about one person between two polls.
//!
//! Guards: a belief is the whole input of the next diff, so it can be stored and taken up again after a crash; it is
//! bounded; somebody in no meeting and without history needs no heap. Deliberately not here: how it changes
//! (`presence::diff`, `presence::upkeep`).

use serde::{Deserialize, Serialize};

use super::attendance::AttendStatus;
use super::counts::Counts;
use super::sweep::{Bounds, Sighting, Swept};
use super::visit::Visit;
use crate::ids::{ConferenceId, EventId};
use crate::time::Timestamp;

/// How many meetings that are listed no more are remembered, so that a rejoin gets its ordinal and a `joinTime` that
/// did not move is noticed. DingTalk lists ongoing meetings only and few people return to more than a handful of them;
/// a forgotten meeting starts again at ordinal 1, nothing worse.
pub const MAX_CLOSED: usize = 8;

/// Whether somebody is in a meeting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// Not known: `in_meeting` is null.
    #[default]
    Unknown,
    /// At least one visit is open: `in_meeting` is true.
    Inside,
    /// None is: `in_meeting` is false.
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

/// What is believed about one person. `Belief::default()` = never looked at. Stored as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Belief {
    /// The version of this shape.
    pub(super) v: Version,
    /// In a meeting or not.
    pub presence: Presence,
    /// Receivers were told that presence is unknown, so that they must be told what it is next.
    #[serde(skip_serializing_if = "is_false")]
    pub(super) told_unknown: bool,
    /// The newest good look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_look: Option<Timestamp>,
    /// The newest sweep that could have changed something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_swept: Option<Timestamp>,
    /// By conference, in order: the listed ones, and [`MAX_CLOSED`] others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) conferences: Vec<Known>,
    /// Earlier events by type.
    #[serde(skip_serializing_if = "Counts::is_empty")]
    pub(super) counts: Counts,
    /// What the next look could not see; boxed because it is rare.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trouble: Option<Box<Trouble>>,
}

/// The version of a belief's shape: 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Version(u8);

impl Default for Version {
    fn default() -> Self {
        Self(1)
    }
}

/// Why the next look is not simply the one after the last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Trouble {
    /// Nobody looked for a while: what ended meanwhile was not observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) blind: Option<Blind>,
    /// `watch.stale` was told then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stale_at: Option<Timestamp>,
    /// `watch.rejected` was told then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rejected_at: Option<Timestamp>,
}

/// A stretch in which nobody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blind {
    /// Its beginning.
    pub(super) from: Timestamp,
    /// Its end; `None`: the next good look.
    pub(super) to: Option<Timestamp>,
}

/// What is known about one person in one meeting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Known {
    /// The meeting.
    pub(super) conference_id: ConferenceId,
    /// What is believed.
    pub(super) stage: Stage,
    /// The last status that was understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<AttendStatus>,
    /// Stays so far, the open one included: the newest ordinal.
    #[serde(default)]
    pub(super) visits: u32,
    /// The newest `joinTime` of a stay: a later one is a new stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) newest_join: Option<Timestamp>,
    /// When the newest ended stay ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<Timestamp>,
    /// In the newest answer, or missing from too few to be sure.
    #[serde(default)]
    pub(super) listed: bool,
    /// Answers in a row that missed it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) misses: u32,
    /// The newest answer listed it without a usable record.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) unreported: bool,
    /// The newest answer had a status nobody knows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) unrecognized: bool,
    /// Nothing was ever known, and still is not: inside or not is open.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) doubt: bool,
    /// Sweeps, and no look yet, saw them inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sighted: Option<Sighting>,
}

/// What somebody is believed to be in a meeting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Nothing is believed.
    #[default]
    Nothing,
    /// Invited or being called.
    Pending,
    /// In it.
    Inside(Box<Open>),
    /// Not in it; with the last stay while better evidence may still correct its end.
    Outside(Option<Box<Closed>>),
}

/// An open visit and what its end will need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Open {
    /// The visit.
    pub(super) visit: Visit,
    /// The newest look that saw them inside.
    pub(super) seen_at: Timestamp,
    /// The `joinTime` of its records, once there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) join_time: Option<Timestamp>,
    /// A `leaveTime` that stood there while they were inside: it belongs to an earlier stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stale_leave: Option<Timestamp>,
    /// The first look of those in a row that missed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) missed_at: Option<Timestamp>,
    /// Nobody looked for a while between `seen_at` and `missed_at`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) hidden: bool,
    /// The joined event; `None`: first seen silently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) joined_event: Option<EventId>,
    /// What sweeps said of it.
    #[serde(default, skip_serializing_if = "Swept::is_nothing")]
    pub(super) swept: Swept,
}

/// An ended visit whose end was not reported by upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Closed {
    /// The visit.
    pub(super) visit: Visit,
    /// The `leaveTime` that was not believed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) leave_time: Option<Timestamp>,
    /// The left event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) left_event: Option<EventId>,
    /// The joined event, while the time it told may still get better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) joined_event: Option<EventId>,
    /// A sweep opened or ended it: a record's times mend it. Between what its join lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) swept: Option<Bounds>,
}

impl Belief {
    /// In a meeting, in none, or not known.
    pub fn presence(&self) -> Presence {
        self.presence
    }

    /// The newest good look.
    pub fn last_look(&self) -> Option<Timestamp> {
        self.last_look
    }

    /// The newest sweep whose word was taken.
    pub fn last_swept(&self) -> Option<Timestamp> {
        self.last_swept
    }

    /// The visits that are open, by conference.
    pub fn open_visits(&self) -> impl Iterator<Item = &Visit> {
        self.conferences.iter().filter_map(|known| known.open()).map(|open| &open.visit)
    }

    /// The meetings somebody is in, in order.
    pub fn inside(&self) -> impl Iterator<Item = &ConferenceId> {
        self.open_visits().map(|visit| &visit.conference_id)
    }

    /// A vanished entry waits for confirmation.
    pub fn awaits_confirmation(&self) -> bool {
        self.conferences.iter().any(|known| known.misses > 0 && known.open().is_some())
    }

    /// `watch.stale` was told and no good look came since.
    pub fn is_stale(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.stale_at.is_some())
    }

    /// `watch.rejected` was told and no good look came since.
    pub fn is_rejected(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.rejected_at.is_some())
    }

    /// Whether an observation with the digest of the last one can change nothing but [`Belief::saw_again`]: there was
    /// a look, no sweep was heard since, nothing is missing, nothing interrupted.
    pub fn settled(&self) -> bool {
        self.last_look.is_some()
            && self.last_swept <= self.last_look
            && self.trouble.is_none()
            && self.conferences.iter().all(|known| known.misses == 0 && !known.is_in_question())
    }

    /// What an identical answer changes, if [`Belief::settled`]: the newest good look, and when those inside were
    /// last seen. Allocates nothing.
    pub fn saw_again(&mut self, at: Timestamp) {
        let at = self.last_look.map_or(at, |last| last.max(at));
        self.last_look = Some(at);
        for known in &mut self.conferences {
            let in_sight = known.in_sight();
            if let Stage::Inside(open) = &mut known.stage
                && in_sight
            {
                open.seen_at = at;
            }
        }
    }

    /// Forgets what is listed no more and never was a stay, and the oldest ended ones beyond [`MAX_CLOSED`].
    pub(super) fn forget(&mut self) {
        self.conferences.retain(|known| known.listed || known.visits > 0 || known.open().is_some());
        let age = |known: &Known| (known.ended, known.conference_id.clone());
        let mut over: Vec<_> = self.conferences.iter().filter(|known| known.is_over()).map(age).collect();
        if over.len() <= MAX_CLOSED {
            return;
        }
        over.sort_unstable_by(|a, b| b.cmp(a));
        let oldest = over[MAX_CLOSED - 1].clone();
        self.conferences.retain(|known| !known.is_over() || age(known) >= oldest);
        self.conferences.shrink_to_fit();
    }

    /// The newest answer itself saw somebody inside.
    pub(super) fn sees_inside(&self) -> bool {
        self.conferences.iter().any(|known| known.open().is_some() && known.in_sight())
    }

    /// The trouble, made if there is none.
    pub(super) fn trouble_mut(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_default()
    }
}

impl Known {
    /// A meeting never seen before.
    pub(super) fn new(conference_id: ConferenceId) -> Self {
        Self {
            conference_id,
            stage: Stage::Nothing,
            status: None,
            visits: 0,
            newest_join: None,
            ended: None,
            listed: false,
            misses: 0,
            unreported: false,
            unrecognized: false,
            doubt: false,
            sighted: None,
        }
    }

    /// The open visit.
    pub(super) fn open(&self) -> Option<&Open> {
        match &self.stage {
            Stage::Inside(open) => Some(open),
            Stage::Nothing | Stage::Pending | Stage::Outside(_) => None,
        }
    }

    /// A sweep said what no second one and no look has confirmed.
    pub(super) fn is_in_question(&self) -> bool {
        self.sighted.is_some() || self.open().is_some_and(|open| open.swept.missed.is_some())
    }

    /// The newest answer itself said what is believed.
    fn in_sight(&self) -> bool {
        self.listed && self.misses == 0 && !self.unreported && !self.unrecognized
    }

    fn is_over(&self) -> bool {
        !self.listed && self.open().is_none()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(name: &str, ended_ms: i64) -> Known {
        let conference_id = ConferenceId::parse(name).unwrap();
        Known { visits: 1, ended: Some(Timestamp::from_ms(ended_ms)), ..Known::new(conference_id) }
    }

    #[test]
    fn nothing_stored_is_never_looked_at() {
        let belief: Belief = serde_json::from_str("{}").unwrap();
        assert_eq!(belief, Belief::default());
        assert!(!belief.settled());
        assert_eq!(serde_json::to_string(&belief).unwrap(), r#"{"v":1,"presence":"unknown"}"#);
    }

    #[test]
    fn an_idle_person_is_small() {
        assert!(size_of::<Belief>() <= 128, "{}", size_of::<Belief>());
    }

    #[test]
    fn the_oldest_ended_meetings_are_forgotten() {
        let mut belief = Belief::default();
        for n in 0..20 {
            belief.conferences.push(over(&format!("c{n:02}"), i64::from((n * 7) % 20)));
        }
        belief.forget();
        assert_eq!(belief.conferences.len(), MAX_CLOSED);
        assert!(belief.conferences.iter().all(|known| known.ended >= Some(Timestamp::from_ms(12))));
    }

    #[test]
    fn of_equally_old_ones_just_enough_are_forgotten() {
        let mut belief =
            Belief { conferences: (0..12).map(|n| over(&format!("c{n}"), 5)).collect(), ..Belief::default() };
        belief.forget();
        assert_eq!(belief.conferences.len(), MAX_CLOSED);
    }
}
