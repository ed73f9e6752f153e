//! Requests of the operator to the poller: poll a user now, send snapshots, explain the next poll.
//!
//! Guards: a manual poll is a poll like any other: it is charged, compared, and moves the next one. Not here: the
//! control socket (`control`).

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::dingtalk::error::CallError;
use crate::ids::{Identity, WebhookName};
use crate::policy::pace::PollDecision;
use crate::presence::event::EventType;
use crate::presence::observation::Observation;
use crate::time::Timestamp;

/// The result of a manual poll.
#[derive(Clone, Debug)]
pub struct PollResult {
    /// The polled user.
    pub identity: Identity,
    /// Name in the config.
    pub name: String,
    /// Whether it was recorded.
    pub recorded: bool,
    /// The answer.
    pub found: Found,
}

/// The answer of a manual poll.
#[derive(Clone, Debug)]
pub enum Found {
    /// A good answer.
    Answer {
        /// What DingTalk reports.
        observation: Observation,
        /// The same as the newest stored snapshot.
        unchanged: bool,
        /// The resulting events, in order.
        events: Vec<EventType>,
    },
    /// No good answer; presence does not change.
    Failure(CallError),
}

/// A requested poll.
#[derive(Debug)]
pub struct PollNow {
    /// A unionId or a name from the watch list.
    pub who: String,
    /// Compare the answer, but record nothing.
    pub dry_run: bool,
    /// Receives the result, or why there was no poll.
    pub reply: oneshot::Sender<Result<PollResult, NoPoll>>,
}

/// Why a requested poll has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPoll {
    /// No user, or more than one, is meant.
    #[error("{0}")]
    NoMatch(String),
    /// It can be made later.
    #[error("{0}")]
    Later(String),
    /// It was made, and could not be recorded.
    #[error("the database did not take it: {0}")]
    NotRecorded(String),
}

/// A request for snapshots of all users.
#[derive(Debug)]
pub struct SnapshotNow {
    /// The webhooks that receive them.
    pub webhooks: Arc<[WebhookName]>,
    /// Only of users with a good poll; of the others after their first.
    pub once_known: bool,
    /// Receives the number of users.
    pub reply: oneshot::Sender<usize>,
}

/// A request to explain a user's next poll.
#[derive(Debug)]
pub struct ExplainNow {
    /// The user in question.
    pub who: Identity,
    /// Receives the explanation, or why there is none.
    pub reply: oneshot::Sender<Result<Explanation, String>>,
}

/// The plan for a user.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The time of the next poll or re-plan.
    pub due: Timestamp,
    /// When it was decided.
    pub decided: Timestamp,
    /// The decision of the rule at that time.
    pub next: PollDecision,
    /// What determined `due` instead of the rule; `next` is what the rule would decide now.
    pub instead: Option<&'static str>,
}

/// A request to the poller.
#[derive(Debug)]
pub enum Request {
    /// Explain a user's next poll.
    Explain(ExplainNow),
    /// Poll a user now.
    Poll(PollNow),
    /// Send snapshots of all users.
    Snapshot(SnapshotNow),
}

const STOPPING: &str = "the daemon is stopping";

/// Sends requests to the poller.
#[derive(Clone, Debug)]
pub struct PollerHandle(mpsc::Sender<Request>);

impl PollerHandle {
    /// A handle and its receiver. At most 16 requests wait.
    pub fn pair() -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(16);
        (Self(sender), receiver)
    }

    /// Polls a user and waits for the result.
    pub async fn poll(&self, who: String, dry_run: bool) -> Result<PollResult, NoPoll> {
        let stopping = || NoPoll::Later(STOPPING.to_owned());
        let (reply, answer) = oneshot::channel();
        let request = Request::Poll(PollNow { who, dry_run, reply });
        self.0.send(request).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Explains the time of a user's next poll.
    pub async fn explain(&self, who: Identity) -> Result<Explanation, String> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Explain(ExplainNow { who, reply });
        self.0.send(request).await.map_err(|_| STOPPING.to_owned())?;
        answer.await.map_err(|_| STOPPING.to_owned())?
    }

    /// Sends snapshots of all users to these webhooks; returns the number of users.
    pub async fn snapshot(&self, webhooks: Arc<[WebhookName]>) -> Result<usize, String> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Snapshot(SnapshotNow { webhooks, once_known: false, reply });
        self.0.send(request).await.map_err(|_| STOPPING.to_owned())?;
        answer.await.map_err(|_| STOPPING.to_owned())
    }

    /// The same before the poller runs: users without a known state follow after their first good poll.
    pub fn snapshot_at_start(&self, webhooks: Arc<[WebhookName]>) {
        let (reply, _) = oneshot::channel();
        // The channel is still empty.
        let _ = self.0.try_send(Request::Snapshot(SnapshotNow { webhooks, once_known: true, reply }));
    }
}
