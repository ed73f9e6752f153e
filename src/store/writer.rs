//! The one writing connection and its queue.
//!
//! Guards: whatever is ready when the connection is free becomes one `BEGIN IMMEDIATE` transaction (one `fsync` for
//! all of it, and no waiting when idle); callers hear of it after the commit and not before; a failed group leaves
//! nothing behind, and the connection works afterwards. No database future is ever cancelled half-way: only the
//! writer's own task awaits them. Deliberately not here: what is written.
//!
//! Order inside a group: jobs first, as they came; then the recordings together. A caller that has its answer is always
//! ahead of one that asks later.
#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "SQL lives in `store`"))]

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

pub(super) use super::group::JobFuture;
use super::group::{Answer, Asked, Group, Job};
use super::recording::{Note, Scribe};
use super::room::Room;
use super::{Store, StoreError, connection, open};

/// How much may wait before callers wait for a place: a few groups.
const QUEUE: usize = 4096;

/// How many seconds a stop waits for a lock that another program holds.
const LAST_TRIES: u32 = 2;

/// How much one transaction takes: beyond this the `fsync` is no longer what costs.
const GROUP: usize = 1024;

enum Work {
    Job(Box<dyn Job>),
    Note(Note, Answer),
    Apart(Box<dyn Job>),
    Close(Answer),
}

impl Store {
    /// Runs `job` on the writing connection and returns its result once it is committed. It shares a transaction with
    /// whatever else is ready (inside a savepoint, so its own failure undoes only itself); it must not commit, and it
    /// must not wait for anything but the connection, because everybody else waits for it.
    pub(super) async fn write<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> JobFuture<'c, T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.inner.queue.push(Work::Job(Box::new(Asked { job, answer }))).await?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `job` on the writing connection outside of any transaction, after what was queued with it: for statements that
    /// SQLite runs only so. Everybody waits for it, so it must not be long.
    pub(super) async fn write_apart<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> JobFuture<'c, T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.inner.queue.push(Work::Apart(Box::new(Asked { job, answer }))).await?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Whether the writer waits for a lock that another program holds, or did so since this was asked last: it is not
    /// hanging, and it waits for a minute at most. What waited for it may move only a moment after the lock is let go.
    pub fn was_held_up(&self) -> bool {
        self.inner.queue.held_up.lately()
    }

    /// Whether the writer waits for a lock that another program holds.
    pub fn is_held_up(&self) -> bool {
        self.inner.queue.held_up.now.load(Ordering::Relaxed)
    }

    /// The daemon stops: a lock that another program holds is waited for two seconds more, and what it keeps from being
    /// written then is given up and counted.
    pub fn hurry(&self) {
        self.inner.queue.held_up.left.store(LAST_TRIES, Ordering::Relaxed);
    }

    /// Whether writing was given up because of such a lock.
    pub fn gave_up(&self) -> bool {
        self.inner.queue.held_up.gave_up()
    }

    /// Writes what only the scribe can write: it keeps the sequence.
    pub(super) async fn note(&self, note: Note) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.inner.queue.push(Work::Note(note, answer)).await?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

/// The callers' end.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::Sender<Work>,
    held_up: Arc<HeldUp>,
    /// Holds the writer's task: it ends with the store.
    task: Mutex<JoinSet<()>>,
}

/// Whether another program holds the lock, and whether it did so lately.
#[derive(Debug)]
pub(super) struct HeldUp {
    now: AtomicBool,
    lately: AtomicBool,
    /// Tries that are left for everything, once the daemon stops.
    left: AtomicU32,
    gave_up: AtomicBool,
}

impl Default for HeldUp {
    fn default() -> Self {
        let (now, lately, gave_up) = (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
        Self { now, lately, left: AtomicU32::new(u32::MAX), gave_up }
    }
}

impl HeldUp {
    pub(super) fn begins(&self) {
        self.now.store(true, Ordering::Relaxed);
        self.lately.store(true, Ordering::Relaxed);
    }

    pub(super) fn ends(&self) {
        self.now.store(false, Ordering::Relaxed);
    }

    /// Whether to try again after so many tries.
    pub(super) fn may_wait(&self, tries: u32) -> bool {
        match self.left.load(Ordering::Relaxed) {
            u32::MAX => tries < open::PATIENCE,
            0 => {
                self.gave_up.store(true, Ordering::Relaxed);
                false
            }
            left => {
                self.left.store(left - 1, Ordering::Relaxed);
                true
            }
        }
    }

    pub(super) fn gave_up(&self) -> bool {
        self.gave_up.load(Ordering::Relaxed)
    }

    fn lately(&self) -> bool {
        // While it lasts it is lately again for whoever asks next.
        self.lately.swap(self.now.load(Ordering::Relaxed), Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Job(_) => "Job",
            Self::Note(..) => "Note",
            Self::Apart(_) => "Apart",
            Self::Close(_) => "Close",
        })
    }
}

impl Queue {
    /// Sets the writer to work.
    pub(super) fn start(writer: Writer) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut task = JoinSet::new();
        let held_up = Arc::clone(&writer.held_up);
        task.spawn(writer.run(receiver));
        Self { sender, held_up, task: Mutex::new(task) }
    }

    async fn push(&self, work: Work) -> Result<(), StoreError> {
        self.sender.send(work).await.map_err(|_| StoreError::Closed)
    }

    /// Writes what is queued, closes the connection, ends the task.
    pub(super) async fn close(&self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        if self.push(Work::Close(answer)).await.is_err() {
            return Ok(());
        }
        let closed = answered.await.unwrap_or(Ok(()));
        let mut task = std::mem::take(&mut *self.task.lock().unwrap_or_else(PoisonError::into_inner));
        while task.join_next().await.is_some() {}
        closed
    }
}

/// The writing end.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    /// `None` after a failure that left the connection in doubt; the next group opens a new one.
    connection: Option<SqliteConnection>,
    scribe: Scribe,
    room: Arc<Room>,
    held_up: Arc<HeldUp>,
    /// Poll results and other writes that were given up.
    unwritten: (usize, usize),
}

impl Writer {
    pub(super) fn new(path: PathBuf, connection: SqliteConnection, scribe: Scribe, room: Arc<Room>) -> Self {
        Self { path, connection: Some(connection), scribe, room, held_up: Arc::default(), unwritten: (0, 0) }
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        let mut ready = Vec::new();
        let mut closing = Vec::new();
        while queue.recv_many(&mut ready, GROUP).await > 0 {
            let mut group = Group::default();
            let mut apart = Vec::new();
            for work in ready.drain(..) {
                match work {
                    Work::Job(job) => group.jobs.push(job),
                    Work::Note(note, answer) => {
                        group.notes.push(note);
                        group.answers.push(answer);
                    }
                    Work::Apart(job) => apart.push(job),
                    Work::Close(answer) => {
                        // What is queued already is still taken; nothing new is.
                        queue.close();
                        closing.push(answer);
                    }
                }
            }
            self.write(group).await;
            for job in apart {
                self.run_apart(job).await;
            }
        }
        if self.held_up.gave_up() {
            let (polls, others) = self.unwritten;
            tracing::warn!(
                polls,
                others,
                "another program holds the database's write lock: these poll results and other writes were not written; \
                 after the next start those users are polled again, and those deliveries are sent again with the same ids"
            );
        }
        let closed = match self.connection.take() {
            Some(connection) => connection::disconnect(connection).await,
            None => Ok(()),
        };
        for answer in closing {
            drop(answer.send(closed.clone()));
        }
    }

    async fn write(&mut self, group: Group) {
        if group.is_empty() {
            return;
        }
        let (notes, jobs) = (group.notes.len(), group.jobs.len());
        if self.held_up.gave_up() {
            self.give_up(notes, jobs);
            return group.fail(&StoreError::HeldUp);
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match connection::connect(&self.path).await {
                Ok(connection) => connection,
                Err(error) => {
                    self.room.failed(&error);
                    return group.fail(&error);
                }
            },
        };
        match group.commit(&mut connection, &mut self.scribe, &self.held_up).await {
            Ok(full) => {
                if full {
                    self.room.ran_out();
                }
                self.connection = Some(connection);
            }
            Err(error) => {
                if self.held_up.gave_up() {
                    self.give_up(notes, jobs);
                }
                self.room.failed(&error);
                // SQLite may have rolled back by itself (a full disk), which sqlx does not see.
                self.scribe.forget_sequence();
                drop(connection.close().await);
            }
        }
    }

    fn give_up(&mut self, notes: usize, jobs: usize) {
        self.unwritten.0 += notes;
        self.unwritten.1 += jobs;
    }

    async fn run_apart(&mut self, job: Box<dyn Job>) {
        if self.held_up.gave_up() {
            return job.fail(StoreError::HeldUp);
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match connection::connect(&self.path).await {
                Ok(connection) => connection,
                Err(error) => return job.fail(error),
            },
        };
        let ran = job.run(&mut connection).await;
        // A connection that something failed on may be in the middle of it.
        if ran.failed() {
            drop(connection.close().await);
        } else {
            self.connection = Some(connection);
        }
        ran.reply(Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::clock::ManualClock;
    use crate::store::Outgoing;

    const INSERT: &str = "INSERT INTO usage (org, month) VALUES (?1, '2026-11')";
    const COUNT: &str = "SELECT count(*) FROM usage";

    async fn store(folder: &TempDir) -> Store {
        let clock = Arc::new(ManualClock::default());
        Store::open(&folder.path().join("presence.db"), chrono_tz::UTC, clock).await.unwrap()
    }

    /// Writes a row and then runs `after` on the same connection.
    async fn insert(store: &Store, org: &'static str, after: &'static str) -> Result<(), StoreError> {
        store
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(INSERT).bind(org).execute(&mut *connection).await?;
                    sqlx::query(after).execute(connection).await?;
                    Ok(())
                })
            })
            .await
    }

    async fn count(store: &Store) -> i64 {
        sqlx::query_scalar(COUNT).fetch_one(store.readers()).await.unwrap()
    }

    /// Once a lock was let go just before the watchdog looked, and the loops that had waited for it were called hanging.
    #[test]
    fn a_lock_that_was_let_go_since_somebody_asked_counts() {
        let held_up = HeldUp::default();
        assert!(!held_up.lately());
        held_up.begins();
        assert!(held_up.lately() && held_up.lately(), "while it lasts");
        held_up.ends();
        assert!(held_up.lately(), "it lasted until a moment ago");
        assert!(!held_up.lately());
        held_up.begins();
        held_up.ends();
        assert!(held_up.lately() && !held_up.lately(), "it came and went");
    }

    #[tokio::test]
    async fn a_job_returns_its_value_after_the_commit() {
        let folder = TempDir::new().unwrap();
        let store = store(&folder).await;
        let written = store
            .write(|connection| {
                Box::pin(async move {
                    Ok(sqlx::query(INSERT).bind("a").execute(connection).await?.rows_affected())
                })
            })
            .await
            .unwrap();
        assert_eq!((written, count(&store).await), (1, 1));
    }

    #[tokio::test]
    async fn a_failed_job_is_undone_alone() {
        let folder = TempDir::new().unwrap();
        let store = store(&folder).await;
        let (first, second, third) = tokio::join!(
            insert(&store, "a", "SELECT 1"),
            insert(&store, "b", "SELECT no_such_thing"),
            insert(&store, "c", "SELECT 1"),
        );
        first.unwrap();
        assert!(matches!(second, Err(StoreError::Sqlite(_))));
        third.unwrap();
        let orgs: Vec<String> = sqlx::query_scalar("SELECT org FROM usage ORDER BY org")
            .fetch_all(store.readers())
            .await
            .unwrap();
        assert_eq!(orgs, ["a", "c"]);
    }

    #[tokio::test]
    async fn a_commit_that_fails_fails_everybody_and_leaves_nothing() {
        // A foreign key that is checked only by COMMIT: nothing before it notices.
        const ORPHAN: &str =
            "INSERT INTO deliveries (webhook, org, person_id, sequence, next_ms) VALUES ('w', '', 0, 99, 0)";
        let folder = TempDir::new().unwrap();
        let store = store(&folder).await;
        let deferred = store.write(|connection| {
            Box::pin(async move {
                sqlx::query("PRAGMA defer_foreign_keys = ON").execute(&mut *connection).await?;
                sqlx::query(ORPHAN).execute(connection).await?;
                Ok(())
            })
        });
        let system = Note::System { org: None, events: Vec::<Outgoing>::new() };
        let (before, orphan, after, note) = tokio::join!(
            insert(&store, "a", "SELECT 1"),
            deferred,
            insert(&store, "b", "SELECT 1"),
            store.note(system),
        );
        for result in [before, orphan, after, note] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("FOREIGN KEY"), "{error}");
        }
        assert_eq!(count(&store).await, 0);
        insert(&store, "a", "SELECT 1").await.unwrap();
        assert_eq!(count(&store).await, 1);
    }

    #[tokio::test]
    async fn a_full_disk_fails_who_needed_room_and_room_makes_it_work_again() {
        const FILL: &str = "UPDATE installation SET source = hex(zeroblob(3000000))";
        let folder = TempDir::new().unwrap();
        let store = store(&folder).await;
        let (small, large) = tokio::join!(
            insert(&store, "a", "PRAGMA max_page_count = 1"), // as small as the file is
            insert(&store, "b", FILL),
        );
        small.unwrap();
        let error = large.unwrap_err().to_string();
        assert!(error.contains("full"), "{error}");
        assert_eq!(count(&store).await, 1);
        let ballast = folder.path().join("presence.db.ballast");
        assert!(store.is_full() && !ballast.exists(), "what is under way gets its room");
        assert!(!store.look_for_room(), "this disk has room");
        assert!(!store.is_full() && ballast.exists());
        insert(&store, "c", "PRAGMA max_page_count = 1000000").await.unwrap();
        insert(&store, "d", FILL).await.unwrap();
        assert_eq!(count(&store).await, 3);
    }

    #[tokio::test]
    async fn a_rollback_by_sqlite_itself_fails_everybody_with_its_cause() {
        let folder = TempDir::new().unwrap();
        let store = store(&folder).await;
        let (first, second, third) = tokio::join!(
            insert(&store, "a", "SELECT 1"),
            insert(&store, "b", "ROLLBACK; SELECT the_cause"),
            insert(&store, "c", "SELECT 1"),
        );
        for result in [first, second, third] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("the_cause"), "{error}");
        }
        assert_eq!(count(&store).await, 0);
        insert(&store, "a", "SELECT 1").await.unwrap();
        store.close().await.unwrap();
        assert!(matches!(insert(&store, "b", "SELECT 1").await, Err(StoreError::Closed)));
    }

    #[tokio::test]
    async fn what_was_queued_before_closing_is_written() {
        let folder = TempDir::new().unwrap();
        let store = store(&folder).await;
        let (first, second, closed) =
            tokio::join!(insert(&store, "a", "SELECT 1"), insert(&store, "b", "SELECT 1"), store.close());
        first.unwrap();
        second.unwrap();
        closed.unwrap();
        let path = folder.path().join("presence.db");
        let again = Store::open_readonly(&path).await.unwrap();
        let written: i64 = sqlx::query_scalar(COUNT).fetch_one(again.readers()).await.unwrap();
        assert_eq!(written, 2);
    }
}
