//! The JSON Schemas under `docs/events`: one for each type of event, each a whole that needs no other file.
//!
//! Guards: no type without a schema and no schema without a type; what schemas share is the same in all of them; every
//! `$ref` leads somewhere. Deliberately not here: validating events (`tests/clients`, with an independent validator).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use presenced::presence::event::EventType;
use serde_json::Value;

const SUFFIX: &str = ".schema.json";

fn schemas() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events");
    std::fs::read_dir(&folder)
        .expect("the schemas' folder")
        .map(|entry| {
            let path = entry.expect("an entry of the folder").path();
            let file = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
            let name = file.strip_suffix(SUFFIX).unwrap_or_else(|| panic!("{file} is no schema")).to_owned();
            let text = std::fs::read_to_string(&path).expect("a readable file");
            (name, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}")))
        })
        .collect()
}

#[test]
fn every_type_of_event_has_a_schema_and_nothing_else_has() {
    let schemas = schemas();
    let names: BTreeSet<&str> = schemas.keys().map(String::as_str).collect();
    let types: BTreeSet<&str> = EventType::ALL.iter().map(|event_type| event_type.name()).collect();
    assert_eq!(names, types);
    for (name, schema) in &schemas {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert_eq!(schema["properties"]["type"]["const"], name.as_str());
        assert_eq!(schema["title"], name.as_str());
        assert_eq!(schema["properties"]["data"]["properties"]["v"]["const"], 1, "{name}");
    }
}

#[test]
fn what_schemas_share_is_the_same_in_all_of_them() {
    let mut first: BTreeMap<String, (String, Value)> = BTreeMap::new();
    for (name, schema) in schemas() {
        for (part, definition) in schema["$defs"].as_object().expect("definitions") {
            let (where_first, same) =
                first.entry(part.clone()).or_insert_with(|| (name.clone(), definition.clone()));
            assert_eq!(definition, same, "{part} in {name} and in {where_first}");
        }
    }
    assert!(first.contains_key("timing"), "they do share something");
}

#[test]
fn every_reference_leads_somewhere_and_nothing_lies_about_unused() {
    for (name, schema) in schemas() {
        let mut used = BTreeSet::new();
        references(&schema, &mut used);
        let defined: BTreeSet<String> =
            schema["$defs"].as_object().expect("definitions").keys().cloned().collect();
        assert_eq!(used, defined, "{name}");
    }
}

fn references(value: &Value, used: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                match (key.as_str(), value) {
                    ("$ref", Value::String(to)) => {
                        let part = to.strip_prefix("#/$defs/");
                        used.insert(part.unwrap_or_else(|| panic!("{to} leads out of the file")).to_owned());
                    }
                    _ => references(value, used),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, used)),
        _ => {}
    }
}
