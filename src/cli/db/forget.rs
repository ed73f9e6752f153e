//! `presenced db forget`: shows what is stored about a user, asks, and erases it.
//!
//! Guards: nothing is erased without a yes or `--yes`; while the daemon runs, the daemon erases. Not here: erasing
//! (`store::forget`).

use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

use super::maintenance::{ROWS, counts, open};
use crate::app::maintenance::erase;
use crate::cli::daemon::{ask_daemon, unexpected};
use crate::cli::open_readonly::{block_on, unfound};
use crate::cli::output::{Printer, counted, harmless};
use crate::cli::readable::load_readable;
use crate::cli::{Exit, Failure, Globals};
use crate::config::{Config, Loaded};
use crate::control::{Request, Response};
use crate::store::Store;
use crate::store::forget::Forgotten;
use crate::store::history::{EventQuery, Filter, MAX_ROWS, Person, VisitQuery, WhoError};

pub(super) fn run(globals: &Globals, who: &str, yes: bool) -> anyhow::Result<Exit> {
    let (Loaded { config, .. }, refused) = load_readable(globals)?;
    let printer = Printer::new(globals, config.time_zone);
    let (person, preview) = block_on(preview(&config, who))??;
    if !yes {
        printer.remark(&preview);
        confirm()?;
    }
    let forgotten = block_on(async {
        match ask_daemon(&config.file, &Request::Forget { who: who.to_owned() }).await? {
            Some(Response::Forgot(forgotten)) => anyhow::Ok(*forgotten),
            Some(_) => Err(unexpected().into()),
            None => {
                if let Some(refused) = refused {
                    return Err(refused.into());
                }
                let store = open(&config).await?;
                let forgotten = erase(&store, &config, &person).await;
                store.close().await?;
                Ok(forgotten?)
            }
        }
    })??;
    printer.print(ROWS, &counts(forgotten.rows.iter()))?;
    printer.remark(&erased_text(who, &forgotten));
    Ok(Exit::Done)
}

/// The user, and what is stored. Opened read-only, so that a mistyped name creates no database.
async fn preview(config: &Config, who: &str) -> anyhow::Result<(Person, String)> {
    let store = Store::open_readonly(&config.history.path).await?;
    let history = store.history();
    let read = async {
        let person = match history.find_whole(who).await? {
            Ok(person) => person,
            Err(unfound) => return Ok(Err(unfound)),
        };
        let query = EventQuery {
            after: Some(0),
            people: Some(vec![person.person_id]),
            limit: MAX_ROWS,
            ..EventQuery::default()
        };
        let events = history.events(&query).await?.len();
        let filter = Filter { person_id: Some(person.person_id), ..Filter::default() };
        let query = VisitQuery { filter, limit: MAX_ROWS, ..VisitQuery::default() };
        let visits = history.visits(&query).await?.len();
        Ok::<_, crate::store::StoreError>(Ok((person, visits, events)))
    };
    let found: Result<Result<_, WhoError>, _> = read.await;
    store.close().await;
    let (person, visits, events) = found?.map_err(|error| unfound(&error))?;
    let mut text = format!("{}: ", harmless(who));
    // Writing to a `String` cannot fail.
    let _ = write!(text, "{} and ", at_least(visits, "visit", "visits"));
    let _ = write!(text, "{} are stored. All of it is erased, ", at_least(events, "event", "events"));
    text += "also from managed backups, and cannot be restored.";
    Ok((person, text))
}

fn at_least(count: usize, one: &str, many: &str) -> String {
    let more = if count >= MAX_ROWS as usize { "more than " } else { "" };
    format!("{more}{}", counted(count, one, many))
}

fn confirm() -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::new(Exit::Usage, "nothing was erased: add `--yes` to erase without a question").into()
        );
    }
    anstream::print!("Erase? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "nothing was erased").into()),
    }
}

fn erased_text(who: &str, forgotten: &Forgotten) -> String {
    let mut text = format!(
        "{who} is erased and no longer watched, even while the config still has this user; remove the [[user]] from it."
    );
    // Writing to a `String` cannot fail.
    if !forgotten.backups.is_empty() {
        let _ =
            write!(text, " {} erased from.", counted(forgotten.backups.len(), "backup was", "backups were"));
    }
    if !forgotten.removed_backups.is_empty() {
        let backups = counted(forgotten.removed_backups.len(), "backup", "backups");
        let _ = write!(text, " Deleted {backups} that could not be changed.");
    }
    if forgotten.wal_in_use {
        text +=
            " Another process is reading the database; its WAL still holds old pages until the daemon stops.";
    }
    text
}
