//! `presenced db`: commands about the database file.
//!
//! Guards: commands that read work with the daemon up or down and write nothing; commands that write go through the daemon
//! while it runs. Not here: the work (`store`).

use std::path::PathBuf;

use clap::Subcommand;

use super::{Exit, Globals};

mod forget;
mod info;
mod maintenance;
mod sql;
mod trace;

/// Options of `db`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show size, age and number of rows
    Info,
    /// Run a query, or a stored one as `@NAME` (without an argument: list the stored ones)
    Sql {
        /// One SQL statement, or `@` and the name of a stored query
        #[arg(value_name = "QUERY|@NAME")]
        query: Option<String>,
    },
    /// Check the integrity of the database
    Check,
    /// Write a verified copy; works while the daemon runs
    Backup {
        /// File to write
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Replace the database by a backup; stop the daemon first. Keeps the old file
    Restore {
        /// Backup to restore
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Delete everything older than the retention in the config
    Prune,
    /// Erase one user everywhere, also in stored events and managed backups
    Forget {
        /// Full name or unionId of the user
        #[arg(value_name = "WHO")]
        who: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Print every visit as a JSON line: user, conference, `joined_ms`, `left_ms`
    ExportTrace,
}

/// Runs the command.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Info => info::run(globals),
        What::Sql { query } => sql::run(globals, query),
        What::Check => maintenance::check(globals),
        What::Backup { file } => maintenance::backup(globals, &file),
        What::Restore { file } => maintenance::restore(globals, &file),
        What::Prune => maintenance::prune(globals),
        What::Forget { who, yes } => forget::run(globals, &who, yes),
        What::ExportTrace => trace::run(globals),
    }
}
