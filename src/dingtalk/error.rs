//! Every way a call can fail, and what each means for the next one.
//!
//! Guards: a failure is not absence: nothing here can be turned into an observation. Deliberately not here: waiting
//! and counting (`tasks::poller`), what follows from a verdict (`policy::failure_policy`).

use std::time::Duration;

pub use crate::policy::failure_policy::Verdict;

/// The words a failure is counted under.
pub mod class {
    /// No connection: name, refusal, TLS. Nothing was sent.
    pub const UNREACHABLE: &str = "unreachable";
    /// No answer, or no whole one, in time.
    pub const TIMEOUT: &str = "timeout";
    /// The connection broke, or what came is not HTTP or not complete.
    pub const BROKEN: &str = "broken";
    /// The body is bigger than anything DingTalk sends.
    pub const OVERSIZED: &str = "oversized";
    /// The ban of our address.
    pub const BANNED: &str = "banned";
    /// Not JSON.
    pub const NOT_JSON: &str = "not_json";
    /// JSON, but not the documented shape.
    pub const MALFORMED: &str = "malformed";
    /// A success that holds keys of an error or of another service.
    pub const FOREIGN: &str = "foreign";
    /// A redirect; never followed, because the token would travel along.
    pub const REDIRECT: &str = "redirect";
    /// Too many calls a second or a minute.
    pub const THROTTLED: &str = "throttled";
    /// A service behind the gateway is busy.
    pub const BUSY: &str = "busy";
    /// The month's calls are used up.
    pub const QUOTA_SPENT: &str = "quota_spent";
    /// The token was refused.
    pub const UNAUTHORISED: &str = "unauthorised";
    /// The app's key, secret, suite or organisation was refused.
    pub const CREDENTIALS: &str = "credentials";
    /// A permission is missing.
    pub const FORBIDDEN: &str = "forbidden";
    /// Our address is not on the app's list.
    pub const IP_NOT_ALLOWED: &str = "ip_not_allowed";
    /// This person does not exist for DingTalk.
    pub const UNKNOWN_USER: &str = "unknown_user";
    /// Refused for this person by some other business rule.
    pub const REFUSED: &str = "refused";
    /// DingTalk says that it is ill.
    pub const OUTAGE: &str = "outage";
    /// The address or the app kind in the configuration is not right.
    pub const MISCONFIGURED: &str = "misconfigured";
}

/// A failed call.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{class}: {text}")]
pub struct CallError {
    /// A short fixed word for counting, one of [`class`].
    pub class: &'static str,
    /// For a person; without ids, secrets or URLs.
    pub text: String,
    /// DingTalk's `code`, where there was one.
    pub code: Option<Box<str>>,
    /// DingTalk's request id, where there was one.
    pub request_id: Option<Box<str>>,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// `Retry-After`, where there was one.
    pub retry_after: Option<Duration>,
    /// Whether the call that failed counts against the month. Calls that were never sent, refusals for calls a second
    /// or a minute, and token calls do not; a time-out after sending and a refused parameter do.
    pub charged: bool,
    /// How many calls of this attempt count against the month, those before the failure included: 2 when the call
    /// was repeated with a fresh token and failed again.
    pub calls: u32,
    /// What it means.
    pub verdict: Verdict,
}
