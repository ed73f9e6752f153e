//! The alert `database`: the disk is full or corrupted stored data, writes fail, the WAL grows, or the file was
//! replaced during an earlier run.
//!
//! Guards: it is emitted when it fires and when it resolves, also across a restart; an event that cannot be written at
//! the time is written as soon as possible, with its original time. The alert resolves a minute after the last failure,
//! or an hour after the last damaged event, so an unstable disk does not cause a flood of events. Not here: what pauses
//! meanwhile (`poller`), the log lines about it (`store`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::alerts::{AlertState, SystemEvent, emit};
use crate::presence::system::AlertName;
use crate::store::{Store, StoreError};
use crate::time::Timestamp;
use crate::webhook::routing::Subscription;

/// The alert resolves this long after the last failure.
const CALM: Duration = Duration::from_mins(1);

/// Damage is permanent: the alert shows it for this long, the dead letters show it afterwards.
const DAMAGE_SHOWN: Duration = Duration::from_hours(1);

/// A longer WAL fires the alert: without readers in the way it is checkpointed at 16 MiB.
const LONG_WAL: u64 = 256 << 20;

const FULL: &str = "the disk is full: polling is paused until there is room; deliveries go on";
const REPLACED: &str = "the database or its WAL was deleted or replaced while the daemon had it open; the daemon was started again with the file that is there now, and what the other one held since is missing from it";

/// Checks the database and emits the alert.
#[derive(Debug)]
pub struct DatabaseAlert {
    store: Store,
    outbox_wake: Arc<Notify>,
    subscriptions: watch::Receiver<Arc<[Subscription]>>,
    /// `None` until the first step.
    alert_state: Option<AlertState>,
    untold: VecDeque<SystemEvent>,
    trouble: Trouble,
}

/// What is wrong, and until when it is shown.
#[derive(Debug, Default)]
struct Trouble {
    failures: u64,
    damaged: u64,
    until: Timestamp,
    why: String,
}

impl Trouble {
    /// Updates the problem; returns its text while there is one.
    fn now(
        &mut self,
        (full, long_wal): (bool, Option<String>),
        (failures, why): (u64, String),
        damaged: u64,
        now: Timestamp,
    ) -> Option<String> {
        if failures > self.failures {
            self.failures = failures;
            self.last(format!("the database cannot be written: {why}"), now, CALM);
        }
        if damaged > self.damaged {
            self.damaged = damaged;
            self.last(damage(damaged), now, DAMAGE_SHOWN);
        }
        if full {
            return Some(FULL.to_owned());
        }
        if long_wal.is_some() {
            return long_wal;
        }
        (now < self.until).then(|| self.why.clone())
    }

    /// Sets a problem that ends after a while.
    fn last(&mut self, why: String, now: Timestamp, shown: Duration) {
        self.until = now.plus(shown);
        self.why = why;
    }
}

fn damage(events: u64) -> String {
    let (events, they) = if events == 1 {
        ("1 event".to_owned(), "it was")
    } else {
        (format!("{events} events"), "they were")
    };
    format!(
        "the disk changed the stored body of {events} since the start; {they} not sent and became dead letters (`presenced db check` names them); check the disk, then restore a backup"
    )
}

impl DatabaseAlert {
    /// For an open database.
    pub fn new(
        store: Store,
        outbox_wake: Arc<Notify>,
        subscriptions: watch::Receiver<Arc<[Subscription]>>,
    ) -> Self {
        Self {
            store,
            outbox_wake,
            subscriptions,
            alert_state: None,
            untold: VecDeque::new(),
            trouble: Trouble::default(),
        }
    }

    /// Checks once and emits what changed. On an error the event waits for the next step.
    pub async fn step(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.alert_state.is_none() {
            self.alert_state = Some(AlertState::load(&self.store).await?);
            if self.store.health().take_notice() {
                self.trouble.last(REPLACED.to_owned(), now, CALM);
            }
        }
        let seen = (self.store.health().is_disk_full(), self.long_wal());
        let firing = self.trouble.now(
            seen,
            self.store.health().write_errors(),
            self.store.health().damaged_events(),
            now,
        );
        if let Some(alert_state) = &mut self.alert_state {
            let turned = alert_state.set(None, AlertName::Database, firing, "the database works again", now);
            if let Some(SystemEvent::Alert { firing: true, summary, .. }) = &turned {
                tracing::warn!(alert = "database", state = "firing", "{summary}");
            }
            self.untold.extend(turned);
        }
        while let Some(notice) = self.untold.front() {
            let subscriptions = Arc::clone(&self.subscriptions.borrow());
            emit(&self.store, &subscriptions, notice).await?;
            self.untold.pop_front();
            self.outbox_wake.notify_one();
        }
        Ok(())
    }
}

impl DatabaseAlert {
    /// The text about a growing WAL; the alert resolves at half the length.
    fn long_wal(&self) -> Option<String> {
        let fires =
            self.alert_state.as_ref().is_some_and(|alert_state| alert_state.fires(None, AlertName::Database));
        let bytes = self.store.health().wal_bytes();
        (bytes >= if fires { LONG_WAL / 2 } else { LONG_WAL }).then(|| {
            let readers = self.store.health().other_readers();
            let who = if readers.is_empty() { "another program".to_owned() } else { readers.join(", ") };
            format!(
                "the WAL of the database (presence.db-wal) has grown to {} MiB, because {who} keeps an old state of the database open; end that transaction or that program, and the WAL shrinks by itself",
                bytes >> 20
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::presence::event::EventType;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(seconds * 1000)
    }

    #[test]
    fn a_failure_is_trouble_for_a_minute_and_a_full_disk_for_as_long_as_it_is_full() {
        let mut trouble = Trouble::default();
        let failed = |count: u64| (count, "disk I/O error".to_owned());
        assert_eq!(trouble.now((false, None), failed(0), 0, at(100)), None);
        let why = Some("the database cannot be written: disk I/O error".to_owned());
        assert_eq!(trouble.now((false, None), failed(1), 0, at(105)), why);
        assert_eq!(trouble.now((false, None), failed(2), 0, at(160)), why);
        assert_eq!(trouble.now((false, None), failed(2), 0, at(219)), why, "it may come back");
        assert_eq!(trouble.now((false, None), failed(2), 0, at(220)), None);
        assert_eq!(trouble.now((true, None), failed(2), 0, at(225)).as_deref(), Some(FULL));
        assert_eq!(trouble.now((false, None), failed(2), 0, at(230)), None, "room is room");
        let damaged = trouble.now((false, None), failed(2), 1, at(235)).unwrap();
        assert!(damaged.contains("body of 1 event since"), "{damaged}");
        assert!(trouble.now((false, None), failed(2), 1, at(235 + 3_599)).is_some());
        assert_eq!(trouble.now((false, None), failed(2), 1, at(235 + 3_600)), None);
    }

    #[tokio::test]
    async fn a_replaced_database_is_reported_after_the_restart_and_resolved_in_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("presence.db");
        let open = async || {
            let clock = Arc::new(ManualClock::at(at(1_000)));
            Store::open(&path, chrono_tz::UTC, clock).await.unwrap()
        };
        let alert = |store: &Store| {
            let (_, nobody) = watch::channel(Arc::from([]));
            DatabaseAlert::new(store.clone(), Arc::default(), nobody)
        };
        let told = async |store: &Store| {
            store.recorder().system_counts(None).await.unwrap().get(&EventType::SystemAlert).copied()
        };

        let store = open().await;
        alert(&store).step(at(1_000)).await.unwrap();
        assert_eq!(told(&store).await, None);
        store.health().leave_notice();
        store.close().await.unwrap();

        let store = open().await;
        let mut first = alert(&store);
        first.step(at(1_000)).await.unwrap();
        first.step(at(1_005)).await.unwrap();
        assert_eq!(told(&store).await, Some(1), "once");
        assert_eq!(store.alerts().firing().await.unwrap(), [(None, "database".to_owned())]);
        store.close().await.unwrap();

        // Another restart in between: the alert still fires, because the database stores it.
        let store = open().await;
        alert(&store).step(at(1_060)).await.unwrap();
        assert_eq!(told(&store).await, Some(2));
        assert_eq!(store.alerts().firing().await.unwrap(), []);
        store.close().await.unwrap();
    }
}
