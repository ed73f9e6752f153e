//! Deletes old rows every hour, and makes a verified backup every night.
//!
//! Guards: it never blocks other tasks (small transactions; backups use a reading connection), and its failures are
//! logged and retried without ending the daemon. Not here: how rows are deleted and backups made (`store`); whether the
//! file is still there (`database_monitor`).

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Timelike};
use chrono_tz::Tz;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::store::retention::Limits;
use crate::store::{Store, backup};
use crate::time::Timestamp;

/// Limits are in days, and an hour's rows are few.
const PRUNE_EVERY: Duration = Duration::from_hours(1);
/// Delay after the start, which has other work.
const FIRST_PRUNE: Duration = Duration::from_mins(1);
/// Backups are made from this hour of the day on, in the daemon's `time_zone`.
const NIGHT_HOUR: u32 = 3;
/// Delay after a failed backup.
const BACKUP_AGAIN: Duration = Duration::from_mins(10);
/// The hour is checked at least this often, because offsets change and clocks are set.
const LOOK_EVERY: Duration = Duration::from_mins(10);

/// What the config decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// How long rows are kept.
    pub limits: Limits,
    /// Folder of the backups; `None`: no backups.
    pub backup_dir: Option<PathBuf>,
    /// How many backups are kept.
    pub keep: u32,
    /// The zone in which the night is.
    pub time_zone: Tz,
}

/// Returns the current rules, which a reload changes.
pub type RulesSource = Box<dyn Fn() -> Rules + Send + Sync>;

/// The maintenance task.
pub struct MaintenanceTask {
    store: Store,
    clock: SharedClock,
    rules: RulesSource,
    next_prune: Timestamp,
    next_backup: Timestamp,
    /// The day of the newest backup that was made or found.
    copied: Option<NaiveDate>,
}

impl MaintenanceTask {
    /// For an open database.
    pub fn new(store: Store, clock: SharedClock, rules: RulesSource) -> Self {
        let now = clock.now();
        Self { store, clock, rules, next_prune: now.plus(FIRST_PRUNE), next_backup: now, copied: None }
    }

    /// Runs until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), std::convert::Infallible> {
        loop {
            // Dropping a backup or deletion in progress is safe: half a backup never gets its final name, and a batch
            // is a transaction.
            let wake = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                wake = self.step() => wake,
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = self.clock.sleep_until(wake) => {}
            }
        }
    }

    /// Does what is due; returns when to call it again.
    pub async fn step(&mut self) -> Timestamp {
        let now = self.clock.now();
        if self.clock.doubts_ages() {
            // After the clock jumped forward every row would be too old.
            return now.plus(FIRST_PRUNE);
        }
        if now >= self.next_prune {
            self.prune(now).await;
            self.next_prune = now.plus(PRUNE_EVERY);
        }
        if now >= self.next_backup {
            self.next_backup = self.backup(now).await;
        }
        self.next_prune.min(self.next_backup)
    }

    async fn prune(&self, now: Timestamp) {
        let limits = (self.rules)().limits;
        match self.store.maintenance().prune(limits, now).await {
            Ok(pruned) if pruned.rows() > 0 => tracing::info!(
                events = pruned.events,
                snapshots = pruned.snapshots,
                visits = pruned.visits,
                "deleted rows past their retention"
            ),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "rows past their retention could not be deleted; retrying in an hour");
            }
        }
    }

    /// Makes the night's backup if it is due and missing; returns when to check again.
    async fn backup(&mut self, now: Timestamp) -> Timestamp {
        let Rules { backup_dir, keep, time_zone, .. } = (self.rules)();
        let Some(folder) = backup_dir else { return now.plus(LOOK_EVERY) };
        let local =
            DateTime::from_timestamp_millis(now.as_ms()).unwrap_or_default().with_timezone(&time_zone);
        let today = local.date_naive();
        if local.hour() < NIGHT_HOUR || self.copied == Some(today) {
            return now.plus(LOOK_EVERY);
        }
        let to = backup::managed_name(&folder, &today.to_string());
        let copied = if to.exists() {
            Ok(())
        } else {
            self.store.maintenance().backup(&to).await.map(|copied| {
                tracing::info!(path = %copied.path.display(), bytes = copied.bytes, "backup made and verified");
            })
        };
        match copied.and_then(|()| backup::thin_out(&folder, keep)) {
            Ok(_) => {
                self.copied = Some(today);
                now.plus(LOOK_EVERY)
            }
            Err(error) => {
                tracing::error!(%error, "the backup failed; retrying in ten minutes");
                now.plus(BACKUP_AGAIN)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;

    /// 2026-11-23 02:00 in Shanghai.
    const EVENING: Timestamp = Timestamp::from_ms(1_795_370_400_000);

    #[tokio::test]
    async fn a_copy_a_night_and_so_many_stay() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(EVENING);
        let path = folder.path().join("presence.db");
        let store = Store::open(&path, chrono_tz::UTC, Arc::new(clock.clone())).await.unwrap();
        let copies = folder.path().join("copies");
        std::fs::create_dir(&copies).unwrap();
        let rules = Rules {
            backup_dir: Some(copies.clone()),
            keep: 2,
            time_zone: chrono_tz::Asia::Shanghai,
            ..Rules::default()
        };
        let mut maintenance =
            MaintenanceTask::new(store.clone(), Arc::new(clock.clone()), Box::new(move || rules.clone()));
        let names = || -> Vec<String> {
            let paths = backup::managed(&copies).unwrap();
            paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        maintenance.step().await;
        assert!(names().is_empty(), "it is not three yet");
        for day in 0..3 {
            clock.set(EVENING.plus(Duration::from_hours(24 * day + 2)));
            maintenance.step().await;
            clock.advance(Duration::from_hours(1));
            maintenance.step().await;
        }
        assert_eq!(names(), ["presenced-2026-11-24.db", "presenced-2026-11-25.db"]);
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_tried_again_and_ends_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(EVENING.plus(Duration::from_hours(2)));
        let path = folder.path().join("presence.db");
        let store = Store::open(&path, chrono_tz::UTC, Arc::new(clock.clone())).await.unwrap();
        let copies = folder.path().join("copies");
        let rules = Rules { backup_dir: Some(copies.clone()), keep: 1, ..Rules::default() };
        let mut maintenance =
            MaintenanceTask::new(store.clone(), Arc::new(clock.clone()), Box::new(move || rules.clone()));
        clock.advance(Duration::from_hours(12));
        let again = maintenance.step().await;
        std::fs::create_dir(&copies).unwrap();
        clock.set(again.plus(BACKUP_AGAIN));
        maintenance.step().await;
        assert_eq!(backup::managed(&copies).unwrap().len(), 1);
        store.close().await.unwrap();
    }
}
