//! The alert `database`: the disk is full or changed what was stored, writing fails, the WAL grows, or the file was taken
//! from under an earlier daemon.
//!
//! Guards: it is told when it turns and not again, also over a restart; what cannot be written while it lasts is written
//! as soon as it can be, with the time at which it happened. A disk that flickers does not flood anybody: the alert is
//! resolved after a minute without a failure, or an hour after the last damaged event. Deliberately not here: what pauses meanwhile (`poller`), the log lines
//! about it (`store`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::alerts::{Board, Notice, tell};
use crate::presence::system::AlertName;
use crate::store::{Store, StoreError};
use crate::time::Timestamp;
use crate::webhook::routing::Subscription;

/// So long without a failure, and it is over.
const CALM: Duration = Duration::from_mins(1);

/// Damage does not go away by itself; so long it stays in the alert, afterwards in the dead letters.
const DAMAGE_SHOWN: Duration = Duration::from_hours(1);

/// A WAL of this length is trouble: it is carried into the file at 16 MiB as long as no reader is in the way.
const LONG_WAL: u64 = 256 << 20;

const FULL: &str = "the disk is full: nobody is looked at until there is room; deliveries go on";
const REPLACED: &str = "the database or its WAL was deleted or replaced while the daemon had it open; the daemon was started again with the file that is there now, and what the other one held since is missing from it";

/// Watches the database for the operator.
#[derive(Debug)]
pub struct DatabaseAlert {
    store: Store,
    outbox_wake: Arc<Notify>,
    subscriptions: watch::Receiver<Arc<[Subscription]>>,
    /// `None` until the first step.
    board: Option<Board>,
    untold: VecDeque<Notice>,
    trouble: Trouble,
}

/// What there is to say.
#[derive(Debug, Default)]
struct Trouble {
    failures: u64,
    damaged: u64,
    until: Timestamp,
    why: String,
}

impl Trouble {
    /// Takes how things stand; gives what is wrong, if anything is.
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

    /// Something that is over after a while.
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
            board: None,
            untold: VecDeque::new(),
            trouble: Trouble::default(),
        }
    }

    /// Looks once, and tells what has turned. An error: it could not be told yet.
    pub async fn step(&mut self, now: Timestamp) -> Result<(), StoreError> {
        if self.board.is_none() {
            self.board = Some(Board::load(&self.store).await?);
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
        if let Some(board) = &mut self.board {
            let turned = board.set(None, AlertName::Database, firing, "the database is well again", now);
            if let Some(Notice::Alert { firing: true, summary, .. }) = &turned {
                tracing::warn!(alert = "database", state = "firing", "{summary}");
            }
            self.untold.extend(turned);
        }
        while let Some(notice) = self.untold.front() {
            let subscriptions = Arc::clone(&self.subscriptions.borrow());
            tell(&self.store, &subscriptions, notice).await?;
            self.untold.pop_front();
            self.outbox_wake.notify_one();
        }
        Ok(())
    }
}

impl DatabaseAlert {
    /// What there is to say about a WAL that grows; once it was long it has to be half as long to be well again.
    fn long_wal(&self) -> Option<String> {
        let fires = self.board.as_ref().is_some_and(|board| board.fires(None, AlertName::Database));
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
    async fn a_database_that_was_replaced_is_told_after_the_restart_and_over_in_a_minute() {
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

        // Another restart in the meantime: it still fires, and nobody has to remember but the database.
        let store = open().await;
        alert(&store).step(at(1_060)).await.unwrap();
        assert_eq!(told(&store).await, Some(2));
        assert_eq!(store.alerts().firing().await.unwrap(), []);
        store.close().await.unwrap();
    }
}
