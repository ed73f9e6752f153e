//! Events about nobody: gaps, alerts, tests.
//!
//! Guards: their ids too come from content and from the count of earlier ones, which the caller stores. Deliberately
//! not here: when they are made (`tasks`), who gets them (`policy`, `tasks`).

use super::data::{Alert, Data, Gap, MAX_SUMMARY_BYTES, Timing, VERSION};
use super::event::{Draft, EventType, Rfc3339};
use super::fingerprint::Fingerprint;
use super::text::clean;
use super::visit::Basis;
use crate::ids::{OrgName, WebhookName};
use crate::time::Timestamp;

/// Why nobody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The daemon was down.
    Restart,
    /// DingTalk was, or could not be reached.
    Upstream,
    /// No calls were left, or were allowed.
    Throttled,
}

impl GapCause {
    /// The name in events and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Upstream => "upstream",
            Self::Throttled => "throttled",
        }
    }
}

/// What turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertName {
    /// The month's calls.
    Budget,
    /// Credentials or permission.
    Auth,
    /// DingTalk.
    Upstream,
    /// The configuration at a reload.
    Config,
    /// A receiver.
    Webhook,
    /// The database.
    Database,
}

impl AlertName {
    /// The name in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Auth => "auth",
            Self::Upstream => "upstream",
            Self::Config => "config",
            Self::Webhook => "webhook",
            Self::Database => "database",
        }
    }
}

/// `system.gap`: nobody of `org` was looked at between the two instants. `earlier`: the stored count of earlier events
/// of this type of this organisation.
pub fn system_gap(
    source: &str,
    org: Option<&OrgName>,
    gap: (Timestamp, Timestamp),
    cause: GapCause,
    earlier: u64,
) -> Draft {
    let (from, to) = (gap.0, gap.1.max(gap.0));
    let what = format!("{}:{}", cause.name(), from.as_ms());
    let mut draft = about_nobody(EventType::SystemGap, source, org, to, &what, earlier);
    draft.data.timing.earliest = Some(Rfc3339(from));
    draft.data.timing.previous_poll_at = Some(Rfc3339(from));
    draft.data.cause = Some(cause.name().to_owned());
    draft.data.gap = Some(Gap::new(from, to));
    draft
}

/// `system.alert`: the daemon's own health turned. The summary is for a person, without secrets; it is cut at
/// [`MAX_SUMMARY_BYTES`].
pub fn system_alert(
    source: &str,
    org: Option<&OrgName>,
    name: AlertName,
    firing: bool,
    summary: &str,
    at: Timestamp,
    earlier: u64,
) -> Draft {
    let state = if firing { "firing" } else { "resolved" };
    let what = format!("{}:{state}", name.name());
    let mut draft = about_nobody(EventType::SystemAlert, source, org, at, &what, earlier);
    draft.data.alert = Some(Alert { name: name.name(), state, summary: clean(summary, MAX_SUMMARY_BYTES) });
    draft
}

/// `webhook.test`: the operator asked for one. Of the daemon, not of an organisation.
pub fn webhook_test(source: &str, webhook: &WebhookName, at: Timestamp, earlier: u64) -> Draft {
    let mut draft = about_nobody(EventType::WebhookTest, source, None, at, webhook.as_str(), earlier);
    draft.data.synthetic = true;
    draft
}

fn about_nobody(
    event_type: EventType,
    source: &str,
    org: Option<&OrgName>,
    at: Timestamp,
    what: &str,
    earlier: u64,
) -> Draft {
    let id = Fingerprint::default()
        .text(source)
        .text_option(org.map(OrgName::as_str))
        .text(event_type.name())
        .text(what)
        .number(i64::try_from(earlier).unwrap_or(i64::MAX))
        .event_id();
    let data = Data {
        v: VERSION,
        org: org.cloned(),
        user: None,
        meeting: None,
        visit: None,
        member: None,
        status: None,
        presence: None,
        timing: Timing {
            basis: Basis::Observed,
            earliest: None,
            latest: Rfc3339(at),
            observed_at: Rfc3339(at),
            previous_poll_at: None,
            late: false,
        },
        cause: None,
        gap: None,
        alert: None,
        supersedes: None,
        changes: None,
        flags: Vec::new(),
        synthetic: false,
    };
    Draft {
        id,
        event_type,
        time: at,
        identity: None,
        conference_id: None,
        late: false,
        host: false,
        data: Box::new(data),
    }
}
