//! An answer for people: one line per row, in aligned columns.
//!
//! Guards: a table fits the terminal and stays aligned with Chinese names; a cut text ends with an ellipsis; every line has
//! the colour of its row. Not here: the width of the terminal (`super`).

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, Row as TableRow, Table, Width};

use anstyle::Style;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::cell::{Cell, Column, Row};
use super::data::decimal;
use super::text::harmless;
use crate::time::Timestamp;

const HEADER: Style = Style::new().bold();
/// A column is not cut to less than this; a shorter text is not readable.
const NARROWEST: usize = 8;
/// Blanks between columns.
const BETWEEN: u16 = 2;

/// The table, with colours; empty if there are no rows.
pub(super) fn render(width: usize, time_zone: Tz, columns: &[Column], rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let shown: Vec<usize> = (0..columns.len()).filter(|&i| columns[i].header.is_some()).collect();
    let mut table = Table::new();
    // A text is cut between any two characters, not only between words.
    table.load_style(NOTHING).set_delimiter('\u{0}');
    // The header has one line too, because below each line takes the style of its row.
    let mut header = TableRow::from(shown.iter().filter_map(|&i| columns[i].header).collect::<Vec<_>>());
    header.max_height(1);
    table.set_header(header);
    for row in rows {
        let texts: Vec<String> = shown.iter().map(|&i| text(row.cells.get(i), time_zone)).collect();
        let mut line = TableRow::from(texts);
        line.max_height(1);
        table.add_row(line);
    }
    let widths = fitted(&table.column_max_content_widths(), &shown, columns, width);
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

/// Narrows the widest column that may be cut until the table fits or no column can be cut further.
fn fitted(natural: &[u16], shown: &[usize], columns: &[Column], room: usize) -> Vec<u16> {
    let mut widths = natural.to_vec();
    let gaps = usize::from(BETWEEN) * widths.len().saturating_sub(1);
    while widths.iter().map(|w| usize::from(*w)).sum::<usize>() + gaps > room {
        let widest = (0..widths.len())
            .filter(|&n| columns[shown[n]].shrink.is_some() && usize::from(widths[n]) > NARROWEST)
            .max_by_key(|&n| (columns[shown[n]].shrink, widths[n]));
        match widest {
            Some(n) => widths[n] -= 1,
            None => break,
        }
    }
    widths
}

/// A time as tables show it.
pub(super) fn local(at: Timestamp, time_zone: Tz) -> String {
    DateTime::<Utc>::from_timestamp_millis(at.as_ms()).map_or_else(
        || at.rfc3339(),
        |utc| utc.with_timezone(&time_zone).format("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// A cell as tables show it.
pub(super) fn text(cell: Option<&Cell>, time_zone: Tz) -> String {
    match cell {
        None | Some(Cell::Nothing) => "-".to_owned(),
        Some(Cell::Text(text)) => harmless(text),
        Some(Cell::Number(number)) => number.to_string(),
        Some(Cell::Tenths(tenths)) => decimal(*tenths),
        Some(Cell::Real(number)) => format!("{number:?}"),
        Some(Cell::Flag(true)) => "yes".to_owned(),
        Some(Cell::Flag(false)) => "no".to_owned(),
        Some(Cell::At(at)) => local(*at, time_zone),
    }
}

/// Whether a column is aligned to the right: all its values are numbers.
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
