//! The schema and its versions.
//!
//! Guards: a file of a newer release or of another program is recognised before anything is written to it.
//! Deliberately not here: the tables themselves (`migrations/`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::path::Path;
use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqliteConnection};

use super::StoreError;

/// The newest schema this release knows: `PRAGMA user_version`, set by the last migration.
pub const SCHEMA_VERSION: i64 = 4;

/// `PRAGMA application_id`: "pncd" in ASCII, so that `file` and we can tell whose database it is.
pub const APPLICATION_ID: i64 = 0x706e_6364;

const VERSIONS: &str = "SELECT (SELECT application_id FROM pragma_application_id), \
    (SELECT user_version FROM pragma_user_version), \
    (SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'), \
    (SELECT count(*) FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations')";
const NEWEST_MIGRATION: &str = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations";

/// What a file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    /// The schema; 0 when nothing was ever written.
    pub(super) schema: i64,
}

/// Reads whose file this is and how new. Refuses a foreign or a newer one; writes nothing.
pub(super) async fn inspect(connection: &mut SqliteConnection, path: &Path) -> Result<Versions, StoreError> {
    let (application, user_version, migrations, objects): (i64, i64, i64, i64) =
        sqlx::query_as(VERSIONS).fetch_one(&mut *connection).await.map_err(|error| not_ours(error, path))?;
    // The first migration stamps the file; before it there may be a list of migrations, but nothing else.
    if application != APPLICATION_ID && (application != 0 || objects > 0) {
        let what = format!("its application_id is {application}");
        return Err(StoreError::Foreign { path: path.to_owned(), what });
    }
    let migrated: i64 = if migrations == 0 {
        0
    } else {
        sqlx::query_scalar(NEWEST_MIGRATION).fetch_one(&mut *connection).await?
    };
    let found = user_version.max(migrated);
    if found > SCHEMA_VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: SCHEMA_VERSION });
    }
    Ok(Versions { schema: found })
}

/// Brings the schema up to date; each migration is one transaction.
pub(super) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    migrator()
        .run(connection)
        .await
        .map_err(|error| StoreError::Migration { path: path.to_owned(), error: Arc::new(error) })
}

fn migrator() -> Migrator {
    let migration = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(vec![
        migration(1, "presence", include_str!("../../migrations/0001_presence.sql")),
        migration(2, "outbox", include_str!("../../migrations/0002_outbox.sql")),
        migration(3, "views", include_str!("../../migrations/0003_views.sql")),
        migration(4, "webhook alerts", include_str!("../../migrations/0004_webhook_alerts.sql")),
    ])
}

/// 26 is `SQLITE_NOTADB`.
fn not_ours(error: sqlx::Error, path: &Path) -> StoreError {
    let foreign = error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == "26");
    if foreign {
        return StoreError::Foreign { path: path.to_owned(), what: "it is no SQLite file".to_owned() };
    }
    error.into()
}
