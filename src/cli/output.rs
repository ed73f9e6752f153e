//! How answers are printed: what they are made of, the one printer of every command, colours, words.
//!
//! Guards: every command prints the same way; what came from outside cannot steer the terminal; a reader that hangs up
//! is no error. Deliberately not here: what is printed, how a table is laid out (`table`), what programs read (`data`).

use std::io::IsTerminal;
use std::time::Duration;

use anstyle::AnsiColor;
pub use anstyle::Style;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Globals, OutputFormat};
use crate::invisible;
use crate::time::Timestamp;

mod data;
mod table;

/// The word `error:`.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The word `warning:`.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// Good news, and who is in.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What matters less.
pub const FAINT: Style = Style::new().dimmed();

/// The width of a table whose reader's width is not known.
const USUAL_WIDTH: usize = 80;

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
            return write_out(anstream::stdout().lock(), &format!("{}\n", harmless_lines(why)));
        }
        self.remark(why);
        self.print(columns, &[])
    }

    /// Says something beside the answer, to the standard error: a hint, a summary. Not with `-q`.
    pub fn remark(&self, text: &str) {
        if !self.quiet {
            let text = harmless_lines(text);
            anstream::eprintln!("{}{text}{}", FAINT.render(), FAINT.render_reset());
        }
    }

    /// The answer as it would be printed, colours included.
    pub fn render(&self, columns: &[Column], rows: &[Row]) -> String {
        match self.format {
            OutputFormat::Table => table::render(self, columns, rows),
            OutputFormat::Json if rows.is_empty() => "[]\n".to_owned(),
            OutputFormat::Json => {
                let objects: Vec<String> = rows.iter().map(|row| data::json(columns, row)).collect();
                format!("[\n{}\n]\n", objects.join(",\n"))
            }
            OutputFormat::Jsonl => rows.iter().map(|row| data::json(columns, row) + "\n").collect(),
            OutputFormat::Csv => data::csv(columns, rows),
        }
    }

    /// An instant as tables show it.
    pub fn local(&self, at: Timestamp) -> String {
        DateTime::<Utc>::from_timestamp_millis(at.as_ms()).map_or_else(
            || at.rfc3339(),
            |utc| utc.with_timezone(&self.time_zone).format("%Y-%m-%d %H:%M:%S").to_string(),
        )
    }

    /// A cell as tables show it.
    pub fn text(&self, cell: Option<&Cell>) -> String {
        match cell {
            None | Some(Cell::Nothing) => "-".to_owned(),
            Some(Cell::Text(text)) => harmless(text),
            Some(Cell::Number(number)) => number.to_string(),
            Some(Cell::Tenths(tenths)) => data::decimal(*tenths),
            Some(Cell::Real(number)) => format!("{number:?}"),
            Some(Cell::Flag(true)) => "yes".to_owned(),
            Some(Cell::Flag(false)) => "no".to_owned(),
            Some(Cell::At(at)) => self.local(*at),
        }
    }
}

/// Writes all of it. A reader that has gone (`| head`) has read enough: that is no error.
pub fn write_out(mut out: impl std::io::Write, text: &str) -> std::io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The text without what would steer a terminal, turn the reading direction or is not seen: a nick is free text.
pub fn harmless(text: &str) -> String {
    invisible::replaced(text, |_| invisible::REPLACEMENT)
}

/// The same for a text that may have several lines and colours of ours.
pub fn harmless_lines(text: &str) -> String {
    invisible::replaced(text, |c| if c.is_control() { c } else { invisible::REPLACEMENT })
}

/// The text cut or filled to `width` columns; a Chinese character takes two.
pub fn padded(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > width {
            break;
        }
        out.push(c);
        used += wide;
    }
    out.extend(std::iter::repeat_n(' ', width - used));
    out
}

/// Lines of at most `wide` cells, broken between words; a word that is longer stays whole, so that it can be copied.
pub fn folded(text: &str, wide: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= wide {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
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
