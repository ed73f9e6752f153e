//! `config explain --markdown`: the whole reference as a page, which is `docs/configuration.md`.
//!
//! Guards: the sentences are those of the reference; a test compares the page with the file. Not here: prose that is not
//! about keys, except what is true of all of them.

use std::fmt::Write as _;

use super::explain::{default, effect};
use crate::config::reference::{Absent, Effect, Key, Kind, TABLES, Table};

const HEAD: &str = "\
# The configuration, key by key

This page is the output of `presenced config explain --markdown`. `config.example.toml` has the same keys as a file.
`presenced config explain KEY` explains one key. `presenced config show --origin` prints the effective values on your machine
and the line that sets each. [config.schema.json](config.schema.json) (`presenced config schema`) is for editors.

- The config file is that of `-c FILE`, else of `PRESENCED_CONFIG`, else `./config.toml`, else `/etc/presenced/config.toml`.
- Unknown keys are errors. Nothing in the text is replaced: `${NAME}` stays as it is.
- A duration is a text with its unit: `30s`, `5m`, `1h 30m`, `90d`. `M` (months) is refused.
- A secret is `{ credential = \"NAME\" }` (systemd), `{ file = \"PATH\" }`, `{ env = \"NAME\" }`, `{ command = [\"PROGRAM\", \"...\"] }`,
  or a plain text, for tests and demos.
- Relative paths start at the folder of the config file.
- A user is polled by their own `interval` or `cron`, else by that of the last `[[group]]` they are in, else by that of `[poll]`.
- A reload applies every change, except those that take effect *at a restart*.
";

/// The page.
pub(super) fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for table in TABLES {
        part(&mut page, table);
    }
    page
}

// Writing to a `String` cannot fail.
fn part(page: &mut String, table: &Table) {
    let title = if table.path.is_empty() {
        "The top of the file".to_owned()
    } else {
        format!("`{}`", table.header())
    };
    let see = table.see.trim_start_matches("docs/");
    let _ =
        writeln!(page, "\n## {title}\n\n{} Used by {}. More: [{see}]({see}).", table.about, table.used_by);
    if let Some(shared) = table.also {
        let _ = writeln!(page, "\nIn addition, every key of [`[{0}]`](#{0}).", shared.path);
    }
    let inner: Vec<&str> = table.keys.iter().filter_map(|key| key.kind.inner()).collect();
    if !inner.is_empty() && !table.path.is_empty() {
        let names: Vec<String> = inner.iter().map(|path| format!("[`{path}`](#{})", anchor(path))).collect();
        let _ = writeln!(page, "\nTables in it: {}.", names.join(", "));
    }
    let values: Vec<&Key> = table.keys.iter().filter(|key| key.kind.inner().is_none()).collect();
    let _ = writeln!(page, "\n| key | takes | when left out | |\n|---|---|---|---|");
    for key in values {
        row(page, key);
    }
}

/// The anchor of a heading: GitHub drops brackets, dots and backticks.
fn anchor(path: &str) -> String {
    path.replace('.', "")
}

fn row(page: &mut String, key: &Key) {
    let mut takes = key.kind.words();
    if let Kind::Number { unit, .. } = key.kind {
        let _ = write!(takes, ": {unit}");
    }
    if !key.kind.may_be_secret() && !key.kind.spelling().is_empty() {
        let _ = write!(takes, ": {}", key.kind.spelling());
    }
    let absent = match key.absent {
        Absent::Default(value) => format!("`{value}`"),
        Absent::Means(what) => what.to_owned(),
        Absent::Refused(_) => default(key.absent).replace("none: ", ""),
    };
    let mut about = key.about.to_owned();
    if !key.more.is_empty() {
        let _ = write!(about, " {}", key.more);
    }
    if !matches!(key.absent, Absent::Default(value) if value == key.example) {
        let _ = write!(about, " Example: `{}`.", key.example);
    }
    if key.effect == Effect::Restart && !about.contains("at a start") {
        let _ = write!(about, " Takes effect *{}*.", effect(key.effect));
    }
    let cells = [format!("`{}`", key.name), takes, absent, about].map(|cell| cell.replace('|', "\\|"));
    let _ = writeln!(page, "| {} |", cells.join(" | "));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::reference::entries;

    fn in_docs(name: &str) -> String {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        std::fs::read_to_string(path).expect(name)
    }

    #[test]
    fn the_page_in_the_docs_is_this_one() {
        let page = in_docs("configuration.md");
        assert!(page == markdown(), "run: presenced config explain --markdown > docs/configuration.md");
    }

    #[test]
    fn every_key_is_on_the_page() {
        let page = markdown();
        for entry in entries() {
            let row = format!("| `{}` | ", entry.key.name);
            assert!(page.contains(&row), "{} is not on the page", entry.path());
        }
    }

    #[test]
    fn the_schema_in_the_docs_is_this_one() {
        let stands = in_docs("config.schema.json");
        let now = serde_json::to_string_pretty(&crate::config::reference::schema()).expect("JSON") + "\n";
        assert!(stands == now, "run: presenced config schema > docs/config.schema.json");
    }
}
