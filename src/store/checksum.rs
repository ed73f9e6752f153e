//! The checksum of a stored event: shows whether its id and body are unchanged.
//!
//! Guards: a body that the disk changed is never signed and sent. SQLite has no checksums, so neither reading nor
//! `integrity_check` notices such a change. Deliberately not here: what happens to the delivery (`outbox::claim`).
#![expect(clippy::disallowed_methods, reason = "SQL lives in `store`")]

use crc::{CRC_32_ISO_HDLC, Crc, Table};
use sqlx::SqliteConnection;

use super::StoreError;

const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISO_HDLC);

const HAS_CHECKSUMS: &str = "SELECT count(*) FROM pragma_table_info('events') WHERE name = 'checksum'";

/// One page of events, so that a long history needs little memory.
const PAGE: &str = "\
SELECT sequence, CAST(id AS BLOB), CAST(body AS BLOB), checksum FROM events \
WHERE sequence > ?1 AND checksum IS NOT NULL ORDER BY sequence LIMIT 1000";

/// Sequence, id, body and checksum.
type StoredBody = (i64, Vec<u8>, Vec<u8>, Option<i64>);

/// The checksum that is stored with an event.
pub(super) fn of_event(id: impl AsRef<[u8]>, body: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(id.as_ref());
    digest.update(body);
    digest.finalize()
}

/// Whether an event is unchanged. Events of releases without checksums (`None`) are accepted.
pub(super) fn matches(id: impl AsRef<[u8]>, body: &[u8], stored: Option<i64>) -> bool {
    stored.is_none_or(|stored| stored == i64::from(of_event(id, body)))
}

/// The first `most` events that do not match their checksums, one per line. A file of an older release has none.
pub(super) async fn mismatches(
    connection: &mut SqliteConnection,
    most: usize,
) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    let columns: i64 = sqlx::query_scalar(HAS_CHECKSUMS).fetch_one(&mut *connection).await?;
    let mut last = if columns == 0 { i64::MAX } else { i64::MIN };
    while found.len() < most {
        let page: Vec<StoredBody> = sqlx::query_as(PAGE).bind(last).fetch_all(&mut *connection).await?;
        let Some((newest, ..)) = page.last() else { break };
        last = *newest;
        let changed = page.iter().filter(|(_, id, body, stored)| !matches(id, body, *stored));
        found.extend(changed.map(|(sequence, id, ..)| {
            let id = String::from_utf8_lossy(id);
            format!("the body of event {id} (sequence {sequence}) does not match its checksum")
        }));
    }
    found.truncate(most);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_bit_of_id_or_body_is_noticed() {
        let (id, body) = ("evt_1", b"{\"id\":\"evt_1\"}".to_vec());
        let stored = Some(i64::from(of_event(id, &body)));
        assert!(matches(id, &body, stored));
        assert!(matches(id, &body, None), "an older release stored none");
        assert!(!matches("evt_2", &body, stored));
        for bit in 0..body.len() * 8 {
            let mut changed = body.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches(id, &changed, stored), "bit {bit}");
        }
    }
}
