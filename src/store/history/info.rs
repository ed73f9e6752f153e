//! Facts about the database: its size, age and number of rows.
//!
//! Guards: reads only. Deliberately not here: whether it is intact (`check`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::AssertSqlSafe;

use super::History;
use crate::store::StoreError;
use crate::time::Timestamp;

const INSTALLATION: &str = "SELECT source, created_ms, time_zone, \
    (SELECT user_version FROM pragma_user_version), (SELECT journal_mode FROM pragma_journal_mode), \
    (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size), \
    (SELECT freelist_count FROM pragma_freelist_count) * (SELECT page_size FROM pragma_page_size), \
    sqlite_version(), \
    (SELECT min(recorded_ms) FROM events), (SELECT min(joined_ms) FROM visits), (SELECT max(last_poll_ms) FROM people) \
    FROM installation WHERE one = 1";
const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
    AND name NOT IN ('_sqlx_migrations', 'example_queries', 'installation') ORDER BY name";

/// Facts about the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// `urn:presenced:...`
    pub source: String,
    /// When the file was created.
    pub created: Timestamp,
    /// Time zone of the `*_local` columns.
    pub time_zone: String,
    /// Version of the schema.
    pub schema: i64,
    /// `wal` while a daemon has the file open.
    pub journal_mode: String,
    /// Size of the file.
    pub bytes: i64,
    /// Free bytes within the file.
    pub free_bytes: i64,
    /// Version of the built-in SQLite.
    pub sqlite: String,
    pub oldest_event: Option<Timestamp>,
    /// Start of the oldest visit.
    pub oldest_visit: Option<Timestamp>,
    /// Time of the newest poll of any user.
    pub newest_poll: Option<Timestamp>,
    pub rows: Vec<(String, i64)>,
}

type Row = (String, i64, String, i64, String, i64, i64, String, Option<i64>, Option<i64>, Option<i64>);

impl History {
    /// Reads the facts about the database.
    pub async fn database_info(&self) -> Result<DatabaseInfo, StoreError> {
        let mut connection = self.readers.acquire().await?;
        let row: Row = sqlx::query_as(INSTALLATION).fetch_one(&mut *connection).await?;
        let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut *connection).await?;
        let mut rows = Vec::with_capacity(tables.len());
        for table in tables {
            // The name comes from the schema and is quoted.
            let sql = AssertSqlSafe(format!("SELECT count(*) FROM \"{table}\""));
            let count = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
            rows.push((table, count));
        }
        let (source, created, time_zone, schema, journal_mode, bytes, free_bytes, sqlite, event, visit, poll) =
            row;
        let at = |ms: Option<i64>| ms.map(Timestamp::from_ms);
        Ok(DatabaseInfo {
            source,
            created: Timestamp::from_ms(created),
            time_zone,
            schema,
            journal_mode,
            bytes,
            free_bytes,
            sqlite,
            oldest_event: at(event),
            oldest_visit: at(visit),
            newest_poll: at(poll),
            rows,
        })
    }
}
