//! Looking at one person now, because the operator asks.
//!
//! Guards: such a look is a look like any other: it is charged, it is diffed, it moves the next one. Deliberately not here:
//! the socket it is asked through (`control`).

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::presence::observation::Observation;

/// What came of a look.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LookReport {
    /// Who, as `org/unionId`.
    pub who: String,
    /// When the answer was there, RFC 3339.
    pub at: String,
    /// The answer, if it was understood.
    pub observation: Option<Observation>,
    /// Byte for byte as last time.
    pub unchanged: bool,
    /// The failure, if it was one: class and text.
    pub error: Option<String>,
    /// The class of the failure alone.
    pub error_class: Option<String>,
    /// Types of the events that follow.
    pub events: Vec<String>,
    /// Whether anything was written down.
    pub recorded: bool,
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
