//! Whether the file is whole: before it is written to, soon after, and when somebody asks.
//!
//! Guards: a damaged file is found before anything is written to it, and named with what to do; looking writes nothing.
//! A start does not wait for what takes seconds: every page and row is read before the file is opened for writing, each
//! index is compared with its table right after; that comes first where there is reason to doubt the file (it was not
//! closed cleanly, or found damaged before). Deliberately not here: mending (`restore` in `backup`), who ends the daemon
//! (`tasks::examiner`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::{Store, StoreError, open, readonly, schema};

/// Reads every page and every row, but not every index against its table: about as fast as the file can be read.
const QUICK: &str = "PRAGMA quick_check(5)";
/// That too.
const FULL: &str = "PRAGMA integrity_check(50)";
/// A file that is in doubt and larger than this is compared after the start as well: nobody waits half a minute.
const DOUBTED_BYTES: u64 = 1 << 30;
/// Beside a file that was found damaged while it was in use.
const DAMAGED: &str = ".damaged";
/// About a millisecond of work; then somebody may break it off.
pub(super) const STEPS: i32 = 20_000;
const ORPHANS: &str = "SELECT count(*) FROM pragma_foreign_key_check";

/// Which file this is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let metadata = path.metadata().map_err(|error| StoreError::file("look at", path, error))?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Store {
    /// Whether the path still leads to the file that was opened. A file that was deleted or replaced goes on taking
    /// writes that nobody will ever find again, so whoever learns of it should stop.
    pub fn still_there(&self) -> Result<(), StoreError> {
        match FileId::of(self.path()) {
            Ok(found) if found == self.inner.file => Ok(()),
            _ => Err(StoreError::Replaced { path: self.path().to_owned() }),
        }
    }

    /// Looks through the whole file beside whoever writes, each index against its table; breaks off when `go_on` says no,
    /// and gives whether it came to the end. What it finds is also put down beside the file, so that the next start looks
    /// before it writes.
    pub async fn examine(
        &self,
        mut go_on: impl FnMut() -> bool + Send + 'static,
    ) -> Result<bool, StoreError> {
        if !go_on() {
            return Ok(false);
        }
        let path = self.path();
        let mut connection = open::read_only(path).connect().await?;
        connection.lock_handle().await?.set_progress_handler(STEPS, go_on);
        let found = integrity(&mut connection, FULL).await;
        connection.close().await?;
        let what = match found {
            Ok(troubles) => troubles.into_iter().next(),
            Err(error) if error.is_interrupted() => return Ok(false),
            Err(error) => Some(damage(&error).ok_or(error)?),
        };
        let Some(what) = what else { return Ok(true) };
        // Where it cannot be put down the next start finds it as this one did.
        if let Ok(mut note) = open::open_0640(&open::beside(path, DAMAGED), false) {
            let _ = writeln!(note, "{what}");
        }
        Err(StoreError::DamagedInUse { path: path.to_owned(), what })
    }
}

/// Everything that is wrong with a database, a line each; with the daemon up or down. Writes nothing.
pub async fn examine(path: &Path) -> Result<Vec<String>, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    let mut connection = readonly::options(path)?.connect().await?;
    let examined = async {
        schema::inspect(&mut connection, path).await?;
        let mut troubles = integrity(&mut connection, FULL).await?;
        let orphans: i64 = sqlx::query_scalar(ORPHANS).fetch_one(&mut connection).await?;
        if orphans > 0 {
            troubles.push(format!("{orphans} rows refer to rows that are not there"));
        }
        Ok(troubles)
    }
    .await;
    connection.close().await?;
    examined.or_else(|error: StoreError| match damage(&error) {
        Some(what) => Ok(vec![what]),
        None => Err(error),
    })
}

/// The check at the start: refuses a damaged file before it is opened for writing.
async fn refuse_damaged(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let noted = open::beside(path, DAMAGED).exists();
    let small = path.metadata().is_ok_and(|file| file.len() <= DOUBTED_BYTES);
    let doubted = noted || small && readonly::in_wal_mode(path)?;
    let pragma = if doubted { FULL } else { QUICK };
    let troubles = integrity(connection, pragma).await.map_err(|error| damaged(error, path))?;
    match troubles.into_iter().next() {
        None => {
            if noted {
                well_again(path);
            }
            Ok(())
        }
        Some(what) => Err(StoreError::Damaged { path: path.to_owned(), what }),
    }
}

/// Another file stands in its place, or somebody mended it.
pub(super) fn well_again(path: &Path) {
    // What cannot be removed makes the next start slower and nothing else.
    let _ = std::fs::remove_file(open::beside(path, DAMAGED));
}

/// The same error, with what to do where the file is to blame.
pub(super) fn damaged(error: StoreError, path: &Path) -> StoreError {
    match damage(&error) {
        Some(what) => StoreError::Damaged { path: path.to_owned(), what },
        None => error,
    }
}

/// Where the file of somebody else's making is: for copies and what is restored from.
pub(super) async fn verify(path: &Path) -> Result<(), StoreError> {
    match examine(path).await?.into_iter().next() {
        None => Ok(()),
        Some(what) => Err(StoreError::Damaged { path: PathBuf::from(path), what }),
    }
}

async fn integrity(
    connection: &mut SqliteConnection,
    pragma: &'static str,
) -> Result<Vec<String>, StoreError> {
    let said: Vec<String> = sqlx::query_scalar(pragma).fetch_all(connection).await?;
    let lines = said.iter().flat_map(|text| text.lines()).filter(|line| *line != "ok");
    Ok(lines.map(str::to_owned).collect())
}

/// What SQLite says of a file that is not what it was: corrupt (11), and errors of the schema (1) that a sound file of
/// ours cannot have when it is only looked at; and a column that holds what no row of ours has there.
fn damage(error: &StoreError) -> Option<String> {
    let StoreError::Sqlite(error) = error else { return None };
    if let sqlx::Error::ColumnDecode { .. } = **error {
        return Some("a page stands in another's place".to_owned());
    }
    let error = error.as_database_error()?;
    let code: i32 = error.code()?.parse().ok()?;
    matches!(code & 0xff, 1 | 11).then(|| error.message().to_owned())
}

/// The connection of `open` that looks before anybody writes.
pub(super) async fn before_writing(path: &Path) -> Result<(), StoreError> {
    let mut connection = readonly::options(path)?.connect().await.map_err(|e| damaged(e.into(), path))?;
    let looked = async {
        schema::inspect(&mut connection, path).await.map_err(|error| damaged(error, path))?;
        refuse_damaged(&mut connection, path).await
    }
    .await;
    connection.close().await?;
    looked
}

/// Whether `path` is open for writing by a daemon: its lock file is held.
pub fn in_use(path: &Path) -> bool {
    matches!(open::LockFile::take(path), Err(StoreError::Locked { .. }))
}
