//! What one sweep of an organisation says about one person: a sweep, a glance at it, and what is new in that.
//!
//! Guards: a sweep sees only the organisation's own meetings; what sweeps never showed of somebody they cannot miss; one
//! that may simply be older than what is believed is odd, and changes nothing. An error, a ban or a sweep that lacks a
//! page is no [`Sweep`] at all. Deliberately not here: what a belief becomes by it (`sweep`), the wire format (`dingtalk`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::attendance::AttendStatus;
use super::belief::{Belief, Known, Presence};
use crate::ids::ConferenceId;
use crate::time::Timestamp;

/// For so long after a look, or after what a sweep itself changed, a sweep that says otherwise is only a reason to look:
/// upstream's pictures of the organisation may be minutes old.
pub const OUTRANKED_FOR: Duration = Duration::from_mins(6);

/// One complete and understood pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// When its first call went out: a look later than this knows better.
    pub asked_at: Timestamp,
    /// When its last answer had arrived.
    pub observed_at: Timestamp,
    /// `None`: every ongoing meeting was listed. `Some`: only these were asked again.
    pub asked: Option<BTreeSet<ConferenceId>>,
    /// The meetings that go on.
    pub meetings: BTreeSet<ConferenceId>,
    /// Who stands in them, by the id that upstream gave: a unionId or a userId.
    pub seats: BTreeMap<String, Seats>,
}

/// Where one person stands: a status for each meeting.
pub type Seats = BTreeMap<ConferenceId, AttendStatus>;

impl Sweep {
    /// Whether it would have shown this meeting, if it went on.
    pub fn covers(&self, conference: &ConferenceId) -> bool {
        self.asked.as_ref().is_none_or(|asked| asked.contains(conference))
    }

    /// What it says about one person, by either id.
    pub fn about<'a>(&'a self, seats: Option<&'a Seats>) -> Glance<'a> {
        Glance { sweep: self, seats, shown: None }
    }
}

/// Meetings that sweeps have shown, and when they last did.
pub type Shown = BTreeMap<ConferenceId, Timestamp>;

/// What one sweep says about one person.
#[derive(Clone, Copy, Debug)]
pub struct Glance<'a> {
    pub(super) sweep: &'a Sweep,
    pub(super) seats: Option<&'a Seats>,
    shown: Option<&'a Shown>,
}

impl<'a> Glance<'a> {
    /// About somebody whom sweeps are known to show where they sit: in any of these meetings they can miss them.
    #[must_use]
    pub fn known_to_sweeps(self, shown: &'a Shown) -> Self {
        Self { shown: Some(shown), ..self }
    }

    fn has_shown(&self, conference: &ConferenceId) -> bool {
        self.shown.is_some_and(|shown| shown.contains_key(conference))
    }

    fn status(&self, conference: &ConferenceId) -> Option<AttendStatus> {
        self.seats.and_then(|seats| seats.get(conference)).copied()
    }
}

/// What a sweep says about somebody in one meeting, against what is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Says {
    /// What is believed, or nothing.
    Nothing,
    /// Inside, as believed.
    StillInside,
    /// Inside, and that is new.
    Joined,
    /// Not inside any more: status 5 or 6.
    Left(Gone),
    /// Something that only a look can settle.
    Odd,
}

/// How somebody is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gone {
    /// Status 6.
    Left,
    /// Status 5.
    Removed,
    /// Not listed any more, or the meeting is not.
    Missing,
}

/// What a sweep would say about one person, meeting by meeting, where it says anything.
pub fn says(belief: &Belief, glance: &Glance<'_>) -> Vec<(ConferenceId, Says)> {
    let mut all: Vec<_> = belief
        .conferences
        .iter()
        .map(|known| (known.conference_id.clone(), about(belief, Some(known), &known.conference_id, glance)))
        .collect();
    let known = |conference: &ConferenceId| {
        belief.conferences.binary_search_by(|known| known.conference_id.cmp(conference)).is_ok()
    };
    for conference in glance.seats.into_iter().flat_map(BTreeMap::keys).filter(|id| !known(id)) {
        all.push((conference.clone(), about(belief, None, conference, glance)));
    }
    all.retain(|(_, says)| *says != Says::Nothing);
    all
}

pub(super) fn about(
    belief: &Belief,
    known: Option<&Known>,
    conference: &ConferenceId,
    glance: &Glance<'_>,
) -> Says {
    let status = glance.status(conference);
    let said = plainly(known, status, glance.sweep.covers(conference), glance.has_shown(conference));
    let changes = match said {
        Says::Nothing | Says::Odd => return said,
        Says::StillInside => false,
        Says::Joined | Says::Left(_) => true,
    };
    let Some(last_look) = belief.last_look else { return if changes { Says::Odd } else { Says::Nothing } };
    if glance.sweep.asked_at <= last_look {
        return Says::Nothing;
    }
    let certain = belief.trouble.is_none() && belief.presence != Presence::Unknown;
    if !certain || (changes && is_fresh(known, last_look, glance.sweep.observed_at)) {
        return if changes { Says::Odd } else { Says::Nothing };
    }
    said
}

/// The table, without a thought of when.
fn plainly(known: Option<&Known>, status: Option<AttendStatus>, covered: bool, shown: bool) -> Says {
    let open = known.and_then(Known::open);
    match (open, status) {
        (Some(_), Some(AttendStatus::Active)) => Says::StillInside,
        (Some(_), Some(AttendStatus::Left)) => Says::Left(Gone::Left),
        (Some(_), Some(AttendStatus::Removed)) => Says::Left(Gone::Removed),
        (Some(_), Some(AttendStatus::Initialized | AttendStatus::Calling | AttendStatus::JoinFailed)) => {
            Says::Odd
        }
        (Some(open), None) if covered && (shown || open.swept.seen_at.is_some()) => Says::Left(Gone::Missing),
        (None, Some(AttendStatus::Active)) => Says::Joined,
        (Some(_), Some(AttendStatus::Unrecognized(_)) | None)
        | (
            None,
            Some(
                AttendStatus::Initialized
                | AttendStatus::Calling
                | AttendStatus::JoinFailed
                | AttendStatus::Left
                | AttendStatus::Removed
                | AttendStatus::Unrecognized(_),
            )
            | None,
        ) => Says::Nothing,
    }
}

/// Whether what is believed is so new that an old picture would still say otherwise.
fn is_fresh(known: Option<&Known>, last_look: Timestamp, now: Timestamp) -> bool {
    let changed = known.and_then(|known| match known.open() {
        Some(open) => Some(open.visit.joined.max(open.visit.anchor)),
        None => known.ended,
    });
    now < changed.map_or(last_look, |changed| changed.max(last_look)).plus(OUTRANKED_FOR)
}

/// Whether an earlier sweep saw somebody come into a meeting that this one covers, and this one does not see them there.
pub fn takes_back(belief: &Belief, glance: &Glance<'_>) -> bool {
    belief.conferences.iter().any(|known| {
        known.sighted.is_some()
            && glance.sweep.covers(&known.conference_id)
            && glance.status(&known.conference_id) != Some(AttendStatus::Active)
    })
}
