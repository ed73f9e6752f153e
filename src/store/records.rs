//! The values that tasks write to the database and read from it.
//!
//! Guards: nothing; these are plain values whose types were parsed before. Deliberately not here: how they are written
//! (`recording`, `watch_list`, `call_usage`).

use std::sync::Arc;

use crate::ids::{ConferenceId, Identity, OrgName, UnionId, WebhookName};
use crate::presence::event::NewEvent;
use crate::presence::title::Title;
use crate::presence::user_state::UserState;
use crate::presence::visit::Visit;
use crate::time::Timestamp;

/// A user of the watch list, to be matched with the stored users.
#[derive(Clone, Debug)]
pub struct Enrolment {
    pub identity: Identity,
    pub name: String,
    /// The groups in the config.
    pub groups: Vec<String>,
}

/// A stored user.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Id of the row.
    pub person_id: i64,
    pub identity: Identity,
    pub name: String,
    /// The user's last state.
    pub belief: UserState,
    /// The digest of the newest answer; `None`: the next answer counts as new.
    pub digest: Option<i64>,
    /// When the next poll is due.
    pub next_poll: Option<Timestamp>,
    /// Time of the newest poll, successful or not.
    pub last_poll: Option<Timestamp>,
    /// Time of the newest successful poll.
    pub last_ok: Option<Timestamp>,
}

/// An event and its receivers.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub draft: NewEvent,
    /// The webhooks whose filters accept it.
    pub webhooks: Arc<[WebhookName]>,
}

/// A new answer of DingTalk.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    /// When it arrived.
    pub at: Timestamp,
    /// `Observation::digest`.
    pub digest: i64,
    /// How many meetings it lists.
    pub meetings: u32,
    /// As JSON.
    pub body: String,
}

/// What DingTalk's answers say of a meeting. It is stored only for a meeting that a watched user was in, and what is not
/// known replaces nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingFacts {
    /// The meeting.
    pub conference_id: ConferenceId,
    /// The title.
    pub title: Option<Title>,
    /// Who created it, if that user is watched.
    pub creator: Option<UnionId>,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Which answer says so.
    pub source: MeetingSource,
    /// When the answer arrived.
    pub at: Timestamp,
}

/// Where facts about a meeting come from: the words in `meetings.basis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeetingSource {
    /// The list of ongoing meetings.
    Sweep,
    /// A call about a user whose entry vanished.
    Confirmation,
    /// A call for the title.
    Info,
    /// An event that DingTalk pushed.
    Push,
}

impl MeetingSource {
    /// The word in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Confirmation => "confirmation",
            Self::Info => "info",
            Self::Push => "push",
        }
    }
}

/// Everything that one poll changed about one user. Written in one transaction.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Id of the row.
    pub person_id: i64,
    pub org: OrgName,
    /// `None` if the answer is unchanged: then the newest snapshot is extended to `polled_at`.
    pub snapshot: Option<NewSnapshot>,
    /// The user's new state.
    pub belief: UserState,
    /// Visits opened, changed, ended.
    pub visits: Vec<Visit>,
    /// What is known of meetings of this user, as far as it is new.
    pub meetings: Vec<MeetingFacts>,
    /// In order.
    pub events: Vec<Outgoing>,
    /// Still on the watch list.
    pub watched: bool,
    /// Time of the poll; `None` if the change has no poll.
    pub polled_at: Option<Timestamp>,
    /// When the next poll is due.
    pub next_poll: Option<Timestamp>,
}

/// Unchanged answers of a user since the last flush.
#[derive(Clone, Copy, Debug)]
pub struct UnchangedPolls {
    /// Id of the row.
    pub person_id: i64,
    /// Time of the newest of them.
    pub last_ok: Timestamp,
    pub polls: u32,
    /// When the next poll is due.
    pub next_poll: Timestamp,
}

#[derive(Clone, Debug)]
pub struct PollFailure {
    /// Id of the row.
    pub person_id: i64,
    pub org: OrgName,
    pub at: Timestamp,
    /// `CallError::class`.
    pub class: &'static str,
    /// `CallError` as text.
    pub text: String,
    /// When the next poll is due.
    pub next_poll: Timestamp,
}

/// Calls of one month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Calls charged or reserved.
    pub used: u64,
    /// Calls refused by a rate limit.
    pub throttled: u64,
}
