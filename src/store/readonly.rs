//! The same file for commands that only look: with the daemon up, down, or dead.
//!
//! Guards: nothing is written, nothing is created, and a state that only a writer can tidy is said and not shown half.
//! Deliberately not here: what is read (`history`).

use std::fmt::Write as _;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use super::{SCHEMA_VERSION, StoreError, beside, connection, schema};

/// A command asks one thing after the other.
const CONNECTIONS: u32 = 2;

/// Where SQLite's header says "WAL" (2) or not (1), by its file format, section 1.3.3.
const HEADER_BYTES: usize = 20;
const READ_VERSION_AT: usize = 19;

/// A WAL without a frame: its header, which begins with one of two numbers, by SQLite's WAL format, section 4.1.
const WAL_HEADER: u64 = 32;
const WAL_MAGIC: [[u8; 4]; 2] = [[0x37, 0x7f, 0x06, 0x82], [0x37, 0x7f, 0x06, 0x83]];

/// A database that is only looked at. Cloning shares it.
#[derive(Clone, Debug)]
pub struct ReadOnlyStore {
    path: Arc<PathBuf>,
    readers: SqlitePool,
}

impl ReadOnlyStore {
    /// The database file, with links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Connections that cannot write.
    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// Lets go of the file. Dropping does it too, a little later.
    pub async fn close(&self) {
        self.readers.close().await;
    }
}

impl super::Store {
    /// Opens what a daemon wrote for looking only. Takes no lock, creates nothing, works while the daemon runs, after a
    /// clean stop and, where the WAL's index is still there or can be made, after a crash.
    pub async fn open_readonly(path: &Path) -> Result<ReadOnlyStore, StoreError> {
        let path = path.canonicalize().map_err(|error| match error.kind() {
            ErrorKind::NotFound => StoreError::Missing { path: path.to_owned() },
            _ => StoreError::file("open", path, error),
        })?;
        let options = options(&path)?;
        let readers = connection::pool(CONNECTIONS)
            .connect_with(options)
            .await
            .map_err(|error| needs_recovery(error, &path))?;
        let store = ReadOnlyStore { path: Arc::new(path), readers };
        let mut connection = store.readers().acquire().await?;
        let versions = schema::inspect(&mut connection, store.path())
            .await
            .map_err(|error| unrecovered(error, store.path()))?;
        drop(connection);
        if versions.schema < SCHEMA_VERSION {
            let (path, found) = (store.path().to_owned(), versions.schema);
            return Err(StoreError::Older { path, found, known: SCHEMA_VERSION });
        }
        Ok(store)
    }
}

/// How to look at a file without leaving anything beside it. A WAL database with neither a WAL nor an index of one is at
/// rest: nobody has it open, and nobody needs the files that SQLite would make to share it. (While a daemon has it the WAL
/// may be empty, but the index is there.)
///
/// Opens and closes the file: not for a process that has connections to it, see [`super::Store::backup`].
pub(super) fn options(path: &Path) -> Result<SqliteConnectOptions, StoreError> {
    if wal_of_another(path)? {
        return Err(StoreError::ForeignWal { path: path.to_owned(), wal: beside::named(path, "-wal") });
    }
    let unused = is_empty_or_missing(&beside::named(path, "-wal")) && !beside::named(path, "-shm").exists();
    let at_rest = unused && in_wal_mode(path)?;
    Ok(connection::read_only(path).immutable(at_rest))
}

/// The same where a WAL that does not belong to the file is left out.
pub(super) fn options_of_file(path: &Path) -> Result<SqliteConnectOptions, StoreError> {
    if wal_of_another(path)? { Ok(connection::read_only(path).immutable(true)) } else { options(path) }
}

/// Whether the WAL beside a file was written for another one. SQLite would read it into this one all the same: a copy put here
/// by hand after a crash would be undone by what the crash left. Every clean stop and every copy ends with a file that says
/// that it has no WAL; SQLite marks the file before it writes the first frame, and unmarks it after the WAL is gone.
pub(super) fn wal_of_another(path: &Path) -> Result<bool, StoreError> {
    let has_frames = || beside::named(path, "-wal").metadata().is_ok_and(|wal| wal.len() > WAL_HEADER);
    let empty = path.metadata().is_ok_and(|file| file.len() == 0);
    // Twice, because a daemon may start or stop meanwhile.
    let still = || Ok::<_, StoreError>(has_frames() && !empty && !in_wal_mode(path)?);
    Ok(still()? && still()?)
}

/// The same, and what a crash left beside the file as the index of its WAL is not believed and not mended either: SQLite
/// makes one of its own in memory from the WAL. While another program has the file open, its index is read. Where that does
/// not go, [`options`] does. A WAL without a frame (a crash just after its header was written) holds nothing, so the file alone
/// is looked at: SQLite would wait ten seconds for a writer to bring WAL and index together.
pub(super) fn options_leaving_index(path: &Path) -> Result<SqliteConnectOptions, StoreError> {
    let options = options(path)?;
    match path.to_str() {
        Some(_) if wal_is_void(path) => Ok(options.immutable(true)),
        Some(path) if beside::named(Path::new(path), "-shm").exists() => {
            Ok(options.filename(format!("file:{}?readonly_shm=1", escaped(path))))
        }
        _ => Ok(options),
    }
}

/// As a path stands in a URI (RFC 3986, section 3.3).
fn escaped(path: &str) -> String {
    path.bytes().fold(String::with_capacity(path.len()), |mut uri, byte| {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => uri.push(char::from(byte)),
            // A `String` takes whatever is written to it.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
        uri
    })
}

fn in_wal_mode(path: &Path) -> Result<bool, StoreError> {
    let mut header = [0; HEADER_BYTES];
    let mut file = std::fs::File::open(path).map_err(|error| StoreError::file("read", path, error))?;
    match file.read_exact(&mut header) {
        Ok(()) => Ok(header.get(READ_VERSION_AT) == Some(&2)),
        // Shorter than a header: whatever it is, `inspect` says so.
        Err(_) => Ok(false),
    }
}

/// Whether there is a WAL that no frame can be read from.
fn wal_is_void(path: &Path) -> bool {
    let Ok(mut wal) = std::fs::File::open(beside::named(path, "-wal")) else { return false };
    let mut magic = [0; 4];
    let short = wal.metadata().is_ok_and(|metadata| metadata.len() <= WAL_HEADER);
    short || wal.read_exact(&mut magic).is_err() || !WAL_MAGIC.contains(&magic)
}

pub(super) fn is_empty_or_missing(path: &Path) -> bool {
    path.metadata().map_or(true, |metadata| metadata.len() == 0)
}

/// What SQLite says when it cannot so much as begin to read.
pub(super) fn unrecovered(error: StoreError, path: &Path) -> StoreError {
    match error {
        StoreError::Sqlite(error) => StoreError::NeedsRecovery { path: path.to_owned(), error },
        other => other,
    }
}

fn needs_recovery(error: sqlx::Error, path: &Path) -> StoreError {
    StoreError::NeedsRecovery { path: path.to_owned(), error: Arc::new(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Once such a WAL made the next start take ten seconds.
    #[test]
    fn a_wal_with_a_header_and_no_frame_holds_nothing_and_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("presence.db");
        std::fs::write(&database, [2; 4096]).unwrap();
        std::fs::write(beside::named(&database, "-shm"), vec![0; 32768]).unwrap();
        let waits_for_index = |wal: &[u8]| {
            std::fs::write(beside::named(&database, "-wal"), wal).unwrap();
            let options = options_leaving_index(&database).unwrap();
            options.get_filename().to_string_lossy().contains("readonly_shm")
        };
        let mut wal = [WAL_MAGIC[0].to_vec(), vec![7; 28]].concat();
        assert!(!waits_for_index(&wal), "a header alone");
        wal.extend([7; 4120]);
        assert!(waits_for_index(&wal), "a frame");
        wal[0] = 0;
        assert!(!waits_for_index(&wal), "no header of a WAL");
        assert!(!waits_for_index(&[]), "nothing");
    }
}
