//! The dispatcher: takes deliveries from the outbox, sends them, and writes back what became of them.
//!
//! Guards: one delivery of a lane in flight; no webhook waits for another; no transaction is open while a request is;
//! everything that is to be written when the database is free goes into one transaction, together with the next leases.
//! Not here: what an answer means (`policy::delivery`), how a request is made (`webhook`).
//!
//! `queues` decides, without IO; this file carries it out. One task owns everything and acts on events: an answer, a
//! finished transaction, a wake-up, an instant. Requests are futures of this task; the database is asked by one future at
//! a time, beside them.
//!
//! ```text
//! queues     all webhooks: what is started, what is written
//! queue      one webhook: `WebhookQueue`
//! health     a webhook's state: up, down, paused or disabled
//! lanes      what a queue knows of its lanes in the database
//! batcher    which deliveries share a request
//! leased     a delivery that is leased and not sent
//! requests   requests in flight
//! database   the transaction that is waited for
//! operator   changes by hand
//! reload     another config
//! target     what is delivered to
//! alarm      the instant to wake at
//! ```

mod alarm;
mod batcher;
mod database;
mod health;
mod lanes;
mod leased;
pub mod operator;
mod queue;
mod queues;
pub mod reload;
mod requests;
mod target;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::alarm::Alarm;
use self::database::{Database, Done};
use self::operator::{Confirmation, DispatcherHandle, Request};
use self::queues::Queues;
use self::reload::{Reload, ReloadHandle, Reloads};
use self::requests::{Requests, Returned};
use crate::clock::SharedClock;
use crate::store::outbox::Turned;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::time::Timestamp;

use super::heartbeat::Heartbeat;

pub use self::target::{Target, subscription};

/// How long requests in flight may take once the dispatcher stops. Less than the ten seconds in which the
/// whole daemon stops.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// After a transaction that failed the database is asked again this much later.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// The most answers that are read to the end, although nothing needs them, so that their connections can be used again.
const MOST_LEFTOVERS: usize = 256;

/// Sends what the outbox holds.
#[derive(Debug)]
pub struct Dispatcher {
    queues: Queues,
    requests: Requests,
    database: Database,
    leftovers: JoinSet<()>,
    reloads: Reloads,
    changes: Changes,
    clock: SharedClock,
    store: Store,
    metrics: Arc<Metrics>,
    heartbeat: Heartbeat,
    wake: Arc<Notify>,
    /// After a failure: when the database is asked again.
    database_from: Option<Timestamp>,
}

/// Changes of webhooks' states that others wait for.
#[derive(Debug)]
struct Changes {
    handle: DispatcherHandle,
    inbox: mpsc::Receiver<Request>,
    /// Changes by hand that wait for a transaction, and those that are in one.
    unwritten: Vec<Confirmation>,
    writing: Vec<Confirmation>,
    /// States are in the transaction under way.
    writing_states: bool,
    states_wake: Arc<Notify>,
}

impl Dispatcher {
    /// `wake` is notified (`notify_one`) after every commit that made deliveries.
    pub fn new(store: Store, webhooks: Vec<Target>, clock: SharedClock, wake: Arc<Notify>) -> Self {
        let (handle, inbox) = DispatcherHandle::pair();
        let changes = Changes {
            handle,
            inbox,
            unwritten: Vec::new(),
            writing: Vec::new(),
            writing_states: false,
            states_wake: Arc::new(Notify::new()),
        };
        Self {
            queues: Queues::new(webhooks, clock.now()),
            requests: Requests::default(),
            database: Database::default(),
            leftovers: JoinSet::new(),
            reloads: Reloads::default(),
            changes,
            clock,
            store,
            metrics: Metrics::new(),
            heartbeat: Heartbeat::default(),
            wake,
            database_from: None,
        }
    }

    /// Counts attempts there.
    #[must_use]
    pub fn measured_by(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Shows whether the loop turns.
    pub fn heartbeat(&self) -> Heartbeat {
        self.heartbeat.clone()
    }

    /// For an operator's requests.
    pub fn handle(&self) -> DispatcherHandle {
        self.changes.handle.clone()
    }

    /// The way to hand another config to this dispatcher.
    pub fn reload_handle(&self) -> ReloadHandle {
        self.reloads.handle()
    }

    /// Notified (`notify_one`) whenever states of webhooks were written.
    pub fn states_wake(&self) -> Arc<Notify> {
        Arc::clone(&self.changes.states_wake)
    }

    /// Delivers until `stop`; then claims nothing more, waits a bounded time for the answers that are out, writes
    /// them down, and gives back the rest.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), StoreError> {
        self.resume().await?;
        let wake = Arc::clone(&self.wake);
        let mut inbox = std::mem::replace(&mut self.changes.inbox, mpsc::channel(1).1);
        let mut alarm = Alarm::default();
        let heartbeat = self.heartbeat.clone();
        loop {
            heartbeat.beat();
            // Registered before looking, so that a commit in between is not slept through.
            let woken = wake.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            alarm.set(self.act(), &self.clock);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.progress() => {}
                // It never ends: `self` holds a sender, too.
                Some(request) = inbox.recv() => self.asked(request),
                () = woken => self.queues.recheck(),
                () = heartbeat.requested() => {}
                () = alarm.rings() => {}
            }
        }
        self.stop().await
    }

    /// Takes up where an earlier daemon ended: frees its leases, reads the state of the webhooks. `run` does it.
    pub async fn resume(&mut self) -> Result<(), StoreError> {
        let freed = self.store.outbox().free_leases().await?;
        if freed > 0 {
            tracing::info!(freed, "deliveries that were in flight when the daemon ended are sent again");
        }
        self.queues.restore(self.store.outbox().webhook_states().await?);
        Ok(())
    }

    /// Does everything that can be done at this instant, and returns when nothing is under way any more: when to come
    /// back, if not by a wake-up.
    pub async fn settle(&mut self) -> Option<Timestamp> {
        self.queues.recheck();
        loop {
            while let Ok(request) = self.changes.inbox.try_recv() {
                self.asked(request);
            }
            let due = self.act();
            if !self.is_busy() {
                return due;
            }
            self.progress().await;
        }
    }

    /// Other targets from now on.
    pub fn reload(&mut self, reload: Reload) {
        self.queues.reload(reload, self.clock.now());
    }

    fn is_busy(&self) -> bool {
        self.database.is_busy() || !self.requests.is_empty()
    }

    /// Starts what may be started now; says when there is more.
    fn act(&mut self) -> Option<Timestamp> {
        let now = self.clock.now();
        for start in self.queues.start(now, self.clock.doubts_ages()) {
            self.requests.start(start);
        }
        let blocked = self.database_from.filter(|&from| from > now);
        let gathering = self.queues.gathering(now, !self.requests.is_empty());
        if !self.database.is_busy() && blocked.is_none() && gathering.is_none() {
            self.ask_database(now);
        }
        // While the database works, what is due already waits for it, not for the clock.
        let due = self.queues.due(now, self.database.is_busy());
        let due = due.into_iter().chain(gathering).min();
        match blocked {
            Some(from) => Some(due.map_or(from, |due| due.max(from))),
            None => due,
        }
    }

    fn ask_database(&mut self, now: Timestamp) {
        let turn = self.queues.turn(now);
        if !turn.is_empty() {
            self.changes.writing_states = !turn.states.is_empty();
            self.changes.writing.append(&mut self.changes.unwritten);
            self.database.turn(self.store.clone(), turn);
        } else if let Some((webhook, reason)) = self.queues.disabled() {
            self.database.give_up(self.store.clone(), webhook, reason, now);
        }
    }

    /// Waits for the next thing that was started to end, and takes it in. Dropping it loses nothing.
    async fn progress(&mut self) {
        let database = &mut self.database;
        tokio::select! {
            Some(returned) = self.requests.next() => {
                self.returned(returned);
                // Whatever else is back already goes into the same transaction.
                while let Some(returned) = self.requests.ready() {
                    self.returned(returned);
                }
            }
            done = database.done() => self.took(done),
            Some(_) = self.leftovers.join_next() => {}
            Some(waiting) = self.reloads.next() => {
                self.reload(waiting.reload);
                // A caller that ended does not need the answer.
                let _ = waiting.reply.send(());
            }
        }
    }

    /// An operator's request; a command that ended does not need its answer.
    fn asked(&mut self, request: Request) {
        match request {
            Request::Show { webhook, reply } => drop(reply.send(self.queues.show(&webhook))),
            Request::Change { webhook, change, reply } => {
                match self.queues.change(&webhook, change, self.clock.now()) {
                    Some(changed) => self.changes.unwritten.push((reply, changed)),
                    None => drop(reply.send(None)),
                }
            }
        }
    }

    fn returned(&mut self, returned: Returned) {
        let Returned { queue, sendings, probe, sent } = returned;
        if let Some(leftover) = sent.unread_body
            && self.leftovers.len() < MOST_LEFTOVERS
        {
            self.leftovers.spawn(leftover.drain());
        }
        for (ticket, _) in &sendings {
            self.metrics.webhook_attempt(ticket.webhook.as_str(), sent.answer.status);
        }
        self.queues.answered(queue, sendings, probe, &sent.answer, self.clock.now());
    }

    fn took(&mut self, done: Done) {
        let error = match done {
            Done::Turn(Ok(turned)) => {
                self.turned(turned);
                None
            }
            Done::Turn(Err(failed)) => {
                self.changes.unwritten.append(&mut self.changes.writing);
                self.queues.turn_failed(failed.turn);
                Some(failed.error)
            }
            Done::GivenUp(_, Ok(0)) => None,
            Done::GivenUp(webhook, Ok(deliveries)) => {
                tracing::warn!(%webhook, deliveries, "webhook is disabled: its pending deliveries became dead letters");
                None
            }
            Done::GivenUp(webhook, Err(error)) => {
                self.queues.recheck_one(&webhook);
                Some(error)
            }
        };
        if let Some(error) = &error
            && self.database_from.is_none()
        {
            tracing::error!(%error, "the outbox cannot be written; trying again every second");
        }
        self.database_from = error.map(|_| self.clock.now().plus(DATABASE_PAUSE));
    }

    fn turned(&mut self, turned: Turned) {
        for (reply, changed) in self.changes.writing.drain(..) {
            drop(reply.send(Some(changed)));
        }
        if std::mem::take(&mut self.changes.writing_states) {
            self.changes.states_wake.notify_one();
        }
        if turned.missing > 0 {
            tracing::info!(missing = turned.missing, "deliveries were erased while in flight");
        }
        self.queues.turned(turned);
    }

    async fn stop(mut self) -> Result<(), StoreError> {
        let deadline = self.clock.sleep_until(self.clock.now().plus(LAST_ANSWERS));
        tokio::pin!(deadline);
        while self.is_busy() {
            tokio::select! {
                () = self.progress() => {}
                () = &mut deadline => break,
            }
        }
        self.requests.break_off();
        if self.database.is_busy() {
            let done = self.database.done().await;
            self.took(done);
        }
        let turn = self.queues.last_turn(self.clock.now());
        if turn.is_empty() {
            return Ok(());
        }
        self.store.outbox().turn(turn).await.map(drop).map_err(|failed| failed.error)
    }
}
