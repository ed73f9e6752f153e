//! How answers are printed: tables, JSON, JSON lines, CSV; colours.
//!
//! Guards: every command prints the same way; tables hold one line a row, fit the terminal and stay straight with
//! Chinese names; what came from outside cannot steer the terminal; a reader that hangs up is no error.
//! Deliberately not here: what is printed.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use anstyle::AnsiColor;
pub use anstyle::Style;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, Row as TableRow, Table, Width};

use super::{Globals, OutputFormat};
use crate::time::Timestamp;

/// The word `error:`.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The word `warning:`.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// Good news, and who is in.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What matters less.
pub const FAINT: Style = Style::new().dimmed();

const HEADER: Style = Style::new().bold();
/// The width of a table whose reader's width is not known.
const USUAL_WIDTH: usize = 80;
/// No text column is made narrower than this: less is not readable.
const NARROWEST: usize = 8;
/// Blanks between columns.
const BETWEEN: u16 = 2;

/// A value in an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Not known, or not applicable: `null`, an empty field, `-`.
    Nothing,
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// A number with one decimal, in tenths.
    Tenths(i64),
    /// A number as SQLite has it: seen to be a real one, as in SQLite's own shell.
    Real(f64),
    /// Yes or no.
    Flag(bool),
    /// An instant: local in tables, RFC 3339 UTC elsewhere.
    At(Timestamp),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<Timestamp> for Cell {
    fn from(at: Timestamp) -> Self {
        Self::At(at)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nothing, Into::into)
    }
}

/// One column of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    key: Option<&'static str>,
    header: Option<&'static str>,
    shrinks: bool,
}

impl Column {
    /// One that is in every format; `header` heads it in tables.
    pub const fn new(key: &'static str, header: &'static str) -> Self {
        Self { key: Some(key), header: Some(header), shrinks: false }
    }

    /// One that is not in tables: they have no room for everything.
    pub const fn data_only(key: &'static str) -> Self {
        Self { key: Some(key), header: None, shrinks: false }
    }

    /// One that is in tables only: what people read better than programs.
    pub const fn table_only(header: &'static str) -> Self {
        Self { key: None, header: Some(header), shrinks: false }
    }

    /// What it is called in tables, or where it is in none, in data.
    pub fn name(&self) -> &'static str {
        self.header.or(self.key).unwrap_or_default()
    }

    /// May be cut, with an ellipsis, when the table is too wide.
    #[must_use]
    pub const fn shrinking(mut self) -> Self {
        self.shrinks = true;
        self
    }
}

/// One row of an answer: a cell for each column.
#[derive(Clone, Debug)]
pub struct Row {
    /// In the columns' order.
    pub cells: Vec<Cell>,
    /// Its colour in tables.
    pub style: Style,
    /// Printed as it is in place of the JSON object of the cells: a stored body, whose bytes may not change.
    pub json: Option<String>,
}

impl Row {
    /// A row without colour.
    pub fn new(cells: Vec<Cell>) -> Self {
        Self { cells, style: Style::new(), json: None }
    }

    /// In this colour.
    #[must_use]
    pub fn styled(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// With this JSON in place of the cells'.
    #[must_use]
    pub fn with_json(mut self, json: String) -> Self {
        self.json = Some(json);
        self
    }
}

/// How to print: decided once a command.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    /// The shape.
    pub format: OutputFormat,
    /// For the times in tables.
    pub time_zone: Tz,
    /// How wide a table may be, in cells of the terminal.
    pub width: usize,
    /// `-q`: no words beside the answer.
    pub quiet: bool,
}

impl Printer {
    /// As the command line says; `time_zone` is the config's, for when the command line names none.
    pub fn new(globals: &Globals, time_zone: Tz) -> Self {
        Self {
            format: globals.output.unwrap_or(OutputFormat::Table),
            time_zone: globals.tz.unwrap_or(time_zone),
            width: table_width(),
            quiet: globals.quiet,
        }
    }

    /// Whether people read it.
    pub fn is_table(&self) -> bool {
        self.format == OutputFormat::Table
    }

    /// Prints an answer to the standard output.
    pub fn print(&self, columns: &[Column], rows: &[Row]) -> std::io::Result<()> {
        let text = self.render(columns, rows);
        if self.is_table() {
            write_out(anstream::stdout().lock(), &text)
        } else {
            // Data goes out byte for byte: nothing in it is a colour.
            write_out(std::io::stdout().lock(), &text)
        }
    }

    /// Says that there is nothing, and why: in words where people read, else as an empty answer with the words beside.
    pub fn print_nothing(&self, columns: &[Column], why: &str) -> std::io::Result<()> {
        if self.is_table() {
            return write_out(anstream::stdout().lock(), &format!("{why}\n"));
        }
        self.remark(why);
        self.print(columns, &[])
    }

    /// Says something beside the answer, to the standard error: a hint, a summary. Not with `-q`.
    pub fn remark(&self, text: &str) {
        if !self.quiet {
            anstream::eprintln!("{}{text}{}", FAINT.render(), FAINT.render_reset());
        }
    }

    /// The answer as it would be printed, colours included.
    pub fn render(&self, columns: &[Column], rows: &[Row]) -> String {
        match self.format {
            OutputFormat::Table => self.table(columns, rows),
            OutputFormat::Json if rows.is_empty() => "[]\n".to_owned(),
            OutputFormat::Json => {
                let objects: Vec<String> = rows.iter().map(|row| json(columns, row)).collect();
                format!("[\n{}\n]\n", objects.join(",\n"))
            }
            OutputFormat::Jsonl => rows.iter().map(|row| json(columns, row) + "\n").collect(),
            OutputFormat::Csv => csv(columns, rows),
        }
    }

    /// An instant as tables show it.
    pub fn local(&self, at: Timestamp) -> String {
        DateTime::<Utc>::from_timestamp_millis(at.as_ms()).map_or_else(
            || at.rfc3339(),
            |utc| utc.with_timezone(&self.time_zone).format("%Y-%m-%d %H:%M:%S").to_string(),
        )
    }

    fn table(&self, columns: &[Column], rows: &[Row]) -> String {
        if rows.is_empty() {
            return String::new();
        }
        let shown: Vec<usize> = (0..columns.len()).filter(|&i| columns[i].header.is_some()).collect();
        let mut table = Table::new();
        // Cut between any two characters, not only between words.
        table.load_style(NOTHING).set_delimiter('\u{0}');
        // One line as well: each line below has the style of its row.
        let mut header = TableRow::from(shown.iter().filter_map(|&i| columns[i].header).collect::<Vec<_>>());
        header.max_height(1);
        table.set_header(header);
        for row in rows {
            let texts: Vec<String> = shown.iter().map(|&i| self.text(row.cells.get(i))).collect();
            let mut line = TableRow::from(texts);
            line.max_height(1);
            table.add_row(line);
        }
        let widths = self.fitted(&table.column_max_content_widths(), &shown, columns);
        for (n, (&i, width)) in shown.iter().zip(widths).enumerate() {
            let padding = if n + 1 == shown.len() { 0 } else { BETWEEN };
            // The table has exactly the columns of its header.
            let Some(column) = table.column_mut(n) else { continue };
            column.set_padding((0, padding));
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + padding)));
            if of_numbers(rows.iter().filter_map(|row| row.cells.get(i))) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let styles = std::iter::once(HEADER).chain(rows.iter().map(|row| row.style));
        let mut printed = String::new();
        for (line, style) in table.lines().zip(styles) {
            let line = line.trim_end();
            // Writing to a `String` cannot fail.
            let _ = if style.is_plain() {
                writeln!(printed, "{line}")
            } else {
                writeln!(printed, "{}{line}{}", style.render(), style.render_reset())
            };
        }
        printed
    }

    /// Takes from the widest column that may shrink, until the table fits or nothing can give any more.
    fn fitted(&self, natural: &[u16], shown: &[usize], columns: &[Column]) -> Vec<u16> {
        let mut widths = natural.to_vec();
        let gaps = usize::from(BETWEEN) * widths.len().saturating_sub(1);
        while widths.iter().map(|w| usize::from(*w)).sum::<usize>() + gaps > self.width {
            let widest = (0..widths.len())
                .filter(|&n| columns[shown[n]].shrinks && usize::from(widths[n]) > NARROWEST)
                .max_by_key(|&n| widths[n]);
            match widest {
                Some(n) => widths[n] -= 1,
                None => break,
            }
        }
        widths
    }

    /// A cell as tables show it.
    pub fn text(&self, cell: Option<&Cell>) -> String {
        match cell {
            None | Some(Cell::Nothing) => "-".to_owned(),
            Some(Cell::Text(text)) => harmless(text),
            Some(Cell::Number(number)) => number.to_string(),
            Some(Cell::Tenths(tenths)) => decimal(*tenths),
            Some(Cell::Real(number)) => format!("{number:?}"),
            Some(Cell::Flag(true)) => "yes".to_owned(),
            Some(Cell::Flag(false)) => "no".to_owned(),
            Some(Cell::At(at)) => self.local(*at),
        }
    }
}

/// Whether a column stands to the right: there are numbers in it and nothing else.
fn of_numbers<'a>(cells: impl Iterator<Item = &'a Cell>) -> bool {
    let mut numbers = false;
    for cell in cells {
        match cell {
            Cell::Nothing => {}
            Cell::Number(_) | Cell::Tenths(_) | Cell::Real(_) => numbers = true,
            Cell::Text(_) | Cell::Flag(_) | Cell::At(_) => return false,
        }
    }
    numbers
}

/// Writes all of it. A reader that has gone (`| head`) has read enough: that is no error.
pub fn write_out(mut out: impl std::io::Write, text: &str) -> std::io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The text without what would steer a terminal or turn the reading direction: a nick is anybody's text.
pub fn harmless(text: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

/// The text cut or filled to `width` columns; a Chinese character takes two.
pub fn padded(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = unicode_width::UnicodeWidthChar::width(c).unwrap_or(0);
        if used + wide > width {
            break;
        }
        out.push(c);
        used += wide;
    }
    out.extend(std::iter::repeat_n(' ', width - used));
    out
}

/// How long ago, in words: `35 s ago`, `12 min ago`, `3 h ago`, `2 days ago`.
pub fn ago(since: Duration) -> String {
    match since.as_secs() {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

/// `1 person`, `2 people`.
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn decimal(tenths: i64) -> String {
    let sign = if tenths < 0 { "-" } else { "" };
    format!("{sign}{}.{}", tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10)
}

fn json(columns: &[Column], row: &Row) -> String {
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
            Cell::Text(text) => text.as_str().into(),
            Cell::Number(number) => (*number).into(),
            Cell::Real(number) => (*number).into(),
            Cell::Tenths(tenths) => {
                // Printed by ourselves: what a float makes of 0.1 is nobody's business.
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

fn csv(columns: &[Column], rows: &[Row]) -> String {
    let keys = columns.iter().filter_map(|column| column.key);
    let mut text = keys.map(quoted).collect::<Vec<_>>().join(",") + "\n";
    for row in rows {
        let fields = keyed(columns, row).map(|(_, cell)| match cell {
            Cell::Nothing => String::new(),
            Cell::Text(text) => quoted(text),
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

fn keyed<'a>(columns: &'a [Column], row: &'a Row) -> impl Iterator<Item = (&'static str, &'a Cell)> {
    columns.iter().zip(&row.cells).filter_map(|(column, cell)| Some((column.key?, cell)))
}

/// RFC 4180, section 2: quotes around what holds a comma, a quote or a line end; quotes inside are doubled.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// `COLUMNS` wins, then the terminal's own width, then what is usual.
fn table_width() -> usize {
    let by_hand = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|&n| n > 0);
    let measured = || {
        let terminal = std::io::stdout().is_terminal();
        terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| usize::from(width.0))
    };
    by_hand.or_else(measured).unwrap_or(USUAL_WIDTH)
}

#[cfg(test)]
mod tests;
