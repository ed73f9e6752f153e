//! Names of keys, and what somebody who wrote another one may have meant.
//!
//! Guards: advice names only keys that exist. Deliberately not here: the list of them, and what they mean (`reference`).

use super::reference::{TABLES, table};

/// The one of `known` that somebody may have meant by `word`.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= 1 + known.chars().count().min(word.chars().count()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The keys of a table, by its path.
pub(super) fn keys_of(path: &str) -> impl Iterator<Item = &'static str> {
    table(path).into_iter().flat_map(|table| table.all_keys().map(|key| key.name))
}

/// What to do about an unknown key: the nearest one here, else where it is known, else what is known here.
pub(super) fn advice(name: &str, path: &str) -> String {
    if let Some(near) = nearest(name, keys_of(path)) {
        return format!("did you mean `{near}`?");
    }
    let elsewhere: Vec<String> = TABLES
        .iter()
        .filter(|table| !table.path.is_empty() && table.all_keys().any(|key| key.name == name))
        .map(|table| table.header())
        .collect();
    if !elsewhere.is_empty() {
        return format!("it is a key of {}", elsewhere.join(", "));
    }
    if keys_of("").any(|key| key == name) && !path.is_empty() {
        return "it stands at the top of the file, before the first table".to_owned();
    }
    format!("known here: {}", keys_of(path).collect::<Vec<_>>().join(", "))
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
    }

    #[test]
    fn advice_names_the_table_a_key_belongs_to() {
        assert_eq!(advice("intervall", "poll"), "did you mean `interval`?");
        assert_eq!(advice("min_interval", "history"), "it is a key of [poll]");
        assert_eq!(advice("colour", "privacy"), "known here: store_nick");
    }
}
