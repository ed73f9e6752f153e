//! `presenced db`: the database itself.
//!
//! Guards: what only looks works with the daemon up or down and writes nothing; what acts goes through the daemon while
//! it runs. Deliberately not here: the work (`store`).

use std::path::PathBuf;

use clap::Subcommand;

use super::{Exit, Globals};

mod info;
mod sql;
mod trace;
mod upkeep;

/// Options of `db`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What is in it, how big it is, how old
    Info,
    /// Ask it something, or `@NAME`: a question that is stored in it (none: lists those)
    Sql {
        /// One statement, or the name of a stored one after `@`
        #[arg(value_name = "QUERY|@NAME")]
        query: Option<String>,
    },
    /// Look whether it is whole
    Check,
    /// Make a verified copy, also while the daemon runs
    Backup {
        /// Where to
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Put a copy in its place; the daemon must not run, and what was there is kept beside it
    Restore {
        /// The copy
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Delete now what is older than the config keeps it
    Prune,
    /// Erase one person everywhere, also in stored bodies and managed backups
    Forget {
        /// A whole name or unionId
        #[arg(value_name = "WHO")]
        who: String,
    },
    /// Every visit as a line of JSON, in no other shape: user, conference, `joined_ms`, `left_ms`
    ExportTrace,
}

/// Runs it.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Info => info::run(globals),
        What::Sql { query } => sql::run(globals, query),
        What::Check => upkeep::check(globals),
        What::Backup { file } => upkeep::backup(globals, &file),
        What::Restore { file } => upkeep::restore(globals, &file),
        What::Prune => upkeep::prune(globals),
        What::Forget { who } => upkeep::forget(globals, &who),
        What::ExportTrace => trace::run(globals),
    }
}
