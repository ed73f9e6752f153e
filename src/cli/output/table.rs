//! An answer for people: one line a row, in columns.
//!
//! Guards: a table fits the terminal and stays straight with Chinese names; every line has the colour of its row.
//! Deliberately not here: what a cell says (`Printer::text`), how wide the terminal is.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, Row as TableRow, Table, Width};

use super::{Cell, Column, Printer, Row, Style};

const HEADER: Style = Style::new().bold();
/// No text column is made narrower than this: less is not readable.
const NARROWEST: usize = 8;
/// Blanks between columns.
const BETWEEN: u16 = 2;

/// The table, colours included; empty when there are no rows.
pub(super) fn render(printer: &Printer, columns: &[Column], rows: &[Row]) -> String {
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
        let texts: Vec<String> = shown.iter().map(|&i| printer.text(row.cells.get(i))).collect();
        let mut line = TableRow::from(texts);
        line.max_height(1);
        table.add_row(line);
    }
    let widths = fitted(&table.column_max_content_widths(), &shown, columns, printer.width);
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
    let mut text = String::new();
    for (line, style) in table.lines().zip(styles) {
        let line = line.trim_end();
        // Writing to a `String` cannot fail.
        let _ = if style.is_plain() {
            writeln!(text, "{line}")
        } else {
            writeln!(text, "{}{line}{}", style.render(), style.render_reset())
        };
    }
    text
}

/// Takes from the widest column that may shrink, until the table fits or nothing can give any more.
fn fitted(natural: &[u16], shown: &[usize], columns: &[Column], room: usize) -> Vec<u16> {
    let mut widths = natural.to_vec();
    let gaps = usize::from(BETWEEN) * widths.len().saturating_sub(1);
    while widths.iter().map(|w| usize::from(*w)).sum::<usize>() + gaps > room {
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
