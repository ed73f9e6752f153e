//! `presenced db check`, `backup`, `restore` and `prune`.
//!
//! Guards: while the daemon runs, the daemon does everything that writes; each command prints what it did in numbers. Not
//! here: how it is done (`store`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use crate::app::maintenance::limits;
use crate::cli::daemon::{ask_daemon, unexpected};
use crate::cli::open_readonly::block_on;
use crate::cli::output::{Cell, Column, Printer, Row, counted};
use crate::cli::readable::load_readable;
use crate::cli::{Exit, Failure, Globals, load_config};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Loaded};
use crate::control::{Request, Response};
use crate::store::retention::Pruned;
use crate::store::{Store, backup as copies, check as integrity, restore as restoring};

const PROBLEMS: &[Column] = &[Column::new("trouble", "PROBLEM")];
pub(super) const ROWS: &[Column] = &[Column::new("what", "WHAT"), Column::new("rows", "ROWS")];

pub(super) fn check(globals: &Globals) -> anyhow::Result<Exit> {
    // The config is needed only for the path.
    let (Loaded { config, .. }, _) = load_readable(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    let problems = block_on(integrity::examine(&config.history.path))??;
    if problems.is_empty() {
        printer.print_nothing(PROBLEMS, &format!("{} is intact.", config.history.path.display()))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Row> = problems.iter().map(|problem| Row::new(vec![problem.as_str().into()])).collect();
    printer.print(PROBLEMS, &rows)?;
    let path = config.history.path.display();
    let help = format!(
        "{path} is damaged: restore a backup (`presenced db restore FILE`), or save what can still be read (`sqlite3 {path} .recover`)"
    );
    Err(Failure::new(Exit::Failed, help).into())
}

pub(super) fn backup(globals: &Globals, file: &Path) -> anyhow::Result<Exit> {
    // The config is needed only for the path.
    let (Loaded { config, .. }, _) = load_readable(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    let copied = block_on(copies::backup(&config.history.path, file))??;
    printer.print(ROWS, &counts(copied.rows.iter()))?;
    printer.remark(&format!("Wrote {}, a verified copy of {} bytes.", copied.path.display(), copied.bytes));
    Ok(Exit::Done)
}

pub(super) fn restore(globals: &Globals, file: &Path) -> anyhow::Result<Exit> {
    let config = load_config(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    let restored = block_on(restoring::restore(file, &config.history.path, SystemClock.now()))??;
    printer.print(ROWS, &counts(restored.rows.iter()))?;
    let mut text = format!(
        "Restored {}; the source of new events is {}.",
        config.history.path.display(),
        restored.source
    );
    // Writing to a `String` cannot fail.
    if let Some(kept) = restored.kept {
        let _ =
            write!(text, " The old database is {}; remove it when you no longer need it.", kept.display());
    }
    if restored.forgotten > 0 {
        let people = counted(usize::try_from(restored.forgotten).unwrap_or(usize::MAX), "person", "people");
        let _ = write!(text, " Removed {people} erased since the backup.");
    }
    printer.remark(&text);
    Ok(Exit::Done)
}

pub(super) fn prune(globals: &Globals) -> anyhow::Result<Exit> {
    let (Loaded { config, .. }, refused) = load_readable(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    let pruned = block_on(async {
        match ask_daemon(&config.file, &Request::Prune).await? {
            Some(Response::Pruned(pruned)) => anyhow::Ok(pruned),
            Some(_) => Err(unexpected().into()),
            None => {
                if let Some(refused) = refused {
                    return Err(refused.into());
                }
                // Opened read-only first, so that a missing database is not created.
                Store::open_readonly(&config.history.path).await?.close().await;
                let (store, now) = (open(&config).await?, SystemClock.now());
                let pruned = store.maintenance().prune(limits(&config), now).await;
                store.close().await?;
                Ok(pruned?)
            }
        }
    })??;
    printer.print(ROWS, &pruned_rows(pruned))?;
    Ok(Exit::Done)
}

pub(super) async fn open(config: &Config) -> anyhow::Result<Store> {
    Ok(Store::open(&config.history.path, config.time_zone, Arc::new(SystemClock)).await?)
}

pub(super) fn counts<'a, N: Copy + TryInto<i64> + 'a>(
    rows: impl Iterator<Item = (&'a String, &'a N)>,
) -> Vec<Row> {
    rows.map(|(table, &count)| {
        let count = count.try_into().map_or(Cell::Nothing, Cell::Number);
        Row::new(vec![table.as_str().into(), count])
    })
    .collect()
}

fn pruned_rows(pruned: Pruned) -> Vec<Row> {
    let Pruned { snapshots, visits, meetings, events, gaps, poll_errors, pages } = pruned;
    let lines = [
        ("events", events),
        ("snapshots", snapshots),
        ("visits", visits),
        ("meetings", meetings),
        ("gaps", gaps),
        ("poll_errors", poll_errors),
        ("free pages returned", pages),
    ];
    let lines: BTreeMap<String, u64> =
        lines.into_iter().map(|(what, rows)| (what.to_owned(), rows)).collect();
    counts(lines.iter())
}
