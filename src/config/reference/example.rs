//! `config.example.toml`: every key with its default, and what it means.
//!
//! Guards: it is generated from the reference, so it has exactly its keys, defaults and sentences; it is a valid config.
//! Not here: the reference (`tables`).

use std::fmt::Write as _;

use super::key::{Absent, Key, Table};
use super::tables::TABLES;

const HEAD: &str = "\
# The configuration of presenced: every key with its default. A key that is commented out has no default; REQUIRED keys
# say so. `presenced check` reports every problem.
#
# Durations have a unit: `30s`, `5m`, `1h 30m` or `90d`; `M` (months) is refused.
# A secret is { credential = \"NAME\" } (systemd), { file = \"PATH\" }, { env = \"NAME\" }, { command = [\"PROGRAM\", \"...\"] },
# or a plain text, for tests and demos.
";

/// The file.
pub fn example() -> String {
    let mut text = HEAD.to_owned();
    for table in TABLES {
        add(&mut text, table);
    }
    text
}

// Writing to a `String` cannot fail.
fn add(text: &mut String, table: &Table) {
    let header = match table.path {
        // Written as a value of the table around it.
        "webhook.success" => return,
        // What is the same for all webhooks.
        "webhook.backoff" => "[webhook_defaults.backoff]".to_owned(),
        _ => table.header(),
    };
    // Of tables that may be there several times only a user is needed.
    let is_shown = !table.many || table.path == "user";
    let mark = if is_shown { "" } else { "# " };
    text.push('\n');
    if !table.path.is_empty() {
        let _ = writeln!(text, "# {}\n{mark}{header}", table.about);
    }
    for key in table.keys.iter().filter(|key| key.kind.inner().is_none_or(|path| path == "webhook.success")) {
        let (value, mark) = match key.absent {
            Absent::Default(default) if is_shown => (default, mark),
            _ if is_shown && is_needed(key) => (key.example, mark),
            _ => (key.example, "# "),
        };
        let _ = writeln!(text, "# {}\n{mark}{} = {value}", key.about, key.name);
    }
}

/// Whether a usual config has the key.
fn is_needed(key: &Key) -> bool {
    matches!(key.absent, Absent::Refused(when) if !when.starts_with("for ") && !when.starts_with("if "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_this_one() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
        let written = std::fs::read_to_string(path).expect("the example");
        assert!(written == example(), "run: presenced config explain --example > config.example.toml");
    }
}
