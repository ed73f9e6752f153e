//! Errors of the database.
//!
//! Guards: every refusal names the file and what to do; an error can be cloned for every caller of a failed group.
//! Deliberately not here: retries (the caller knows whether the work still makes sense).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An error of the database.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another daemon has the database open.
    #[error(
        "{path} is in use by another presenced (it holds {lock}); stop that one, or give this one another history.path"
    )]
    Locked {
        path: PathBuf,
        /// Its lock file.
        lock: PathBuf,
    },
    /// The folder of the database does not exist.
    #[error("{folder} does not exist: create it, or change history.path")]
    NoFolder { folder: PathBuf },
    /// The folder, or a file in it, is not accessible.
    #[error("cannot {doing} {path}: {error}")]
    File {
        doing: &'static str,
        path: PathBuf,
        /// The error of the system.
        error: Arc<io::Error>,
    },
    /// There is no database.
    #[error("{path} does not exist: `presenced run` creates it")]
    Missing { path: PathBuf },
    /// The file is not a database of this program.
    #[error("{path} is not a presenced database ({what}); it was not touched")]
    Foreign { path: PathBuf, what: String },
    /// Written by a newer release.
    #[error(
        "{path} was written by a newer presenced (schema {found}, this one knows {known}); it was not touched. Use the newer release, or restore a backup made before the upgrade"
    )]
    Newer {
        path: PathBuf,
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// Written by an older release and not migrated by the daemon yet.
    #[error(
        "{path} has the older schema {found} (this presenced has {known}): start the daemon once, it brings the file up to date"
    )]
    Older {
        path: PathBuf,
        found: i64,
        /// The schema known here.
        known: i64,
    },
    /// The file is damaged.
    #[error(
        "{path} is damaged ({what}); it was not touched. Put a backup in its place (`presenced db restore FILE`), or save what can be read of it (`sqlite3 {path} .recover`)"
    )]
    Damaged {
        path: PathBuf,
        /// What SQLite found.
        what: String,
    },
    /// Deleted or replaced while it was open: the database, or a file of its WAL.
    #[error(
        "{path} was deleted or replaced while the daemon had it open: what is written now would be lost. Stop the daemon before a database is moved or restored"
    )]
    Replaced { path: PathBuf },
    /// The WAL of another database with the same name, left by a crash.
    #[error(
        "{wal} does not belong to {path}: it was left by a database that was there before and would undo what {path} holds. Neither was touched. To keep {path}, move {wal} and the -shm file beside it away; to put a backup in place use `presenced db restore FILE`, which takes care of it"
    )]
    ForeignWal { path: PathBuf, wal: PathBuf },
    /// Another program reads the database and keeps its WAL from being moved into it.
    #[error("another program reads {path}: close it and repeat the command; nothing was changed")]
    InUse { path: PathBuf },
    /// A backup from which a person cannot be erased now.
    #[error(
        "the backup {path} cannot be cleaned: {error}. Nothing was erased from the database and no backup was removed; close the program that has the backup open, or move the backup away, and repeat the command"
    )]
    Copy { path: PathBuf, error: Box<StoreError> },
    /// The list of erased people is damaged.
    #[error(
        "the list of erased people in {path} cannot be read ({error}); without it the copy could bring an erased person back. Nothing was changed. To restore all the same, move {path} away, repeat the command, and repeat `presenced db forget` for each erased person"
    )]
    Erasures {
        /// The database that was to be replaced.
        path: PathBuf,
        error: Box<StoreError>,
    },
    /// The copy before a migration failed.
    #[error(
        "{path} has an older schema and is not brought up to date, because no copy of it could be made first: {error}. Free disk space, or set before_migration = false in [history.backup]; nothing was changed"
    )]
    NoCopy { path: PathBuf, error: Box<StoreError> },
    /// A copy would overwrite a file.
    #[error("{path} already exists: choose another name, or remove it")]
    Exists {
        /// The existing file.
        path: PathBuf,
    },
    /// A copy is incomplete.
    #[error("the copy {path} is not complete: {what}; it was removed")]
    BadCopy { path: PathBuf, what: String },
    /// Left by a crash in a state that only a writer can recover.
    #[error(
        "{path} was not closed cleanly and cannot be recovered from here ({error}): start the daemon once, or repeat the command as the user it runs as"
    )]
    NeedsRecovery {
        path: PathBuf,
        /// The error of SQLite.
        error: Arc<sqlx::Error>,
    },
    /// The migration failed.
    #[error("{path}: the schema cannot be brought up to date: {error}")]
    Migration { path: PathBuf, error: Arc<sqlx::migrate::MigrateError> },
    /// SQLite does not apply a setting that durability needs.
    #[error("SQLite cannot be used: {0}")]
    Unsafe(String),
    /// A row that this program cannot have written.
    #[error(
        "{table} row {row} cannot be read: {what}; restore a backup, or delete that row with the daemon stopped"
    )]
    Corrupt {
        table: &'static str,
        row: String,
        /// What is wrong with it.
        what: String,
    },
    /// There is no user with this id; the user was erased meanwhile.
    #[error("there is no user {person_id} in the database")]
    NoPerson {
        /// The missing id.
        person_id: i64,
    },
    /// A value has no JSON form.
    #[error("cannot be encoded as JSON: {0}")]
    Json(Arc<serde_json::Error>),
    /// SQLite failed.
    #[error("{}", of_sqlite(.0))]
    Sqlite(Arc<sqlx::Error>),
    /// Another program holds the write lock, and the daemon stops.
    #[error("another program holds the database's write lock")]
    LockContention,
    /// The database is closed, or its writer has ended.
    #[error("the database is closed")]
    Closed,
}

fn of_sqlite(error: &sqlx::Error) -> String {
    let advice = match error {
        sqlx::Error::ColumnDecode { .. } => "; `presenced db check` names the row",
        _ => "",
    };
    format!("database: {error}{advice}")
}

impl StoreError {
    /// An error of the operating system.
    pub(super) fn file(doing: &'static str, path: &Path, error: io::Error) -> Self {
        Self::File { doing, path: path.to_owned(), error: Arc::new(error) }
    }

    /// A row that cannot have been written by this program.
    pub(super) fn corrupt(table: &'static str, row: &impl ToString, what: String) -> Self {
        Self::Corrupt { table, row: row.to_string(), what }
    }

    /// Whether another program held a lock for longer than the timeout.
    pub(super) fn is_busy(&self) -> bool {
        // SQLITE_BUSY
        self.sqlite_code().is_some_and(|code| code & 0xff == 5)
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        // SQLITE_FULL, and SQLITE_IOERR_SHMSIZE: the index of the WAL could not grow.
        self.sqlite_code().is_some_and(|code| code & 0xff == 13 || code == 4874)
    }

    /// Whether the file is not an SQLite database.
    pub(super) fn is_no_database(&self) -> bool {
        // SQLITE_NOTADB
        self.sqlite_code().is_some_and(|code| code & 0xff == 26)
    }

    /// Whether the file cannot be read before a connection that may write has rolled back a transaction.
    pub(super) fn wants_rollback(&self) -> bool {
        // SQLITE_READONLY_ROLLBACK
        self.sqlite_code() == Some(776)
    }

    fn sqlite_code(&self) -> Option<i32> {
        let Self::Sqlite(error) = self else { return None };
        error.as_database_error()?.code()?.parse().ok()
    }

    /// Whether SQLite refused the data, as opposed to failing to write: only then does it make sense to write the rest
    /// of a group without it.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::NoPerson { .. } | Self::Json(_) => true,
            // SQLITE_CONSTRAINT, with anything above it: unique, foreign key, CHECK, NOT NULL, a type of a STRICT
            // table.
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
