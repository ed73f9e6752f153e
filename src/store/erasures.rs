//! The list of erasures: salted hashes of erased people.
//!
//! Guards: the list is kept forever, because an older copy of the database can be restored at any time. Restoring a
//! copy erases a person again who was erased after the copy was made, but not one who was put on the watch list again
//! later. Deliberately not here: erasing (`erase`, `forget`), putting a copy in place (`restore`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::{StoreError, erase, read_options};
use crate::ids::{Identity, OrgName, UnionId};
use crate::time::Timestamp;

/// Only these columns exist in the tables of all releases.
const REMEMBER: &str = "INSERT INTO forgotten (org, salt, hash, forgotten_ms) VALUES (?1, ?2, ?3, ?4)";
const INSERT: &str =
    "INSERT INTO forgotten (org, salt, hash, forgotten_ms, lifted_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
const LIFTED: &str = "UPDATE forgotten SET lifted_ms = coalesce(lifted_ms, ?2) WHERE hash = ?1";
const COLUMNS: &str =
    "SELECT count(*), count(*) FILTER (WHERE name = 'lifted_ms') FROM pragma_table_info('forgotten')";
const PEOPLE: &str = "SELECT org, union_id FROM people";

/// The record of one erased person: can be compared with an identity, but not turned back into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ErasureRecord {
    org: String,
    salt: String,
    hash: String,
    at_ms: i64,
    /// When the person was allowed on the watch list again.
    lifted_ms: Option<i64>,
}

impl ErasureRecord {
    pub(super) fn new(who: &Identity, now: Timestamp) -> Self {
        let salt = salt(now);
        let hash = hash(&salt, who);
        Self { org: who.org.as_str().to_owned(), salt, hash, at_ms: now.as_ms(), lifted_ms: None }
    }

    fn is_of(&self, who: &Identity) -> bool {
        self.org == who.org.as_str() && hash(&self.salt, who) == self.hash
    }

    /// Writes the record where the person was erased: in the database, or in a copy of any release.
    pub(super) async fn remember(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let Self { org, salt, hash, at_ms, .. } = self;
        sqlx::query(REMEMBER).bind(org).bind(salt).bind(hash).bind(at_ms).execute(connection).await?;
        Ok(())
    }
}

/// Reads the list of a database that is about to be replaced; empty if there is no database. A list that cannot be read
/// is an error, because without it a copy could bring an erased person back.
pub(super) async fn of_database(database: &Path) -> Result<Vec<ErasureRecord>, StoreError> {
    if !database.exists() {
        return Ok(Vec::new());
    }
    let read = async {
        let mut connection = read_options::options_of_file(database)?.connect().await?;
        let list = list(&mut connection).await;
        connection.close().await?;
        list
    };
    read.await.map_err(|error| StoreError::Erasures { path: database.to_owned(), error: Box::new(error) })
}

async fn list(connection: &mut SqliteConnection) -> Result<Vec<ErasureRecord>, StoreError> {
    let (columns, lifted): (i64, i64) = sqlx::query_as(COLUMNS).fetch_one(&mut *connection).await?;
    if columns == 0 {
        return Ok(Vec::new());
    }
    let lifted = if lifted == 0 { "NULL" } else { "lifted_ms" };
    let sql = format!("SELECT org, salt, hash, forgotten_ms, {lifted} FROM forgotten ORDER BY forgotten_id");
    let rows: Vec<(String, String, String, i64, Option<i64>)> =
        sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await?;
    let erasure = |(org, salt, hash, at_ms, lifted_ms)| ErasureRecord { org, salt, hash, at_ms, lifted_ms };
    Ok(rows.into_iter().map(erasure).collect())
}

/// Writes a list into a copy that is restored, and erases from it the people who were erased after the copy was made.
/// Returns their number.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    erasures: &[ErasureRecord],
) -> Result<u64, StoreError> {
    let known = list(connection).await?;
    let people: Vec<(String, String)> = sqlx::query_as(PEOPLE).fetch_all(&mut *connection).await?;
    let identity = |(org, union_id): &(String, String)| {
        Some(Identity { org: OrgName::parse(org).ok()?, union_id: UnionId::parse(union_id).ok()? })
    };
    let people: Vec<Identity> = people.iter().filter_map(identity).collect();
    let mut erased = 0;
    for erasure in erasures {
        let ErasureRecord { org, salt, hash, at_ms, lifted_ms } = erasure;
        if known.iter().any(|old| old.hash == *hash) {
            sqlx::query(LIFTED).bind(hash).bind(lifted_ms).execute(&mut *connection).await?;
            continue;
        }
        // A later erasure that the copy contains as well happened before the copy was made: the person's rows in it are
        // from a later time on the watch list.
        let later = |who: &&Identity| !known.iter().any(|old| old.at_ms >= *at_ms && old.is_of(who));
        if let Some(who) = people.iter().filter(|who| erasure.is_of(who)).find(later) {
            match erase::erase(connection, who).await {
                Ok(_) => erased += 1,
                // Two erasures of one person, before and after a time on the watch list.
                Err(StoreError::NoPerson { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        sqlx::query(INSERT)
            .bind(org)
            .bind(salt)
            .bind(hash)
            .bind(at_ms)
            .bind(lifted_ms)
            .execute(&mut *connection)
            .await?;
    }
    Ok(erased)
}

/// The identity in `list` that an erasure record (organisation, salt, hash) is about.
pub(super) fn find<'l>(
    list: &'l [Identity],
    (org, salt, wanted): (&str, &str, &str),
) -> Option<&'l Identity> {
    list.iter().find(|who| who.org.as_str() == org && hash(salt, who) == wanted)
}

/// Hashes salt, organisation and unionId with their lengths, so that no two triples give the same bytes.
fn hash(salt: &str, who: &Identity) -> String {
    let mut hash = Sha256::new();
    for part in [salt, who.org.as_str(), who.union_id.as_str()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// A unionId is long and random already; the salt only keeps two databases from being compared.
fn salt(now: Timestamp) -> String {
    let random = [(); 2].map(|()| RandomState::new().hash_one(now.as_ms()).to_be_bytes());
    hex(&random.concat())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
