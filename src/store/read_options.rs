//! Options for reading a database without writing to it or leaving files beside it.
//!
//! Guards: nothing is written and nothing is created; a WAL of another database is not read into this one; a WAL that a
//! crash left is read only where that is safe. Deliberately not here: opening for writing (`open`), the queries
//! (`history`).

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;

use super::{StoreError, beside, connection};

/// Where SQLite's header tells WAL mode (2) from others (1), see its file format, section 1.3.3.
const HEADER_BYTES: usize = 20;
const READ_VERSION_AT: usize = 19;

/// The size of a WAL without a frame, and the two numbers with which its header may begin; see SQLite's WAL format,
/// section 4.1.
const WAL_HEADER: u64 = 32;
const WAL_MAGIC: [[u8; 4]; 2] = [[0x37, 0x7f, 0x06, 0x82], [0x37, 0x7f, 0x06, 0x83]];

/// Options for reading a database without leaving files beside it. A WAL database with neither a WAL nor an index of
/// one is at rest: no process has it open, and the files that SQLite would create to share it are not needed. (While a
/// daemon has it open the WAL may be empty, but the index exists.)
///
/// Opens and closes the file: not for a process that has connections to it, see [`super::Maintenance::backup`].
pub(super) fn options(path: &Path) -> Result<SqliteConnectOptions, StoreError> {
    if wal_of_another(path)? {
        return Err(StoreError::ForeignWal { path: path.to_owned(), wal: beside::named(path, "-wal") });
    }
    let unused = is_empty_or_missing(&beside::named(path, "-wal")) && !beside::named(path, "-shm").exists();
    let at_rest = unused && in_wal_mode(path)?;
    Ok(connection::read_only(path).immutable(at_rest))
}

/// The same, but ignores a WAL that belongs to another database.
pub(super) fn options_of_file(path: &Path) -> Result<SqliteConnectOptions, StoreError> {
    if wal_of_another(path)? { Ok(connection::read_only(path).immutable(true)) } else { options(path) }
}

/// Whether the WAL beside a file belongs to another database. SQLite would read it all the same: it would undo a copy
/// that was put here manually after a crash. Every clean stop and every copy ends with a file whose header says that it
/// has no WAL; SQLite marks the header before it writes the first frame, and unmarks it after the WAL is gone.
pub(super) fn wal_of_another(path: &Path) -> Result<bool, StoreError> {
    let has_frames = || beside::named(path, "-wal").metadata().is_ok_and(|wal| wal.len() > WAL_HEADER);
    let empty = path.metadata().is_ok_and(|file| file.len() == 0);
    // Checks twice, because a daemon may start or stop meanwhile.
    let still = || Ok::<_, StoreError>(has_frames() && !empty && !in_wal_mode(path)?);
    Ok(still()? && still()?)
}

/// The same, but an index of the WAL that a crash left is neither used nor repaired: SQLite builds one in memory from
/// the WAL. While another program has the file open, its index is read. Where this fails, the caller uses [`options`].
/// A WAL without a frame (a crash just after its header was written) is ignored, because SQLite would wait ten seconds
/// for a writer to bring WAL and index together.
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

/// Escapes a path for a URI (RFC 3986, section 3.3).
fn escaped(path: &str) -> String {
    path.bytes().fold(String::with_capacity(path.len()), |mut uri, byte| {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => uri.push(char::from(byte)),
            // Writing to a `String` cannot fail.
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
        // A file shorter than a header is reported by `inspect`.
        Err(_) => Ok(false),
    }
}

/// Whether there is a WAL without a readable frame.
fn wal_is_void(path: &Path) -> bool {
    let Ok(mut wal) = std::fs::File::open(beside::named(path, "-wal")) else { return false };
    let mut magic = [0; 4];
    let short = wal.metadata().is_ok_and(|metadata| metadata.len() <= WAL_HEADER);
    short || wal.read_exact(&mut magic).is_err() || !WAL_MAGIC.contains(&magic)
}

pub(super) fn is_empty_or_missing(path: &Path) -> bool {
    path.metadata().map_or(true, |metadata| metadata.len() == 0)
}

/// Turns an SQLite error on the first read into [`StoreError::NeedsRecovery`].
pub(super) fn unrecovered(error: StoreError, path: &Path) -> StoreError {
    match error {
        StoreError::Sqlite(error) => StoreError::NeedsRecovery { path: path.to_owned(), error },
        other => other,
    }
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
