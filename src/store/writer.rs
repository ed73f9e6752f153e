//! The one writing connection and its queue.
//!
//! Guards: all writes that are ready when the connection is free form one `BEGIN IMMEDIATE` transaction (one `fsync`
//! for all of them, and no delay when idle); callers get their answer after the commit; a failed group leaves nothing
//! behind, and the connection works afterwards. No database future is cancelled half-way, because only the writer's own
//! task awaits them. Deliberately not here: what is written.
//!
//! Order inside a group: jobs first, in order of arrival; then the requests together. A write whose caller has its
//! answer comes before any write that is queued later.
#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "SQL lives in `store`"))]

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::disk_space::DiskSpaceGuard;
use super::group::{Answer, Group, Job, JobFuture, JobWithAnswer};
use super::lock_contention::LockContention;
use super::recording::{EventWriter, WriteRequest};
use super::{StoreError, connection};

/// Capacity of the queue: a few groups. Callers wait for a place beyond it.
const QUEUE: usize = 4096;

/// Writes in one transaction: beyond this the `fsync` no longer dominates the cost.
const GROUP: usize = 1024;

enum Work {
    Job(Box<dyn Job>),
    Request(WriteRequest, Answer),
    OutsideTransaction(Box<dyn Job>),
    Close(Answer),
}

#[derive(Debug)]
pub(super) struct WriteQueue {
    sender: mpsc::Sender<Work>,
    contention: Arc<LockContention>,
    /// The writer's task, which ends with the store.
    task: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Job(_) => "Job",
            Self::Request(..) => "Request",
            Self::OutsideTransaction(_) => "OutsideTransaction",
            Self::Close(_) => "Close",
        })
    }
}

impl WriteQueue {
    /// Starts the writer's task.
    pub(super) fn start(writer: Writer) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut task = JoinSet::new();
        let contention = Arc::clone(&writer.contention);
        task.spawn(writer.run(receiver));
        Self { sender, contention, task: Mutex::new(task) }
    }

    /// Runs `job` on the writing connection and returns its result once it is committed. The job shares a transaction
    /// with all other writes that are ready (inside a savepoint, so its own failure undoes only itself). It must not
    /// commit, and it must await nothing but the connection, because all other writes wait for it.
    pub(super) async fn write<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> JobFuture<'c, T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.push(Work::Job(Box::new(JobWithAnswer { job, answer }))).await?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Runs `job` on the writing connection outside of any transaction, after the writes that were queued with it: for
    /// statements that SQLite runs only so. All other writes wait for it, so it must be short.
    pub(super) async fn write_outside_transaction<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> JobFuture<'c, T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.push(Work::OutsideTransaction(Box::new(JobWithAnswer { job, answer }))).await?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Writes events, which only the [`EventWriter`] can do because it owns the sequence.
    pub(super) async fn request(&self, request: WriteRequest) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.push(Work::Request(request, answer)).await?;
        answered.await.map_err(|_| StoreError::Closed)?
    }

    pub(super) fn contention(&self) -> &LockContention {
        &self.contention
    }

    async fn push(&self, work: Work) -> Result<(), StoreError> {
        self.sender.send(work).await.map_err(|_| StoreError::Closed)
    }

    /// Writes what is queued, closes the connection and ends the task.
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

/// The task that writes.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    /// `None` after a failure that left the connection in an unknown state; the next group opens a new one.
    connection: Option<SqliteConnection>,
    events: EventWriter,
    disk_space: Arc<DiskSpaceGuard>,
    contention: Arc<LockContention>,
    /// Poll results and other writes that were given up.
    given_up: (usize, usize),
}

impl Writer {
    pub(super) fn new(
        path: PathBuf,
        connection: SqliteConnection,
        events: EventWriter,
        disk_space: Arc<DiskSpaceGuard>,
    ) -> Self {
        let (contention, given_up) = (Arc::default(), (0, 0));
        Self { path, connection: Some(connection), events, disk_space, contention, given_up }
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Work>) {
        let mut ready = Vec::new();
        let mut closing = Vec::new();
        while queue.recv_many(&mut ready, GROUP).await > 0 {
            let mut group = Group::default();
            let mut outside = Vec::new();
            for work in ready.drain(..) {
                match work {
                    Work::Job(job) => group.jobs.push(job),
                    Work::Request(request, answer) => {
                        group.requests.push(request);
                        group.answers.push(answer);
                    }
                    Work::OutsideTransaction(job) => outside.push(job),
                    Work::Close(answer) => {
                        // Queued writes are still processed; new ones are refused.
                        queue.close();
                        closing.push(answer);
                    }
                }
            }
            self.write(group).await;
            for job in outside {
                self.run_outside_transaction(job).await;
            }
        }
        if self.contention.gave_up() {
            let (polls, others) = self.given_up;
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
        let (requests, jobs) = (group.requests.len(), group.jobs.len());
        if self.contention.gave_up() {
            self.give_up(requests, jobs);
            return group.fail(&StoreError::LockContention);
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match connection::connect(&self.path).await {
                Ok(connection) => connection,
                Err(error) => {
                    self.disk_space.record_failure(&error);
                    return group.fail(&error);
                }
            },
        };
        match group.commit(&mut connection, &mut self.events, &self.contention).await {
            Ok(full) => {
                if full {
                    self.disk_space.mark_full();
                }
                self.connection = Some(connection);
            }
            Err(error) => {
                if self.contention.gave_up() {
                    self.give_up(requests, jobs);
                }
                self.disk_space.record_failure(&error);
                // SQLite may have rolled back by itself (a full disk), which sqlx does not notice.
                self.events.forget_sequence();
                drop(connection.close().await);
            }
        }
    }

    fn give_up(&mut self, requests: usize, jobs: usize) {
        self.given_up.0 += requests;
        self.given_up.1 += jobs;
    }

    async fn run_outside_transaction(&mut self, job: Box<dyn Job>) {
        if self.contention.gave_up() {
            return job.fail(StoreError::LockContention);
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => match connection::connect(&self.path).await {
                Ok(connection) => connection,
                Err(error) => return job.fail(error),
            },
        };
        let ran = job.run(&mut connection).await;
        // After a failure the connection may be inside a transaction.
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
    use crate::store::{Outgoing, Store};

    const INSERT: &str = "INSERT INTO usage (org, month) VALUES (?1, '2026-11')";
    const COUNT: &str = "SELECT count(*) FROM usage";

    async fn store(folder: &TempDir) -> Store {
        let clock = Arc::new(ManualClock::default());
        Store::open(&folder.path().join("presence.db"), chrono_tz::UTC, clock).await.unwrap()
    }

    /// Writes a row and then runs `after` on the same connection.
    async fn insert(store: &Store, org: &'static str, after: &'static str) -> Result<(), StoreError> {
        store
            .database
            .writer
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
        sqlx::query_scalar(COUNT).fetch_one(&store.database.readers).await.unwrap()
    }

    #[tokio::test]
    async fn a_job_returns_its_value_after_the_commit() {
        let folder = TempDir::new().unwrap();
        let store = store(&folder).await;
        let written = store
            .database
            .writer
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
            .fetch_all(&store.database.readers)
            .await
            .unwrap();
        assert_eq!(orgs, ["a", "c"]);
    }

    #[tokio::test]
    async fn a_commit_that_fails_fails_all_callers_and_leaves_nothing() {
        // A foreign key that is checked only by COMMIT: nothing before it notices.
        const ORPHAN: &str =
            "INSERT INTO deliveries (webhook, org, person_id, sequence, next_ms) VALUES ('w', '', 0, 99, 0)";
        let folder = TempDir::new().unwrap();
        let store = store(&folder).await;
        let deferred = store.database.writer.write(|connection| {
            Box::pin(async move {
                sqlx::query("PRAGMA defer_foreign_keys = ON").execute(&mut *connection).await?;
                sqlx::query(ORPHAN).execute(connection).await?;
                Ok(())
            })
        });
        let system = WriteRequest::System { org: None, events: Vec::<Outgoing>::new() };
        let (before, orphan, after, request) = tokio::join!(
            insert(&store, "a", "SELECT 1"),
            deferred,
            insert(&store, "b", "SELECT 1"),
            store.database.writer.request(system),
        );
        for result in [before, orphan, after, request] {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("FOREIGN KEY"), "{error}");
        }
        assert_eq!(count(&store).await, 0);
        insert(&store, "a", "SELECT 1").await.unwrap();
        assert_eq!(count(&store).await, 1);
    }

    #[tokio::test]
    async fn a_full_disk_fails_the_write_and_free_space_makes_it_work_again() {
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
        let reserve = folder.path().join("presence.db.ballast");
        assert!(store.health().is_disk_full() && !reserve.exists(), "pending writes get the space");
        assert!(!store.health().recheck_disk_space(), "this disk has free space");
        assert!(!store.health().is_disk_full() && reserve.exists());
        insert(&store, "c", "PRAGMA max_page_count = 1000000").await.unwrap();
        insert(&store, "d", FILL).await.unwrap();
        assert_eq!(count(&store).await, 3);
    }

    #[tokio::test]
    async fn a_rollback_by_sqlite_itself_fails_all_callers_with_its_cause() {
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
        let written: i64 = sqlx::query_scalar(COUNT).fetch_one(&again.readers).await.unwrap();
        assert_eq!(written, 2);
    }
}
