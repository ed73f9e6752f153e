//! The dispatcher: takes what waits, sends it, writes back what became of it.
//!
//! Guards: one delivery of a lane in flight, whatever else goes on; no webhook waits for another; no transaction spans
//! a request; whatever is ready to be written when the database is free goes into one transaction, together with the
//! next claims. Deliberately not here: what an answer means (`policy::delivery`), how a request is made (`webhook`).
//!
//! Everything is decided by one task, on events: an answer, a finished transaction, a wake-up, an instant that came.
//! Requests are futures of this task; the database is asked by one future at a time, beside them.
//!
//! ```text
//! desk      one webhook: what it may do, what it has in hand
//! batch     several events in one request
//! exchange  requests: started, and come back
//! database  what is written and asked, a transaction at a time
//! request   what the operator asks
//! reload    another config
//! target    what is delivered to
//! alarm     the instant to wake at
//! ```

mod alarm;
mod batch;
mod database;
mod desk;
mod exchange;
pub mod reload;
pub mod request;
mod target;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::alarm::Alarm;
use self::batch::Paces;
use self::database::Database;
use self::desk::Desk;
use self::exchange::Requests;
use self::request::{Confirmation, DispatcherHandle, Request};
use crate::clock::SharedClock;
use crate::ids::WebhookName;
use crate::policy::delivery::Health;
use crate::store::outbox::{Finished, Turn};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::time::Timestamp;

use super::pulse::Pulse;

pub use self::target::{Target, subscription};

/// How long requests in flight may take once the dispatcher is told to stop. Less than the ten seconds in which the
/// whole daemon stops.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Sends what the outbox holds.
#[derive(Debug)]
pub struct Dispatcher {
    clock: SharedClock,
    wake: Arc<Notify>,
    reloads: reload::Reloads,
    pulse: Pulse,
    metrics: Arc<Metrics>,
    store: Store,
    desks: Vec<Desk>,
    by_name: HashMap<WebhookName, usize>,
    paces: Paces,
    requests: Requests,
    leftovers: JoinSet<()>,
    database: Database,
    finished: Vec<Finished>,
    forgiven: Vec<i64>,
    /// When the last turn was begun.
    last_turn: Timestamp,
    /// After a failure: when the database is asked again.
    database_from: Option<Timestamp>,
    handle: DispatcherHandle,
    inbox: mpsc::Receiver<Request>,
    /// Changes by hand that nobody has begun to write down; and those that are being written down.
    unwritten: Vec<Confirmation>,
    writing: Vec<Confirmation>,
    /// States of webhooks are being written down.
    writing_states: bool,
    states_wake: Arc<Notify>,
}

impl Dispatcher {
    /// `wake` is notified (`notify_one`) after every commit that made deliveries.
    pub fn new(store: Store, webhooks: Vec<Target>, clock: SharedClock, wake: Arc<Notify>) -> Self {
        let by_name = webhooks.iter().enumerate().map(|(i, target)| (target.name.clone(), i)).collect();
        let (mut paces, now) = (Paces::default(), clock.now());
        let desks = webhooks
            .into_iter()
            .map(|target| {
                let pace = paces.of(&target, now);
                Desk::new(target, Health::default(), pace)
            })
            .collect();
        let (handle, inbox) = DispatcherHandle::pair();
        Self {
            clock,
            wake,
            reloads: reload::Reloads::default(),
            pulse: Pulse::default(),
            metrics: Metrics::new(),
            store,
            desks,
            by_name,
            paces,
            requests: Requests::default(),
            leftovers: JoinSet::new(),
            database: Database::default(),
            finished: Vec::new(),
            forgiven: Vec::new(),
            last_turn: Timestamp::default(),
            database_from: None,
            handle,
            inbox,
            unwritten: Vec::new(),
            writing: Vec::new(),
            writing_states: false,
            states_wake: Arc::new(Notify::new()),
        }
    }

    /// Counts there.
    #[must_use]
    pub fn measured_by(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = metrics;
        self
    }

    /// Shows whether the loop turns.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// For who wants to ask something of it.
    pub fn handle(&self) -> DispatcherHandle {
        self.handle.clone()
    }

    /// Notified (`notify_one`) whenever states of webhooks were written down.
    pub fn states_wake(&self) -> Arc<Notify> {
        Arc::clone(&self.states_wake)
    }

    /// Delivers until told to stop; then claims nothing more, waits a bounded time for the answers that are out, writes
    /// them down, and gives back the rest.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), StoreError> {
        self.resume().await?;
        let wake = Arc::clone(&self.wake);
        let mut inbox = std::mem::replace(&mut self.inbox, mpsc::channel(1).1);
        let mut alarm = Alarm::default();
        let pulse = self.pulse.clone();
        loop {
            pulse.turned();
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
                () = woken => self.look_everywhere(),
                () = pulse.asked() => {}
                () = alarm.rings() => {}
            }
        }
        self.stop().await
    }

    /// Takes up where an earlier daemon ended: frees its leases, reads the state of the webhooks. `run` does it.
    pub async fn resume(&mut self) -> Result<(), StoreError> {
        let freed = self.store.free_leases().await?;
        if freed > 0 {
            tracing::info!(freed, "deliveries that were in flight when the daemon ended are sent again");
        }
        for (webhook, health) in self.store.webhook_states().await? {
            if let Some(&at) = self.by_name.get(&webhook) {
                self.desks[at].health = health;
            }
        }
        Ok(())
    }

    /// Does everything that can be done at this instant, and returns when nothing is under way any more: when to come
    /// back, if not by a wake-up.
    pub async fn settle(&mut self) -> Option<Timestamp> {
        self.look_everywhere();
        loop {
            while let Ok(request) = self.inbox.try_recv() {
                self.asked(request);
            }
            let due = self.act();
            if !self.is_busy() {
                return due;
            }
            self.progress().await;
        }
    }

    fn look_everywhere(&mut self) {
        self.desks.iter_mut().for_each(Desk::look_again);
    }

    fn is_busy(&self) -> bool {
        self.database.is_busy() || !self.requests.is_empty()
    }

    /// Starts what may be started now; says when there is more.
    fn act(&mut self) -> Option<Timestamp> {
        let now = self.clock.now();
        for at in 0..self.desks.len() {
            self.desks[at].doubts_ages = self.clock.doubts_ages();
            let put_down = self.desks[at].put_down(now);
            self.finished.extend(put_down);
            while let Some(next) = self.desks[at].start(now) {
                self.send(at, next);
            }
        }
        let blocked = self.database_from.filter(|&from| from > now);
        let gathering = self.gathering(now);
        if !self.database.is_busy() && blocked.is_none() && gathering.is_none() {
            self.ask_database(now);
        }
        // While the database works, what is due already waits for it, not for the clock.
        let waits = self.database.is_busy();
        let dues = self.desks.iter_mut().filter_map(|desk| desk.due(now)).filter(|&due| due > now || !waits);
        let due = dues.chain(gathering).min();
        match blocked {
            Some(from) => Some(due.map_or(from, |due| due.max(from))),
            None => due,
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
            Some(waiting) = self.reloads.next() => self.take_reload(waiting),
        }
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
        let now = self.clock.now();
        for desk in &mut self.desks {
            self.finished.extend(desk.release(now));
        }
        let changed = self.desks.iter_mut().filter(|desk| desk.changed);
        let states = changed.map(|desk| (desk.target.name.clone(), desk.health.clone())).collect();
        let (finished, forgiven) = (self.finished, self.forgiven);
        let turn = Turn { at: now, finished, forgiven, states, ..Turn::default() };
        if turn.is_empty() {
            return Ok(());
        }
        self.store.turn(turn).await.map(drop).map_err(|failed| failed.error)
    }
}
