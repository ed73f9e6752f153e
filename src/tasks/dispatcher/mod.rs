//! The dispatcher: takes what waits, sends it, writes back what became of it.
//!
//! Guards: one delivery of a lane in flight, whatever else goes on; no webhook waits for another; no transaction spans
//! a request; whatever is ready to be written when the database is free goes into one transaction, together with the
//! next claims. Deliberately not here: what an answer means (`policy::delivery`), how a request is made (`webhook`).
//!
//! Everything is decided by one task, on events: an answer, a finished transaction, a wake-up, an instant that came.
//! Requests run in a `JoinSet`; the database is asked by one future at a time, beside them.

mod batch;
mod desk;
pub mod reload;
pub mod request;
mod target;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use self::desk::{Desk, InHand};
use self::request::{Changed, DispatcherHandle, Request};
use crate::clock::{SharedClock, Sleep};
use crate::ids::WebhookName;
use crate::policy::delivery::Health;
use crate::store::outbox::{Claimed, Finished, Ticket, Turn, TurnFailed, Turned};
use crate::store::{Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::time::Timestamp;
use crate::webhook::send::{Message, Sent};

use super::pulse::Pulse;

pub use self::target::{Target, subscription};

/// How long requests in flight may take once the dispatcher is told to stop. Less than the ten seconds in which the
/// whole daemon stops.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// How long to leave a database alone that would not write.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

/// While a receiver has enough to do, answers are gathered for so long or to so many before they are written: one
/// transaction for a hundred answers costs hardly more than one for ten. A death in between sends them again.
const GATHER: Duration = Duration::from_millis(10);
const GATHERED: usize = 128;

/// Answers nobody needs any more that are read to the end so that their connections can be used again.
const MOST_LEFTOVERS: usize = 256;

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
    requests: JoinSet<Returned>,
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

/// A change by hand, and who waits to hear that it is written down.
type Confirmation = (oneshot::Sender<Option<Changed>>, Changed);

/// A request that came back.
#[derive(Debug)]
struct Returned {
    desk: usize,
    /// Of every event the request held.
    tickets: Vec<Ticket>,
    probe: bool,
    sent: Sent,
}

/// What the database was asked, and is working on.
#[derive(Default)]
struct Database(Option<Pin<Box<dyn Future<Output = Done> + Send>>>);

enum Done {
    Turn(Result<Turned, TurnFailed>),
    Bury(usize, Result<u64, StoreError>),
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "busy" } else { "free" })
    }
}

impl Dispatcher {
    /// `wake` is notified (`notify_one`) after every commit that made deliveries.
    pub fn new(store: Store, webhooks: Vec<Target>, clock: SharedClock, wake: Arc<Notify>) -> Self {
        let by_name = webhooks.iter().enumerate().map(|(i, target)| (target.name.clone(), i)).collect();
        let paces = batch::paces(&webhooks, clock.now());
        let desks = webhooks
            .into_iter()
            .zip(paces)
            .map(|(target, pace)| Desk::new(target, Health::default(), pace))
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
            requests: JoinSet::new(),
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

    fn asked(&mut self, request: Request) {
        // Who asked and did not wait for the answer does not need it.
        match request {
            Request::Show { webhook, reply } => {
                let desk = self.by_name.get(&webhook).map(|&at| &self.desks[at]).filter(|desk| !desk.retired);
                drop(reply.send(desk.map(|desk| (desk.target.clone(), desk.health.clone()))));
            }
            Request::Change { webhook, change, reply } => {
                if let Some(&at) = self.by_name.get(&webhook).filter(|&&at| !self.desks[at].retired) {
                    let changed = self.desks[at].change(change, self.clock.now());
                    self.unwritten.push((reply, changed));
                } else {
                    drop(reply.send(None));
                }
            }
        }
    }

    fn look_everywhere(&mut self) {
        self.desks.iter_mut().for_each(Desk::look_again);
    }

    fn is_busy(&self) -> bool {
        self.database.0.is_some() || !self.requests.is_empty()
    }

    /// Starts what may be started now; says when there is more.
    fn act(&mut self) -> Option<Timestamp> {
        let now = self.clock.now();
        for at in 0..self.desks.len() {
            let put_down = self.desks[at].put_down(now);
            self.finished.extend(put_down);
            while let Some(next) = self.desks[at].start(now) {
                self.send(at, next);
            }
        }
        let blocked = self.database_from.filter(|&from| from > now);
        let gathering = self.gathering(now);
        if self.database.0.is_none() && blocked.is_none() && gathering.is_none() {
            self.ask_database(now);
        }
        // While the database works, what is due already waits for it, not for the clock.
        let waits = self.database.0.is_some();
        let dues = self.desks.iter_mut().filter_map(|desk| desk.due(now)).filter(|&due| due > now || !waits);
        let due = dues.chain(gathering).min();
        match blocked {
            Some(from) => Some(due.map_or(from, |due| due.max(from))),
            None => due,
        }
    }

    /// Until when answers are gathered rather than written.
    fn gathering(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.last_turn.plus(GATHER);
        let few = self.finished.len() < GATHERED;
        let busy =
            !self.requests.is_empty() && !self.desks.iter().any(|desk| desk.is_hungry(now) || desk.changed);
        // A clock set back must not stretch this.
        (few && busy && now < until && now >= self.last_turn && !self.finished.is_empty()).then_some(until)
    }

    fn send(&mut self, desk: usize, next: Vec<InHand>) {
        let sender = self.desks[desk].target.sender.clone();
        // A probe is alone.
        let probe = next.iter().any(|one| one.probe);
        let (tickets, messages) = next.into_iter().map(|one| addressed(one.claimed)).unzip();
        self.requests
            .spawn(async move { Returned { desk, tickets, probe, sent: sender.send_all(messages).await } });
    }

    fn ask_database(&mut self, now: Timestamp) {
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

    /// Waits for the next thing that was started to end, and takes it in. Dropping it loses nothing.
    async fn progress(&mut self) {
        let database = &mut self.database;
        tokio::select! {
            Some(returned) = self.requests.join_next() => {
                self.returned(returned);
                // Whatever else is back already goes into the same transaction.
                while let Some(returned) = self.requests.try_join_next() {
                    self.returned(returned);
                }
            }
            done = database.done() => self.took(done),
            Some(_) = self.leftovers.join_next() => {}
            Some(waiting) = self.reloads.next() => self.take_reload(waiting),
        }
    }

    fn returned(&mut self, returned: Result<Returned, JoinError>) {
        let Returned { desk: at, tickets, probe, sent } = match returned {
            Ok(returned) => returned,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // Only `stop` aborts requests, and it looks at none of them any more.
            Err(_) => return,
        };
        if let Some(leftover) = sent.leftover
            && self.leftovers.len() < MOST_LEFTOVERS
        {
            self.leftovers.spawn(leftover.drain());
        }
        let now = self.clock.now();
        for ticket in &tickets {
            self.metrics.webhook_attempt(ticket.webhook.as_str(), sent.answer.status);
        }
        let (finished, forgiven) = self.desks[at].answered(tickets, probe, &sent.answer, now);
        self.finished.extend(finished);
        self.forgiven.extend(forgiven);
    }

    fn took(&mut self, done: Done) {
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
        for granted in turned.granted {
            if let Some(&at) = self.by_name.get(&granted.webhook) {
                self.desks[at].granted(granted);
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
        for (webhook, _) in turn.states {
            if let Some(&at) = self.by_name.get(&webhook) {
                self.desks[at].changed = true;
            }
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
        self.requests.shutdown().await;
        if self.database.0.is_some() {
            let done = self.database.done().await;
            self.took(done);
        }
        let now = self.clock.now();
        for desk in &mut self.desks {
            self.finished.extend(desk.release(now));
        }
        let changed = self.desks.iter_mut().filter(|desk| desk.changed);
        let states = changed.map(|desk| (desk.target.name.clone(), desk.health.clone())).collect();
        let turn =
            Turn { at: now, finished: self.finished, forgiven: self.forgiven, states, asks: Vec::new() };
        if turn.is_empty() {
            return Ok(());
        }
        self.store.turn(turn).await.map(drop).map_err(|failed| failed.error)
    }
}

impl Database {
    /// Waits for what was asked; for ever when nothing was.
    async fn done(&mut self) -> Done {
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

fn addressed(claimed: Claimed) -> (Ticket, Message) {
    let message = Message {
        event_id: claimed.event_id,
        event_type: claimed.event_type,
        trigger: claimed.trigger,
        attempt: claimed.ticket.attempts.saturating_add(1),
        body: claimed.body,
    };
    (claimed.ticket, message)
}

/// A sleep that is kept while its instant stays the same.
#[derive(Default)]
struct Alarm(Option<(Timestamp, Sleep)>);

impl Alarm {
    fn set(&mut self, at: Option<Timestamp>, clock: &SharedClock) {
        if self.0.as_ref().map(|(set, _)| *set) != at {
            self.0 = at.map(|at| (at, clock.sleep_until(at)));
        }
    }

    async fn rings(&mut self) {
        match &mut self.0 {
            Some((_, sleep)) => {
                sleep.await;
                self.0 = None;
            }
            None => std::future::pending().await,
        }
    }
}
