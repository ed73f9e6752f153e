//! The descriptions against the example file: the same keys, the same defaults, the same sentences.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const EXAMPLE: &str = include_str!("../../../config.example.toml");

/// One line `key = value` of the example.
#[derive(Debug)]
struct Shown {
    value: String,
    remark: String,
    /// `#` before it.
    commented: bool,
}

/// The tables of the example: the remark above each, and its keys. Headers and keys may be commented out.
fn shown() -> BTreeMap<String, (String, BTreeMap<String, Shown>)> {
    let mut tables: BTreeMap<String, (String, BTreeMap<String, Shown>)> = BTreeMap::new();
    let (mut at, mut remark) = (String::new(), String::new());
    for line in EXAMPLE.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let key = bare
            .split_once(" = ")
            .filter(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        let header = bare.starts_with('[') && bare.ends_with(']');
        if header {
            at = bare.trim_matches(['[', ']']).to_owned();
            tables.entry(at.clone()).or_default().0 = std::mem::take(&mut remark);
        } else if let Some((key, value)) = key {
            let shown = Shown {
                value: value.to_owned(),
                remark: std::mem::take(&mut remark),
                commented: line.starts_with('#'),
            };
            let keys = &mut tables.entry(at.clone()).or_default().1;
            assert!(keys.insert(key.to_owned(), shown).is_none(), "{at}.{key} stands twice in the example");
        } else {
            remark = line.strip_prefix("# ").unwrap_or_default().to_owned();
        }
    }
    tables
}

/// Where the example shows a table: what is the same for all webhooks is shown as their defaults.
fn shown_as(path: &str) -> &str {
    match path {
        "webhook.backoff" => "webhook_defaults.backoff",
        path => path,
    }
}

#[test]
fn the_example_has_every_key_and_no_other() {
    let shown = shown();
    // The example writes it in one line, below `webhook_defaults`.
    let inline = "webhook.success";
    let described: BTreeSet<&str> =
        TABLES.iter().map(|table| shown_as(table.path)).filter(|p| *p != inline).collect();
    assert_eq!(shown.keys().map(String::as_str).collect::<BTreeSet<_>>(), described);
    for table in TABLES.iter().filter(|table| table.path != inline) {
        let there: BTreeSet<&str> = shown[shown_as(table.path)].1.keys().map(String::as_str).collect();
        let holds_a_value = |key: &&Key| key.kind.inner().is_none_or(|path| path == inline);
        let own: BTreeSet<&str> = table.keys.iter().filter(holds_a_value).map(|key| key.name).collect();
        // One that may stand here too is shown as an instance of that.
        let mut may: BTreeSet<&str> = table.all_keys().map(|key| key.name).collect();
        may.extend(&own);
        assert!(
            own.is_subset(&there),
            "not in the example: {:?} of [{}]",
            own.difference(&there),
            table.path
        );
        assert!(there.is_subset(&may), "not described: {:?} of [{}]", there.difference(&may), table.path);
    }
}

#[test]
fn the_example_has_the_defaults_and_the_sentences() {
    let shown = shown();
    for table in TABLES.iter().filter(|table| table.path != "webhook.success") {
        let (remark, keys) = &shown[shown_as(table.path)];
        assert!(
            remark.is_empty() || remark == table.about,
            "[{}]: {remark:?} and {:?}",
            table.path,
            table.about
        );
        for key in table.keys {
            let Some(shown) = keys.get(key.name) else { continue };
            let place = format!("{} of [{}]", key.name, table.path);
            assert_eq!(shown.remark, key.about, "{place}");
            match key.absent {
                Absent::Default(default) if !table.many || !shown.commented => {
                    assert_eq!((shown.value.as_str(), shown.commented), (default, false), "{place}");
                }
                _ => assert_eq!(shown.value, key.example, "{place}"),
            }
        }
    }
}

#[test]
fn every_key_has_what_an_explanation_needs() {
    let mut names = BTreeSet::new();
    for table in TABLES {
        assert!(names.insert(table.path), "[{}] is described twice", table.path);
        assert!(!table.about.is_empty() && !table.used_by.is_empty(), "[{}]", table.path);
        for key in table.keys {
            if let Some(inner) = key.kind.inner() {
                assert!(super::table(inner).is_some(), "[{inner}] is not described");
            }
            if !matches!(key.kind, Kind::Table(_) | Kind::Tables(_)) {
                assert!(!key.about.is_empty(), "{} of [{}]", key.name, table.path);
                let example = format!("x = {}", key.example);
                assert!(toml::from_str::<toml::Table>(&example).is_ok(), "{example}");
            }
        }
        let all: Vec<&str> = table.all_keys().map(|key| key.name).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "a key twice in [{}]", table.path);
    }
}

#[test]
fn the_schema_has_every_key_and_no_other() {
    fn compare(table: &Table, schema: &serde_json::Value) {
        let properties = schema["properties"].as_object().unwrap_or_else(|| panic!("[{}]", table.path));
        let described: BTreeSet<&str> = table.all_keys().map(|key| key.name).collect();
        assert_eq!(properties.keys().map(String::as_str).collect::<BTreeSet<_>>(), described);
        assert_eq!(schema["additionalProperties"], false, "[{}]", table.path);
        for key in table.all_keys() {
            let property = &properties[key.name];
            match key.kind {
                Kind::Table(path) => compare(super::table(path).expect("described"), property),
                Kind::Tables(path) => compare(super::table(path).expect("described"), &property["items"]),
                _ => assert!(property["description"].is_string(), "{} of [{}]", key.name, table.path),
            }
        }
    }
    compare(table("").unwrap(), &schema());
}
