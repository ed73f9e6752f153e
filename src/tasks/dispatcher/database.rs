//! The transaction that the dispatcher waits for.
//!
//! Guards: one at a time. Not here: what is written (`queues`), the statements (`store::outbox`).

use std::pin::Pin;

use crate::ids::WebhookName;
use crate::store::outbox::{Turn, TurnFailed, Turned};
use crate::store::{Store, StoreError};
use crate::time::Timestamp;

/// What the database was asked, and is working on.
#[derive(Default)]
pub(super) struct Database(Option<Pin<Box<dyn Future<Output = Done> + Send>>>);

pub(super) enum Done {
    Turn(Result<Turned, TurnFailed>),
    /// What waited for a disabled webhook became dead letters: how many.
    GivenUp(WebhookName, Result<u64, StoreError>),
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "busy" } else { "free" })
    }
}

impl Database {
    /// Writes and asks.
    pub(super) fn turn(&mut self, store: Store, turn: Turn) {
        self.0 = Some(Box::pin(async move { Done::Turn(store.outbox().turn(turn).await) }));
    }

    /// Makes everything that waits for a disabled webhook dead letters.
    pub(super) fn give_up(&mut self, store: Store, webhook: WebhookName, reason: String, now: Timestamp) {
        self.0 = Some(Box::pin(async move {
            let buried = store.outbox().give_up_all(webhook.clone(), reason, now).await;
            Done::GivenUp(webhook, buried)
        }));
    }

    pub(super) fn is_busy(&self) -> bool {
        self.0.is_some()
    }

    /// Waits for what was asked; for ever when nothing was.
    pub(super) async fn done(&mut self) -> Done {
        match &mut self.0 {
            Some(asked) => {
                let done = asked.await;
                self.0 = None;
                done
            }
            None => std::future::pending().await,
        }
    }
}
