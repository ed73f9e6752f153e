//! A JSON document as rows: one for each value, with its JSON pointer. It is what `-o csv` is for an answer that is no table.
//!
//! Guards: no value is left out. Not here: CSV itself (`data`).

use serde_json::Value;

use super::cell::{Cell, Column, Row};

/// The columns of the rows.
pub const FLAT: &[Column] = &[Column::new("key", "KEY"), Column::new("value", "VALUE")];

/// The rows of a document, in its order.
pub fn flat(document: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    add(&mut rows, "", document);
    rows
}

fn add(rows: &mut Vec<Row>, key: &str, value: &Value) {
    let cell = match value {
        Value::Object(members) if !members.is_empty() => {
            return members.iter().for_each(|(name, value)| add(rows, &format!("{key}/{name}"), value));
        }
        Value::Array(items) if !items.is_empty() => {
            return items.iter().enumerate().for_each(|(at, value)| add(rows, &format!("{key}/{at}"), value));
        }
        Value::Null | Value::Object(_) | Value::Array(_) => Cell::Nothing,
        Value::Bool(flag) => Cell::Flag(*flag),
        Value::Number(number) => number.as_i64().map_or_else(|| Cell::Text(number.to_string()), Cell::Number),
        Value::String(text) => Cell::Text(text.clone()),
    };
    rows.push(Row::new(vec![key.into(), cell]));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_has_a_row_with_its_pointer() {
        let rows = flat(&json!({"a": [{"b": 1}, {"b": "x"}], "c": [], "d": null, "e": true}));
        let cells: Vec<_> = rows.iter().map(|row| (row.cells[0].clone(), row.cells[1].clone())).collect();
        let expected = [
            ("/a/0/b", Cell::Number(1)),
            ("/a/1/b", "x".into()),
            ("/c", Cell::Nothing),
            ("/d", Cell::Nothing),
            ("/e", Cell::Flag(true)),
        ];
        assert_eq!(cells, expected.map(|(key, cell)| (key.into(), cell)));
    }
}
