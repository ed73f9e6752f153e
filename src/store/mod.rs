//! The database: one SQLite file, one writer, some readers.
//!
//! Guards: snapshot, visits, events and deliveries are written together or not at all; one daemon a file; a newer
//! schema is refused untouched; times are UTC milliseconds. Deliberately not here: what is written (`presence`), when
//! deliveries are tried (`policy::delivery`).
//!
//! ```text
//! open       opening, closing, the file's permissions
//! lock       the lock file: one daemon a database
//! connection what each connection is asked for
//! schema     migrations, versions
//! writer     the one writing connection and its queue: whatever is ready is one transaction
//! group      that transaction, and who hears what of it
//! bulk       one statement for many rows
//! jsonb      what such rows travel as
//! recording  one look: snapshot, visits, events, deliveries
//! people     the watch list, stretches and misses
//! census     numbers for who watches over the daemon
//! accounts   spending, events about nobody
//! gaps       when nobody looked, and the words for why
//! open_gaps  why users are not polled at this moment
//! notices    which alerts fire, closed windows
//! sweeps     whether sweeps are believed, and what they cost
//! outbox     deliveries: taken, written back
//! readonly   the same file for commands that only look
//! check      whether the file is whole, and still there
//! checksum   whether an event is still what was written
//! room       what happens when the disk is full
//! trouble    what else went wrong with writing
//! retention  what is too old goes
//! backup     verified copies
//! restore    putting one back
//! forget     erasing a person
//! erasures   the list of who was erased
//! beside     the files beside the database
//! wal        the WAL: carried into the file, and who keeps it
//! set_back   stored instants after the clock was set back
//! ```

mod accounts;
pub mod backup;
pub mod beside;
mod bulk;
pub mod census;
pub mod check;
mod checksum;
mod connection;
mod erasures;
mod error;
pub mod forget;
pub mod gaps;
mod group;
pub mod history;
mod jsonb;
mod lock;
mod notices;
mod open;
pub mod open_gaps;
pub mod outbox;
mod people;
mod readonly;
mod recording;
mod records;
pub mod restore;
pub mod retention;
mod room;
mod schema;
mod set_back;
pub mod sweeps;
mod trouble;
mod wal;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::SqlitePool;

use self::check::FileId;
use self::forget::Erased;
use self::room::Room;
use self::writer::Queue;

pub use self::error::StoreError;
pub use self::notices::Closed;
pub use self::open::Sound;
pub use self::readonly::ReadOnlyStore;
pub use self::records::{Enrolled, Enrolment, Miss, NewSnapshot, Outgoing, Recording, Stretch, Usage};
pub use self::schema::{APPLICATION_ID, SCHEMA_VERSION};
pub use self::set_back::StoredTime;

/// An open database. Cloning shares it. Dropping the last clone without [`Store::close`] is a crash on purpose: what
/// was committed stays, what was not is gone, the lock is free.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// The database and the files of its WAL, as they were opened.
    files: Vec<(PathBuf, FileId)>,
    source: String,
    queue: Queue,
    readers: SqlitePool,
    room: Arc<Room>,
    erased: Erased,
    /// Held while a copy is made, and while a person is erased from all copies.
    copying: tokio::sync::Mutex<()>,
    lock: lock::LockFile,
}

impl Store {
    /// `urn:presenced:...`, made with the database.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// The database file, with links resolved.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Connections that cannot write. Keep reads short: a reader that stays open stops the WAL from shrinking.
    pub(super) fn readers(&self) -> &SqlitePool {
        &self.inner.readers
    }
}
