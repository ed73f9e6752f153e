//! One transaction of the writer, and the answers to its callers.
//!
//! Guards: each caller of a group is answered exactly once; the failure of one caller undoes only its own work, a
//! failure of the transaction undoes all. Deliberately not here: which writes form a group (`writer`).

use std::future::Future;
use std::pin::Pin;

use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};
use tokio::sync::oneshot;

use super::lock_contention::LockContention;
use super::recording::{EventWriter, WriteRequest};
use super::{StoreError, recording};

/// A deferred transaction would fail as soon as another connection has written, whatever the busy timeout is.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// The future of a job, on the connection that it is given.
pub(super) type JobFuture<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

pub(super) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
pub(super) type Answer = oneshot::Sender<Result<(), StoreError>>;

/// A job that has run and is not committed yet.
pub(super) struct Ran {
    failure: Option<StoreError>,
    reply: Reply,
}

impl Ran {
    pub(super) fn failed(&self) -> bool {
        self.failure.is_some()
    }

    pub(super) fn reply(self, committed: Result<(), StoreError>) {
        (self.reply)(committed);
    }
}

/// A job without its result type, so that different jobs share a queue.
pub(super) trait Job: Send {
    fn run(
        self: Box<Self>,
        connection: &mut SqliteConnection,
    ) -> Pin<Box<dyn Future<Output = Ran> + Send + '_>>;
    fn fail(self: Box<Self>, error: StoreError);
}

pub(super) struct JobWithAnswer<T, F> {
    pub(super) job: F,
    pub(super) answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for JobWithAnswer<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> JobFuture<'c, T> + Send + 'static,
{
    fn run(
        self: Box<Self>,
        connection: &mut SqliteConnection,
    ) -> Pin<Box<dyn Future<Output = Ran> + Send + '_>> {
        Box::pin(async move {
            let result = (self.job)(connection).await;
            let failure = result.as_ref().err().cloned();
            let answer = self.answer;
            // The work is committed even if the caller no longer waits.
            let reply = move |committed: Result<(), StoreError>| {
                drop(answer.send(result.and_then(|value| committed.map(|()| value))));
            };
            Ran { failure, reply: Box::new(reply) }
        })
    }

    fn fail(self: Box<Self>, error: StoreError) {
        drop(self.answer.send(Err(error)));
    }
}

/// The writes of one transaction.
#[derive(Default)]
pub(super) struct Group {
    pub(super) jobs: Vec<Box<dyn Job>>,
    pub(super) requests: Vec<WriteRequest>,
    pub(super) answers: Vec<Answer>,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.requests.is_empty()
    }

    /// Answers all callers with the same error.
    pub(super) fn fail(self, error: &StoreError) {
        for job in self.jobs {
            job.fail(error.clone());
        }
        for answer in self.answers {
            drop(answer.send(Err(error.clone())));
        }
    }

    /// Writes, commits and answers; returns whether a job found the disk full. After an error the connection must not
    /// be used again.
    pub(super) async fn commit(
        self,
        connection: &mut SqliteConnection,
        event_writer: &mut EventWriter,
        contention: &LockContention,
    ) -> Result<bool, StoreError> {
        let mut jobs = self.jobs.into_iter();
        let mut replies = Vec::new();
        let mut tries = 1;
        let written = loop {
            let written = write_all(connection, event_writer, &mut jobs, &self.requests, &mut replies).await;
            match written {
                // Only the first statement waits for locks of other connections, so nothing has been done yet.
                Err(error) if error.is_busy() && replies.is_empty() && contention.may_wait(tries) => {
                    if tries == 1 {
                        tracing::warn!("another program holds the database's write lock; waiting for it");
                    }
                    tries += 1;
                    contention.begin();
                }
                written => break written,
            }
        };
        if !contention.gave_up() {
            contention.end();
        }
        match written {
            Ok((refused, full)) => {
                for reply in replies {
                    reply(Ok(()));
                }
                for (answer, refusal) in self.answers.into_iter().zip(refused) {
                    drop(answer.send(refusal));
                }
                Ok(full)
            }
            Err(error) => {
                for reply in replies {
                    reply(Err(error.clone()));
                }
                Self { jobs: jobs.collect(), requests: Vec::new(), answers: self.answers }.fail(&error);
                Err(error)
            }
        }
    }
}

/// Runs the transaction. On success: the result of each request, in order, and whether a job found the disk full.
async fn write_all(
    connection: &mut SqliteConnection,
    event_writer: &mut EventWriter,
    jobs: &mut std::vec::IntoIter<Box<dyn Job>>,
    requests: &[WriteRequest],
    replies: &mut Vec<Reply>,
) -> Result<(Vec<Result<(), StoreError>>, bool), StoreError> {
    if jobs.len() == 0 {
        return Ok((write_requests_only(connection, event_writer, requests).await?, false));
    }
    let mut transaction = connection.begin_with(BEGIN).await?;
    if jobs.len() == 1 && requests.is_empty() {
        return single_job(transaction, jobs, replies).await.map(|full| (Vec::new(), full));
    }
    let mut full = false;
    // The caller answers the jobs that a failure leaves in the iterator.
    for job in jobs.by_ref() {
        let mut savepoint = transaction.begin().await?;
        let ran = job.run(&mut savepoint).await;
        replies.push(ran.reply);
        match ran.failure {
            None => savepoint.commit().await?,
            // If the savepoint is gone, SQLite has rolled back the whole transaction, because of this failure.
            Some(failure) => {
                full |= failure.is_full();
                savepoint.rollback().await.map_err(|_| failure)?;
            }
        }
    }
    let outcomes = write_all_requests(&mut transaction, event_writer, requests).await?;
    transaction.commit().await?;
    Ok((outcomes, full))
}

/// A single job needs no savepoint, which saves two thread hops.
async fn single_job(
    mut transaction: Transaction<'_, Sqlite>,
    jobs: &mut std::vec::IntoIter<Box<dyn Job>>,
    replies: &mut Vec<Reply>,
) -> Result<bool, StoreError> {
    if let Some(job) = jobs.next() {
        let ran = job.run(&mut transaction).await;
        replies.push(ran.reply);
        if let Some(failure) = ran.failure {
            let full = failure.is_full();
            transaction.rollback().await.map_err(|_| failure)?;
            return Ok(full);
        }
    }
    transaction.commit().await?;
    Ok(false)
}

/// Requests without jobs need no savepoint, unless one of them is refused: then they are repeated one by one.
async fn write_requests_only(
    connection: &mut SqliteConnection,
    event_writer: &mut EventWriter,
    requests: &[WriteRequest],
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    match recording::write(&mut transaction, event_writer, requests).await {
        Ok(()) => {
            transaction.commit().await?;
            return Ok(vec![Ok(()); requests.len()]);
        }
        Err(error) if !error.is_refusal() => return Err(error),
        Err(error) => {
            transaction.rollback().await?;
            event_writer.forget_sequence();
            if requests.len() == 1 {
                return Ok(vec![Err(error)]);
            }
        }
    }
    let mut transaction = connection.begin_with(BEGIN).await?;
    let outcomes = write_each_request(&mut transaction, event_writer, requests).await?;
    transaction.commit().await?;
    Ok(outcomes)
}

/// Writes all requests at once; if one of them is refused, writes them one by one, so that the others succeed.
async fn write_all_requests(
    transaction: &mut Transaction<'_, Sqlite>,
    event_writer: &mut EventWriter,
    requests: &[WriteRequest],
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    match write_in_savepoint(transaction, event_writer, requests).await? {
        Ok(()) => Ok(vec![Ok(()); requests.len()]),
        Err(error) if requests.len() == 1 => Ok(vec![Err(error)]),
        Err(_) => write_each_request(transaction, event_writer, requests).await,
    }
}

async fn write_each_request(
    transaction: &mut Transaction<'_, Sqlite>,
    event_writer: &mut EventWriter,
    requests: &[WriteRequest],
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    let mut outcomes = Vec::with_capacity(requests.len());
    for one in requests {
        outcomes.push(write_in_savepoint(transaction, event_writer, std::slice::from_ref(one)).await?);
    }
    Ok(outcomes)
}

/// The inner error is a refusal of these requests and leaves the transaction as it was; the outer error ends it.
async fn write_in_savepoint(
    transaction: &mut Transaction<'_, Sqlite>,
    event_writer: &mut EventWriter,
    requests: &[WriteRequest],
) -> Result<Result<(), StoreError>, StoreError> {
    let mut savepoint = transaction.begin().await?;
    match recording::write(&mut savepoint, event_writer, requests).await {
        Ok(()) => Ok(Ok(savepoint.commit().await?)),
        Err(error) if error.is_refusal() => {
            savepoint.rollback().await?;
            event_writer.forget_sequence();
            Ok(Err(error))
        }
        Err(error) => Err(error),
    }
}
