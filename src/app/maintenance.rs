//! Database maintenance: its tasks, and what the operator requests while the daemon runs.
//!
//! Guards: the same settings apply with the daemon up or down. Not here: the work (`store`, `tasks`).

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::supervise::Supervisor;
use crate::clock::{Clock, SharedClock, SystemClock};
use crate::config::Config;
use crate::control::{Advice, Response};
use crate::ids::{Identity, OrgName, UnionId};
use crate::store::forget::Forgotten;
use crate::store::history::{Person, WhoError};
use crate::store::retention::Limits;
use crate::store::{Store, StoreError};
use crate::tasks::alerts_database::DatabaseAlert;
use crate::tasks::database_monitor::DatabaseMonitor;
use crate::tasks::maintenance::{MaintenanceTask, Rules};
use crate::tasks::poller::start::Assignment;
use crate::telemetry::health::Health;

/// The maintenance settings of the config.
pub fn rules(config: &Config) -> Rules {
    Rules {
        limits: limits(config),
        backup_dir: config.history.backup_dir.clone(),
        keep: config.history.backup_keep,
        time_zone: config.time_zone,
    }
}

/// The retention of the config.
pub fn limits(config: &Config) -> Limits {
    let history = &config.history;
    Limits { snapshots: history.snapshots, visits: history.visits, events: history.events }
}

/// Starts the maintenance tasks, which follow the active config.
pub(super) fn spawn(
    tasks: &mut Supervisor,
    config: watch::Receiver<Arc<Config>>,
    (store, alert, health): (&Store, DatabaseAlert, &Arc<Health>),
    clock: &SharedClock,
    stop: &CancellationToken,
) {
    let rules = move || rules(&config.borrow());
    let maintenance = MaintenanceTask::new(store.clone(), Arc::clone(clock), Box::new(rules));
    tasks.spawn("database maintenance", maintenance.run(stop.clone()));
    // Files use the clock of the machine, because the clock of a demo runs faster.
    let machine = Arc::new(SystemClock);
    let monitor =
        DatabaseMonitor::new(store.clone(), machine, Arc::clone(clock), Arc::clone(health)).with_alert(alert);
    tasks.spawn("the database monitor", monitor.run(stop.clone()));
}

/// The watch list without erased users: an erased user is not watched again until the config has been without them once.
pub(super) async fn without_erased(
    store: &Store,
    mut list: Vec<Assignment>,
) -> Result<Vec<Assignment>, StoreError> {
    let listed = list.iter().map(|assignment| assignment.card.identity.clone()).collect();
    let forgotten = store.erasures().erased_of(listed, SystemClock.now()).await?;
    if !forgotten.is_empty() {
        let users = forgotten.len();
        tracing::warn!(
            users,
            "users of the config were erased (`presenced db forget`) and are not watched; remove them from the config"
        );
        list.retain(|assignment| !forgotten.contains(&assignment.card.identity));
    }
    Ok(list)
}

/// Erases one user.
pub async fn erase(store: &Store, config: &Config, person: &Person) -> Result<Forgotten, StoreError> {
    let corrupt =
        |what: String| StoreError::Corrupt { table: "people", row: person.person_id.to_string(), what };
    let identity = Identity {
        org: OrgName::parse(&person.org).map_err(|error| corrupt(error.to_string()))?,
        union_id: UnionId::parse(&person.union_id).map_err(|error| corrupt(error.to_string()))?,
    };
    store.erasures().forget(&identity, config.history.backup_dir.as_deref(), SystemClock.now()).await
}

pub(super) async fn forget(store: &Store, config: &Config, who: &str) -> Response {
    let found = match store.history().find_whole(who).await {
        Ok(Ok(person)) => erase(store, config, &person).await,
        Ok(Err(error @ WhoError::NotFound { .. })) => return refused(Advice::Nothing, &error),
        Ok(Err(error @ (WhoError::Several { .. } | WhoError::Partial { .. }))) => {
            return refused(Advice::Usage, &error);
        }
        Err(error) => Err(error),
    };
    match found {
        Ok(forgotten) => Response::Forgot(Box::new(forgotten)),
        Err(error) => refused(Advice::Failed, &error),
    }
}

pub(super) async fn prune(store: &Store, config: &Config) -> Response {
    match store.maintenance().prune(limits(config), SystemClock.now()).await {
        Ok(pruned) => Response::Pruned(pruned),
        Err(error) => refused(Advice::Failed, &error),
    }
}

fn refused(advice: Advice, error: &impl std::fmt::Display) -> Response {
    Response::Refused { advice, message: error.to_string() }
}
