//! The database for commands that only read, whether the daemon runs, is stopped or crashed.
//!
//! Guards: nothing is written or created; a state that only a writer can recover is an error, and no partial data is
//! shown. Deliberately not here: the queries (`history`).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::SqlitePool;

use super::history::History;
use super::outbox::OutboxReader;
use super::{SCHEMA_VERSION, Store, StoreError, connection, read_options, schema};

/// A command runs one query after the other.
const CONNECTIONS: u32 = 2;

/// A database that is open for reading only. Cloning shares it.
#[derive(Clone, Debug)]
pub struct ReadOnlyStore {
    path: Arc<PathBuf>,
    pub(super) readers: SqlitePool,
}

impl ReadOnlyStore {
    /// The database file, with links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that was recorded.
    pub fn history(&self) -> History {
        History::new(self.readers.clone())
    }

    /// Deliveries to webhooks.
    pub fn outbox_reader(&self) -> OutboxReader {
        OutboxReader::new(self.readers.clone())
    }

    /// Closes the file. Dropping closes it too, a little later.
    pub async fn close(&self) {
        self.readers.close().await;
    }
}

impl Store {
    /// Opens a database for reading only. Takes no lock, creates nothing, works while the daemon runs, after a clean
    /// stop and, if the index of the WAL exists or can be created, after a crash.
    pub async fn open_readonly(path: &Path) -> Result<ReadOnlyStore, StoreError> {
        let path = path.canonicalize().map_err(|error| match error.kind() {
            ErrorKind::NotFound => StoreError::Missing { path: path.to_owned() },
            _ => StoreError::file("open", path, error),
        })?;
        let options = read_options::options(&path)?;
        let readers = connection::pool(CONNECTIONS)
            .connect_with(options)
            .await
            .map_err(|error| needs_recovery(error, &path))?;
        let store = ReadOnlyStore { path: Arc::new(path), readers };
        let mut connection = store.readers.acquire().await?;
        let versions = schema::inspect(&mut connection, store.path())
            .await
            .map_err(|error| read_options::unrecovered(error, store.path()))?;
        drop(connection);
        if versions.schema < SCHEMA_VERSION {
            let (path, found) = (store.path().to_owned(), versions.schema);
            return Err(StoreError::Older { path, found, known: SCHEMA_VERSION });
        }
        Ok(store)
    }
}

fn needs_recovery(error: sqlx::Error, path: &Path) -> StoreError {
    StoreError::NeedsRecovery { path: path.to_owned(), error: Arc::new(error) }
}
