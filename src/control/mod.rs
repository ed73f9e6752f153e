//! The control socket: how a command reaches the running daemon, and what the two say to each other.
//!
//! Guards: only the daemon's own user (and root) can speak here; the socket's place follows from the config file's
//! path alone; one JSON line is asked, one is answered, both bounded in size and time; no secret crosses it.
//! Deliberately not here: what is done when asked (`app`), how an answer is printed (`cli`).

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

/// What a command asks of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Why somebody's next look is when it is.
    Explain {
        /// Whose: the organisation's name.
        org: OrgName,
        /// And the unionId.
        union_id: UnionId,
    },
    /// Erase somebody.
    Forget {
        /// As the operator wrote it.
        who: String,
    },
    /// Whether anybody is there.
    Ping,
    /// Read the config again.
    Reload,
    /// How things stand.
    Status,
    /// Look at somebody now.
    Poll {
        /// As the operator wrote it: a name, a unionId, or enough of one.
        who: String,
        /// Look, but change nothing.
        dry_run: bool,
    },
    /// Delete now what is too old.
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
    /// Somebody was erased.
    Forgot(Box<Forgotten>),
    /// It is there.
    Pong {
        /// Of the daemon.
        version: String,
    },
    /// Another config is in force.
    Reloaded(Box<ReloadReport>),
    /// How things stand.
    Status(Box<StatusReport>),
    /// What the look gave.
    Poll(Box<PollReport>),
    /// What was too old.
    Pruned(Pruned),
    /// What was done about webhooks.
    Webhook(webhook::WebhookResponse),
    /// It was not done.
    Refused {
        /// What that means for who asked.
        advice: Advice,
        /// Why, for a person.
        message: String,
    },
}

/// How the daemon is; what the database knows is not repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Of the daemon.
    pub version: String,
    /// When it started, in milliseconds since 1970.
    pub started_ms: i64,
    /// When the config in force was read.
    pub loaded_ms: i64,
    /// A newer one was refused.
    pub refused: Option<RefusedConfig>,
    /// What of the newest config counts only after a restart.
    pub restart_for: Vec<String>,
    /// The database takes writes and at least one organisation works.
    pub ready: bool,
    /// What is not.
    pub reasons: Vec<String>,
    /// Organisations that do not work.
    #[serde(default)]
    pub degraded: Vec<DegradedOrg>,
    /// Users whom DingTalk refuses, by organisation.
    #[serde(default)]
    pub refused_users: Vec<RefusedUsers>,
    /// Users who are not polled as planned, the refused ones among them, by organisation and reason.
    #[serde(default)]
    pub unpolled_users: Vec<UnpolledUsers>,
    /// What sweeps do, by organisation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweeps: Vec<SweepReport>,
}

/// An organisation that does not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DegradedOrg {
    /// The organisation's name.
    pub org: String,
    /// Why, for a person.
    pub reason: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// When the next attempt follows.
    pub next_ms: Option<i64>,
}

/// Users whom DingTalk refuses while it answers about others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedUsers {
    /// The organisation's name.
    pub org: String,
    /// How many.
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
    /// How many.
    pub users: usize,
    /// When the first of them is polled again, in milliseconds since 1970; where polls are late, since when it is due.
    pub next_ms: i64,
}

/// What sweeps of an organisation do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepReport {
    /// The organisation's name.
    pub org: String,
    /// `off`, `refused`, `learning` or `trusted`.
    pub state: String,
    /// Why it is no better.
    pub why: Option<String>,
    /// Looks that agreed since the newest contradiction.
    pub agreed: u32,
    /// So many earn trust.
    pub needed: u32,
    /// `union_id` or `userid`, once that is learned.
    pub ids: Option<String>,
    /// This month's calls that sweeps took.
    pub calls: u64,
    /// The newest whole sweep, in milliseconds since 1970.
    pub last_ms: Option<i64>,
}

/// A config that was not taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedConfig {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The first thing that is wrong with it.
    pub why: String,
}

/// What another config changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// How many people are watched now.
    pub people: usize,
    /// Every difference, a line each.
    pub changes: Vec<String>,
    /// Those of them that count only after a restart.
    pub restart_for: Vec<String>,
    /// What somebody should know about the config.
    pub warnings: Vec<String>,
}

/// One look at one person, as told to who asked for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PollReport {
    /// The organisation's name.
    pub org: String,
    /// The unionId.
    pub union_id: String,
    /// The name, by the config.
    pub name: String,
    /// Method and URL; the token is a header and stays out.
    pub request: String,
    /// How long the answer took, in milliseconds.
    pub took_ms: u64,
    /// Whether anything was kept: not on a dry run, not without the daemon.
    pub recorded: bool,
    /// What came back.
    #[serde(flatten)]
    pub outcome: PollOutcome,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PollOutcome {
    /// A good answer.
    Seen {
        /// What it says.
        observation: Observation,
        /// The events that followed (on a dry run: that would follow); `None` when nobody could compare.
        events: Option<Vec<EventType>>,
    },
    /// No good answer; nobody's presence changed.
    Failed(PollFailure),
}

/// A failed call, as `dingtalk::error` classified it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollFailure {
    /// The short fixed word.
    pub class: String,
    /// For a person.
    pub text: String,
    /// DingTalk's `code`.
    pub code: Option<String>,
    /// DingTalk's request id: what its support asks for.
    pub request_id: Option<String>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// What it means for who asked.
    pub advice: Advice,
}

/// What a failure means for who asked; the command line has an exit code for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// Throttled, ill or spent: the same request may succeed later.
    TryLater,
    /// Credentials or permissions are refused.
    Refused,
    /// Nobody answered.
    Unreachable,
    /// The configuration is wrong.
    Misconfigured,
    /// Nobody is called that.
    Nothing,
    /// The question fits several, or cannot be asked.
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

/// The request line of a look, for people: what `dingtalk::client` sends, without its headers.
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
