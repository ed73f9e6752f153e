//! What the two say to each other about webhooks.
//!
//! Guards: the same as the rest of the socket: no URL and no secret crosses it. Deliberately not here: doing it
//! (`tasks::operator`).

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What a command asks about webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum WebhookRequest {
    /// Send a test now.
    Test {
        /// To whom.
        webhook: String,
    },
    /// Hold everything back.
    Pause {
        /// From whom.
        webhook: String,
    },
    /// Undo a pause, or probe at once.
    Resume {
        /// Whom.
        webhook: String,
    },
    /// Up again whatever it was, and told how everybody stands.
    Enable {
        /// Whom.
        webhook: String,
    },
    /// Told how everybody stands.
    Snapshot {
        /// Whom.
        webhook: String,
    },
    /// Send again.
    Replay(ReplayRequest),
}

/// What is to be sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayRequest {
    /// To these; empty: to all that are not disabled.
    pub webhooks: Vec<String>,
    /// These events; empty: all that fit the rest.
    pub events: Vec<String>,
    /// Also events that were never meant for these webhooks.
    pub never_meant: bool,
    /// Written down then or later.
    pub since: Option<Timestamp>,
    /// Written down before.
    pub until: Option<Timestamp>,
    /// `delivered`, `dead` or `expired`.
    pub state: Option<String>,
}

/// What the daemon answers about webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub enum WebhookResponse {
    /// A test was sent.
    Tested(Box<TestReport>),
    /// A webhook's state was changed, or was so already.
    Changed {
        /// Its name.
        webhook: String,
        /// `up`, `down`, `disabled` or `paused`, before.
        was: String,
        /// The same, now.
        state: String,
        /// How many people it is told about, where it is.
        snapshots: Option<usize>,
    },
    /// Snapshots are on their way.
    Snapshots {
        /// To whom.
        webhook: String,
        /// About so many people.
        people: usize,
    },
    /// Deliveries wait again.
    Replayed {
        /// By webhook.
        counts: Vec<Replayed>,
    },
}

/// What a replay came to at one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Its name.
    pub webhook: String,
    /// Sent again.
    pub again: u64,
    /// Left alone: they wait already.
    pub waiting: u64,
}

/// One test, as told to who asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestReport {
    /// The webhook.
    pub webhook: String,
    /// How it stood: `up`, `down`, `disabled` or `paused`.
    pub state: String,
    /// The event's id.
    pub event_id: String,
    /// The headers that went out, by name; what may be secret is hidden. Empty: nothing could be sent.
    pub headers: Vec<(String, String)>,
    /// The body that went out.
    pub body: String,
    /// The HTTP status; `None` when no head arrived.
    pub status: Option<u16>,
    /// The start of the answer's body, printable.
    pub answered: String,
    /// What went wrong.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
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
