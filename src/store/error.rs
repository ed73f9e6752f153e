//! Why the database did not do what was asked.
//!
//! Guards: every refusal names the file and says what to do; an error can be given to every caller of a failed group.
//! Deliberately not here: retries (the caller knows whether the work still makes sense).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the database did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another daemon has it.
    #[error(
        "{path} is in use by another presenced (it holds {lock}); stop that one, or give this one another history.path"
    )]
    Locked {
        /// The database.
        path: PathBuf,
        /// Its lock file.
        lock: PathBuf,
    },
    /// The folder of the database is not there.
    #[error("{folder} does not exist: create it, or change history.path")]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder or a file in it does not let us in.
    #[error("cannot {doing} {path}: {error}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: Arc<io::Error>,
    },
    /// There is no database.
    #[error("{path} does not exist: `presenced run` creates it")]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{path} is not a presenced database ({what}); it was not touched")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How one sees that.
        what: String,
    },
    /// Made by a later release.
    #[error(
        "{path} was written by a newer presenced (schema {found}, this one knows {known}); it was not touched. Use the newer release, or restore a backup made before the upgrade"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// Made by an earlier release and not opened by this one's daemon yet.
    #[error(
        "{path} has the older schema {found} (this presenced has {known}): start the daemon once, it brings the file up to date"
    )]
    Older {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The schema known here.
        known: i64,
    },
    /// Not what was written.
    #[error(
        "{path} is damaged ({what}); it was not touched. Put a backup in its place (`presenced db restore FILE`), or save what can be read of it (`sqlite3 {path} .recover`)"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite found.
        what: String,
    },
    /// Deleted or replaced while it was open: the database, or a file of its WAL.
    #[error(
        "{path} was deleted or replaced while the daemon had it open: what is written now would be lost. Stop the daemon before a database is moved or restored"
    )]
    Replaced {
        /// The database.
        path: PathBuf,
    },
    /// Left by a crash of another file of the same name.
    #[error(
        "{wal} does not belong to {path}: it was left by a database that was there before and would undo what {path} holds. Neither was touched. To keep {path}, move {wal} and the -shm file beside it away; to put a backup in place use `presenced db restore FILE`, which takes care of it"
    )]
    ForeignWal {
        /// The database.
        path: PathBuf,
        /// The WAL.
        wal: PathBuf,
    },
    /// Another program reads it and keeps its WAL from being taken in.
    #[error("another program reads {path}: close it and repeat the command; nothing was changed")]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// A backup that a person cannot be erased from now.
    #[error(
        "the backup {path} cannot be cleaned: {error}. Nothing was erased from the database and no backup was removed; close the program that has the backup open, or move the backup away, and repeat the command"
    )]
    Copy {
        /// The backup.
        path: PathBuf,
        /// Why not.
        error: Box<StoreError>,
    },
    /// The list of erased people is part of what is damaged.
    #[error(
        "the list of erased people in {path} cannot be read ({error}); without it the copy could bring an erased person back. Nothing was changed. To restore all the same, move {path} away, repeat the command, and repeat `presenced db forget` for each erased person"
    )]
    Erasures {
        /// The database that was to be replaced.
        path: PathBuf,
        /// Why not.
        error: Box<StoreError>,
    },
    /// There was to be a copy before a migration.
    #[error(
        "{path} has an older schema and is not brought up to date, because no copy of it could be made first: {error}. Make room, or set before_migration = false in [history.backup]; nothing was changed"
    )]
    NoCopy {
        /// The database.
        path: PathBuf,
        /// Why not.
        error: Box<StoreError>,
    },
    /// A copy would overwrite something.
    #[error("{path} exists already: choose another name, or remove it")]
    Exists {
        /// What is in the way.
        path: PathBuf,
    },
    /// A copy does not hold what its original holds.
    #[error("the copy {path} is not complete: {what}; it was removed")]
    BadCopy {
        /// The copy.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// Left by a crash in a state that only a writer can tidy.
    #[error(
        "{path} was not closed cleanly and cannot be recovered from here ({error}): start the daemon once, or look as the user it runs as"
    )]
    NeedsRecovery {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        error: Arc<sqlx::Error>,
    },
    /// The schema could not be brought up to date.
    #[error("{path}: the schema cannot be brought up to date: {error}")]
    Migration {
        /// The database.
        path: PathBuf,
        /// Why.
        error: Arc<sqlx::migrate::MigrateError>,
    },
    /// SQLite does not do what durability needs.
    #[error("SQLite will not do: {0}")]
    Unsafe(String),
    /// A row that nobody wrote so.
    #[error(
        "{table} row {row} cannot be read: {what}; restore a backup, or delete that row with the daemon stopped"
    )]
    Corrupt {
        /// Where.
        table: &'static str,
        /// Which.
        row: String,
        /// What is wrong with it.
        what: String,
    },
    /// Nobody with that row: erased meanwhile.
    #[error("there is no person {person_id} in the database")]
    NoPerson {
        /// The row that is not there.
        person_id: i64,
    },
    /// What was to be written has no JSON form.
    #[error("cannot be written as JSON: {0}")]
    Json(Arc<serde_json::Error>),
    /// SQLite said no.
    #[error("database: {0}")]
    Sqlite(Arc<sqlx::Error>),
    /// Another program holds the write lock, and the daemon stops.
    #[error("another program holds the database's write lock")]
    HeldUp,
    /// Closed, or its writer is gone.
    #[error("the database is closed")]
    Closed,
}

impl StoreError {
    /// An operating system's refusal.
    pub(super) fn file(doing: &'static str, path: &Path, error: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), error: Arc::new(error) }
    }

    /// Whether another program holds a lock that was waited for in vain.
    pub(super) fn is_busy(&self) -> bool {
        // SQLITE_BUSY
        self.sqlite_code().is_some_and(|code| code & 0xff == 5)
    }

    /// Whether there is no room on the disk.
    pub fn is_full(&self) -> bool {
        // SQLITE_FULL, and SQLITE_IOERR_SHMSIZE: the index of the WAL could not grow.
        self.sqlite_code().is_some_and(|code| code & 0xff == 13 || code == 4874)
    }

    /// Whether the file is none of SQLite's.
    pub(super) fn is_no_database(&self) -> bool {
        // SQLITE_NOTADB
        self.sqlite_code().is_some_and(|code| code & 0xff == 26)
    }

    /// Whether nobody can read the file before somebody who may write has undone half a transaction.
    pub(super) fn wants_rollback(&self) -> bool {
        // SQLITE_READONLY_ROLLBACK
        self.sqlite_code() == Some(776)
    }

    fn sqlite_code(&self) -> Option<i32> {
        let Self::Sqlite(error) = self else { return None };
        error.as_database_error()?.code()?.parse().ok()
    }

    /// Whether SQLite refused what was to be written, rather than failed to write: only then is there sense in
    /// trying the rest of a group without it.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::NoPerson { .. } | Self::Json(_) => true,
            // SQLITE_CONSTRAINT, with anything above it: unique, foreign key, CHECK, NOT NULL, a type of a STRICT table.
            _ => self.sqlite_code().is_some_and(|code| code & 0xff == 19),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(Arc::new(error))
    }
}
