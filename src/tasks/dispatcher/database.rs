//! The dispatcher's turn at the database: what it says and asks there, in one transaction, one at a time.
//!
//! Guards: what was not written is said again with the next turn; answers are gathered only while nobody waits for a
//! lane. Deliberately not here: the statements (`store::outbox`).

use std::pin::Pin;
use std::time::Duration;

use super::Dispatcher;
use super::desk::Desk;
use crate::ids::WebhookName;
use crate::store::StoreError;
use crate::store::outbox::{Turn, TurnFailed, Turned};
use crate::time::Timestamp;

/// How long to leave a database alone that would not write.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// While a receiver has enough to do, answers are gathered for so long or to so many before they are written: one
/// transaction (and its `fsync`) for some hundred answers costs hardly more than one for ten. A death in between sends them again.
const GATHER: Duration = Duration::from_millis(20);
const GATHERED: usize = 512;

/// What the database was asked, and is working on.
#[derive(Default)]
pub(super) struct Database(Option<Pin<Box<dyn Future<Output = Done> + Send>>>);

pub(super) enum Done {
    Turn(Result<Turned, TurnFailed>),
    Bury(usize, Result<u64, StoreError>),
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "busy" } else { "free" })
    }
}

impl Database {
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

impl Dispatcher {
    /// Until when answers are gathered rather than written.
    pub(super) fn gathering(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.last_turn.plus(GATHER);
        let few = self.finished.len() < GATHERED;
        let busy =
            !self.requests.is_empty() && !self.desks.iter().any(|desk| desk.is_hungry(now) || desk.changed);
        // A clock set back must not stretch this.
        (few && busy && now < until && now >= self.last_turn && !self.finished.is_empty()).then_some(until)
    }

    pub(super) fn ask_database(&mut self, now: Timestamp) {
        self.last_turn = now;
        let finished = std::mem::take(&mut self.finished);
        for done in &finished {
            // A lane moves on in this very transaction; its next head may be taken in it, too.
            if let Some(&at) = self.by_name.get(&done.ticket.webhook) {
                self.desks[at].look_again();
            }
        }
        let mut turn =
            Turn { at: now, finished, forgiven: std::mem::take(&mut self.forgiven), ..Turn::default() };
        for desk in &mut self.desks {
            if std::mem::take(&mut desk.changed) {
                turn.states.push((desk.target.name.clone(), desk.health.clone()));
            }
            if std::mem::take(&mut desk.hurries) {
                turn.hurried.push(desk.target.name.clone());
            }
            turn.asks.extend(desk.ask(now));
        }
        if !turn.is_empty() {
            let store = self.store.clone();
            self.writing_states = !turn.states.is_empty();
            self.writing.append(&mut self.unwritten);
            self.database.0 = Some(Box::pin(async move { Done::Turn(store.turn(turn).await) }));
            return;
        }
        let bury = self.desks.iter_mut().enumerate().find_map(|(at, desk)| Some((at, desk.bury_reason()?)));
        if let Some((at, reason)) = bury {
            let (store, name) = (self.store.clone(), self.desks[at].target.name.clone());
            self.database.0 =
                Some(Box::pin(async move { Done::Bury(at, store.bury(name, reason, now).await) }));
        }
    }

    pub(super) fn took(&mut self, done: Done) {
        let error = match done {
            Done::Turn(Ok(turned)) => {
                self.turned(turned);
                None
            }
            Done::Turn(Err(failed)) => {
                self.put_back(failed.turn);
                Some(failed.error)
            }
            Done::Bury(_, Ok(0)) => None,
            Done::Bury(at, Ok(buried)) => {
                let webhook = &self.desks[at].target.name;
                tracing::warn!(%webhook, buried, "webhook is disabled: what waited for it is dead letters now");
                None
            }
            Done::Bury(at, Err(error)) => {
                self.desks[at].look_again();
                Some(error)
            }
        };
        match error {
            Some(error) => {
                if self.database_from.is_none() {
                    tracing::error!(%error, "the outbox cannot be written; trying again every second");
                }
                self.database_from = Some(self.clock.now().plus(DATABASE_PAUSE));
            }
            None => self.database_from = None,
        }
    }

    fn turned(&mut self, turned: Turned) {
        for (reply, changed) in self.writing.drain(..) {
            drop(reply.send(Some(changed)));
        }
        if std::mem::take(&mut self.writing_states) {
            self.states_wake.notify_one();
        }
        if turned.missing > 0 {
            tracing::info!(missing = turned.missing, "deliveries were erased while in flight");
        }
        self.hurry_on(turned.unhurried);
        for granted in turned.granted {
            if let Some(&at) = self.by_name.get(&granted.webhook) {
                self.desks[at].granted(granted);
            }
        }
    }

    /// Lanes of these webhooks still wait out their back-off.
    fn hurry_on(&mut self, webhooks: Vec<WebhookName>) {
        for webhook in webhooks {
            if let Some(&at) = self.by_name.get(&webhook) {
                self.desks[at].hurries = true;
                self.desks[at].look_again();
            }
        }
    }

    /// A turn that was not written is written with the next one.
    fn put_back(&mut self, turn: Option<Turn>) {
        self.desks.iter_mut().for_each(Desk::ask_failed);
        self.unwritten.append(&mut self.writing);
        let Some(turn) = turn else {
            // Nobody keeps a turn past its failure; if somebody did, the leases are freed at the next start.
            tracing::error!("answers could not be kept for another try");
            return;
        };
        self.finished.extend(turn.finished);
        self.forgiven.extend(turn.forgiven);
        self.hurry_on(turn.hurried);
        for (webhook, _) in turn.states {
            if let Some(&at) = self.by_name.get(&webhook) {
                self.desks[at].changed = true;
            }
        }
    }
}
