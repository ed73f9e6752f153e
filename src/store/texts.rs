//! Finds stored texts that are not UTF-8 any more, because the disk changed them.
//!
//! Guards: a row that this program could not read is named by its table, number and column; SQLite accepts such a row, so
//! `integrity_check` finds nothing. Not here: the bodies of events, which have a checksum (`checksum`), and other damage
//! (`check`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::StoreError;

/// Text columns of all tables, without computed ones, and whether the table has no row numbers.
const COLUMNS: &str = "\
SELECT t.name, t.wr, c.name FROM pragma_table_list AS t, pragma_table_info(t.name) AS c \
WHERE t.schema = 'main' AND t.type = 'table' AND c.type = 'TEXT' AND t.name NOT LIKE 'sqlite_%' \
ORDER BY t.name, c.cid";

/// The tables that a start reads.
const READ_AT_START: [&str; 8] =
    ["installation", "organisations", "people", "webhooks", "lanes", "sweeps", "forgotten", "open_gaps"];

/// Rows that are read at once.
const PAGE: usize = 1000;

/// Which tables are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of them.
    Everything,
    /// Small ones that a start reads.
    Start,
}

/// At most `most` texts that are not UTF-8, one per line.
pub(super) async fn damaged(
    connection: &mut SqliteConnection,
    scope: Scope,
    most: usize,
) -> Result<Vec<String>, StoreError> {
    let columns: Vec<(String, bool, String)> = sqlx::query_as(COLUMNS).fetch_all(&mut *connection).await?;
    let mut found = Vec::new();
    for (table, is_unnumbered, column) in columns {
        // The text of the last failure is written only.
        let is_read = READ_AT_START.contains(&table.as_str()) && column != "last_error";
        if scope == Scope::Everything || is_read {
            of_column(connection, (&table, is_unnumbered, &column), &mut found, most).await?;
        }
    }
    found.truncate(most);
    Ok(found)
}

async fn of_column(
    connection: &mut SqliteConnection,
    (table, is_unnumbered, column): (&str, bool, &str),
    found: &mut Vec<String>,
    most: usize,
) -> Result<(), StoreError> {
    let [quoted_table, quoted] = [table, column].map(|name| format!("\"{}\"", name.replace('"', "\"\"")));
    // Tables without row numbers are small, and read at once.
    let (row, paged) = if is_unnumbered {
        ("0", "?1 < 0".to_owned())
    } else {
        ("rowid", format!("rowid > ?1 ORDER BY rowid LIMIT {PAGE}"))
    };
    // ASCII is always UTF-8. The names come from the schema and are quoted.
    let page = format!(
        "SELECT {row}, CAST({quoted} AS BLOB) FROM {quoted_table} WHERE {quoted} GLOB '*[^ -~]*' AND {paged}"
    );
    let mut last = i64::MIN;
    while found.len() < most {
        let rows: Vec<(i64, Vec<u8>)> =
            sqlx::query_as(AssertSqlSafe(page.clone())).bind(last).fetch_all(&mut *connection).await?;
        let Some((newest, _)) = rows.last() else { break };
        last = *newest;
        for (row, bytes) in &rows {
            let Err(error) = std::str::from_utf8(bytes) else { continue };
            let row = if is_unnumbered { "a row".to_owned() } else { format!("row {row}") };
            let (byte, text) = (error.valid_up_to() + 1, shown(bytes, error.valid_up_to()));
            found.push(format!("{table}, {row}: `{column}` is not UTF-8 at byte {byte}: {text}"));
        }
    }
    Ok(())
}

/// The text around a byte.
fn shown(bytes: &[u8], at: usize) -> String {
    const AROUND: usize = 20;
    let part = &bytes[at.saturating_sub(AROUND)..bytes.len().min(at + AROUND)];
    format!("{:?}", String::from_utf8_lossy(part))
}
