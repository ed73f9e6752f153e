//! What goes into one transaction, and who hears what of it.
//!
//! Guards: everybody in a group is answered exactly once; what one of them did wrong is undone alone, what went wrong
//! with the transaction is undone for all. Deliberately not here: who is in a group (`writer`).

use std::future::Future;
use std::pin::Pin;

use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};
use tokio::sync::oneshot;

use super::StoreError;
use super::recording::{Note, Scribe};
use super::writer::HeldUp;

/// Never a deferred one: it fails as soon as somebody else has written, whatever the busy time-out says.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// What a job is while it runs, on the connection it is given.
pub(super) type JobFuture<'c, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'c>>;

pub(super) type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
pub(super) type Answer = oneshot::Sender<Result<(), StoreError>>;

/// A job that has run, but is not committed.
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

/// A job whose result type is forgotten, so that different ones share a queue.
pub(super) trait Job: Send {
    fn run(
        self: Box<Self>,
        connection: &mut SqliteConnection,
    ) -> Pin<Box<dyn Future<Output = Ran> + Send + '_>>;
    fn fail(self: Box<Self>, error: StoreError);
}

pub(super) struct Asked<T, F> {
    pub(super) job: F,
    pub(super) answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Asked<T, F>
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
            // A caller that went away does not mind; its work is committed all the same.
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

/// What goes into one transaction.
#[derive(Default)]
pub(super) struct Group {
    pub(super) jobs: Vec<Box<dyn Job>>,
    pub(super) notes: Vec<Note>,
    pub(super) answers: Vec<Answer>,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.notes.is_empty()
    }

    /// Everybody gets the same bad news.
    pub(super) fn fail(self, error: &StoreError) {
        for job in self.jobs {
            job.fail(error.clone());
        }
        for answer in self.answers {
            drop(answer.send(Err(error.clone())));
        }
    }

    /// Writes, commits, answers; gives whether a job found the disk full. After an error the connection should not be used any more.
    pub(super) async fn commit(
        self,
        connection: &mut SqliteConnection,
        scribe: &mut Scribe,
        held_up: &HeldUp,
    ) -> Result<bool, StoreError> {
        let mut jobs = self.jobs.into_iter();
        let mut replies = Vec::new();
        let mut tries = 1;
        let written = loop {
            let written = write_all(connection, scribe, &mut jobs, &self.notes, &mut replies).await;
            match written {
                // Only the first statement waits for anybody else's lock, so nothing has been done yet.
                Err(error) if error.is_busy() && replies.is_empty() && held_up.may_wait(tries) => {
                    if tries == 1 {
                        tracing::warn!("another program holds the database's write lock; waiting for it");
                    }
                    tries += 1;
                    held_up.begins();
                }
                written => break written,
            }
        };
        if !held_up.gave_up() {
            held_up.ends();
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
                Self { jobs: jobs.collect(), notes: Vec::new(), answers: self.answers }.fail(&error);
                Err(error)
            }
        }
    }
}

/// The transaction. On success: what became of each note, in order, and whether a job found the disk full.
async fn write_all(
    connection: &mut SqliteConnection,
    scribe: &mut Scribe,
    jobs: &mut std::vec::IntoIter<Box<dyn Job>>,
    notes: &[Note],
    replies: &mut Vec<Reply>,
) -> Result<(Vec<Result<(), StoreError>>, bool), StoreError> {
    if jobs.len() == 0 {
        return Ok((only_notes(connection, scribe, notes).await?, false));
    }
    let mut transaction = connection.begin_with(BEGIN).await?;
    if jobs.len() == 1 && notes.is_empty() {
        return alone(transaction, jobs, replies).await.map(|full| (Vec::new(), full));
    }
    let mut full = false;
    // What a failure leaves in the iterator is answered by the caller.
    for job in jobs.by_ref() {
        let mut savepoint = transaction.begin().await?;
        let ran = job.run(&mut savepoint).await;
        replies.push(ran.reply);
        match ran.failure {
            None => savepoint.commit().await?,
            // Where there is no savepoint to go back to, SQLite has rolled back everything, for this failure.
            Some(failure) => {
                full |= failure.is_full();
                savepoint.rollback().await.map_err(|_| failure)?;
            }
        }
    }
    let outcomes = note_all(&mut transaction, scribe, notes).await?;
    transaction.commit().await?;
    Ok((outcomes, full))
}

/// One job that shares with nobody needs no savepoint, and spares two hops.
async fn alone(
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

/// Notes that share with no job need no savepoint, unless one of them is refused: then all begin anew, one by one.
async fn only_notes(
    connection: &mut SqliteConnection,
    scribe: &mut Scribe,
    notes: &[Note],
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    let mut transaction = connection.begin_with(BEGIN).await?;
    match scribe.write(&mut transaction, notes).await {
        Ok(()) => {
            transaction.commit().await?;
            return Ok(vec![Ok(()); notes.len()]);
        }
        Err(error) if !error.is_refusal() => return Err(error),
        Err(error) => {
            transaction.rollback().await?;
            scribe.forget_sequence();
            if notes.len() == 1 {
                return Ok(vec![Err(error)]);
            }
        }
    }
    let mut transaction = connection.begin_with(BEGIN).await?;
    let outcomes = note_each(&mut transaction, scribe, notes).await?;
    transaction.commit().await?;
    Ok(outcomes)
}

/// All notes at once; when one of them is refused, one by one, so that it hurts nobody else.
async fn note_all(
    transaction: &mut Transaction<'_, Sqlite>,
    scribe: &mut Scribe,
    notes: &[Note],
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    if notes.is_empty() {
        return Ok(Vec::new());
    }
    match note(transaction, scribe, notes).await? {
        Ok(()) => Ok(vec![Ok(()); notes.len()]),
        Err(error) if notes.len() == 1 => Ok(vec![Err(error)]),
        Err(_) => note_each(transaction, scribe, notes).await,
    }
}

async fn note_each(
    transaction: &mut Transaction<'_, Sqlite>,
    scribe: &mut Scribe,
    notes: &[Note],
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    let mut outcomes = Vec::with_capacity(notes.len());
    for one in notes {
        outcomes.push(note(transaction, scribe, std::slice::from_ref(one)).await?);
    }
    Ok(outcomes)
}

/// The inner error is a refusal of these notes and leaves the transaction as it was; the outer one ends it.
async fn note(
    transaction: &mut Transaction<'_, Sqlite>,
    scribe: &mut Scribe,
    notes: &[Note],
) -> Result<Result<(), StoreError>, StoreError> {
    let mut savepoint = transaction.begin().await?;
    match scribe.write(&mut savepoint, notes).await {
        Ok(()) => Ok(Ok(savepoint.commit().await?)),
        Err(error) if error.is_refusal() => {
            savepoint.rollback().await?;
            scribe.forget_sequence();
            Ok(Err(error))
        }
        Err(error) => Err(error),
    }
}
