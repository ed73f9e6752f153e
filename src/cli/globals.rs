//! The options that every command has, and loading the config that they name.
//!
//! Guards: one place decides which config a command uses and how its problems are reported. Not here: options of single
//! commands.

use std::path::PathBuf;

use clap::ValueEnum;

use super::exit::{Exit, Failure};
use crate::config::{self, Config, Loaded};
use crate::time::Timestamp;

/// Options that every command has.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Config file, else `$PRESENCED_CONFIG` or ./config.toml
    #[arg(short, long, global = true, value_name = "FILE", env = "PRESENCED_CONFIG", hide_env = true)]
    pub config: Option<PathBuf>,
    /// Format: table, json, jsonl or csv
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, hide_possible_values = true)]
    pub output: Option<OutputFormat>,
    /// Begin CSV with a byte order mark, for Excel
    #[arg(long, global = true)]
    pub bom: bool,
    /// Time zone of the times (default: that of the config)
    #[arg(long, global = true, value_name = "ZONE", value_parser = crate::config::time_zone)]
    pub tz: Option<chrono_tz::Tz>,
    /// Print without colours (same as `NO_COLOR`)
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Print less
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print more; repeat for debug output
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Print help
    #[arg(short, long, global = true, action = clap::ArgAction::HelpShort)]
    pub help: Option<bool>,
    /// The time that reading commands take for now, if not the clock's: that of a demo.
    #[arg(skip)]
    pub now: Option<Timestamp>,
}

impl Globals {
    /// Refuses `-o` with a format that the command does not have; `message` says which it has.
    pub(super) fn allow_formats(&self, formats: &[OutputFormat], message: &str) -> Result<(), Failure> {
        match self.output {
            Some(format) if !formats.contains(&format) => Err(Failure::new(Exit::Usage, message)),
            _ => Ok(()),
        }
    }
}

/// Loads the config that the command line names. Every command that needs a valid config gets it here.
pub fn load_config(globals: &Globals) -> anyhow::Result<Config> {
    load_checked(globals).map(|loaded| loaded.config)
}

/// Same as [`load_config`], with the warnings. If the config is invalid, the failure lists every problem with its place.
pub fn load_checked(globals: &Globals) -> anyhow::Result<Loaded> {
    let not_found = |error: config::NotFound| Failure::new(Exit::Config, error.to_string());
    let path = config::locate(globals.config.as_deref()).map_err(not_found)?;
    config::load(&path).map_err(|refused| {
        Failure { exit: Exit::Config, message: refused.to_string(), complete: true }.into()
    })
}

/// `-q` and `-v` as a number.
pub fn log_level(globals: &Globals) -> i8 {
    if globals.quiet { -1 } else { i8::try_from(globals.verbose).unwrap_or(i8::MAX) }
}

/// Format of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Columns, for people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object per line.
    Jsonl,
    /// Comma-separated values with a header.
    Csv,
}
