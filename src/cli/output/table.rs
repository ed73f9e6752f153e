//! An answer for people: one line per row, in aligned columns.
//!
//! Guards: a table fits the terminal and stays aligned with Chinese names; a cut text ends with an ellipsis; every line has
//! the colour of its row. Not here: the width of the terminal (`super`).

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, Row as TableRow, Table, Width};

use anstyle::Style;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use unicode_width::UnicodeWidthStr;

use super::cell::{Cell, Column, Row};
use super::data::decimal;
use super::text::{cut_beginning, harmless};
use crate::time::Timestamp;

const HEADER: Style = Style::new().bold();
/// A column is not cut to less than this; a shorter text is not readable.
const NARROWEST: usize = 8;
/// Blanks between columns.
const BETWEEN: u16 = 2;

/// The table, with colours; empty if there are no rows. `today`: the day that times need not say.
pub(super) fn render(
    room: usize,
    time_zone: Tz,
    today: Option<NaiveDate>,
    columns: &[Column],
    rows: &[Row],
) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut shown: Vec<Shown<'_>> = columns
        .iter()
        .enumerate()
        .filter_map(|(i, column)| {
            let header = column.header?;
            let cells: Vec<Option<&Cell>> = rows.iter().map(|row| row.cells.get(i)).collect();
            let texts = cells.iter().map(|cell| text(*cell, time_zone)).collect();
            Some(Shown { column, header, cells, texts })
        })
        .collect();
    make_room(&mut shown, room, time_zone, today);
    let widths = fitted(&shown, room);
    let mut table = Table::new();
    // A text is cut between any two characters, not only between words.
    table.load_style(NOTHING).set_delimiter('\u{0}');
    // The header has one line too, because below each line takes the style of its row.
    let mut header = TableRow::from(shown.iter().map(|column| column.header).collect::<Vec<_>>());
    header.max_height(1);
    table.set_header(header);
    for n in 0..rows.len() {
        let texts = shown.iter().zip(&widths).map(|(column, width)| column.fitted(n, usize::from(*width)));
        let mut line = TableRow::from(texts.collect::<Vec<_>>());
        line.max_height(1);
        table.add_row(line);
    }
    for (n, (shown_column, width)) in shown.iter().zip(widths).enumerate() {
        let padding = if n + 1 == shown.len() { 0 } else { BETWEEN };
        // The table has exactly the columns of its header.
        let Some(column) = table.column_mut(n) else { continue };
        column.set_padding((0, padding));
        column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width + padding)));
        if of_numbers(shown_column.cells.iter().copied().flatten()) {
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

/// A column of the table.
struct Shown<'a> {
    column: &'a Column,
    header: &'static str,
    cells: Vec<Option<&'a Cell>>,
    texts: Vec<String>,
}

impl Shown<'_> {
    fn width(&self) -> usize {
        self.texts.iter().map(|text| text.width()).fold(self.header.width(), usize::max)
    }

    /// An id loses its beginning; the table itself cuts the end of other texts.
    fn fitted(&self, row: usize, width: usize) -> String {
        let text = self.texts.get(row).map_or("", String::as_str);
        match self.cells.get(row) {
            Some(Some(Cell::Id(_))) => cut_beginning(text, width),
            _ => text.to_owned(),
        }
    }
}

fn total(widths: impl Iterator<Item = usize>) -> usize {
    let (sum, count) = widths.fold((0, 0), |(sum, count), width| (sum + width, count + 1_usize));
    sum + usize::from(BETWEEN) * count.saturating_sub(1)
}

/// What tells least goes first while the table is too wide: words that all rows have, then the date of today.
fn make_room(shown: &mut Vec<Shown<'_>>, room: usize, time_zone: Tz, today: Option<NaiveDate>) {
    let too_wide = |shown: &[Shown<'_>]| total(shown.iter().map(Shown::width)) > room;
    while too_wide(shown) {
        let same = |column: &Shown<'_>| column.texts.windows(2).all(|pair| pair[0] == pair[1]);
        let Some(at) = shown.iter().rposition(|column| column.column.dull && same(column)) else { break };
        shown.remove(at);
    }
    let Some(today) = today else { return };
    if !too_wide(shown) {
        return;
    }
    let date = today.to_string();
    for column in shown {
        let is_today = |text: &String| text == "-" || text.trim_start_matches('~').starts_with(&date);
        let times = column.cells.iter().any(|cell| matches!(cell, Some(Cell::At(_))));
        if times && column.texts.iter().all(is_today) {
            for (cell, text) in column.cells.iter().zip(&mut column.texts) {
                if let Some(Cell::At(at)) = cell {
                    local(*at, time_zone).split(' ').next_back().unwrap_or_default().clone_into(text);
                }
            }
        }
    }
}

/// Narrows the columns that may be cut, widest first, until the table fits or no column can be cut further.
fn fitted(shown: &[Shown<'_>], room: usize) -> Vec<u16> {
    let mut widths: Vec<usize> = shown.iter().map(Shown::width).collect();
    while total(widths.iter().copied()) > room {
        let widest = (0..widths.len())
            .filter(|&n| shown[n].column.shrink.is_some() && widths[n] > NARROWEST)
            .max_by_key(|&n| (shown[n].column.shrink, widths[n]));
        match widest {
            Some(n) => widths[n] -= 1,
            None => break,
        }
    }
    widths.into_iter().map(|width| u16::try_from(width).unwrap_or(u16::MAX)).collect()
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
        Some(Cell::Text(text) | Cell::Id(text)) => harmless(text),
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
            Cell::Text(_) | Cell::Id(_) | Cell::Flag(_) | Cell::At(_) => return false,
        }
    }
    numbers
}
