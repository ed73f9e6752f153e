//! What can go wrong, and in which calls.
//!
//! Guards: each kind has one name, in scenarios, counts and documents. Not here: the answers of faulty calls (`faults`).

use serde::Deserialize;

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The JSON for a banned address. Status 200 unless set; 403 is as plausible.
    Ban,
    /// The same as an HTML page. Status 403 unless set.
    BanPage,
    /// A JSON error: 500 `system.error` unless set.
    ServerError,
    /// An HTML page of a proxy. Status 502 unless set.
    ErrorPage,
    /// 429 `system.busy`, with `Retry-After` if `retry_after` is set.
    Busy,
    /// 403, too many calls of this app to this path in this second.
    Qps,
    /// 403, too many calls of all apps to this path in this second.
    QpsOfAll,
    /// 403, the organisation's calls of this month are used up.
    MonthSpent,
    /// 400 `InvalidAuthentication`, although the token is valid.
    BadToken,
    /// 403, the app may not read meetings.
    Permission,
    /// 403, this address is not in the app's allow list.
    Address,
    /// 200 with `errcode`, as for an unknown path; in contacts calls `code`, or 60121 for an unknown user.
    Errcode,
    /// 200 with text that is not JSON.
    Garbage,
    /// 200 with an empty body.
    NoBody,
    /// The record of another person.
    OtherPerson,
    /// A healthy answer without any meeting.
    NoMeetings,
    /// A healthy answer about meetings without any member.
    NobodyInside,
    /// An answer about meetings that shows `who` in the first of them.
    WronglyInside,
    /// The healthy answer, cut in the middle of its body.
    Truncated,
    /// The healthy answer, a few bytes at a time; `pause` between them (1 s).
    Slow,
    /// The healthy answer, after `pause` (30 s).
    Late,
    /// No answer, without an end.
    Hang,
    /// The connection ends without an answer.
    Drop,
    /// 401 `authFailed` when a push connection is opened.
    AuthFailed,
    /// 401 when a push connection is made, as for a ticket that was used already.
    UsedTicket,
    /// A push connection that answers pings and gets no events.
    Zombie,
    /// An event is never pushed.
    Lost,
    /// An event is pushed a second time, `pause` later (0 s), with the same `messageId`.
    Twice,
    /// The same with a new `messageId`.
    TwiceNewId,
    /// An event is pushed after `pause` (1 min).
    Delayed,
    /// An event is pushed right after the next one, or after `pause` (1 min).
    Reordered,
    /// Another program on the same app takes half of the events, at random.
    Thief,
    /// The gateway disconnects the app before it pushes this event.
    Disconnect,
    /// The app's connections break before this event is pushed.
    Abort,
}

impl FaultKind {
    /// Its name in scenarios and counts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::BanPage => "ban_page",
            Self::ServerError => "server_error",
            Self::ErrorPage => "error_page",
            Self::Busy => "busy",
            Self::Qps => "qps",
            Self::QpsOfAll => "qps_of_all",
            Self::MonthSpent => "month_spent",
            Self::BadToken => "bad_token",
            Self::Permission => "permission",
            Self::Address => "address",
            Self::Errcode => "errcode",
            Self::Garbage => "garbage",
            Self::NoBody => "no_body",
            Self::OtherPerson => "other_person",
            Self::NoMeetings => "no_meetings",
            Self::NobodyInside => "nobody_inside",
            Self::WronglyInside => "wrongly_inside",
            Self::Truncated => "truncated",
            Self::Slow => "slow",
            Self::Late => "late",
            Self::Hang => "hang",
            Self::Drop => "drop",
            Self::AuthFailed => "auth_failed",
            Self::UsedTicket => "used_ticket",
            Self::Zombie => "zombie",
            Self::Lost => "lost",
            Self::Twice => "twice",
            Self::TwiceNewId => "twice_new_id",
            Self::Delayed => "delayed",
            Self::Reordered => "reordered",
            Self::Thief => "thief",
            Self::Disconnect => "disconnect",
            Self::Abort => "abort",
        }
    }

    /// What a fault of this kind applies to if nothing is said.
    pub(in crate::simulator) fn usual_target(self) -> FaultTarget {
        match self {
            Self::AuthFailed => FaultTarget::PushOpen,
            Self::UsedTicket | Self::Zombie => FaultTarget::PushConnect,
            Self::Lost
            | Self::Twice
            | Self::TwiceNewId
            | Self::Delayed
            | Self::Reordered
            | Self::Thief
            | Self::Disconnect
            | Self::Abort => FaultTarget::Push,
            _ => FaultTarget::Lists,
        }
    }
}

/// The calls that a fault applies to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultTarget {
    /// The list of a user's meetings.
    #[default]
    Lists,
    /// The token calls.
    Tokens,
    /// The four calls about meetings.
    Meetings,
    /// The organisation's ongoing meetings only.
    OrgMeetings,
    /// The batch of ongoing meetings with their users only.
    MeetingQuery,
    /// The call about one meeting only.
    MeetingInfo,
    /// The call for a meeting's members only.
    MeetingMembers,
    /// All calls but the contacts.
    All,
    /// The contacts. `who` matters only in the call that asks for a userid.
    Contacts,
    /// The call that opens a push connection.
    PushOpen,
    /// The WebSocket of a push connection.
    PushConnect,
    /// The events that are pushed.
    Push,
}

impl FaultTarget {
    /// Whether a fault with this target applies to `call`.
    pub(super) fn covers(self, call: Self) -> bool {
        let about_meetings =
            matches!(call, Self::OrgMeetings | Self::MeetingQuery | Self::MeetingInfo | Self::MeetingMembers);
        (self == Self::All && !matches!(call, Self::Contacts | Self::PushConnect | Self::Push))
            || self == call
            || (self == Self::Meetings && about_meetings)
    }
}
