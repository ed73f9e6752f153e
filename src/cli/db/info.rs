//! `presenced db info`: shows size, age and number of rows of the database.
//!
//! Guards: writes nothing. Not here: whether the file is intact (`db check`).

use crate::cli::open_readonly::{Session, open_readonly};
use crate::cli::output::{Cell, Column, Row};
use crate::cli::{Exit, Globals};
use crate::store::backup;
use crate::store::history::info::DatabaseInfo;

const COLUMNS: &[Column] = &[Column::new("what", "WHAT"), Column::new("value", "VALUE").shrinking()];

pub(super) fn run(globals: &Globals) -> anyhow::Result<Exit> {
    open_readonly(globals, async |session: &Session| {
        let facts = session.history.database_info().await?;
        let history = &session.config.history;
        let newest_copy = match &history.backup_dir {
            None => None,
            Some(folder) => backup::managed(folder)?.pop(),
        };
        let mut rows = vec![line("path", history.path.display().to_string())];
        rows.extend(about(&facts));
        rows.push(match newest_copy {
            Some(copy) => line("newest backup", copy.display().to_string()),
            None => line("newest backup", Cell::Nothing),
        });
        rows.extend(facts.rows.iter().map(|(table, count)| line(&format!("rows in {table}"), *count)));
        session.printer.print(COLUMNS, &rows)?;
        Ok(Exit::Done)
    })
}

fn about(facts: &DatabaseInfo) -> Vec<Row> {
    vec![
        line("bytes", facts.bytes),
        line("free bytes in it", facts.free_bytes),
        line("schema", facts.schema),
        line("source", facts.source.as_str()),
        line("time zone", facts.time_zone.as_str()),
        line("journal mode", facts.journal_mode.as_str()),
        line("created", facts.created),
        line("last poll", facts.newest_poll),
        line("oldest visit", facts.oldest_visit),
        line("oldest event", facts.oldest_event),
        line("SQLite built in", facts.sqlite.as_str()),
    ]
}

fn line(what: &str, value: impl Into<Cell>) -> Row {
    Row::new(vec![what.into(), value.into()])
}
