//! An answer for programs: one JSON object per row, or CSV.
//!
//! Guards: keys in the order of the columns, times as RFC 3339 in UTC, numbers as numbers, a stored body byte for byte; no
//! text in CSV is a formula for a spreadsheet. Not here: joining the objects (`Printer::render`), tables.

use std::fmt::Write as _;

use super::cell::{Cell, Column, Row};
use crate::invisible::{self, REPLACEMENT};

/// A row as a JSON object on one line, without the line end.
pub(super) fn json(columns: &[Column], row: &Row) -> String {
    if let Some(stored) = &row.json {
        return stored.clone();
    }
    let mut object = String::from("{");
    for (key, cell) in keyed(columns, row) {
        if object.len() > 1 {
            object.push(',');
        }
        let value = match cell {
            Cell::Nothing => serde_json::Value::Null,
            Cell::Text(text) | Cell::Id(text) => text.as_str().into(),
            Cell::Number(number) => (*number).into(),
            Cell::Real(number) => (*number).into(),
            Cell::Tenths(tenths) => {
                // Written as text, because a float cannot hold every tenth exactly.
                let _ = write!(object, "{}:{}", serde_json::Value::from(key), decimal(*tenths));
                continue;
            }
            Cell::Flag(flag) => (*flag).into(),
            Cell::At(at) => at.rfc3339().into(),
        };
        // Writing to a `String` cannot fail.
        let _ = write!(object, "{}:{value}", serde_json::Value::from(key));
    }
    object.push('}');
    object
}

/// All rows as CSV with a header.
pub(super) fn csv(columns: &[Column], rows: &[Row]) -> String {
    let keys = columns.iter().filter_map(|column| column.key);
    let mut text = keys.map(quoted).collect::<Vec<_>>().join(",") + "\n";
    for row in rows {
        let fields = keyed(columns, row).map(|(_, cell)| match cell {
            Cell::Nothing => String::new(),
            Cell::Text(text) | Cell::Id(text) => quoted(text),
            Cell::Number(number) => number.to_string(),
            Cell::Tenths(tenths) => decimal(*tenths),
            Cell::Real(number) => format!("{number:?}"),
            Cell::Flag(flag) => flag.to_string(),
            Cell::At(at) => at.rfc3339(),
        });
        text.push_str(&fields.collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    text
}

/// A number of tenths with its one decimal.
pub(super) fn decimal(tenths: i64) -> String {
    let sign = if tenths < 0 { "-" } else { "" };
    format!("{sign}{}.{}", tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10)
}

fn keyed<'a>(columns: &'a [Column], row: &'a Row) -> impl Iterator<Item = (&'static str, &'a Cell)> {
    columns.iter().zip(&row.cells).filter_map(|(column, cell)| Some((column.key?, cell)))
}

/// RFC 4180, section 2: quotes around what holds a comma, a quote or a line end; quotes inside are doubled. A text
/// that a spreadsheet would take for a formula gets an apostrophe. Invisible characters are replaced as in a table,
/// because a person reads the cells of a spreadsheet, too; tabs and line ends stay.
fn quoted(text: &str) -> String {
    let is_layout = |c: char| matches!(c, '\t' | '\n' | '\r');
    let text = invisible::replaced(text, |c| if is_layout(c) { c } else { REPLACEMENT });
    let text = if is_formula(&text) { format!("'{text}") } else { text };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Whether the first visible character begins a formula in a spreadsheet; full-width forms count.
fn is_formula(text: &str) -> bool {
    let seen = text.trim_start_matches(|c: char| c.is_whitespace() || c == REPLACEMENT);
    seen.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}
