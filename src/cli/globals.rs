//! The options that every command has, and the config they name.
//!
//! Guards: one place decides which config a command uses and how its mistakes are reported. Not here: the options of single
//! commands.

use std::path::PathBuf;

use clap::ValueEnum;

use super::exit::{Exit, Failure};
use crate::config::{self, Config, Loaded};

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
pub struct Globals {
    /// The config file; else ./config.toml, then /etc/presenced/config.toml
    #[arg(short, long, global = true, value_name = "FILE", env = "PRESENCED_CONFIG")]
    pub config: Option<PathBuf>,
    /// The shape of the output: table, json, jsonl or csv
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum)]
    pub output: Option<OutputFormat>,
    /// No colours (`NO_COLOR` does the same)
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Say less
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show times in this zone (IANA name); default: the config's
    #[arg(long, global = true, value_name = "ZONE", value_parser = crate::config::time_zone)]
    pub tz: Option<chrono_tz::Tz>,
}

/// The config that the command line means. The one place where a command gets it.
pub fn load_config(globals: &Globals) -> anyhow::Result<Config> {
    load_checked(globals).map(|loaded| loaded.config)
}

/// The same with its warnings. What is wrong with it is the failure's text, each problem with its place.
pub fn load_checked(globals: &Globals) -> anyhow::Result<Loaded> {
    let not_found = |error: config::NotFound| Failure::new(Exit::Config, error.to_string());
    let path = config::locate(globals.config.as_deref()).map_err(not_found)?;
    config::load(&path).map_err(|refused| {
        Failure { exit: Exit::Config, message: refused.to_string(), complete: true }.into()
    })
}

/// The config for a command that the daemon or the database answers: of a file that is refused, what could be read. The
/// failure is for what cannot be done without a whole config.
pub(super) fn load_readable(globals: &Globals) -> anyhow::Result<(Loaded, Option<Failure>)> {
    let not_found = |error: config::NotFound| Failure::new(Exit::Config, error.to_string());
    let path = config::locate(globals.config.as_deref()).map_err(not_found)?;
    match config::load(&path) {
        Ok(loaded) => Ok((loaded, None)),
        Err(mut refused) => {
            // Where the path itself is what is wrong there is nothing to read.
            let salvaged = refused.salvaged.take().filter(|config| config.history.path.exists());
            let failure = Failure { exit: Exit::Config, message: refused.to_string(), complete: true };
            let Some(config) = salvaged else { return Err(failure.into()) };
            let config::Refused { problems: warnings, sources, .. } = refused;
            Ok((Loaded { config: *config, warnings, sources }, Some(failure)))
        }
    }
}

/// The config file that the control socket's place follows from. Its content may be wrong.
pub(super) fn socket_of(globals: &Globals) -> anyhow::Result<PathBuf> {
    let path = config::locate(globals.config.as_deref())
        .map_err(|error| Failure::new(Exit::Config, error.to_string()))?;
    Ok(path.canonicalize()?)
}

/// `-q` and `-v` as a number.
pub fn log_level(globals: &Globals) -> i8 {
    if globals.quiet { -1 } else { i8::try_from(globals.verbose).unwrap_or(i8::MAX) }
}

/// The shape of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Table,
    /// One JSON document.
    Json,
    /// A JSON object a line.
    Jsonl,
    /// Comma-separated, with a header.
    Csv,
}
