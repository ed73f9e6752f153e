//! Prints answers: the one printer that every command uses.
//!
//! Guards: every command prints the same way; text from outside cannot control the terminal; a closed pipe is not an
//! error. Not here: what an answer is made of (`cell`), words and widths (`text`), the layout of a table (`table`), JSON
//! and CSV (`data`).

use std::io::IsTerminal;

pub use anstyle::Style;
use chrono::NaiveDate;
use chrono_tz::Tz;

use super::globals::{Globals, OutputFormat};
use crate::time::Timestamp;

mod cell;
mod data;
mod flat;
mod table;
mod text;

pub use cell::{Cell, Column, ERROR, FAINT, GOOD, Row, WARNING};
pub use flat::{FLAT, flat};
pub use text::{ago, counted, cut, cut_beginning, folded, harmless, harmless_lines, padded, write_out};

/// Width of a table when the width of the terminal is not known.
const DEFAULT_WIDTH: usize = 80;

/// How a command prints its answer.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    /// The output format.
    pub format: OutputFormat,
    /// For the times in tables.
    pub time_zone: Tz,
    /// Width of the terminal, in its cells.
    pub width: usize,
    /// Whether tables are cut to that width: only on a terminal, so that a program behind a pipe gets whole values.
    pub cuts: bool,
    /// The local day on which times are shown without it, if a table is too wide.
    pub today: Option<NaiveDate>,
    /// `--bom`: CSV begins with a byte order mark.
    pub bom: bool,
    /// `-q`: print no remarks.
    pub quiet: bool,
}

impl Default for Printer {
    /// A table of 80 columns with times in UTC.
    fn default() -> Self {
        Self {
            format: OutputFormat::Table,
            time_zone: Tz::UTC,
            width: DEFAULT_WIDTH,
            cuts: true,
            today: None,
            bom: false,
            quiet: false,
        }
    }
}

impl Printer {
    /// From the command line; `time_zone` is that of the config, used without `--tz`.
    pub fn new(globals: &Globals, time_zone: Tz) -> Self {
        Self {
            format: globals.output.unwrap_or(OutputFormat::Table),
            time_zone: globals.tz.unwrap_or(time_zone),
            width: table_width(),
            cuts: std::io::stdout().is_terminal(),
            today: None,
            bom: globals.bom,
            quiet: globals.quiet,
        }
    }

    /// Whether the format is a table for people.
    pub fn is_table(&self) -> bool {
        self.format == OutputFormat::Table
    }

    /// Prints an answer to the standard output.
    pub fn print(&self, columns: &[Column], rows: &[Row]) -> std::io::Result<()> {
        let text = self.render(columns, rows);
        if self.is_table() {
            write_out(anstream::stdout().lock(), &text)
        } else {
            // Data is written byte for byte, so that nothing in it is taken for a colour.
            write_out(std::io::stdout().lock(), &text)
        }
    }

    /// Prints that the answer is empty, and why: as text for people, else as an empty answer with the text on stderr.
    pub fn print_nothing(&self, columns: &[Column], why: &str) -> std::io::Result<()> {
        if self.is_table() {
            return write_out(anstream::stdout().lock(), &format!("{}\n", harmless_lines(why)));
        }
        self.remark(why);
        self.print(columns, &[])
    }

    /// Prints a hint or a summary to stderr, unless `-q` is given.
    pub fn remark(&self, text: &str) {
        if !self.quiet {
            let text = harmless_lines(text);
            anstream::eprintln!("{}{text}{}", FAINT.render(), FAINT.render_reset());
        }
    }

    /// The answer as it is printed, with colours.
    pub fn render(&self, columns: &[Column], rows: &[Row]) -> String {
        match self.format {
            OutputFormat::Table => {
                let room = if self.cuts { self.width } else { usize::MAX };
                table::render(room, self.time_zone, self.today, columns, rows)
            }
            OutputFormat::Json if rows.is_empty() => "[]\n".to_owned(),
            OutputFormat::Json => {
                let objects: Vec<String> = rows.iter().map(|row| data::json(columns, row)).collect();
                format!("[\n{}\n]\n", objects.join(",\n"))
            }
            OutputFormat::Jsonl => rows.iter().map(|row| data::json(columns, row) + "\n").collect(),
            OutputFormat::Csv => {
                let mark = if self.bom { "\u{feff}" } else { "" };
                format!("{mark}{}", data::csv(columns, rows))
            }
        }
    }

    /// A time as tables show it: local, to the second.
    pub fn local(&self, at: Timestamp) -> String {
        table::local(at, self.time_zone)
    }

    /// A cell as tables show it.
    pub fn text(&self, cell: Option<&Cell>) -> String {
        table::text(cell, self.time_zone)
    }
}

/// The width from `COLUMNS`, else that of the terminal, else the default.
fn table_width() -> usize {
    let from_env = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|&n| n > 0);
    let measured = || {
        let terminal = std::io::stdout().is_terminal();
        terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| usize::from(width.0))
    };
    from_env.or_else(measured).unwrap_or(DEFAULT_WIDTH)
}

#[cfg(test)]
mod tests;
