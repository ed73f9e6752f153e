//! Telling how everybody stands, because somebody asks: one `user.presence_snapshot` a person.
//!
//! Guards: a snapshot tells what is written down, so it waits for a look or a commit that is under way; it goes to
//! those who asked and may know of the person, whatever patterns they have. Deliberately not here: what a snapshot says
//! (`presence::lifecycle`).

use crate::tasks::poller::roster::UserKey;
use std::sync::Arc;

use super::Poller;
use super::report::SnapshotNow;
use crate::ids::WebhookName;
use crate::presence::lifecycle;
use crate::store::Outgoing;
use crate::webhook::routing::Subscription;

/// A snapshot that is still to be told.
#[derive(Clone, Debug, Default)]
pub(super) struct Owed {
    webhooks: Vec<WebhookName>,
    /// Only once there was a good look.
    once_known: bool,
}

impl Poller {
    pub(super) fn snapshot_now(&mut self, request: SnapshotNow) {
        let SnapshotNow { webhooks, once_known, reply } = request;
        let subscriptions = Arc::clone(&self.tools.subscriptions);
        let mut told = 0;
        for person in self.user_keys() {
            let watched = &mut self.users[person];
            if watched.gone || self.tools.store.erasures().is_erased(watched.person_id) {
                continue;
            }
            let may_know =
                |one: &&Subscription| webhooks.contains(&one.webhook) && one.admits_user(&watched.who.card());
            let mut allowed = subscriptions.iter().filter(may_know).map(|one| one.webhook.clone()).peekable();
            if allowed.peek().is_none() {
                continue;
            }
            let owed = watched.owed.get_or_insert(Owed { webhooks: Vec::new(), once_known });
            // One who cannot wait does not; the others hear of it at the same time.
            owed.once_known &= once_known;
            owed.webhooks.extend(allowed);
            told += 1;
            self.tell_owed(person);
        }
        // Who asked and does not listen any more need not know.
        let _ = reply.send(told);
    }

    /// Tells a snapshot if one is owed and nothing is under way for this person.
    pub(super) fn tell_owed(&mut self, person: UserKey) {
        let watched = &mut self.users[person];
        let known = watched.last_ok.is_some();
        if watched.busy
            || self.stopping
            || !watched.owed.as_ref().is_some_and(|owed| known || !owed.once_known)
        {
            return;
        }
        let Some(mut owed) = watched.owed.take() else { return };
        owed.webhooks.sort();
        owed.webhooks.dedup();
        let due = watched.due;
        let mut outcome = lifecycle::snapshot(
            &watched.belief,
            self.tools.clock.now(),
            &watched.who.card(),
            self.tools.store.source(),
        );
        let webhooks: Arc<[WebhookName]> = owed.webhooks.into();
        let addressed = |draft| Outgoing { draft, webhooks: Arc::clone(&webhooks) };
        let events = std::mem::take(&mut outcome.events).into_iter().map(addressed).collect();
        self.upstreams[watched.upstream].due.remove(due, person);
        self.record_told(person, outcome, events, due);
    }
}
