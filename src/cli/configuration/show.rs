//! `config show`: prints the effective config as TOML, as one JSON document, or as a row for each value.
//!
//! Guards: the printed TOML is itself a valid config (except secrets). Not here: computing the effective values
//! (`config::show`).

use std::fmt::Write as _;

use chrono_tz::Tz;
use serde_json::{Map, Value as Json};
use toml::Value;

use crate::cli::output::{Cell, Column, FAINT, Printer, Row, write_out};
use crate::cli::{Exit, Globals, OutputFormat, load_checked};
use crate::config::show::{Block, Line, Origin, show};

const COLUMNS: &[Column] = &[
    Column::new("table", "TABLE"),
    Column::new("key", "KEY"),
    Column::new("value", "VALUE").shrinking(),
    Column::new("file", "FILE"),
    Column::new("line", "LINE"),
    Column::new("origin", "ORIGIN"),
];

/// Remarks are aligned, but not farther to the right than this column.
const REMARK_COLUMN: usize = 44;

/// Runs the command.
pub(super) fn run(globals: &Globals, origin: bool) -> anyhow::Result<Exit> {
    if !origin {
        globals.allow_formats(
            &[OutputFormat::Table, OutputFormat::Json],
            "`-o csv` and `-o jsonl` need `config show --origin`",
        )?;
    }
    let blocks = show(&load_checked(globals)?);
    match globals.output {
        None | Some(OutputFormat::Table) => write_out(anstream::stdout().lock(), &as_toml(&blocks, origin))?,
        Some(OutputFormat::Json) if !origin => {
            let text = serde_json::to_string_pretty(&document(&blocks))? + "\n";
            write_out(std::io::stdout().lock(), &text)?;
        }
        Some(_) => Printer::new(globals, Tz::UTC).print(COLUMNS, &rows(&blocks))?,
    }
    Ok(Exit::Done)
}

fn as_toml(blocks: &[Block], origin: bool) -> String {
    let mut text = String::new();
    for block in blocks {
        if !block.table.path.is_empty() {
            if !text.is_empty() {
                text.push('\n');
            }
            let _ = writeln!(text, "{}", block.table.header());
        }
        let lines: Vec<String> =
            block.lines.iter().map(|line| format!("{} = {}", line.key, line.value)).collect();
        let width =
            lines.iter().map(|line| line.chars().count()).filter(|width| *width <= REMARK_COLUMN).max();
        for (shown, line) in lines.iter().zip(&block.lines) {
            if origin {
                let remark = format!("{FAINT}# {}{FAINT:#}", words(&line.origin));
                let _ = writeln!(text, "{shown:width$}  {remark}", width = width.unwrap_or(0));
            } else {
                let _ = writeln!(text, "{shown}");
            }
        }
    }
    text
}

fn words(origin: &Origin) -> String {
    match origin {
        Origin::At { file, line } => format!("{file}:{line}"),
        Origin::Default => "default".into(),
        Origin::From(what) => format!("default: {what}"),
    }
}

/// A JSON document with the structure of the file.
fn document(blocks: &[Block]) -> Json {
    let mut root = Map::new();
    for block in blocks {
        let values: Map<String, Json> =
            block.lines.iter().map(|line| (line.key.to_owned(), json(&line.value))).collect();
        put(&mut root, block, values);
    }
    Json::Object(root)
}

/// Puts a table into the last one of the table around it.
fn put(root: &mut Map<String, Json>, block: &Block, values: Map<String, Json>) {
    let mut at = root;
    let mut words = block.table.path.split('.').peekable();
    while let Some(word) = words.next() {
        if word.is_empty() {
            break;
        }
        let ends = words.peek().is_none();
        let slot = at.entry(word).or_insert_with(|| {
            if block.table.many { Json::Array(Vec::new()) } else { Json::Object(Map::new()) }
        });
        if ends && let Json::Array(list) = slot {
            list.push(Json::Object(values));
            return;
        }
        let inner = match slot {
            Json::Array(list) => list.last_mut().and_then(Json::as_object_mut),
            other => other.as_object_mut(),
        };
        let Some(inner) = inner else { return };
        at = inner;
    }
    at.extend(values);
}

fn json(value: &Value) -> Json {
    match value {
        Value::String(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(flag) => (*flag).into(),
        Value::Datetime(time) => time.to_string().into(),
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Table(table) => {
            Json::Object(table.iter().map(|(key, value)| (key.clone(), json(value))).collect())
        }
    }
}

/// A row for each value; tables of an array are numbered from 1.
fn rows(blocks: &[Block]) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut counts: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    let mut outer = String::new();
    for block in blocks {
        let path = block.table.path;
        let table = if block.table.many {
            let count = counts.entry(path).or_default();
            *count += 1;
            outer = format!("{path}[{count}]");
            outer.clone()
        } else {
            match path.split_once('.') {
                Some((parent, inner)) if outer.starts_with(&format!("{parent}[")) => {
                    format!("{outer}.{inner}")
                }
                _ => path.to_owned(),
            }
        };
        rows.extend(block.lines.iter().map(|line| row(&table, line)));
    }
    rows
}

fn row(table: &str, line: &Line) -> Row {
    let (file, at, origin) = match &line.origin {
        Origin::At { file, line } => {
            (Cell::from(file.as_str()), Cell::from(i64::try_from(*line).ok()), Cell::from("set"))
        }
        Origin::Default => (Cell::Nothing, Cell::Nothing, Cell::from("default")),
        Origin::From(what) => (Cell::Nothing, Cell::Nothing, Cell::from(format!("default: {what}"))),
    };
    Row::new(vec![table.into(), line.key.into(), line.value.to_string().into(), file, at, origin])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::reference::table;

    fn block(path: &str, key: &'static str, value: impl Into<Value>, origin: Origin) -> Block {
        Block { table: table(path).expect(path), lines: vec![Line { key, value: value.into(), origin }] }
    }

    fn blocks() -> Vec<Block> {
        let at = Origin::At { file: "watch.d/ops.toml".into(), line: 3 };
        vec![
            block("", "time_zone", "UTC", Origin::Default),
            block("poll", "min_interval", "1m", at.clone()),
            block("poll.backoff", "factor", 2.0, Origin::Default),
            block("webhook", "name", "crm", at.clone()),
            block("webhook.backoff", "max", "1h", Origin::Default),
            block("webhook", "name", "hr", at),
            block("webhook.backoff", "max", "2h", Origin::From("x")),
        ]
    }

    #[test]
    fn as_toml_the_tables_stand_as_in_a_file() {
        let expected = "time_zone = \"UTC\"\n\n[poll]\nmin_interval = \"1m\"\n\n[poll.backoff]\nfactor = 2.0\n\n\
            [[webhook]]\nname = \"crm\"\n\n[webhook.backoff]\nmax = \"1h\"\n\n[[webhook]]\nname = \"hr\"\n\n\
            [webhook.backoff]\nmax = \"2h\"\n";
        assert_eq!(as_toml(&blocks(), false), expected);
        let remarked = anstream::adapter::strip_str(&as_toml(&blocks(), true)).to_string();
        assert!(remarked.contains("min_interval = \"1m\"  # watch.d/ops.toml:3\n"), "{remarked}");
        assert!(remarked.contains("max = \"2h\"  # default: x\n"), "{remarked}");
        let parsed = |text: &str| toml::from_str::<toml::Table>(text).expect(text);
        assert_eq!(parsed(&remarked), parsed(expected));
    }

    #[test]
    fn as_json_it_is_one_document() {
        let expected = serde_json::json!({
            "time_zone": "UTC",
            "poll": { "min_interval": "1m", "backoff": { "factor": 2.0 } },
            "webhook": [
                { "name": "crm", "backoff": { "max": "1h" } },
                { "name": "hr", "backoff": { "max": "2h" } },
            ],
        });
        assert_eq!(document(&blocks()), expected);
    }

    #[test]
    fn rows_count_the_tables_of_an_array() {
        let tables: Vec<Cell> = rows(&blocks()).into_iter().map(|row| row.cells[0].clone()).collect();
        let expected = [
            "",
            "poll",
            "poll.backoff",
            "webhook[1]",
            "webhook[1].backoff",
            "webhook[2]",
            "webhook[2].backoff",
        ];
        assert_eq!(tables, expected.map(Cell::from));
    }
}
