//! What the poller of an organisation asks for, and what comes of it: the border between deciding and doing.
//!
//! Guards: each call and each write is answered by one [`Input`], which returns what the effect was given: the ticket,
//! the user, the request. Not here: when something is asked for (`org`), doing it (`perform`).

use std::collections::BTreeSet;
use std::time::Duration;

use super::limits::CallCount;
use super::report::{NoPoll, PollNow, PollResult};
use super::roster::UserKey;
use super::sweep::sweep_run::{Answer as SweepAnswer, Ask};
use crate::dingtalk::client::Answer;
use crate::dingtalk::error::CallError;
use crate::dingtalk::meetings::{MeetingInfo, OngoingMeetings};
use crate::ids::{ConferenceId, OrgName, UnionId};
use crate::policy::quota::{Reservation, Ticket};
use crate::presence::confirm::MeetingAnswer;
use crate::presence::user_state::UserState;
use crate::store::gaps::Why;
use crate::store::sweep_state::{SweepRow, SweptPerson};
use crate::store::{ClosedTime, MeetingFacts, Recording, StoreError};
use crate::tasks::alerts::SystemEvent;
use crate::time::Timestamp;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Effect {
    /// Something that takes time, and is answered by an [`Input`].
    Start(Work),
    /// Events were committed: the dispatcher has work.
    Deliver,
    /// A write succeeded or failed.
    DatabaseAnswered(Result<(), String>),
    /// Answer a requested poll.
    Reply { request: PollNow, result: Box<Result<PollResult, NoPoll>> },
    /// The address is banned: every organisation waits.
    BanAddress { until: Timestamp },
}

/// A call or a write.
#[derive(Debug)]
pub(super) enum Work {
    /// Poll a user.
    Poll { poll: PollCall, union_id: UnionId, same_as: Option<u64> },
    /// Query a meeting about a user who vanished from it.
    AskMeeting { question: MeetingCall, union_id: UnionId },
    /// List the ongoing meetings.
    ListOngoing { ticket: Ticket },
    /// Make one call of a sweep.
    Sweep { ask: Ask, ticket: Ticket },
    /// Find a user's userid in the contacts.
    FindUserId { user: UserKey, union_id: UnionId },
    /// Commit a change of a user's state.
    Record { recording: Box<Recording>, change: Box<Change> },
    /// Commit that a user is not watched any more.
    Unwatch { user: UserKey, recording: Box<Recording> },
    /// Store that more calls are about to be made.
    Reserve { reservation: Reservation, org: OrgName, count: CallCount },
    /// Store the number of calls.
    SaveCalls { org: OrgName, count: CallCount },
    /// Emit a system event.
    Emit(SystemEvent),
    /// Store a gap of one user.
    NoteUserGap { person_id: i64, from: Timestamp, to: Timestamp, why: Why },
    /// Store that windows are closed.
    NoteClosed(Vec<ClosedTime>),
    /// Store what is known of meetings of watched users.
    RecordMeetings { org: OrgName, facts: Vec<MeetingFacts> },
    /// Store what sweeps have learned, also about these users.
    SaveSweeps { row: Box<SweepRow>, people: Vec<SweptPerson>, users: BTreeSet<UserKey> },
}

/// What has happened.
#[derive(Debug)]
pub(super) enum Input {
    Polled {
        poll: PollCall,
        result: Result<Answer, CallError>,
    },
    MeetingAnswered {
        question: MeetingCall,
        calls: u32,
        result: Box<Result<MeetingAnswer, CallError>>,
        /// What the meeting's own answer said.
        info: Option<Box<MeetingInfo>>,
    },
    OngoingListed {
        ticket: Ticket,
        result: Result<OngoingMeetings, CallError>,
    },
    SweepAnswered {
        ticket: Ticket,
        result: Result<SweepAnswer, CallError>,
    },
    UserIdFound {
        user: UserKey,
        result: Result<Option<String>, CallError>,
    },
    Recorded {
        change: Box<Change>,
        result: Result<(), StoreError>,
    },
    Unwatched {
        user: UserKey,
        result: Result<(), StoreError>,
    },
    Reserved {
        reservation: Reservation,
        result: Result<(), StoreError>,
    },
    Emitted(Result<(), StoreError>),
    SweepsSaved {
        users: BTreeSet<UserKey>,
        result: Result<(), StoreError>,
    },
    /// A write whose result changes nothing.
    Written(Result<(), StoreError>),
}

/// A poll in flight.
#[derive(Debug)]
pub(super) struct PollCall {
    pub(super) user: UserKey,
    /// The user's last poll failed.
    pub(super) failing: bool,
    /// The reserved calls.
    pub(super) ticket: Ticket,
    /// The operator's request, if there is one.
    pub(super) manual: Option<PollNow>,
    /// When it was started.
    pub(super) began: Timestamp,
}

/// A query of a meeting in flight.
#[derive(Debug)]
pub(super) struct MeetingCall {
    pub(super) user: UserKey,
    pub(super) conference_id: ConferenceId,
    /// The reserved calls.
    pub(super) tickets: Vec<Ticket>,
}

/// A change of a user's state that is being committed: what follows once it is.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) user: UserKey,
    pub(super) state: UserState,
    pub(super) seen: Option<Seen>,
    pub(super) events: Vec<Emitted>,
    pub(super) next: Timestamp,
    pub(super) reply: Option<(PollNow, PollResult)>,
}

/// An event's type, and how long after it happened it was detected, where that is known.
pub(super) type Emitted = (&'static str, Option<Duration>);

/// What the next comparison needs of a good answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) at: Timestamp,
    pub(super) digest: i64,
    pub(super) bytes_digest: u64,
}
