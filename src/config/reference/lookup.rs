//! Finds the keys that an operator means.
//!
//! Guards: a key is found by its path, by its bare name, and with the brackets of a header; otherwise the nearest keys are
//! suggested. Not here: explaining a key (`cli::configuration`).

use super::super::keys::nearest;
use super::key::{Key, Table};
use super::tables::{TABLES, table};

#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub table: &'static Table,
    pub key: &'static Key,
}

impl Entry {
    /// `poll.interval`; at the top of the file the bare name.
    pub fn path(&self) -> String {
        path(self.table.path, self.key.name)
    }
}

fn path(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// Every key that has a value, once. Keys that tables share belong to the first of them.
pub fn entries() -> impl Iterator<Item = Entry> {
    TABLES.iter().flat_map(|table| {
        let own = table.keys.iter().filter(|key| key.kind.inner().is_none());
        own.map(move |key| Entry { table, key })
    })
}

/// The result of a search.
#[derive(Clone, Debug)]
pub enum Found {
    /// One key, or several with the same name.
    Keys(Vec<Entry>),
    /// A whole table.
    Table(&'static Table),
    /// No match, and the nearest keys.
    Nothing(Vec<String>),
}

/// Looks a key or a table up: `poll.interval`, `[poll] interval`, `interval`, `history.backup`.
pub fn find(typed: &str) -> Found {
    let words: Vec<&str> =
        typed.split(['.', '[', ']', ' ']).map(str::trim).filter(|word| !word.is_empty()).collect();
    if let Some(found) = by_path(&words) {
        return found;
    }
    if let [name] = words.as_slice() {
        let named: Vec<Entry> = entries().filter(|entry| entry.key.name == *name).collect();
        if !named.is_empty() {
            return Found::Keys(named);
        }
    }
    Found::Nothing(close_to(&words))
}

/// Follows the words from the top of the file, table by table.
fn by_path(words: &[&str]) -> Option<Found> {
    let mut at = table("")?;
    for (n, word) in words.iter().enumerate() {
        let key = at.all_keys().find(|key| key.name == *word)?;
        match key.kind.inner() {
            Some(inner) => at = table(inner)?,
            None if n + 1 == words.len() => return Some(Found::Keys(vec![Entry { table: at, key }])),
            None => return None,
        }
    }
    (!words.is_empty()).then_some(Found::Table(at))
}

/// Keys with a similar path or name.
fn close_to(words: &[&str]) -> Vec<String> {
    let whole = words.join(".");
    let paths: Vec<String> = entries()
        .map(|entry| entry.path())
        .chain(TABLES.iter().filter(|table| !table.path.is_empty()).map(|table| table.path.to_owned()))
        .collect();
    let Some(last) = words.last() else { return Vec::new() };
    let named = |name: &str| -> Vec<String> {
        entries().filter(|entry| entry.key.name == name).map(|entry| entry.path()).collect()
    };
    let exact = named(last);
    if !exact.is_empty() {
        return exact;
    }
    if let Some(near) = nearest(&whole, paths.iter().map(String::as_str)) {
        return vec![near.to_owned()];
    }
    nearest(last, entries().map(|entry| entry.key.name)).map(named).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(typed: &str) -> Vec<String> {
        match find(typed) {
            Found::Keys(keys) => keys.iter().map(Entry::path).collect(),
            Found::Table(table) => vec![table.header()],
            Found::Nothing(close) => close.into_iter().map(|near| format!("? {near}")).collect(),
        }
    }

    #[test]
    fn a_key_is_found_however_it_is_written() {
        assert_eq!(keys("poll.interval"), ["poll.interval"]);
        assert_eq!(keys("[poll] interval"), ["poll.interval"]);
        assert_eq!(keys("[[user]].union_id"), ["user.union_id"]);
        assert_eq!(keys("time_zone"), ["time_zone"], "the top of the file comes first");
        assert_eq!(keys("leave_after_misses"), ["poll.leave_after_misses"]);
        assert_eq!(keys("interval"), ["poll.interval", "group.interval", "user.interval"]);
        assert_eq!(keys("webhook_defaults.backoff.max"), ["webhook.backoff.max"]);
        assert_eq!(
            keys("webhook.rate"),
            ["webhook.rate"],
            "a shared key keeps the table it was asked for in"
        );
        assert_eq!(keys("history.backup"), ["[history.backup]"]);
    }

    #[test]
    fn what_is_not_found_gets_what_is_close() {
        assert_eq!(keys("poll.intervall"), ["? poll.interval"]);
        assert_eq!(keys("unionid"), ["? user.union_id"]);
        assert_eq!(keys("http.interval"), ["? poll.interval", "? group.interval", "? user.interval"]);
        assert!(keys("colour").is_empty());
        assert!(keys("").is_empty());
        assert!(keys("poll.interval.x").is_empty() || keys("poll.interval.x") == ["? poll.interval"]);
    }
}
