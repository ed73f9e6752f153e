//! What an operator can do on the page.
//!
//! Guards: the listener changes nothing by itself: it passes an action on and shows the answer. Not here: doing it
//! (`app::control_handler`), the forms (`page`).

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::ids::Identity;

/// An action on webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a test event now.
    Test {
        /// The webhook.
        webhook: String,
    },
    /// Pause deliveries.
    Pause {
        /// The webhook.
        webhook: String,
    },
    /// End a pause, or probe at once.
    Resume {
        /// The webhook.
        webhook: String,
    },
    /// Re-enable the webhook and send it a snapshot.
    Enable {
        /// The webhook.
        webhook: String,
    },
    /// Send all dead letters again.
    ReplayDead {
        /// The webhook.
        webhook: String,
    },
    /// Send one event again.
    Resend {
        /// The webhook.
        webhook: String,
        /// The event's id.
        event: String,
    },
}

/// Why a user's next poll is when it is.
#[derive(Clone, Debug, PartialEq)]
pub struct NextPoll {
    /// The rule that set it: a word.
    pub rule: String,
    /// What set the time, if it was not the rule.
    pub instead: Option<String>,
    /// The chance that what is shown is wrong now, from 0 to 1,
    pub wrong_now: f64,
    /// and at the next poll.
    pub wrong_then: f64,
    /// The highest chance of a join or leave in a minute before the poll.
    pub peak_chance_a_minute: f64,
}

/// Does what the page asks for.
#[derive(Clone)]
pub struct ActionHandler {
    /// Does it; answers what was done, or why it was not.
    pub act: Arc<dyn Fn(Action) -> BoxFuture<'static, Result<String, String>> + Send + Sync>,
    /// Explains a user's next poll; `None`: it cannot be explained.
    pub explain: Arc<dyn Fn(Identity) -> BoxFuture<'static, Option<NextPoll>> + Send + Sync>,
}

impl fmt::Debug for ActionHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActionHandler").finish_non_exhaustive()
    }
}
