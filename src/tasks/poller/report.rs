//! What the operator asks of the poller: to look at one person now, to tell how everybody stands, to
//! tell why somebody's next look is when it is.
//!
//! Guards: such a look is a look like any other: it is charged, it is diffed, it moves the next one. Deliberately not here:
//! the socket it is asked through (`control`).

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::dingtalk::error::CallError;
use crate::ids::{Identity, WebhookName};
use crate::policy::pace::PollDecision;
use crate::presence::event::EventType;
use crate::presence::observation::Observation;
use crate::time::Timestamp;

/// What came of a look.
#[derive(Clone, Debug)]
pub struct LookReport {
    /// Who.
    pub identity: Identity,
    /// By the config.
    pub name: String,
    /// Whether it was written down.
    pub recorded: bool,
    /// What came back.
    pub found: Found,
}

/// What came back.
#[derive(Clone, Debug)]
pub enum Found {
    /// A good answer.
    Answer {
        /// What it says.
        observation: Observation,
        /// The same as the newest stored snapshot.
        unchanged: bool,
        /// What follows from it, in order.
        events: Vec<EventType>,
    },
    /// No good answer; nobody's presence changed.
    Failure(CallError),
}

/// A look that somebody waits for.
#[derive(Debug)]
pub struct LookNow {
    /// A unionId or a name from the watch list.
    pub who: String,
    /// Ask and compare, but record nothing.
    pub dry_run: bool,
    /// Where the answer goes; an error says why nobody was looked at.
    pub reply: oneshot::Sender<Result<LookReport, String>>,
}

/// How everybody stands, told to some webhooks.
#[derive(Debug)]
pub struct SnapshotNow {
    /// To whom.
    pub webhooks: Arc<[WebhookName]>,
    /// Only of whom something is known; of the others after their first good look.
    pub once_known: bool,
    /// How many people it will be about.
    pub reply: oneshot::Sender<usize>,
}

/// A question about somebody's next look.
#[derive(Debug)]
pub struct ExplainNow {
    /// Whose.
    pub who: Identity,
    /// Where the answer goes; an error says why there is none.
    pub reply: oneshot::Sender<Result<Explanation, String>>,
}

/// What is planned for somebody.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// When they are looked at, or the rule is asked again.
    pub due: Timestamp,
    /// When that was decided.
    pub decided: Timestamp,
    /// What the rule decided then.
    pub next: PollDecision,
    /// What gave `due`, where it was not the rule; `next` is what the rule would decide now.
    pub instead: Option<&'static str>,
}

/// What is asked.
#[derive(Debug)]
pub enum Request {
    /// To tell why a look is when it is.
    Explain(ExplainNow),
    /// To look at somebody.
    Look(LookNow),
    /// To tell how everybody stands.
    Snapshot(SnapshotNow),
}

const STOPPING: &str = "the daemon is stopping";

/// The operator's end.
#[derive(Clone, Debug)]
pub struct PollerHandle(mpsc::Sender<Request>);

impl PollerHandle {
    /// A pair of ends. At most 16 requests wait.
    pub fn pair() -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(16);
        (Self(sender), receiver)
    }

    /// Looks at somebody and waits for what comes of it.
    pub async fn look(&self, who: String, dry_run: bool) -> Result<LookReport, String> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Look(LookNow { who, dry_run, reply });
        self.0.send(request).await.map_err(|_| STOPPING.to_owned())?;
        answer.await.map_err(|_| STOPPING.to_owned())?
    }

    /// Why somebody's next look is when it is.
    pub async fn explain(&self, who: Identity) -> Result<Explanation, String> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Explain(ExplainNow { who, reply });
        self.0.send(request).await.map_err(|_| STOPPING.to_owned())?;
        answer.await.map_err(|_| STOPPING.to_owned())?
    }

    /// Lets these webhooks be told how everybody stands; returns how many people that is about.
    pub async fn snapshot(&self, webhooks: Arc<[WebhookName]>) -> Result<usize, String> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Snapshot(SnapshotNow { webhooks, once_known: false, reply });
        self.0.send(request).await.map_err(|_| STOPPING.to_owned())?;
        answer.await.map_err(|_| STOPPING.to_owned())
    }

    /// The same for the start, before the poller runs: of whom nothing is known yet, after their first good look.
    pub fn snapshot_at_start(&self, webhooks: Arc<[WebhookName]>) {
        let (reply, _) = oneshot::channel();
        // There is room: nobody has asked for anything yet.
        let _ = self.0.try_send(Request::Snapshot(SnapshotNow { webhooks, once_known: true, reply }));
    }
}
