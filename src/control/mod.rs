//! The control socket: how a command reaches the running daemon, and the messages between them.
//!
//! Guards: only the user of the daemon and root can connect; the path of the socket follows from the path of the config; a
//! request and its answer are JSON, with limits on size and time; no secret is sent. Not here: handling
//! requests (`app`), printing answers (`cli`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::dingtalk::error::{CallError, Verdict};
use crate::ids::{OrgName, UnionId};
use crate::presence::event::EventType;
use crate::presence::observation::Observation;
use crate::store::forget::Forgotten;
use crate::store::retention::Pruned;

mod channel;
pub mod explain;
mod place;
pub mod webhook;

pub use channel::{ControlError, Endpoint, ask};
pub use place::{ask_places, serve_place};

/// A request of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Explain the time of the next poll of a user.
    Explain {
        /// The organisation of the user.
        org: OrgName,
        /// The unionId of the user.
        union_id: UnionId,
    },
    /// Erase a user.
    Forget {
        /// A name or a unionId.
        who: String,
    },
    /// Create a link that signs a browser in.
    Page,
    /// Check that the daemon runs.
    Ping,
    Reload,
    /// Status of the daemon.
    Status,
    /// Poll a user now.
    Poll {
        /// A name, a unionId, or a unique part of one.
        who: String,
        /// Do not store the result or send events.
        dry_run: bool,
    },
    /// Delete now what is older than its retention.
    Prune,
    /// Something about webhooks.
    Webhook(webhook::WebhookRequest),
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Response {
    /// Why it is when it is.
    Explained(Box<explain::ExplainReport>),
    /// A user was erased.
    Forgot(Box<Forgotten>),
    /// A link to the page.
    Page {
        /// It works once, within a minute.
        url: String,
    },
    /// The daemon runs.
    Pong {
        /// Version of the daemon.
        version: String,
        /// Its database.
        #[serde(default)]
        database: Option<PathBuf>,
        /// The time zone of its config.
        #[serde(default)]
        time_zone: Option<String>,
    },
    /// The config was reloaded.
    Reloaded(Box<ReloadReport>),
    /// Status of the daemon.
    Status(Box<StatusReport>),
    /// Result of a poll.
    Poll(Box<PollReport>),
    /// Number of rows deleted.
    Pruned(Pruned),
    /// Answer about webhooks.
    Webhook(webhook::WebhookResponse),
    /// The request was refused.
    Refused {
        /// What it means for the caller.
        advice: Advice,
        /// The reason, as text.
        message: String,
    },
}

/// Status of the daemon, without what is in the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Version of the daemon.
    pub version: String,
    /// When it started, in milliseconds since 1970.
    pub started_ms: i64,
    /// When the active config was read.
    pub loaded_ms: i64,
    /// The last reload, if it was refused.
    pub refused: Option<RefusedConfig>,
    /// Changes that need a restart.
    pub restart_for: Vec<String>,
    /// The database takes writes and at least one organisation works.
    pub ready: bool,
    /// Checks that fail.
    pub reasons: Vec<String>,
    /// Organisations that do not work.
    #[serde(default)]
    pub degraded: Vec<DegradedOrg>,
    /// Users that DingTalk refuses, by organisation.
    #[serde(default)]
    pub refused_users: Vec<RefusedUsers>,
    /// Users who are not polled as planned, the refused ones among them, by organisation and reason.
    #[serde(default)]
    pub unpolled_users: Vec<UnpolledUsers>,
    /// State of sweeps by organisation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweeps: Vec<SweepReport>,
    /// State of the push connection, of organisations that have one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub push: Vec<PushReport>,
}

/// State of the push connection of an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushReport {
    /// The organisation's name.
    pub org: String,
    /// Whether it is up.
    pub connected: bool,
    /// Why it is down: `starting`, `auth`, `unreachable`, `closed`, `dead` or `clock`.
    pub reason: Option<String>,
    /// The last failure, as text.
    pub why: Option<String>,
    /// Since when it is up or down, in milliseconds since 1970.
    pub since_ms: i64,
    /// Time of the next attempt, in milliseconds since 1970.
    pub next_ms: Option<i64>,
    /// Connections that were made since the start.
    pub connections: u64,
    /// Events that came since the start, repeats included.
    pub events: u64,
    /// Frames and events that were not understood since the start.
    pub not_understood: u64,
    /// When the newest suite ticket came since the start, in milliseconds since 1970.
    pub ticket_ms: Option<i64>,
}

/// An organisation that does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DegradedOrg {
    /// The organisation's name.
    pub org: String,
    pub reason: String,
    /// Begin of the problem, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Time of the next attempt.
    pub next_ms: Option<i64>,
}

/// Users that DingTalk refuses while it answers about others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedUsers {
    /// The organisation's name.
    pub org: String,
    pub users: usize,
    /// When the first of them is polled again, in milliseconds since 1970.
    pub next_ms: i64,
}

/// Users who are not polled as planned while others of their organisation are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpolledUsers {
    /// The organisation's name.
    pub org: String,
    /// `refused`, `failed` or `late`.
    pub reason: String,
    pub users: usize,
    /// When the first of them is polled again, in milliseconds since 1970; where polls are late, since when it is due.
    pub next_ms: i64,
}

/// State of sweeps of an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepReport {
    /// The organisation's name.
    pub org: String,
    /// `off`, `refused`, `learning` or `trusted`.
    pub state: String,
    /// The reason for the state.
    pub why: Option<String>,
    /// Polls that agreed with sweeps since the last contradiction.
    pub agreed: u32,
    /// Agreements after which sweeps are trusted.
    pub needed: u32,
    /// `union_id` or `userid`: the ids that sweeps report, once known.
    pub ids: Option<String>,
    /// Calls of this month made by sweeps.
    pub calls: u64,
    /// Time of the last complete sweep, in milliseconds since 1970.
    pub last_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedConfig {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The first error in it.
    pub why: String,
}

/// The result of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// Number of watched users.
    pub people: usize,
    /// Changes, one line each.
    pub changes: Vec<String>,
    /// Changes that need a restart.
    pub restart_for: Vec<String>,
    /// Warnings about the config.
    pub warnings: Vec<String>,
}

/// The result of one poll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PollReport {
    /// The organisation's name.
    pub org: String,
    pub union_id: String,
    pub name: String,
    /// Method and URL. The token is a header, so it is not included.
    pub request: String,
    /// Duration in milliseconds.
    pub took_ms: u64,
    /// Whether the result was stored: not with a dry run, not without the daemon.
    pub recorded: bool,
    #[serde(flatten)]
    pub outcome: PollOutcome,
}

/// The answer of a poll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PollOutcome {
    /// A valid answer.
    Seen {
        observation: Observation,
        /// The resulting events (with a dry run: that would result); `None` if there was no state to compare with.
        events: Option<Vec<EventType>>,
    },
    /// No valid answer, so presence did not change.
    Failed(PollFailure),
}

/// A failed call, as classified by `dingtalk::error`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollFailure {
    /// The class, a fixed word.
    pub class: String,
    /// The error, as text.
    pub text: String,
    /// DingTalk's `code`.
    pub code: Option<String>,
    /// Request id of DingTalk, which its support asks for.
    pub request_id: Option<String>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// What it means for the caller.
    pub advice: Advice,
}

/// What a failure means for the caller; the command line has an exit code for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// Rate limited, outage, or budget used up: the same request may succeed later.
    TryLater,
    /// Credentials or permissions are refused.
    Refused,
    /// No answer.
    Unreachable,
    /// The configuration is wrong.
    Misconfigured,
    /// No match.
    Nothing,
    /// The request is ambiguous or invalid.
    Usage,
    /// Anything else.
    Failed,
}

impl From<&Verdict> for Advice {
    fn from(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Throttled { .. }
            | Verdict::ThrottledThisMinute
            | Verdict::QuotaSpent
            | Verdict::Banned
            | Verdict::MaybeBanned
            | Verdict::Outage => Self::TryLater,
            Verdict::Unauthorised | Verdict::Forbidden => Self::Refused,
            Verdict::Unreachable => Self::Unreachable,
            Verdict::Misconfigured => Self::Misconfigured,
            Verdict::UnknownUser | Verdict::RefusedUser | Verdict::Refused => Self::Failed,
        }
    }
}

impl From<&CallError> for PollFailure {
    fn from(error: &CallError) -> Self {
        Self {
            class: error.class.to_owned(),
            text: error.text.clone(),
            code: error.code.as_deref().map(str::to_owned),
            request_id: error.request_id.as_deref().map(str::to_owned),
            status: error.status,
            advice: Advice::from(&error.verdict),
        }
    }
}

/// The request line of a poll as text: what `dingtalk::client` sends, without headers.
pub fn request_line(api_base: &str, union_id: &str) -> String {
    format!("GET {api_base}/v1.0/conference/users/lists?unionId={union_id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ConferenceId;
    use crate::presence::attendance::{AttendStatus, Attendance, Role};
    use crate::presence::observation::{Entry, Evidence};
    use crate::time::Timestamp;

    fn seen() -> Observation {
        let conference = ConferenceId::parse("654058f2411fe90147e68780").unwrap();
        let record = Attendance {
            conference_id: conference.clone(),
            status: Some(AttendStatus::Unrecognized(17)),
            joined: Some(Timestamp::from_ms(1_699_347_295_876)),
            left: None,
            duration_ms: Some(-1),
            role: Role::Host,
            external: true,
            by_phone: false,
            device: None,
            nick: Some("李\"伟".into()),
        };
        let listed = ConferenceId::parse("listed").unwrap();
        Observation {
            observed_at: Timestamp::from_ms(1_699_347_312_301),
            entries: [(conference, Entry::Record(record)), (listed, Entry::ListedOnly)].into(),
            evidence: Evidence::Weak,
        }
    }

    #[test]
    fn the_lines_on_the_wire_keep_their_shape() {
        let ask = Request::Poll { who: "Li Wei".into(), dry_run: true };
        assert_eq!(serde_json::to_string(&ask).unwrap(), r#"{"ask":"poll","who":"Li Wei","dry_run":true}"#);
        let answer = Response::Refused { advice: Advice::TryLater, message: "spent".into() };
        let report = PollReport {
            org: "default".into(),
            union_id: "u1".into(),
            name: "Li Wei".into(),
            request: request_line("https://api.dingtalk.io", "u1"),
            took_ms: 1,
            recorded: true,
            outcome: PollOutcome::Seen {
                observation: seen(),
                events: Some(vec![EventType::ParticipantJoined, EventType::PresenceChanged]),
            },
        };
        let poll = Response::Poll(Box::new(report));
        let line = serde_json::to_string(&poll).unwrap();
        assert_eq!(serde_json::from_str::<Response>(&line).unwrap(), poll, "{line}");
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"answer":"refused","advice":"try_later","message":"spent"}"#
        );
    }
}
