//! Keeps what the binary said in the tests, so that one look at all of it shows whether anything was in it that must
//! not be (`tests/canaries`).
//!
//! Guards: nothing a daemon logged is lost with the folder of its test. Deliberately not here: what must not be in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below `target/`; `tests/run` empties it before the tests.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("said")
}

/// Keeps a daemon's log with the unionIds that were in its config, and what commands printed. The names are those of
/// the tests, so that the next run writes over them.
pub(crate) fn keep(log: &str, commands: &str, configs: &str) {
    static SITES: AtomicU32 = AtomicU32::new(0);
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("somewhere").replace("::", ".");
    let name = |what: &str| folder().join(format!("{test}.{what}"));
    // A test may have several sites.
    let number = SITES.fetch_add(1, Ordering::Relaxed);
    let write = |what: &str, text: &str| {
        if !text.is_empty() {
            fs::create_dir_all(folder()).expect("a folder below target/");
            fs::write(name(&format!("{number}.{what}")), text).expect("a file below target/");
        }
    };
    write("log", log);
    write("commands", commands);
    if !log.is_empty() {
        write("people", &people(configs));
    }
}

/// The unionIds of some configs, a line each: those with a digit in them. A log may hold the others as common words.
fn people(configs: &str) -> String {
    let mut ids: Vec<&str> = configs
        .lines()
        .filter_map(|line| line.trim().strip_prefix("union_id = \"")?.strip_suffix('"'))
        .filter(|id| id.bytes().any(|byte| byte.is_ascii_digit()))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids.push("");
    ids.join("\n")
}
