//! Looking at one person now, because the operator asks.
//!
//! Guards: such a look is a look like any other: it is charged, it is diffed, it moves the next one. Deliberately not here:
//! the socket it is asked through (`control`).

use tokio::sync::{mpsc, oneshot};

use crate::dingtalk::error::CallError;
use crate::ids::Identity;
use crate::presence::event::EventType;
use crate::presence::observation::Observation;

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

/// The operator's end.
#[derive(Clone, Debug)]
pub struct PollerHandle(mpsc::Sender<LookNow>);

impl PollerHandle {
    /// A pair of ends. At most 16 requests wait.
    pub fn pair() -> (Self, mpsc::Receiver<LookNow>) {
        let (sender, receiver) = mpsc::channel(16);
        (Self(sender), receiver)
    }

    /// Looks at somebody and waits for what comes of it.
    pub async fn look(&self, who: String, dry_run: bool) -> Result<LookReport, String> {
        const STOPPING: &str = "the daemon is stopping";
        let (reply, answer) = oneshot::channel();
        self.0.send(LookNow { who, dry_run, reply }).await.map_err(|_| STOPPING.to_owned())?;
        answer.await.map_err(|_| STOPPING.to_owned())?
    }
}
