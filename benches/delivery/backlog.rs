//! A database in which many deliveries wait.
//!
//! Guards: rows as the store writes them, events of the usual size. Deliberately not here: how they are sent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use presenced::clock::{Clock, SystemClock};
use presenced::ids::{Identity, OrgName, UnionId};
use presenced::store::{Enrolment, Store};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

/// The webhook everything waits for.
pub(crate) const WEBHOOK: &str = "bench";

/// People, so also lanes.
const PEOPLE: u32 = 500;

/// About as long as the documented sample.
pub(crate) const BODY_BYTES: usize = 1_161;

const EVENTS: &str = "\
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
INSERT INTO events (sequence, id, org, type, person_id, time_ms, recorded_ms, body) \
SELECT i, printf('evt_%026d', i), 'default', 'meeting.participant_joined', 1 + i % ?2, ?3, ?3, ?4 FROM n";
const WAIT: &str = "\
INSERT INTO deliveries (webhook, org, person_id, sequence, next_ms) \
SELECT ?1, 'default', person_id, sequence, ?2 FROM events ORDER BY sequence";
const LANES: &str = "\
INSERT INTO lanes (webhook, org, person_id, ready_ms) SELECT DISTINCT webhook, org, person_id, ?1 FROM deliveries";
const AGAIN: &str =
    "UPDATE deliveries SET state = 'pending', attempts = 0, finished_ms = NULL, last_status = NULL";

/// The database's file in a folder.
pub(crate) fn file(folder: &Path) -> PathBuf {
    folder.join("presence.db")
}

/// Text of the usual length.
pub(crate) fn body() -> String {
    let frame = r#"{"filler":""}"#;
    format!(r#"{{"filler":"{}"}}"#, "x".repeat(BODY_BYTES - frame.len()))
}

/// Makes one with `rows` deliveries waiting.
pub(crate) fn create(folder: &Path, rows: u32) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(&file(folder), chrono_tz::UTC, Arc::new(SystemClock)).await?;
        store.watch_list().enroll(people()?).await.context("the people")?;
        store.close().await?;
        let mut connection = connect(folder).await?;
        let now_ms = SystemClock.now().as_ms();
        sqlx::query("BEGIN").execute(&mut connection).await?;
        let events = sqlx::query(EVENTS).bind(rows).bind(PEOPLE).bind(now_ms).bind(body());
        events.execute(&mut connection).await.context("the events")?;
        sqlx::query(WAIT).bind(WEBHOOK).bind(now_ms).execute(&mut connection).await?;
        sqlx::query(LANES).bind(now_ms).execute(&mut connection).await?;
        sqlx::query("COMMIT").execute(&mut connection).await?;
        Ok(())
    })
}

/// A hand in the file beside the store's.
pub(crate) async fn connect(folder: &Path) -> Result<SqliteConnection> {
    Ok(SqliteConnectOptions::new().filename(file(folder)).connect().await?)
}

/// Makes everything that was delivered wait again.
pub(crate) async fn again(connection: &mut SqliteConnection) -> Result<u64> {
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let rows = sqlx::query(AGAIN).execute(&mut *connection).await?.rows_affected();
    sqlx::query(LANES).bind(SystemClock.now().as_ms()).execute(&mut *connection).await?;
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(rows)
}

fn people() -> Result<Vec<Enrolment>> {
    (0..PEOPLE)
        .map(|n| {
            let union_id = UnionId::parse(&format!("bench{n:0>20}iEiE"))?;
            let identity = Identity { org: OrgName::default_name(), union_id };
            Ok(Enrolment { identity, name: format!("Person {n}"), groups: Vec::new() })
        })
        .collect()
}
