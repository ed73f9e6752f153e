//! The time zone as a table, because SQLite knows only the reader's: for the `*_local` columns of views.
//!
//! Guards: the table is that of the daemon's time zone, and is written only when it differs. Deliberately not here: the
//! views (`migrations/`), local times that are stored (`recording`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;
use sqlx::{Connection, SqliteConnection};

use super::StoreError;
use super::bulk::bulk;

const STORED: &str = "SELECT from_ms, offset_s FROM local_offsets ORDER BY from_ms";
const CLEAR: &str = "DELETE FROM local_offsets";
const WRITE: &str =
    "INSERT INTO local_offsets (from_ms, offset_s) SELECT value ->> 0, value ->> 1 FROM jsonb_each(?1)";

/// 1970 to 2070, in seconds.
const END: i64 = 3_155_760_000;
/// No zone has changed its offset twice in so many seconds and kept the second change for less.
const STEP: i64 = 7 * 86_400;

/// Writes the offsets of `zone`, unless they are there.
pub(super) async fn write(connection: &mut SqliteConnection, zone: Tz) -> Result<(), StoreError> {
    let offsets = offsets(zone);
    let stored: Vec<(i64, i64)> = sqlx::query_as(STORED).fetch_all(&mut *connection).await?;
    if stored == offsets {
        return Ok(());
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(CLEAR).execute(&mut *transaction).await?;
    bulk(&mut transaction, WRITE, &offsets).await?;
    Ok(transaction.commit().await?)
}

/// From which instant on (in ms) the zone has which offset (in seconds).
fn offsets(zone: Tz) -> Vec<(i64, i64)> {
    let offset = |second: i64| {
        let utc = DateTime::from_timestamp(second, 0).unwrap_or_default().naive_utc();
        i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
    };
    let mut found = vec![(0, offset(0))];
    let (mut from, mut known) = (0, offset(0));
    while from < END {
        let to = from + STEP;
        if offset(to) == known {
            from = to;
        } else {
            // The first second with another offset.
            let (mut before, mut after) = (from, to);
            while after - before > 1 {
                let middle = before.midpoint(after);
                if offset(middle) == known { before = middle } else { after = middle }
            }
            known = offset(after);
            found.push((after * 1000, known));
            from = after;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_change_when_they_do() {
        let berlin = offsets(chrono_tz::Europe::Berlin);
        // 2026-03-29 01:00 UTC and 2026-10-25 01:00 UTC.
        assert!(berlin.contains(&(1_774_746_000_000, 7200)));
        assert!(berlin.contains(&(1_792_890_000_000, 3600)));
        assert_eq!(berlin.first(), Some(&(0, 3600)));
        assert_eq!(offsets(chrono_tz::UTC), [(0, 0)]);
        assert_eq!(offsets(chrono_tz::Asia::Shanghai).last().map(|(_, offset)| *offset), Some(8 * 3600));
        assert!(berlin.is_sorted() && berlin.windows(2).all(|pair| pair[0].1 != pair[1].1));
    }
}
