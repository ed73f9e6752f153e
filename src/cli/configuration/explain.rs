//! `config explain`: explains one key, a table of keys, or all keys in short.
//!
//! Guards: every sentence comes from the reference, so no key is explained twice; no sentence is cut. Not here: the
//! reference (`config::reference`).

use std::fmt::Write as _;

use chrono_tz::Tz;

use crate::cli::output::{Cell, Column, FAINT, Printer, Row, Style, write_out};
use crate::cli::{Exit, Failure, Globals};
use crate::config::reference::{Absent, Effect, Entry, Found, Table, entries, find};

const COLUMNS: &[Column] = &[
    Column::data_only("key"),
    Column::data_only("table"),
    Column::data_only("type"),
    Column::data_only("default"),
    Column::data_only("required"),
    Column::data_only("unit"),
    Column::data_only("written"),
    Column::data_only("about"),
    Column::data_only("more"),
    Column::data_only("example"),
    Column::data_only("takes_effect"),
    Column::data_only("used_by"),
    Column::data_only("see"),
];

const BOLD: Style = Style::new().bold();
/// Where the second column of an explanation begins.
const INDENT: usize = 14;

/// Runs the command.
pub(super) fn run(globals: &Globals, typed: &str) -> anyhow::Result<Exit> {
    let printer = Printer::new(globals, Tz::UTC);
    if typed.is_empty() {
        print_list(&printer, entries().collect())?;
        return Ok(Exit::Done);
    }
    let keys = match find(typed) {
        Found::Keys(keys) => keys,
        Found::Table(table) => {
            let keys: Vec<Entry> = of(table);
            if printer.is_table() {
                write_out(anstream::stdout().lock(), &heading(table, printer.width))?;
            }
            print_list(&printer, keys)?;
            return Ok(Exit::Done);
        }
        Found::Nothing(close) => return Err(unknown(typed, &close).into()),
    };
    if printer.is_table() {
        let texts: Vec<String> = keys.iter().map(|entry| explained(*entry, printer.width)).collect();
        write_out(anstream::stdout().lock(), &texts.join("\n"))?;
    } else {
        printer.print(COLUMNS, &keys.into_iter().map(row).collect::<Vec<_>>())?;
    }
    Ok(Exit::Done)
}

/// Prints keys in short: the key and its default, and below them what the key is for.
fn print_list(printer: &Printer, keys: Vec<Entry>) -> std::io::Result<()> {
    if !printer.is_table() {
        return printer.print(COLUMNS, &keys.into_iter().map(row).collect::<Vec<_>>());
    }
    let short = |entry: &Entry| {
        let default = match entry.key.absent {
            Absent::Default(value) => format!("  {FAINT}{value}{FAINT:#}"),
            Absent::Refused("") => format!("  {FAINT}required{FAINT:#}"),
            Absent::Means(_) | Absent::Refused(_) => String::new(),
        };
        let path = entry.path();
        format!("{BOLD}{path}{BOLD:#}{default}\n{}", wrapped(entry.key.about, 4, printer.width))
    };
    write_out(anstream::stdout().lock(), &keys.iter().map(short).collect::<String>())
}

fn unknown(typed: &str, close: &[String]) -> Failure {
    let help = match close {
        [] => "`presenced config explain` lists all keys".to_owned(),
        [one] => format!("did you mean `{one}`?"),
        several => format!("did you mean one of `{}`?", several.join("`, `")),
    };
    Failure::new(Exit::Nothing, format!("there is no key `{typed}`: {help}"))
}

fn of(table: &'static Table) -> Vec<Entry> {
    let values = table.all_keys().filter(|key| key.kind.inner().is_none());
    values.map(|key| Entry { table, key }).collect()
}

fn heading(table: &Table, width: usize) -> String {
    let mut text = format!("{BOLD}{}{BOLD:#}\n", table.header());
    text.push_str(&wrapped(table.about, 2, width));
    text.push_str(&labelled("used by", table.used_by, width));
    text.push_str(&labelled("more", table.see, width));
    let inner: Vec<String> =
        table.all_keys().filter_map(|key| key.kind.inner()).map(|path| format!("`{path}`")).collect();
    if !inner.is_empty() {
        text.push_str(&labelled("tables in it", &inner.join(", "), width));
    }
    text.push('\n');
    text
}

/// A key with everything that the reference says about it.
fn explained(entry: Entry, width: usize) -> String {
    let Entry { table, key } = entry;
    let name = entry.path();
    let place = if table.path.is_empty() {
        "at the top of the file".to_owned()
    } else {
        format!("in {}", table.header())
    };
    let mut text = format!("{BOLD}{name}{BOLD:#} {place}\n");
    text.push_str(&wrapped(key.about, 2, width));
    if !key.more.is_empty() {
        text.push_str(&wrapped(key.more, 2, width));
    }
    text.push('\n');
    text.push_str(&labelled("type", &key.kind.words(), width));
    for (label, what) in [("unit", key.kind.unit()), ("written", key.kind.spelling())] {
        if !what.is_empty() {
            text.push_str(&labelled(label, what, width));
        }
    }
    text.push_str(&labelled("default", &default(key.absent), width));
    text.push_str(&labelled("example", &format!("{} = {}", key.name, key.example), width));
    text.push_str(&labelled("takes effect", effect(key.effect), width));
    text.push_str(&labelled("used by", table.used_by, width));
    text.push_str(&labelled("more", table.see, width));
    text
}

/// The value when the key is left out, in words.
pub(super) fn default(absent: Absent) -> String {
    match absent {
        Absent::Default(value) => value.to_owned(),
        Absent::Means(what) => format!("none: {what}"),
        Absent::Refused("") => "none: required".to_owned(),
        Absent::Refused(when) => format!("none: required {when}"),
    }
}

/// When a change takes effect, in words.
pub(super) fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Reload => "at a reload",
        Effect::Restart => "at a restart",
    }
}

fn labelled(label: &str, text: &str, width: usize) -> String {
    let block = wrapped(text, INDENT + 2, width);
    format!("  {label:<INDENT$}{}", block.trim_start())
}

/// Lines of at most `width` columns, each indented.
fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut lines = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let long = word.chars().count();
        if used > 0 && used + 1 + long > width {
            lines.push('\n');
            used = 0;
        }
        // Writing to a `String` cannot fail.
        let _ = match used {
            0 => write!(lines, "{:indent$}{word}", ""),
            _ => write!(lines, " {word}"),
        };
        used = if used == 0 { indent + long } else { used + 1 + long };
    }
    lines + "\n"
}

fn row(entry: Entry) -> Row {
    let Entry { table, key } = entry;
    let value = match key.absent {
        Absent::Default(value) => Cell::from(value),
        Absent::Refused("") => Cell::from("required"),
        Absent::Means(_) | Absent::Refused(_) => Cell::Nothing,
    };
    let some = |text: &str| if text.is_empty() { Cell::Nothing } else { Cell::from(text) };
    Row::new(vec![
        entry.path().into(),
        table.path.into(),
        key.kind.words().into(),
        value,
        (key.absent == Absent::Refused("")).into(),
        some(key.kind.unit()),
        some(key.kind.spelling()),
        key.about.into(),
        some(key.more),
        key.example.into(),
        effect(key.effect).into(),
        table.used_by.into(),
        table.see.into(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_key_is_explained_within_80_columns() {
        let mut all = String::new();
        for entry in entries() {
            let text = plain(&explained(entry, 80));
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            all.push_str(&text);
            all.push('\n');
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn a_table_is_explained_by_its_keys() {
        let Found::Table(table) = find("history") else { panic!("a table") };
        insta::assert_snapshot!(plain(&heading(table, 80)));
        assert_eq!(of(table).len(), 4);
    }

    #[test]
    fn an_unknown_key_gets_advice() {
        let said = |typed: &str| match find(typed) {
            Found::Nothing(close) => unknown(typed, &close).message,
            other => panic!("{other:?}"),
        };
        assert_eq!(said("poll.intervall"), "there is no key `poll.intervall`: did you mean `poll.interval`?");
        assert!(said("colour").ends_with("`presenced config explain` lists all keys"));
    }
}
