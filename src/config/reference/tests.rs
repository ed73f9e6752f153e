//! Checks that every description is complete, and that the schema has the same keys.

use std::collections::BTreeSet;

use super::*;

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
