//! Whether the file is whole: before it is written to, and when somebody asks.
//!
//! Guards: a damaged file is found before anything is written to it, and named with what to do; looking writes nothing.
//! Nothing is left out to save time: the work is shared by two connections. Deliberately not here: mending (`restore` in
//! `backup`), who holds the file meanwhile (`open`).
//!
//! What SQLite's one `integrity_check` does in a row is asked for in parts that lie beside each other: `quick_check` reads
//! every page and row of the file, and finds a page that belongs to two tables or to none; `integrity_check` of a table
//! looks up each of its rows in each of its indexes. Both read the file where the system has it in memory (`mmap`), because
//! SQLite's own copies of pages are guarded by one lock for all connections.
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::{Store, StoreError, beside, checksum, readonly, schema};

/// Whatever is beyond any table.
const QUICK: &str = "PRAGMA quick_check(50)";
/// Those with something to compare (a table without rowid is its own index), the most work first.
const INDEXED: &str = "SELECT name FROM (SELECT name, (SELECT count(*) FROM pragma_index_list(s.name)) AS indexes \
    FROM sqlite_schema AS s WHERE type = 'table') WHERE indexes > 0 ORDER BY indexes, name";
/// As much as SQLite maps, 2 GiB; what is beyond is read as usual.
const MAPPED: &str = "2147418112";
/// So many lines say enough.
const MOST_TROUBLES: usize = 50;
/// As much is read at once.
const CHUNK: usize = 1 << 20;
/// About a millisecond of work; then somebody may break it off.
pub(super) const STEPS: i32 = 20_000;
const ORPHANS: &str = "SELECT count(*) FROM pragma_foreign_key_check";

/// Which file this is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl From<fs::Metadata> for FileId {
    fn from(metadata: fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl FileId {
    /// The database and the files of its WAL, while it is open: SQLite removes those only after the last connection.
    pub(super) fn of_open(database: &Path) -> Result<Vec<(PathBuf, Self)>, StoreError> {
        let paths = ["", "-wal", "-shm"].map(|suffix| beside::named(database, suffix));
        paths.into_iter().map(|path| Self::of(&path).map(|id| (path, id))).collect()
    }

    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        Ok(path.metadata().map_err(|error| StoreError::file("look at", path, error))?.into())
    }
}

impl Store {
    /// Whether the path still leads to the file that was opened, and so do those of its WAL. A file that was deleted or
    /// replaced goes on taking writes that are lost with the process, so the daemon stops when it learns of it.
    pub fn still_there(&self) -> Result<(), StoreError> {
        let gone = |(path, id): &&(PathBuf, FileId)| !FileId::of(path).is_ok_and(|found| found == *id);
        match self.inner.files.iter().find(gone) {
            None => Ok(()),
            Some((path, _)) => Err(StoreError::Replaced { path: path.clone() }),
        }
    }
}

/// Everything that is wrong with a database, a line each; with the daemon up or down. Writes nothing.
pub async fn examine(path: &Path) -> Result<Vec<String>, StoreError> {
    let troubles = structure(path).await?;
    if !troubles.is_empty() {
        return Ok(troubles);
    }
    let mut connection = readonly::options(path)?.connect().await?;
    let found = checksum::mismatches(&mut connection, MOST_TROUBLES).await;
    connection.close().await?;
    found
}

/// What is wrong with the file as a database of this program, whatever its events say.
async fn structure(path: &Path) -> Result<Vec<String>, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    let examined = async {
        inspect(path, readonly::options).await?;
        let mut troubles = look_through(path, readonly::options).await?;
        if troubles.is_empty() {
            let orphans = orphans(path).await?;
            if orphans > 0 {
                troubles.push(format!("{orphans} rows refer to rows that are not there"));
            }
        }
        Ok(troubles)
    }
    .await;
    examined.or_else(|error: StoreError| match damage(&error) {
        Some(what) => Ok(vec![what]),
        None if matches!(error, StoreError::ForeignWal { .. }) => Ok(vec![error.to_string()]),
        None => Err(readonly::unrecovered(error, path)),
    })
}

/// The look before anybody writes: refuses a file that is damaged, newer, or somebody else's, and leaves nothing beside it.
pub(super) async fn before_writing(path: &Path) -> Result<(), StoreError> {
    let mut made = ["-shm", "-wal"].map(|suffix| beside::named(path, suffix)).to_vec();
    made.retain(|file| !file.exists());
    let mut looked = sound(path, readonly::options_leaving_index).await;
    if looked.as_ref().is_err_and(StoreError::wants_rollback) {
        roll_back(path).await?;
    }
    if looked.as_ref().is_err_and(may_go_otherwise) {
        looked = sound(path, readonly::options).await;
    }
    let looked = looked.map_err(|error| damaged(error, path));
    if looked.is_err() {
        // Made for reading what a crash left: the index of a WAL, or an empty WAL for an index. Usually there is neither.
        for file in made {
            let _ = fs::remove_file(file);
        }
    }
    looked
}

/// Whether SQLite could not look at all, rather than found something or had to wait for somebody.
fn may_go_otherwise(error: &StoreError) -> bool {
    matches!(error, StoreError::Sqlite(_)) && !error.is_busy() && damage(error).is_none()
}

/// How a file is looked at, as it lies there now.
type Options = fn(&Path) -> Result<SqliteConnectOptions, StoreError>;

async fn inspect(path: &Path, options: Options) -> Result<(), StoreError> {
    let mut connection = options(path)?.connect().await?;
    let versions = schema::inspect(&mut connection, path).await;
    connection.close().await?;
    versions.map(|_| ())
}

async fn orphans(path: &Path) -> Result<i64, StoreError> {
    let mut connection = readonly::options(path)?.connect().await?;
    let counted = sqlx::query_scalar(ORPHANS).fetch_one(&mut connection).await;
    connection.close().await?;
    Ok(counted?)
}

async fn sound(path: &Path, options: Options) -> Result<(), StoreError> {
    inspect(path, options).await?;
    match look_through(path, options).await?.into_iter().next() {
        None => Ok(()),
        Some(what) => Err(StoreError::Damaged { path: path.to_owned(), what }),
    }
}

/// Undoes what a crash broke off half-way (a hot journal): before that nobody can read the file. It is what SQLite itself
/// does for whoever may write.
async fn roll_back(path: &Path) -> Result<(), StoreError> {
    tracing::info!("a transaction that was broken off by a crash is rolled back");
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await?;
    let read = sqlx::query("SELECT count(*) FROM sqlite_schema").execute(&mut connection).await;
    connection.close().await?;
    read?;
    Ok(())
}

/// The same error, with what to do where the file is to blame.
pub(super) fn damaged(error: StoreError, path: &Path) -> StoreError {
    match damage(&error) {
        Some(what) => StoreError::Damaged { path: path.to_owned(), what },
        None => error,
    }
}

/// Whether a copy, or what is restored from, is whole. An event whose body has changed does not make a copy useless.
pub(super) async fn verify(path: &Path) -> Result<(), StoreError> {
    match structure(path).await?.into_iter().next() {
        None => Ok(()),
        Some(what) => Err(StoreError::Damaged { path: PathBuf::from(path), what }),
    }
}

/// All that SQLite's `integrity_check` finds, a line each. Who no longer waits for it breaks it off. This process must have
/// no other connection to the file: see [`Store::backup`].
async fn look_through(path: &Path, options: Options) -> Result<Vec<String>, StoreError> {
    let look = Look::default();
    read_through(path, Arc::clone(&look.broken_off)).await?;
    let options = options(path)?.pragma("mmap_size", MAPPED);
    let mut first = look.connect(&options).await?;
    let mut second = match look.connect(&options).await {
        Ok(second) => second,
        Err(error) => {
            // Not later: who looks again must find nothing open.
            first.close().await?;
            return Err(error);
        }
    };
    let looked = async {
        look.plan(&mut first).await?;
        let (one, other) = tokio::join!(look.work(&mut first), look.work(&mut second));
        one.and(other)
    }
    .await;
    first.close().await?;
    second.close().await?;
    looked.map(|()| look.troubles())
}

/// Reads the file once from its beginning to its end: what the disk cannot read is said here as an error (read through a
/// map it would be a signal that ends the process), and a file that is not in memory yet comes there in the order in which
/// it lies.
async fn read_through(path: &Path, broken_off: Arc<AtomicBool>) -> Result<(), StoreError> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || -> io::Result<()> {
        let (mut file, mut chunk) = (File::open(file)?, vec![0; CHUNK]);
        while !broken_off.load(Ordering::Relaxed) && file.read(&mut chunk)? > 0 {}
        Ok(())
    });
    // It does not panic, and nobody aborts it.
    let read = read.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    read.map_err(|error| StoreError::file("read", path, error))
}

/// One look through a file by two connections.
#[derive(Default)]
struct Look {
    /// Nobody waits for it any more.
    broken_off: Arc<AtomicBool>,
    /// Tables that nobody has begun with; the last is the next.
    tables: Mutex<Vec<String>>,
    /// By the table; what is beyond any table has no name and comes first.
    found: Mutex<Vec<(String, Vec<String>)>>,
}

impl Look {
    async fn connect(&self, options: &SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
        let mut connection = options.connect().await?;
        let broken_off = Arc::clone(&self.broken_off);
        let go_on = move || !broken_off.load(Ordering::Relaxed);
        connection.lock_handle().await?.set_progress_handler(STEPS, go_on);
        Ok(connection)
    }

    async fn plan(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let mut tables: Vec<String> = sqlx::query_scalar(INDEXED).fetch_all(connection).await?;
        // Beside the table that takes longest, and not after it.
        tables.insert(tables.len().saturating_sub(1), String::new());
        *self.tables.lock().unwrap_or_else(PoisonError::into_inner) = tables;
        Ok(())
    }

    /// Takes one table after the other until there is none left.
    async fn work(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        loop {
            let Some(table) = self.tables.lock().unwrap_or_else(PoisonError::into_inner).pop() else {
                return Ok(());
            };
            let pragma = match table.as_str() {
                "" => QUICK.to_owned(),
                table => format!("PRAGMA integrity_check(\"{}\")", table.replace('"', "\"\"")),
            };
            // A name from the schema itself, quoted.
            let said: Vec<String> =
                sqlx::query_scalar(AssertSqlSafe(pragma)).fetch_all(&mut *connection).await?;
            self.found.lock().unwrap_or_else(PoisonError::into_inner).push((table, said));
        }
    }

    fn troubles(&self) -> Vec<String> {
        let mut found = std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner));
        found.sort();
        let mut troubles = Vec::new();
        for line in found.iter().flat_map(|(_, said)| said).flat_map(|text| text.lines()) {
            // What is wrong with the pages of a table is said twice.
            let news =
                line != "ok" && !line.starts_with("***") && !troubles.iter().any(|known| known == line);
            if news && troubles.len() < MOST_TROUBLES {
                troubles.push(line.to_owned());
            }
        }
        troubles
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.broken_off.store(true, Ordering::Relaxed);
    }
}

/// Whether a copy is beyond cleaning: damaged, or no database of ours.
pub(super) fn is_ruined(error: &StoreError) -> bool {
    damage(error).is_some()
        || error.is_no_database()
        || matches!(error, StoreError::Foreign { .. } | StoreError::Corrupt { .. })
}

/// What SQLite says of a file that is not what it was: corrupt (11), and errors of the schema (1) that a sound file of
/// ours cannot have when it is only looked at. A value of another type than any we wrote is no better.
fn damage(error: &StoreError) -> Option<String> {
    let StoreError::Sqlite(error) = error else { return None };
    if matches!(**error, sqlx::Error::ColumnDecode { .. }) {
        return Some(error.to_string());
    }
    let error = error.as_database_error()?;
    let code: i32 = error.code()?.parse().ok()?;
    matches!(code & 0xff, 1 | 11).then(|| error.message().to_owned())
}
