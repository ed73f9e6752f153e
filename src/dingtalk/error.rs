//! Every way a call can fail, and what each means for the next one.
//!
//! Guards: a failure is not absence: nothing here can be turned into an observation. Deliberately not here: waiting
//! and counting (`tasks::poller`, `policy`).

use std::time::Duration;

/// What a failure means for the calls that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A rate limit: this organisation waits at least so long.
    Throttled {
        /// From now.
        pause: Duration,
    },
    /// A limit a minute: this organisation waits until the next minute begins.
    ThrottledThisMinute,
    /// The month's calls are used up, says DingTalk.
    QuotaSpent,
    /// The token or the credentials were refused, also after a fresh token.
    Unauthorised,
    /// Permission is missing, or this IP is not on the app's list.
    Forbidden,
    /// This person is refused; nobody else is concerned.
    UnknownUser,
    /// This IP is banned: everything from here waits five minutes.
    Banned,
    /// DingTalk is ill, or answers what nobody understands: back off.
    Outage,
    /// No answer: name, connection, TLS, time-out.
    Unreachable,
    /// The configuration is wrong in a way that looks like something else.
    Misconfigured,
}

/// A failed call.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{class}: {text}")]
pub struct CallError {
    /// A short fixed word for counting: `throttled`, `banned`, `malformed`, ...
    pub class: &'static str,
    /// For a person; without ids, secrets or URLs.
    pub text: String,
    /// DingTalk's `code`, where there was one.
    pub code: Option<String>,
    /// DingTalk's request id, where there was one.
    pub request_id: Option<String>,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// `Retry-After`, where there was one.
    pub retry_after: Option<Duration>,
    /// Whether the call counts against the month ("unreachable" and throttled calls do not).
    pub charged: bool,
    /// What it means.
    pub verdict: Verdict,
}
