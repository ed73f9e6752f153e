//! The daemon, built: its tasks side by side until it is told to stop, then its end in order.
//!
//! Guards: READY is said once everything runs; the poller and the dispatcher drain before the database closes; the
//! database is closed in any case. Deliberately not here: how it was built (`app::build`).

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::supervise::{Fault, Supervisor};
use super::upkeep;
use crate::clock::{SharedClock, SystemClock};
use crate::config::Config;
use crate::control::{self, Advice, Endpoint, PollOutcome, PollReport, Request, Response};
use crate::store::{Store, StoreError};
use crate::tasks::dispatcher::Dispatcher;
use crate::tasks::poller::Poller;
use crate::tasks::poller::report::{Found, LookReport, PollerHandle};
use crate::web;

/// Everything, ready to run.
#[derive(Debug)]
pub struct Daemon {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) clock: SharedClock,
    pub(super) poller: Poller,
    pub(super) looks: PollerHandle,
    pub(super) dispatcher: Dispatcher,
    pub(super) web: Option<(TcpListener, web::State)>,
    pub(super) control: Option<Endpoint>,
}

/// Why a run ended badly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A task.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The database at the end.
    #[error("closing the database: {0}")]
    Close(StoreError),
}

impl Daemon {
    /// The database, for who wants to look at it afterwards.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Runs until `stop` is cancelled or something fails. `ready` is called once all tasks run.
    pub async fn run(self, stop: CancellationToken, ready: impl FnOnce()) -> Result<(), RunError> {
        // Draining is measured on the machine's clock, whatever pace the daemon's own runs at.
        let mut tasks = Supervisor::new(Arc::new(SystemClock));
        let (poller, dispatcher, token) = (self.poller, self.dispatcher, stop.clone());
        tasks.spawn("the poller", async move { poller.run(token).await.map(|_| ()) });
        let token = stop.clone();
        tasks.spawn("the dispatcher", async move { dispatcher.run(token).await });
        upkeep::spawn(&mut tasks, &self.config, &self.store, &self.clock, &stop);
        if let Some((listener, state)) = self.web {
            tasks.spawn("the listener", web::serve(listener, state, stop.clone()));
        }
        if let Some(endpoint) = self.control {
            let (looks, config, store) = (self.looks.clone(), Arc::new(self.config), self.store.clone());
            let handler = move |request| answer(request, looks.clone(), Arc::clone(&config), store.clone());
            let token = stop.clone();
            tasks.spawn("the control socket", async move {
                endpoint.serve(handler, token).await;
                Ok::<(), Fault>(())
            });
        }
        ready();
        let ended = tasks.run(stop).await;
        let closed = self.store.close().await.map_err(RunError::Close);
        ended?;
        closed
    }
}

/// What the control socket is asked.
async fn answer(request: Request, looks: PollerHandle, config: Arc<Config>, store: Store) -> Response {
    match request {
        Request::Forget { who } => upkeep::forget(&store, &config, &who).await,
        Request::Prune => upkeep::prune(&store, &config).await,
        Request::Ping => Response::Pong { version: env!("CARGO_PKG_VERSION").to_owned() },
        Request::Poll { who, dry_run } => {
            let clock = SystemClock;
            let began = crate::clock::Clock::now(&clock);
            match looks.look(who, dry_run).await {
                Ok(report) => {
                    let took = crate::clock::Clock::now(&clock).since(began);
                    Response::Poll(Box::new(told(report, &config, took.as_millis())))
                }
                Err(message) => Response::Refused { advice: Advice::Nothing, message },
            }
        }
    }
}

fn told(report: LookReport, config: &Config, took_ms: u128) -> PollReport {
    let LookReport { identity, recorded, found } = report;
    let name = config.users.iter().find(|user| user.identity == identity).map(|user| user.name.clone());
    let api_base = config.org(&identity.org).map(|org| org.api_base.clone()).unwrap_or_default();
    PollReport {
        request: control::request_line(&api_base, identity.union_id.as_str()),
        org: identity.org.to_string(),
        name: name.unwrap_or_else(|| identity.union_id.to_string()),
        union_id: identity.union_id.to_string(),
        took_ms: u64::try_from(took_ms).unwrap_or(u64::MAX),
        recorded,
        outcome: match found {
            Found::Answer { observation, events, .. } => {
                PollOutcome::Seen { observation, events: Some(events) }
            }
            Found::Failure(error) => PollOutcome::Failed((&error).into()),
        },
    }
}
