//! Another config for a running dispatcher: its content, and the channel it comes by.
//!
//! Guards: the caller that hands in a config learns when it is in force. Not here: taking it over (`queues`), making targets
//! (`app::reload`).

use tokio::sync::{mpsc, oneshot};

use super::target::Target;
use crate::ids::WebhookName;
use crate::policy::delivery::Health;

/// Everything that a config decides about deliveries.
#[derive(Debug)]
pub struct Reload {
    /// All webhooks.
    pub targets: Vec<Target>,
    /// What the database knows of them: for those that are new to this dispatcher.
    pub states: Vec<(WebhookName, Health)>,
    /// Those whose config is another one than before.
    pub changed: Vec<WebhookName>,
}

/// The way to a running dispatcher.
#[derive(Clone, Debug)]
pub struct ReloadHandle(mpsc::Sender<Waiting>);

impl ReloadHandle {
    /// Hands in another config and waits until it is in force; `false`: the dispatcher ended.
    pub async fn reload(&self, reload: Reload) -> bool {
        let (reply, done) = oneshot::channel();
        self.0.send(Waiting { reload, reply }).await.is_ok() && done.await.is_ok()
    }
}

/// A config that is to be taken over, and the caller that waits for that.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) reload: Reload,
    pub(super) reply: oneshot::Sender<()>,
}

/// The dispatcher's end.
#[derive(Debug)]
pub(super) struct Reloads {
    sender: mpsc::Sender<Waiting>,
    receiver: mpsc::Receiver<Waiting>,
}

impl Default for Reloads {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { sender, receiver }
    }
}

impl Reloads {
    /// The way to hand one in.
    pub(super) fn handle(&self) -> ReloadHandle {
        ReloadHandle(self.sender.clone())
    }

    /// The next one. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Waiting> {
        self.receiver.recv().await
    }
}
