//! An operator's requests to a running dispatcher: their content, and the channel they come by.
//!
//! Guards: a change is answered when it is written, so that no crash takes it back. Not here: what a change means
//! (`policy::operator_action`), the commands behind the requests (`tasks::operator`).

use tokio::sync::{mpsc, oneshot};

use super::target::Target;
use crate::ids::WebhookName;
use crate::policy::delivery::{Health, WebhookState};
use crate::policy::operator_action::OperatorAction;

/// The most requests that wait: operators send them.
const WAITING: usize = 16;

/// A webhook before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Before.
    pub was: WebhookState,
    /// After.
    pub now: WebhookState,
}

/// What is asked.
#[derive(Debug)]
pub(super) enum Request {
    Change { webhook: WebhookName, change: OperatorAction, reply: oneshot::Sender<Option<Changed>> },
    Show { webhook: WebhookName, reply: oneshot::Sender<Option<(Target, Health)>> },
}

/// The operator's end.
#[derive(Clone, Debug)]
pub struct DispatcherHandle(mpsc::Sender<Request>);

/// The dispatcher has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon is stopping")]
pub struct Stopping;

impl DispatcherHandle {
    pub(super) fn pair() -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    /// Changes a webhook's standing; returns once it is written down. `None`: no webhook has this name.
    pub async fn change(
        &self,
        webhook: &WebhookName,
        change: OperatorAction,
    ) -> Result<Option<Changed>, Stopping> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Change { webhook: webhook.clone(), change, reply };
        self.0.send(request).await.map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }

    /// A webhook's target and how it stands at this moment. `None`: no webhook has this name.
    pub async fn show(&self, webhook: &WebhookName) -> Result<Option<(Target, Health)>, Stopping> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Show { webhook: webhook.clone(), reply };
        self.0.send(request).await.map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }
}

/// A change that is to be written, and the operator's command that waits for it.
pub(super) type Confirmation = (oneshot::Sender<Option<Changed>>, Changed);
