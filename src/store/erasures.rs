//! The list of erasures: salted hashes of the people who were erased.
//!
//! Guards: the list is kept for good, because an older copy of the database can be restored at any time; a person who was
//! erased after a copy was made is erased from it again, one who was put on the watch list later on purpose is not.
//! Deliberately not here: the erasing itself (`forget`), putting a copy in place (`restore`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::{StoreError, forget, readonly};
use crate::ids::{Identity, OrgName, UnionId};
use crate::time::Timestamp;

/// Of the columns only these are in every release's table.
const REMEMBER: &str = "INSERT INTO forgotten (org, salt, hash, forgotten_ms) VALUES (?1, ?2, ?3, ?4)";
const CARRY: &str =
    "INSERT INTO forgotten (org, salt, hash, forgotten_ms, lifted_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
const LIFTED: &str = "UPDATE forgotten SET lifted_ms = coalesce(lifted_ms, ?2) WHERE hash = ?1";
const COLUMNS: &str =
    "SELECT count(*), count(*) FILTER (WHERE name = 'lifted_ms') FROM pragma_table_info('forgotten')";
const PEOPLE: &str = "SELECT org, union_id FROM people";

/// One erased person: compared with an identity, never turned back into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Erasure {
    org: String,
    salt: String,
    hash: String,
    at_ms: i64,
    /// Since when the person may be watched again.
    lifted_ms: Option<i64>,
}

impl Erasure {
    pub(super) fn new(who: &Identity, now: Timestamp) -> Self {
        let salt = salt(now);
        let hash = hash(&salt, who);
        Self { org: who.org.as_str().to_owned(), salt, hash, at_ms: now.as_ms(), lifted_ms: None }
    }

    fn is_of(&self, who: &Identity) -> bool {
        self.org == who.org.as_str() && hash(&self.salt, who) == self.hash
    }

    /// Writes it down where the person was erased: in the database, or in a copy of any release.
    pub(super) async fn remember(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let Self { org, salt, hash, at_ms, .. } = self;
        sqlx::query(REMEMBER).bind(org).bind(salt).bind(hash).bind(at_ms).execute(connection).await?;
        Ok(())
    }
}

/// The list in a database that is about to be replaced; empty where there is none. A list that cannot be read is an error:
/// without it a copy could bring an erased person back.
pub(super) async fn of_database(database: &Path) -> Result<Vec<Erasure>, StoreError> {
    if !database.exists() {
        return Ok(Vec::new());
    }
    let read = async {
        let mut connection = readonly::options_of_file(database)?.connect().await?;
        let list = list(&mut connection).await;
        connection.close().await?;
        list
    };
    read.await.map_err(|error| StoreError::Erasures { path: database.to_owned(), error: Box::new(error) })
}

async fn list(connection: &mut SqliteConnection) -> Result<Vec<Erasure>, StoreError> {
    let (columns, lifted): (i64, i64) = sqlx::query_as(COLUMNS).fetch_one(&mut *connection).await?;
    if columns == 0 {
        return Ok(Vec::new());
    }
    let lifted = if lifted == 0 { "NULL" } else { "lifted_ms" };
    let sql = format!("SELECT org, salt, hash, forgotten_ms, {lifted} FROM forgotten ORDER BY forgotten_id");
    let rows: Vec<(String, String, String, i64, Option<i64>)> =
        sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await?;
    let erasure = |(org, salt, hash, at_ms, lifted_ms)| Erasure { org, salt, hash, at_ms, lifted_ms };
    Ok(rows.into_iter().map(erasure).collect())
}

/// Takes a list over into a copy that is restored, and erases there who was erased after the copy was made. Gives how many
/// people those are.
pub(super) async fn carry(
    connection: &mut SqliteConnection,
    erasures: &[Erasure],
) -> Result<u64, StoreError> {
    let known = list(connection).await?;
    let people: Vec<(String, String)> = sqlx::query_as(PEOPLE).fetch_all(&mut *connection).await?;
    let identity = |(org, union_id): &(String, String)| {
        Some(Identity { org: OrgName::parse(org).ok()?, union_id: UnionId::parse(union_id).ok()? })
    };
    let people: Vec<Identity> = people.iter().filter_map(identity).collect();
    let mut erased = 0;
    for erasure in erasures {
        let Erasure { org, salt, hash, at_ms, lifted_ms } = erasure;
        if known.iter().any(|old| old.hash == *hash) {
            sqlx::query(LIFTED).bind(hash).bind(lifted_ms).execute(&mut *connection).await?;
            continue;
        }
        // An erasure that the copy knows as well came before the copy: what it holds of the person came later, on purpose.
        let later = |who: &&Identity| !known.iter().any(|old| old.at_ms >= *at_ms && old.is_of(who));
        if let Some(who) = people.iter().filter(|who| erasure.is_of(who)).find(later) {
            match forget::erase(connection, who).await {
                Ok(_) => erased += 1,
                // Two erasures of one person, from before and after a time on the watch list.
                Err(StoreError::NoPerson { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        sqlx::query(CARRY)
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

/// Which of `list` an erasure of these rows (id, organisation, salt, hash) is about.
pub(super) fn find<'l>(
    list: &'l [Identity],
    (org, salt, wanted): (&str, &str, &str),
) -> Option<&'l Identity> {
    list.iter().find(|who| who.org.as_str() == org && hash(salt, who) == wanted)
}

/// Of salt, organisation and unionId, with their lengths, so that no two pairs write the same bytes.
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
