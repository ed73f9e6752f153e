//! `presenced db check | backup | restore | prune | forget`.
//!
//! Guards: with the daemon up, what writes is done by the daemon; what was done is said in figures. Deliberately not
//! here: how it is done (`store`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use crate::app::upkeep::{erase, limits};
use crate::cli::globals::load_readable;
use crate::cli::output::{Cell, Column, Printer, Row};
use crate::cli::reading::{block_on, unfound};
use crate::cli::{Exit, Failure, Globals, load_config};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Loaded};
use crate::control::{Advice, ControlError, Request, Response, ask, ask_places};
use crate::store::forget::Forgotten;
use crate::store::retention::Pruned;
use crate::store::{Store, backup as copies, check as whole, restore as putting};

const TROUBLES: &[Column] = &[Column::new("trouble", "TROUBLE")];
const ROWS: &[Column] = &[Column::new("what", "WHAT"), Column::new("rows", "ROWS")];

pub(super) fn check(globals: &Globals) -> anyhow::Result<Exit> {
    // Only the path is needed.
    let (Loaded { config, .. }, _) = load_readable(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    let troubles = block_on(whole::examine(&config.history.path))??;
    if troubles.is_empty() {
        printer.print_nothing(TROUBLES, &format!("{} is whole.", config.history.path.display()))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Row> = troubles.iter().map(|trouble| Row::new(vec![trouble.as_str().into()])).collect();
    printer.print(TROUBLES, &rows)?;
    let path = config.history.path.display();
    let help = format!(
        "{path} is damaged: put a backup in its place (`presenced db restore FILE`), or save what can be read of it (`sqlite3 {path} .recover`)"
    );
    Err(Failure::new(Exit::Failed, help).into())
}

pub(super) fn backup(globals: &Globals, file: &Path) -> anyhow::Result<Exit> {
    // Only the path is needed.
    let (Loaded { config, .. }, _) = load_readable(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    let copied = block_on(copies::backup(&config.history.path, file))??;
    printer.print(ROWS, &counts(copied.rows.iter()))?;
    printer.remark(&format!("{} is a verified copy of {} bytes.", copied.path.display(), copied.bytes));
    Ok(Exit::Done)
}

pub(super) fn restore(globals: &Globals, file: &Path) -> anyhow::Result<Exit> {
    let config = load_config(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    let restored = block_on(putting::restore(file, &config.history.path, SystemClock.now()))??;
    printer.print(ROWS, &counts(restored.rows.iter()))?;
    let mut said =
        format!("{} is restored; events are from {} now.", config.history.path.display(), restored.source);
    // Writing to a `String` cannot fail.
    if let Some(kept) = restored.kept {
        let _ = write!(said, " What was there is {}: remove it when you do not need it.", kept.display());
    }
    if restored.forgotten > 0 {
        let _ = write!(said, " {} who were forgotten since are not in it.", restored.forgotten);
    }
    printer.remark(&said);
    Ok(Exit::Done)
}

pub(super) fn prune(globals: &Globals) -> anyhow::Result<Exit> {
    let (Loaded { config, .. }, refused) = load_readable(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    let pruned = block_on(async {
        match asked(&config, &Request::Prune).await? {
            Some(Response::Pruned(pruned)) => Ok(pruned),
            Some(_) => Err(anyhow::anyhow!("the daemon answered something else")),
            None => {
                if let Some(refused) = refused {
                    return Err(refused.into());
                }
                // Looked at first, so that there is nothing made where nothing was.
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

pub(super) fn forget(globals: &Globals, who: &str) -> anyhow::Result<Exit> {
    let (Loaded { config, .. }, refused) = load_readable(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    let forgotten = block_on(async {
        match asked(&config, &Request::Forget { who: who.to_owned() }).await? {
            Some(Response::Forgot(forgotten)) => Ok(*forgotten),
            Some(_) => Err(anyhow::anyhow!("the daemon answered something else")),
            None => {
                if let Some(refused) = refused {
                    return Err(refused.into());
                }
                // Looked for first, so that a mistyped name makes no database.
                let store = Store::open_readonly(&config.history.path).await?;
                let found = store.history().find_whole(who).await;
                store.close().await;
                let person = found?.map_err(|error| unfound(&error))?;
                let store = open(&config).await?;
                let forgotten = erase(&store, &config, &person).await;
                store.close().await?;
                Ok(forgotten?)
            }
        }
    })??;
    printer.print(ROWS, &counts(forgotten.rows.iter()))?;
    printer.remark(&told(who, &forgotten));
    Ok(Exit::Done)
}

fn told(who: &str, forgotten: &Forgotten) -> String {
    let mut said = format!(
        "{who} is erased. While the config still names this person nobody is watched for it; take them out of it."
    );
    // Writing to a `String` cannot fail.
    if !forgotten.backups.is_empty() {
        let _ = write!(said, " {} backups were cleaned.", forgotten.backups.len());
    }
    if !forgotten.removed_backups.is_empty() {
        let _ = write!(
            said,
            " {} backups could not be cleaned and were removed.",
            forgotten.removed_backups.len()
        );
    }
    if forgotten.wal_in_use {
        said += " Another program is reading the database: its WAL is emptied when the daemon stops.";
    }
    said
}

/// The running daemon's answer; `None` when none runs.
async fn asked(config: &Config, request: &Request) -> anyhow::Result<Option<Response>> {
    match ask(&ask_places(&config.file), request).await {
        Ok(Response::Refused { advice, message }) => {
            let exit = match advice {
                Advice::Nothing => Exit::Nothing,
                Advice::Usage => Exit::Usage,
                _ => Exit::Failed,
            };
            Err(Failure::new(exit, message).into())
        }
        Ok(response) => Ok(Some(response)),
        Err(ControlError::Unreachable { .. }) => Ok(None),
        Err(error @ ControlError::Denied { .. }) => {
            Err(Failure::new(Exit::Unreachable, error.to_string()).into())
        }
        Err(error @ ControlError::Slow) => Err(Failure::new(Exit::TryLater, error.to_string()).into()),
        Err(error) => Err(error.into()),
    }
}

async fn open(config: &Config) -> anyhow::Result<Store> {
    Ok(Store::open(&config.history.path, config.time_zone, Arc::new(SystemClock)).await?)
}

fn counts<'a, N: Copy + TryInto<i64> + 'a>(rows: impl Iterator<Item = (&'a String, &'a N)>) -> Vec<Row> {
    rows.map(|(table, &count)| {
        let count = count.try_into().map_or(Cell::Nothing, Cell::Number);
        Row::new(vec![table.as_str().into(), count])
    })
    .collect()
}

fn pruned_rows(pruned: Pruned) -> Vec<Row> {
    let Pruned { snapshots, visits, events, gaps, poll_errors, pages } = pruned;
    let lines = [
        ("events", events),
        ("snapshots", snapshots),
        ("visits", visits),
        ("gaps", gaps),
        ("poll_errors", poll_errors),
        ("pages given back", pages),
    ];
    let lines: BTreeMap<String, u64> =
        lines.into_iter().map(|(what, rows)| (what.to_owned(), rows)).collect();
    counts(lines.iter())
}
