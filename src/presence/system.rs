//! Events without a user: gaps, alerts, webhook tests.
//!
//! Guards: the ids are hashes of content and of the number of earlier events, which the caller stores. Deliberately not
//! here: when these events are made (`tasks`), which webhook gets them (`webhook::routing`).

use super::data::{Alert, Data, Gap, MAX_SUMMARY_BYTES, Rfc3339, Timing, VERSION};
use super::event::{EventType, NewEvent};
use super::fingerprint::Fingerprint;
use super::text::clean;
use super::visit::Basis;
use crate::ids::{OrgName, WebhookName};
use crate::time::Timestamp;

/// Why no poll ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The daemon was not running.
    Restart,
    /// DingTalk was down or unreachable.
    Upstream,
    /// The call budget was spent, or DingTalk limited the rate.
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

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertName {
    /// The month's call budget.
    Budget,
    /// Credentials or a permission.
    Auth,
    /// DingTalk is down or unreachable.
    Upstream,
    /// A reload refused the new config.
    Config,
    /// A webhook's deliveries fail.
    Webhook,
    /// The database.
    Database,
    /// The connection over which DingTalk pushes events.
    Push,
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
            Self::Push => "push",
        }
    }
}

/// `system.gap`: no user of `org` was polled between the two times. `earlier` is the stored number of earlier events
/// of this type of this organisation.
pub fn system_gap(
    source: &str,
    org: Option<&OrgName>,
    gap: (Timestamp, Timestamp),
    cause: GapCause,
    earlier: u64,
) -> NewEvent {
    let (from, to) = (gap.0, gap.1.max(gap.0));
    let what = format!("{}:{}", cause.name(), from.as_ms());
    let mut event = system_event(EventType::SystemGap, source, org, to, &what, earlier);
    event.data.timing.earliest = Some(Rfc3339(from));
    event.data.timing.previous_poll_at = Some(Rfc3339(from));
    event.data.cause = Some(cause.name().to_owned());
    event.data.gap = Some(Gap::new(from, to));
    event
}

/// `system.alert`: an alert about the daemon's own health started (`firing`) or ended. The summary is for people and
/// has no secrets; it is cut to [`MAX_SUMMARY_BYTES`].
pub fn system_alert(
    source: &str,
    org: Option<&OrgName>,
    name: AlertName,
    firing: bool,
    summary: &str,
    at: Timestamp,
    earlier: u64,
) -> NewEvent {
    let state = if firing { "firing" } else { "resolved" };
    let what = format!("{}:{state}", name.name());
    let mut event = system_event(EventType::SystemAlert, source, org, at, &what, earlier);
    event.data.alert = Some(Alert { name: name.name(), state, summary: clean(summary, MAX_SUMMARY_BYTES) });
    event
}

/// `webhook.test`: the operator requested a test event. It belongs to the daemon, not to an organisation.
pub fn webhook_test(source: &str, webhook: &WebhookName, at: Timestamp, earlier: u64) -> NewEvent {
    let mut event = system_event(EventType::WebhookTest, source, None, at, webhook.as_str(), earlier);
    event.data.synthetic = true;
    event
}

fn system_event(
    event_type: EventType,
    source: &str,
    org: Option<&OrgName>,
    at: Timestamp,
    what: &str,
    earlier: u64,
) -> NewEvent {
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
    NewEvent {
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
