//! How answers are printed: tables, JSON, JSON lines, CSV; colours.
//!
//! Guards: every command prints the same way. Deliberately not here: what is printed.

use anstyle::{AnsiColor, Style};

/// The word `error:`.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The word `warning:`.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
