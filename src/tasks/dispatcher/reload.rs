//! Another config for a running dispatcher: other targets.
//!
//! Guards: requests in flight end as they began, and are written down; a webhook that is taken out is sent nothing more,
//! and what waits for it stays in the database; one that comes back goes on where it was. Desks are never given to
//! another webhook, so what is in flight still finds its own. Deliberately not here: making targets (`app::reload`).

use std::collections::HashSet;

use tokio::sync::{mpsc, oneshot};

use super::desk::Desk;
use super::{Dispatcher, Target};
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

/// A config that is to be taken over, and who waits for that.
#[derive(Debug)]
pub(super) struct Waiting {
    reload: Reload,
    reply: oneshot::Sender<()>,
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
    /// The next one. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Waiting> {
        self.receiver.recv().await
    }
}

impl Dispatcher {
    /// The way to hand another config to this dispatcher.
    pub fn reload_handle(&self) -> ReloadHandle {
        ReloadHandle(self.reloads.sender.clone())
    }

    pub(super) fn take_reload(&mut self, waiting: Waiting) {
        self.reload(waiting.reload);
        // Nobody waiting any more means nobody to tell.
        let _ = waiting.reply.send(());
    }

    /// Other targets from now on.
    pub fn reload(&mut self, reload: Reload) {
        let Reload { targets, states, changed } = reload;
        let now = self.clock.now();
        let stays: HashSet<&WebhookName> = targets.iter().map(|target| &target.name).collect();
        for desk in self.desks.iter_mut().filter(|desk| !stays.contains(&desk.target.name)) {
            desk.retired = true;
        }
        for target in targets {
            let pace = self.paces.of(&target, now);
            if let Some(&at) = self.by_name.get(&target.name) {
                let differs = changed.contains(&target.name);
                self.desks[at].replace(target, differs, pace, now);
            } else {
                let known = states.iter().find(|(webhook, _)| *webhook == target.name);
                let health = known.map(|(_, health)| health.clone()).unwrap_or_default();
                self.by_name.insert(target.name.clone(), self.desks.len());
                self.desks.push(Desk::new(target, health, pace));
            }
        }
    }
}
