//! `presenced db sql`: runs a query, or one that is stored in the database.
//!
//! Guards: uses the built-in SQLite and only reads; numbers stay numbers in JSON; an answer that is too wide for the
//! terminal is printed with one column per line. Not here: which statements are refused (`store::history::sql`).

use unicode_width::UnicodeWidthStr as _;

use crate::cli::open_readonly::{Session, open_readonly};
use crate::cli::output::{Cell, Column, Printer, Row, padded, write_out};
use crate::cli::{Exit, Failure, Globals};
use crate::store::history::sql::{Answer, Example, SqlError, Value};

const EXAMPLES: &[Column] =
    &[Column::new("name", "NAME"), Column::new("about", "ABOUT").shrinking(), Column::data_only("sql")];

pub(super) fn run(globals: &Globals, query: Option<String>) -> anyhow::Result<Exit> {
    open_readonly(globals, async |session: &Session| {
        let Some(query) = query else {
            let rows: Vec<Row> = session.history.examples().await?.iter().map(example).collect();
            session.printer.print(EXAMPLES, &rows)?;
            session.printer.remark(
                "Run one with `presenced db sql @NAME`, or your own with `presenced db sql \"SELECT ...\"`.",
            );
            return Ok(Exit::Done);
        };
        let question = match query.strip_prefix('@') {
            Some(name) => stored(session.history.examples().await?, name)?,
            None => query,
        };
        let answer = session.history.sql(&question).await.map_err(refused)?;
        if answer.rows.is_empty() && session.printer.is_table() {
            session.printer.remark("No rows.");
            return Ok(Exit::Done);
        }
        let (columns, rows) = shown(answer);
        if session.printer.is_table() && too_wide(&columns, session.printer.width) {
            write_out(anstream::stdout().lock(), &records(&session.printer, &columns, &rows))?;
        } else {
            session.printer.print(&columns, &rows)?;
        }
        Ok(Exit::Done)
    })
}

/// Whether even the names of the columns do not fit on one line.
fn too_wide(columns: &[Column], width: usize) -> bool {
    let names: usize = columns.iter().map(|column| column.name().width()).sum();
    names + 2 * columns.len().saturating_sub(1) > width
}

/// A line for each value, a blank line between rows.
fn records(printer: &Printer, columns: &[Column], rows: &[Row]) -> String {
    let longest = columns.iter().map(|column| column.name().width()).max().unwrap_or(0);
    let record = |row: &Row| -> String {
        let lines = columns.iter().zip(&row.cells).map(|(column, cell)| {
            format!("{}  {}\n", padded(column.name(), longest), printer.text(Some(cell)))
        });
        lines.collect()
    };
    rows.iter().map(record).collect::<Vec<_>>().join("\n")
}

fn example(example: &Example) -> Row {
    let name = format!("@{}", example.name);
    Row::new(vec![name.into(), example.about.as_str().into(), example.sql.as_str().into()])
}

fn stored(examples: Vec<Example>, name: &str) -> Result<String, Failure> {
    let names: Vec<String> = examples.iter().map(|example| format!("@{}", example.name)).collect();
    let found = examples.into_iter().find(|example| example.name == name);
    found.map(|example| example.sql).ok_or_else(|| {
        let text = format!("there is no stored query `@{name}`; there are {}", names.join(", "));
        Failure::new(Exit::Nothing, text)
    })
}

fn refused(error: SqlError) -> anyhow::Error {
    match error {
        SqlError::Refused(_) | SqlError::Wrong(_) => Failure::new(Exit::Usage, error.to_string()).into(),
        SqlError::Store(error) => error.into(),
    }
}

fn shown(answer: Answer) -> (Vec<Column>, Vec<Row>) {
    let keys: Vec<&'static str> = answer
        .columns
        .into_iter()
        // A command prints one answer: its names live as long as it does.
        .map(|name| &*name.leak())
        .collect();
    let rows = answer.rows.into_iter().map(|values| Row::new(values.into_iter().map(cell).collect()));
    (keys.into_iter().map(|key| Column::new(key, key).shrinking()).collect(), rows.collect())
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Null => Cell::Nothing,
        Value::Integer(number) => Cell::Number(number),
        Value::Real(number) => Cell::Real(number),
        Value::Text(text) => Cell::Text(text),
        Value::Blob(bytes) => Cell::Text(hex(&bytes)),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::OutputFormat;

    #[test]
    fn what_does_not_fit_beside_each_other_stands_below() {
        let columns = [Column::new("who", "who"), Column::new("left_reason", "left_reason")];
        assert!(!too_wide(&columns, 16) && too_wide(&columns, 15));
        let printer = Printer {
            format: OutputFormat::Table,
            time_zone: chrono_tz::UTC,
            width: 15,
            ..Printer::default()
        };
        let rows = [Row::new(vec!["张敏".into(), Cell::Nothing]), Row::new(vec!["Li".into(), "left".into()])];
        let expected = "who          张敏\nleft_reason  -\n\nwho          Li\nleft_reason  left\n";
        assert_eq!(records(&printer, &columns, &rows), expected);
    }
}
