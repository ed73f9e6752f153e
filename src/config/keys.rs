//! Suggests the key that an unknown word may mean.
//!
//! Guards: suggestions are existing keys. Not here: the keys and their meaning (`reference`).

use super::reference::{Kind, TABLES, Table, table};
use super::secret_source::SOURCES;

/// What the same thing is called elsewhere, by the table's path; those of `webhook` hold for its defaults, those of
/// `dingtalk` for an organisation.
const SYNONYMS: &[(&str, &[&str], &str)] = &[
    ("dingtalk", &["client_id", "appkey", "suite_key"], "app_key"),
    ("dingtalk", &["client_secret", "appsecret", "suite_secret"], "app_secret"),
    ("dingtalk", &["quota", "budget", "calls", "limit"], "calls_per_month"),
    ("dingtalk", &["region", "endpoint"], "site"),
    ("poll", &["every", "schedule", "period"], "interval"),
    ("user", &["id", "user_id", "userid"], "union_id"),
    ("webhook", &["retries", "max_retries", "max_attempts"], "attempts"),
    ("webhook", &["signing_secret", "key"], "secret"),
    ("webhook", &["endpoint", "target"], "url"),
    ("webhook", &["type"], "format"),
    ("history", &["db", "database", "file"], "path"),
    ("http", &["port", "bind", "address", "host"], "listen"),
    ("log", &["verbosity"], "level"),
];

/// The word of `known` that is nearest to `word`, if any is near.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let (lower, length, letters) = (word.to_lowercase(), word.chars().count(), letters(word));
    let distance = |known: &'k str| {
        let other = known.chars().count();
        let most = 1 + other.min(length) / 4;
        if other.abs_diff(length) > most || differ(letters, self::letters(known)) > most {
            return None;
        }
        let distance = strsim::damerau_levenshtein(&lower, &known.to_lowercase());
        (distance <= most).then_some((distance, known))
    };
    known.into_iter().filter_map(distance).min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// Which letters and signs a word has, a bit for each: two words are at least as far apart as one has letters that the
/// other has not. The exact distance takes a hundred times as long, and lists may have a hundred thousand names.
fn letters(word: &str) -> u64 {
    // One for all that is not ASCII, whose small letters are another matter.
    let bit = |c: char| if c.is_ascii() { u32::from(c.to_ascii_lowercase()) & 63 } else { 0 };
    word.chars().fold(0, |all, c| all | 1 << bit(c))
}

fn differ(one: u64, other: u64) -> usize {
    let missing = |a: u64, b: u64| (a & !b).count_ones();
    missing(one, other).max(missing(other, one)).try_into().unwrap_or(usize::MAX)
}

/// Whether a word is a key of any table, spelt right or nearly so, or what such a key is called elsewhere.
pub(super) fn is_known(word: &str) -> bool {
    let keys = || TABLES.iter().flat_map(|table| table.all_keys().map(|key| key.name)).chain(SOURCES);
    let is_synonym = || SYNONYMS.iter().any(|(_, names, _)| names.contains(&word));
    let is_short_enough = (3..=24).contains(&word.len());
    keys().any(|key| key == word) || is_synonym() || (is_short_enough && nearest(word, keys()).is_some())
}

pub(super) fn keys_of(path: &str) -> impl Iterator<Item = &'static str> {
    table(path).into_iter().flat_map(|table| table.all_keys().map(|key| key.name))
}

/// The key of a table that an unknown one most likely means.
pub(super) fn meant(name: &str, path: &str) -> Option<&'static str> {
    let shared = match path {
        "org" => "dingtalk",
        "webhook_defaults" => "webhook",
        path => path,
    };
    let synonym = SYNONYMS.iter().find(|(of, names, _)| *of == shared && names.contains(&name));
    nearest(name, keys_of(path)).or(synonym.map(|(_, _, key)| *key))
}

/// The help for an unknown key: the nearest key, else the tables that have it, else the keys of this table.
pub(super) fn advice(name: &str, path: &str) -> String {
    if let Some(near) = meant(name, path) {
        return format!("did you mean `{}`?", written(near, path));
    }
    let top = table("").into_iter().flat_map(Table::all_keys);
    let top = top.filter(|key| !matches!(key.kind, Kind::Table(_) | Kind::Tables(_))).map(|key| key.name);
    if let Some(key) = nearest(name, top).filter(|_| !path.is_empty()) {
        return format!("move `{key}` to the top of the file, above the first `[table]`");
    }
    let elsewhere: Vec<String> = TABLES
        .iter()
        .filter(|table| !table.path.is_empty() && table.all_keys().any(|key| key.name == name))
        .map(Table::header)
        .collect();
    if !elsewhere.is_empty() {
        return format!("it is a key of {}", elsewhere.join(", "));
    }
    if keys_of("").any(|key| key == name) && !path.is_empty() {
        return "it belongs to the top of the file, before the first table".to_owned();
    }
    format!("known here: {}", keys_of(path).collect::<Vec<_>>().join(", "))
}

/// A key as it is written: tables with their brackets.
fn written(key: &str, path: &str) -> String {
    let kind =
        table(path).and_then(|table| table.all_keys().find(|known| known.name == key)).map(|key| key.kind);
    match kind {
        Some(Kind::Tables(table)) => format!("[[{table}]]"),
        Some(Kind::Table(_)) if path.is_empty() => format!("[{key}]"),
        _ => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("intervall", ["interval", "cron"]), Some("interval"));
        assert_eq!(nearest("Mainland", ["mainland", "international"]), Some("mainland"));
        assert_eq!(nearest("union_ids", ["union_id", "name"]), Some("union_id"));
        assert_eq!(nearest("colour", ["interval", "cron"]), None);
        assert_eq!(nearest("王小朋", ["王小明", "李雷"]), Some("王小明"));
    }

    proptest::proptest! {
        /// What is passed by without its exact distance would not have been near.
        #[test]
        fn letters_never_hide_a_word_that_is_near(one in "[a-zA-Z_0-9-]{0,12}", other in "[a-zA-Z_0-9-]{0,12}") {
            let exact = strsim::damerau_levenshtein(&one.to_lowercase(), &other.to_lowercase());
            proptest::prop_assert!(differ(letters(&one), letters(&other)) <= exact);
        }
    }

    #[test]
    fn advice_names_the_table_a_key_belongs_to() {
        assert_eq!(advice("intervall", "poll"), "did you mean `interval`?");
        assert_eq!(advice("min_interval", "history"), "it is a key of [poll]");
        for name in ["time_zone", "timezone", "time-zone"] {
            let top = "move `time_zone` to the top of the file, above the first `[table]`";
            assert_eq!(advice(name, "history"), top);
        }
        assert_eq!(advice("timezone", "window"), "did you mean `time_zone`?");
        assert_eq!(advice("colour", "privacy"), "known here: store_nick, titles, title_hide");
        assert_eq!(advice("webhooks", ""), "did you mean `[[webhook]]`?");
        assert_eq!(advice("webhook_default", ""), "did you mean `[webhook_defaults]`?");
    }

    #[test]
    fn what_a_key_is_called_elsewhere_leads_to_it() {
        assert_eq!(advice("port", "http"), "did you mean `listen`?");
        assert_eq!(advice("max_retries", "webhook_defaults"), "did you mean `attempts`?");
        for (path, names, key) in SYNONYMS {
            assert!(keys_of(path).any(|known| known == *key), "{key} of [{path}]");
            for name in *names {
                assert!(!keys_of(path).any(|known| known == *name), "{name} of [{path}] is a key itself");
            }
        }
    }
}
