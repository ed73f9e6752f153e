//! The schema and its versions.
//!
//! Guards: a file of a newer release or of another program is detected before anything is written to it. Deliberately
//! not here: the tables (`migrations/`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::path::Path;
use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr, SqliteConnection};

use super::StoreError;

/// The newest schema this release knows: `PRAGMA user_version`, set by the last migration.
pub const SCHEMA_VERSION: i64 = 18;

/// `PRAGMA application_id`: "pncd" in ASCII, so that `file` and we can tell whose database it is.
pub const APPLICATION_ID: i64 = 0x706e_6364;

const VERSIONS: &str = "SELECT (SELECT application_id FROM pragma_application_id), \
    (SELECT user_version FROM pragma_user_version), \
    (SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'), \
    (SELECT count(*) FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations')";
const APPLIED: &str = "SELECT version, checksum FROM _sqlx_migrations ORDER BY version";

/// The versions that a file states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    /// The schema version; 0 for an empty file.
    pub(super) schema: i64,
}

/// Reads which program wrote the file, and its schema version. Refuses a foreign or newer file; writes nothing.
pub(super) async fn inspect(connection: &mut SqliteConnection, path: &Path) -> Result<Versions, StoreError> {
    let (application, user_version, migrations, objects): (i64, i64, i64, i64) =
        sqlx::query_as(VERSIONS).fetch_one(&mut *connection).await.map_err(|error| not_ours(error, path))?;
    // The first migration sets `application_id`; before it the file may contain a list of migrations, but nothing else.
    if application != APPLICATION_ID && (application != 0 || objects > 0) {
        let what = format!("its application_id is {application}");
        return Err(StoreError::Foreign { path: path.to_owned(), what });
    }
    let applied: Vec<(i64, Vec<u8>)> = if migrations == 0 {
        Vec::new()
    } else {
        sqlx::query_as(APPLIED).fetch_all(&mut *connection).await?
    };
    let found = applied.last().map_or(0, |(version, _)| *version).max(user_version);
    if found > SCHEMA_VERSION {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: SCHEMA_VERSION });
    }
    // A released migration never changes, so another checksum is damage that SQLite cannot detect.
    let is_ours = |(version, checksum): &(i64, Vec<u8>)| {
        let mut known = self::migrations().into_iter().filter(|known| known.version == *version);
        known.all(|known| *known.checksum == **checksum)
    };
    if let Some((version, _)) = applied.iter().find(|applied| !is_ours(applied)) {
        let what = format!("its checksum of migration {version} is wrong");
        return Err(StoreError::Damaged { path: path.to_owned(), what });
    }
    Ok(Versions { schema: found })
}

/// Migrates to the newest schema; each migration is one transaction.
pub(super) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    Migrator::with_migrations(migrations())
        .run(connection)
        .await
        .map_err(|error| StoreError::Migration { path: path.to_owned(), error: Arc::new(error) })
}

fn migrations() -> Vec<Migration> {
    let migration = |version, name: &'static str, sql: &'static str| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    vec![
        migration(1, "presence", include_str!("../../migrations/0001_presence.sql")),
        migration(2, "outbox", include_str!("../../migrations/0002_outbox.sql")),
        migration(3, "views", include_str!("../../migrations/0003_views.sql")),
        migration(4, "webhook alerts", include_str!("../../migrations/0004_webhook_alerts.sql")),
        migration(5, "gap words", include_str!("../../migrations/0005_gap_words.sql")),
        migration(6, "now", include_str!("../../migrations/0006_now.sql")),
        migration(7, "sweeps", include_str!("../../migrations/0007_sweeps.sql")),
        migration(8, "twins", include_str!("../../migrations/0008_twins.sql")),
        migration(9, "gap clock", include_str!("../../migrations/0009_gap_clock.sql")),
        migration(14, "erasures", include_str!("../../migrations/0014_erasures.sql")),
        migration(15, "open gaps", include_str!("../../migrations/0015_open_gaps.sql")),
        migration(16, "event checksums", include_str!("../../migrations/0016_event_checksums.sql")),
        migration(17, "meetings", include_str!("../../migrations/0017_meetings.sql")),
        migration(18, "push messages", include_str!("../../migrations/0018_push_messages.sql")),
    ]
}

/// 26 is `SQLITE_NOTADB`.
fn not_ours(error: sqlx::Error, path: &Path) -> StoreError {
    let foreign = error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == "26");
    if foreign {
        return StoreError::Foreign { path: path.to_owned(), what: "it is not an SQLite file".to_owned() };
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions, Connection};

    use super::*;

    #[tokio::test]
    async fn an_older_file_keeps_its_gaps_and_learns_the_words_for_them() {
        const OLD: &str = "INSERT INTO gaps (org, from_ms, to_ms, why) VALUES \
            ('default', 1, 2, 'window closed'), ('default', 3, 4, 'restart'), ('default', 5, 6, 'whatever there was')";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("presence.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut old = options.connect().await.unwrap();
        let before = migrations().into_iter().filter(|migration| migration.version < 5).collect();
        Migrator::with_migrations(before).run(&mut old).await.unwrap();
        sqlx::query(OLD).execute(&mut old).await.unwrap();
        migrate(&mut old, &path).await.unwrap();
        let gaps: Vec<(String, i64, String)> =
            sqlx::query_as("SELECT org, to_ms, why FROM v_gaps ORDER BY from_ms")
                .fetch_all(&mut old)
                .await
                .unwrap();
        let expected = [(2, "window closed"), (4, "restart"), (6, "upstream")];
        assert_eq!(gaps, expected.map(|(to, why)| ("default".to_owned(), to, why.to_owned())));
        let invented = "INSERT INTO gaps (org, from_ms, to_ms, why) VALUES ('default', 7, 8, 'whatever')";
        assert!(sqlx::query(invented).execute(&mut old).await.is_err());
        assert_eq!(inspect(&mut old, &path).await.unwrap().schema, SCHEMA_VERSION);
        // The words for what is computed were changed in place: the file is still what SQLite would make of them.
        let sound: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut old).await.unwrap();
        assert_eq!(sound, "ok");
        let twin: String = sqlx::query_scalar("SELECT from_at FROM gaps").fetch_one(&mut old).await.unwrap();
        assert_eq!(twin, "1970-01-01T00:00:00.001Z");
        old.close().await.unwrap();
    }
}
