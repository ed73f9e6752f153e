//! A JSON writer.
//!
//! Guards: every string is escaped and every comma is in its place. It does not use serde, so that the simulator and the
//! client cannot share a mistake. Not here: a parser.

use std::fmt::Write as _;

/// A JSON object under construction.
#[derive(Debug)]
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        Self("{".into())
    }

    /// Adds a member whose value is JSON already.
    pub(super) fn raw(mut self, name: &str, json: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        quote_onto(&mut self.0, name);
        self.0.push(':');
        self.0.push_str(json);
        self
    }

    pub(super) fn text(self, name: &str, value: &str) -> Self {
        let json = quote(value);
        self.raw(name, &json)
    }

    pub(super) fn number(self, name: &str, value: i64) -> Self {
        self.raw(name, &value.to_string())
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A JSON array of values that are JSON already.
pub(super) fn array(values: impl IntoIterator<Item = String>) -> String {
    let values: Vec<String> = values.into_iter().collect();
    format!("[{}]", values.join(","))
}

/// A JSON string.
pub(super) fn quote(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    quote_onto(&mut json, text);
    json
}

fn quote_onto(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            c if c < ' ' => {
                // Writing to a String cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(c));
            }
            c => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(crate::testing::cases())]

        #[test]
        fn any_text_survives(name in ".*", value in ".*") {
            let json = Object::new().text(&name, &value).number("n", -7).end();
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            if name != "n" {
                prop_assert_eq!(read[&name].as_str(), Some(value.as_str()));
            }
            prop_assert_eq!(read["n"].as_i64(), Some(-7));
        }
    }
}
