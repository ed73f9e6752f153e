//! The config file as JSON Schema (draft 2020-12), for editors.
//!
//! Guards: it is generated from the reference, so it has exactly its keys. Not here: rules between keys (`check`), the exact
//! spelling of time zones, cron expressions and levels.

use serde_json::{Map, Value, json};

use super::key::{Absent, Key, Table};
use super::kind::Kind;
use super::tables::table;

/// The schema of `config.toml`.
pub fn schema() -> Value {
    let mut schema = table("").map(of_table).unwrap_or_default();
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("title".into(), "config.toml of presenced".into());
    // The keys of an organisation are in its own table or in the shared one.
    schema.insert(
        "anyOf".into(),
        json!([
            { "required": ["org"] },
            { "required": ["dingtalk"], "properties": { "dingtalk": { "required": ["calls_per_month"] } } },
        ]),
    );
    schema.insert("$defs".into(), definitions());
    Value::Object(schema)
}

fn definitions() -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    json!({
        "duration": {
            "type": "string",
            "pattern": "^\\s*([0-9]+\\s*[A-Za-z]+\\s*)+$",
            "not": { "pattern": "[0-9]\\s*(M|[Mm]o(n(th)?)?s?|[Yy]((ea)?r)?s?)\\b" },
            "description": "With a unit: ms, s, m, h, d or w; months and years are refused.",
            "examples": ["30s", "5m", "1h 30m"],
        },
        "secret": {
            "description": "Source of the secret; plain text is for tests and demos.",
            "anyOf": [
                { "type": "string", "minLength": 1 },
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": false,
                    "properties": {
                        "credential": text, "file": text, "env": text,
                        "command": { "type": "array", "items": { "type": "string" }, "minItems": 1 },
                    },
                },
            ],
        },
    })
}

fn of_table(table: &Table) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in table.all_keys() {
        properties.insert(key.name.into(), of_key(key));
        if key.absent == Absent::Refused("") {
            required.push(Value::from(key.name));
        }
    }
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("description".into(), table.about.into());
    schema.insert("additionalProperties".into(), false.into());
    schema.insert("properties".into(), properties.into());
    if !required.is_empty() {
        schema.insert("required".into(), required.into());
    }
    schema
}

fn of_key(key: &Key) -> Value {
    let mut schema = match of_kind(key.kind) {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    if !key.about.is_empty() {
        let gap = if key.more.is_empty() { "" } else { " " };
        schema.insert("description".into(), format!("{}{gap}{}", key.about, key.more).into());
    }
    if let Absent::Default(default) = key.absent
        && let Some(value) = value(default)
    {
        schema.insert("default".into(), value);
    }
    if let Some(example) = value(key.example) {
        schema.insert("examples".into(), Value::Array(vec![example]));
    }
    Value::Object(schema)
}

/// A piece of TOML as JSON.
fn value(toml: &str) -> Option<Value> {
    let table: toml::Table = toml::from_str(&format!("x = {toml}")).ok()?;
    serde_json::to_value(table.get("x")?).ok()
}

fn of_kind(kind: Kind) -> Value {
    let texts = || json!({ "type": "array", "items": { "type": "string", "minLength": 1 } });
    match kind {
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Number { least, .. } => json!({ "type": "integer", "minimum": least }),
        Kind::Factor => json!({ "type": "number", "minimum": 1 }),
        Kind::Duration([]) => json!({ "$ref": "#/$defs/duration" }),
        Kind::Duration(words) => json!({ "anyOf": [{ "enum": words }, { "$ref": "#/$defs/duration" }] }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Text | Kind::Zone | Kind::Cron | Kind::Level => json!({ "type": "string", "minLength": 1 }),
        Kind::Path | Kind::Listen => json!({ "type": "string" }),
        Kind::Url => json!({ "type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://" }),
        Kind::Pointer => json!({ "type": "string", "pattern": "^(/.*)?$" }),
        Kind::TimeOfDay => json!({ "type": "string", "pattern": "^([01]?[0-9]|2[0-4]):[0-5][0-9](:00)?$" }),
        Kind::Texts | Kind::Globs | Kind::Events => texts(),
        Kind::Days | Kind::Dates => json!({ "anyOf": [{ "type": "string", "minLength": 1 }, texts()] }),
        Kind::Pairs => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Secret | Kind::UrlOrSecret => json!({ "$ref": "#/$defs/secret" }),
        Kind::Secrets => json!({ "anyOf": [
            { "$ref": "#/$defs/secret" },
            { "type": "array", "items": { "$ref": "#/$defs/secret" } },
        ] }),
        Kind::Headers => {
            json!({ "type": "object", "additionalProperties": { "anyOf": [{ "type": "string" }, { "$ref": "#/$defs/secret" }] } })
        }
        Kind::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        Kind::Table(path) => Value::Object(table(path).map(of_table).unwrap_or_default()),
        Kind::Tables(path) => {
            json!({ "type": "array", "items": table(path).map(of_table).unwrap_or_default() })
        }
    }
}
