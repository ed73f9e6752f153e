//! The ways a call can fail, and what each of them means for the next call.
//!
//! Guards: a failure is not absence, so nothing here converts to an observation. Not here: waiting and counting
//! (`tasks::poller`), the reaction to a verdict (`policy::failure_policy`).

use std::time::Duration;

pub use crate::policy::failure_policy::Verdict;

/// The words that failures are counted under.
pub mod class {
    /// No connection (name resolution, connection refused, TLS). Nothing was sent.
    pub const UNREACHABLE: &str = "unreachable";
    /// No complete answer in time.
    pub const TIMEOUT: &str = "timeout";
    /// The connection closed early, or the answer is not HTTP or not complete.
    pub const BROKEN: &str = "broken";
    /// The body is larger than any body that DingTalk sends.
    pub const OVERSIZED: &str = "oversized";
    /// DingTalk has banned this IP address.
    pub const BANNED: &str = "banned";
    /// The body is not JSON.
    pub const NOT_JSON: &str = "not_json";
    /// The body is JSON, but not in the documented form.
    pub const MALFORMED: &str = "malformed";
    /// A success whose body holds keys of an error or of another service.
    pub const FOREIGN: &str = "foreign";
    /// A redirect, which is never followed because the token would travel along.
    pub const REDIRECT: &str = "redirect";
    /// Too many calls per second or minute.
    pub const THROTTLED: &str = "throttled";
    /// A service behind the gateway is busy.
    pub const BUSY: &str = "busy";
    /// The calls of this month are used up.
    pub const QUOTA_SPENT: &str = "quota_spent";
    /// DingTalk refused the token.
    pub const UNAUTHORISED: &str = "unauthorised";
    /// DingTalk refused the app's key, secret, suite or organisation.
    pub const CREDENTIALS: &str = "credentials";
    /// The app lacks a permission.
    pub const FORBIDDEN: &str = "forbidden";
    /// This IP address is not in the app's allow list.
    pub const IP_NOT_ALLOWED: &str = "ip_not_allowed";
    /// DingTalk does not know this user.
    pub const UNKNOWN_USER: &str = "unknown_user";
    /// Another business rule refuses the call for this user.
    pub const REFUSED: &str = "refused";
    /// DingTalk reports a failure of its own.
    pub const OUTAGE: &str = "outage";
    /// The base URL or the kind of app in the config is wrong.
    pub const MISCONFIGURED: &str = "misconfigured";
}

/// A failed call.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{class}: {text}")]
pub struct CallError {
    /// A short fixed word for counting, one of [`class`].
    pub class: &'static str,
    /// The reason in plain words, without ids, secrets or URLs.
    pub text: String,
    /// DingTalk's `code`, if the answer had one.
    pub code: Option<Box<str>>,
    /// DingTalk's request id, if the answer had one.
    pub request_id: Option<Box<str>>,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// `Retry-After`, if the answer had it.
    pub retry_after: Option<Duration>,
    /// Whether the failed call counts against the month. Calls that were never sent, refusals for the rate per second or
    /// minute, and token calls do not count; a time-out after sending and a refused parameter do.
    pub charged: bool,
    /// All calls of this attempt that count against the month: 2 if the call was repeated with a new token and failed again.
    pub calls: u32,
    /// What the failure means for the next call.
    pub verdict: Verdict,
}
