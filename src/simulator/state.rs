//! The state that all requests to one simulator share.
//!
//! Guards: each lock is held for a look-up or a count, never across an await; each count wakes the tasks that wait for it.
//! Not here: the server (`api`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::counters::{CallCounters, Limits};
use super::faults::Faults;
use super::options::AnswerOptions;
use super::push::queue::{Accepted, PushQueue};
use super::scenario::{App, Scenario};
use super::tokens::Tokens;
use super::world::World;
use crate::clock::SharedClock;

/// The shared state.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) world: World,
    pub(super) clock: SharedClock,
    pub(super) apps: Vec<App>,
    pub(super) limits: Limits,
    options: Mutex<Arc<AnswerOptions>>,
    tokens: Mutex<Tokens>,
    counters: Mutex<CallCounters>,
    faults: Mutex<Faults>,
    push: Mutex<PushQueue>,
    /// Wakes the driver of the push gateway.
    pub(super) push_changed: Notify,
    /// Connections for that driver.
    pub(super) sockets: mpsc::UnboundedSender<Accepted>,
    counted: watch::Sender<()>,
    requests: AtomicU64,
    pub(super) stop: CancellationToken,
}

/// After a panic under a lock the counts are still usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// The state before the first call.
    pub(super) fn new(
        world: World,
        scenario: Scenario,
        sockets: mpsc::UnboundedSender<Accepted>,
        clock: SharedClock,
        stop: CancellationToken,
    ) -> Self {
        let mut push = PushQueue::default();
        push.set_options(scenario.push);
        let mut faults = Faults::default();
        for fault in scenario.faults {
            faults.add(fault);
        }
        Self {
            world,
            clock,
            apps: scenario.apps,
            limits: scenario.limits,
            options: Mutex::new(Arc::new(scenario.options)),
            tokens: Mutex::default(),
            counters: Mutex::default(),
            faults: Mutex::new(faults),
            push: Mutex::new(push),
            push_changed: Notify::new(),
            sockets,
            counted: watch::Sender::new(()),
            requests: AtomicU64::new(0),
            stop,
        }
    }

    /// The number of a new request, from 0.
    pub(super) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Notifies about each count.
    pub(super) fn counted(&self) -> watch::Receiver<()> {
        self.counted.subscribe()
    }

    /// The counters for reading; [`Shared::count`] changes them.
    pub(super) fn counters(&self) -> MutexGuard<'_, CallCounters> {
        lock(&self.counters)
    }

    /// Changes the counters and wakes the tasks that wait for them.
    pub(super) fn count<R>(&self, act: impl FnOnce(&mut CallCounters) -> R) -> R {
        let result = act(&mut self.counters());
        self.counted.send_replace(());
        result
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(super) fn tokens(&self) -> MutexGuard<'_, Tokens> {
        lock(&self.tokens)
    }

    pub(super) fn push(&self) -> MutexGuard<'_, PushQueue> {
        lock(&self.push)
    }

    pub(super) fn set_options(&self, options: AnswerOptions) {
        *lock(&self.options) = Arc::new(options);
    }

    pub(super) fn options(&self) -> Arc<AnswerOptions> {
        Arc::clone(&lock(&self.options))
    }

    pub(super) fn app(&self, key: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.key == key)
    }
}
