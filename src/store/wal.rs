//! The WAL: its size, and the processes that keep it from shrinking.
//!
//! Guards: a growing WAL is noticed long before it fills the disk, with the name of the program that blocks it.
//! Deliberately not here: the alert (`tasks::alerts_database`), checkpoints (`connection`).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::beside;

/// Bytes of the WAL index that SQLite's readers lock (`WAL_READ_LOCK` in wal.c, from byte 120 on).
const READER_LOCKS: std::ops::RangeInclusive<u64> = 123..=127;

/// The size of the WAL.
pub(super) fn bytes(database: &Path) -> u64 {
    beside::named(database, "-wal").metadata().map_or(0, |metadata| metadata.len())
}

/// Other processes that read the database at this moment, such as `sqlite3 (process 4711)`.
pub(super) fn other_readers(database: &Path) -> Vec<String> {
    let index = beside::named(database, "-shm").metadata().map(|metadata| metadata.ino());
    let (Ok(index), Ok(locks)) = (index, fs::read_to_string("/proc/locks")) else { return Vec::new() };
    let mut processes: Vec<u32> = locks.lines().filter_map(|line| reader(line, index)).collect();
    processes.sort_unstable();
    processes.dedup();
    processes.retain(|&process| process != std::process::id());
    processes.into_iter().map(describe).collect()
}

/// The process id in a line such as `1: POSIX  ADVISORY  READ 4711 fd:01:131090 123 123`, if it is a reader's lock on
/// this inode.
fn reader(line: &str, inode: u64) -> Option<u32> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, "POSIX", _, "READ", process, file, first, last] = fields.as_slice() else { return None };
    let of_index = file.rsplit(':').next()?.parse() == Ok(inode);
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (of_index && first <= *READER_LOCKS.end() && last >= *READER_LOCKS.start())
        .then(|| process.parse().ok())
        .flatten()
}

fn describe(process: u32) -> String {
    match fs::read_to_string(format!("/proc/{process}/comm")) {
        Ok(name) => format!("{} (process {process})", name.trim()),
        Err(_) => format!("process {process}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_found_by_its_lock_on_the_index_of_this_wal() {
        let reads = "12: POSIX  ADVISORY  READ 4711 fd:01:131090 124 124";
        assert_eq!(reader(reads, 131_090), Some(4711));
        assert_eq!(reader(reads, 131_091), None, "another file");
        for other in [
            "12: POSIX  ADVISORY  READ 4711 fd:01:131090 128 128",
            "12: POSIX  ADVISORY  WRITE 4711 fd:01:131090 124 124",
            "12: -> POSIX  ADVISORY  READ 4711 fd:01:131090 124 124",
            "12: POSIX  ADVISORY  READ 4711 fd:01:131090 0 EOF",
            "",
        ] {
            assert_eq!(reader(other, 131_090), None, "{other}");
        }
    }
}
