//! Requests and answers about webhooks.
//!
//! Guards: no URL and no secret is sent. Not here: the work (`tasks::operator`).

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A request about webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum WebhookRequest {
    /// Send a test event now.
    Test { webhook: String },
    /// Pause deliveries.
    Pause { webhook: String },
    /// End a pause, or probe at once.
    Resume { webhook: String },
    /// Re-enable a webhook and send it a snapshot.
    Enable { webhook: String },
    /// Send a snapshot.
    Snapshot { webhook: String },
    /// Send deliveries again.
    Replay(ReplayRequest),
}

/// Which deliveries are sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayRequest {
    /// These webhooks; empty: all that are not disabled.
    pub webhooks: Vec<String>,
    /// These events; empty: all that match the rest.
    pub events: Vec<String>,
    /// Also events that were not routed to these webhooks.
    pub never_meant: bool,
    /// Recorded at this time or later.
    pub since: Option<Timestamp>,
    /// Recorded before this time.
    pub until: Option<Timestamp>,
    /// `delivered`, `dead` or `expired`.
    pub state: Option<String>,
}

/// An answer about webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub enum WebhookResponse {
    /// A test was sent.
    Tested(Box<TestReport>),
    /// The state of a webhook, changed or not.
    Changed {
        webhook: String,
        /// The state before: `up`, `down`, `disabled` or `paused`.
        was: String,
        /// The state now.
        state: String,
        /// Number of users in the snapshot, if one is sent.
        snapshots: Option<usize>,
    },
    /// Snapshots are being sent.
    Snapshots {
        webhook: String,
        /// Number of users.
        people: usize,
    },
    /// Deliveries are queued again.
    Replayed { counts: Vec<Replayed> },
}

/// The result of a replay for one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    pub webhook: String,
    /// Number of deliveries queued again.
    pub again: u64,
    /// Number of deliveries that were waiting already.
    pub waiting: u64,
}

/// The result of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestReport {
    pub webhook: String,
    /// Its state: `up`, `down`, `disabled` or `paused`.
    pub state: String,
    pub event_id: String,
    /// The headers that were sent; secret values are hidden. Empty: the request could not be sent.
    pub headers: Vec<(String, String)>,
    /// The body that was sent.
    pub body: String,
    /// The HTTP status; `None` without an answer.
    pub status: Option<u16>,
    /// The begin of the body of the answer, printable.
    pub answered: String,
    pub error: Option<String>,
    /// Duration in milliseconds.
    pub took_ms: u64,
    /// `accepted`, `refused`, `unavailable` or `gone`.
    pub outcome: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Request, Response};

    #[test]
    fn the_lines_on_the_wire_are_understood_at_the_other_end() {
        let replay = ReplayRequest { events: vec!["evt_1".into()], ..ReplayRequest::default() };
        for asked in [WebhookRequest::Test { webhook: "crm".into() }, WebhookRequest::Replay(replay)] {
            let request = Request::Webhook(asked);
            let line = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request, "{line}");
        }
        let report = TestReport {
            webhook: "crm".into(),
            state: "up".into(),
            event_id: "evt_1".into(),
            headers: vec![("webhook-id".into(), "evt_1".into())],
            body: "{}".into(),
            status: Some(204),
            answered: String::new(),
            error: None,
            took_ms: 3,
            outcome: "accepted".into(),
        };
        let counts = vec![Replayed { webhook: "crm".into(), again: 1, waiting: 0 }];
        for did in [
            WebhookResponse::Tested(Box::new(report)),
            WebhookResponse::Changed {
                webhook: "crm".into(),
                was: "up".into(),
                state: "paused".into(),
                snapshots: None,
            },
            WebhookResponse::Snapshots { webhook: "crm".into(), people: 3 },
            WebhookResponse::Replayed { counts },
        ] {
            let response = Response::Webhook(did);
            let line = serde_json::to_string(&response).unwrap();
            assert_eq!(serde_json::from_str::<Response>(&line).unwrap(), response, "{line}");
        }
    }
}
