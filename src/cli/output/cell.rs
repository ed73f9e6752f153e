//! What an answer is made of: cells, columns, rows and their styles.
//!
//! Guards: one list of columns serves every format. Not here: printing (`super`).

use anstyle::{AnsiColor, Style};

use crate::time::Timestamp;

/// The word `error:`.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The word `warning:`.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// Good results, and users in a meeting.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// Less important text.
pub const FAINT: Style = Style::new().dimmed();

/// A value in an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Not known, or not applicable: `null`, an empty field, `-`.
    Nothing,
    /// A text.
    Text(String),
    /// An id, which is cut at its beginning: its end can be pasted back.
    Id(String),
    /// A whole number.
    Number(i64),
    /// A number with one decimal, in tenths.
    Tenths(i64),
    /// A floating-point number of SQLite, printed with a decimal point as in the SQLite shell.
    Real(f64),
    /// Yes or no.
    Flag(bool),
    /// A time: local in tables, RFC 3339 UTC elsewhere.
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
    /// Its name in JSON and CSV, if it is there.
    pub(super) key: Option<&'static str>,
    /// Its heading in tables, if it is there.
    pub(super) header: Option<&'static str>,
    pub(super) shrink: Option<Shrink>,
    /// Left out of a table that is too wide while all rows have the same value.
    pub(super) dull: bool,
}

/// Whether a column gives room before others do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shrink {
    /// While another column can be cut, this one is not.
    Last,
    /// Cut first.
    First,
}

impl Column {
    /// A column in every format; `header` is its heading in tables.
    pub const fn new(key: &'static str, header: &'static str) -> Self {
        Self { key: Some(key), header: Some(header), shrink: None, dull: false }
    }

    /// A column that tables have no room for.
    pub const fn data_only(key: &'static str) -> Self {
        Self { key: Some(key), header: None, shrink: None, dull: false }
    }

    /// A column of tables only, for what people read more easily than programs.
    pub const fn table_only(header: &'static str) -> Self {
        Self { key: None, header: Some(header), shrink: None, dull: false }
    }

    /// Its heading in tables, or its key if tables do not have it.
    pub fn name(&self) -> &'static str {
        self.header.or(self.key).unwrap_or_default()
    }

    /// May be cut, with an ellipsis, when the table is too wide.
    #[must_use]
    pub const fn shrinking(mut self) -> Self {
        self.shrink = Some(Shrink::First);
        self
    }

    /// May be cut when no other column can be: its text is what the reader looks for.
    #[must_use]
    pub const fn shrinking_last(mut self) -> Self {
        self.shrink = Some(Shrink::Last);
        self
    }
}

impl Column {
    /// Left out of a table that is too wide while all rows have the same value.
    #[must_use]
    pub const fn dull(mut self) -> Self {
        self.dull = true;
        self
    }
}

impl Cell {
    /// An id.
    pub fn id(text: &str) -> Self {
        Self::Id(text.to_owned())
    }

    /// A title, or the id of what has none.
    pub fn titled(title: Option<&str>, id: &str) -> Self {
        title.map_or_else(|| Self::id(id), Self::from)
    }
}

/// One row of an answer: a cell for each column.
#[derive(Clone, Debug)]
pub struct Row {
    /// The cells, in the order of the columns.
    pub cells: Vec<Cell>,
    /// Colour of the row in tables.
    pub style: Style,
    /// A stored body, printed byte for byte instead of a JSON object of the cells.
    pub json: Option<String>,
}

impl Row {
    /// A row without colour.
    pub fn new(cells: Vec<Cell>) -> Self {
        Self { cells, style: Style::new(), json: None }
    }

    /// The row in this colour.
    #[must_use]
    pub fn styled(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// The row with this stored JSON.
    #[must_use]
    pub fn with_json(mut self, json: String) -> Self {
        self.json = Some(json);
        self
    }
}
