//! The command line: what can be asked, where the answer goes, and with which exit code it ends.
//!
//! Guards: exit codes as documented; one file a command. Deliberately not here: the work itself (`app` and below).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::config::{self, Config, Loaded};

pub mod check;
pub mod completions;
pub mod configuration;
pub mod db;
pub mod demo;
pub mod events;
pub mod history;
pub mod init;
pub mod man;
pub mod now;
mod number;
pub mod output;
pub mod plan;
pub mod poll;
mod reading;
pub mod reload;
pub mod report;
pub mod run;
pub mod simulate;
pub mod status;
mod sweeps;
pub mod user;
pub mod webhook;
mod when;

/// How a command ended, beside 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// `check --strict` found warnings.
    Warnings = 3,
    /// Nothing matched.
    Nothing = 4,
    /// The daemon does not answer.
    Unreachable = 69,
    /// Throttled or the budget is spent.
    TryLater = 75,
    /// DingTalk refused credentials or permission.
    Refused = 77,
    /// The config is invalid.
    Config = 78,
}

/// A failure that knows its exit code. Its text is printed as `error: ...`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// With what code to end.
    pub exit: Exit,
    /// What to say.
    pub message: String,
    /// The text has its own `error:` in front of each problem.
    pub complete: bool,
}

impl Failure {
    /// One with this code and text.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), complete: false }
    }
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

/// Know who is in a DingTalk meeting, and tell other systems.
#[derive(Debug, Parser)]
#[command(name = "presenced", version, about, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

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

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon, in the foreground
    Run(run::Args),
    /// Everything at once, no account needed: a built-in DingTalk, a scripted day, a receiver that verifies
    Demo(demo::Args),
    /// The built-in DingTalk alone, for anybody's tests
    Simulate(simulate::Args),
    /// Check the config: all problems at once, with their places
    Check(check::Args),
    /// Who is in a meeting now
    Now(now::Args),
    /// Somebody's visits
    History(history::Args),
    /// Hours in meetings by person and day
    Report(report::Args),
    /// The events so far
    Events(events::Args),
    /// How the daemon is, on one screen
    Status(status::Args),
    /// The files to begin with: a commented config, a folder for credentials, the unit
    Init(init::Args),
    /// Let the running daemon read its config again; prints what changed
    Reload(reload::Args),
    /// What these settings mean: calls, budget, intervals; or replay a trace
    Plan(plan::Args),
    /// Look at somebody now: request, answer, difference
    Poll(poll::Args),
    /// The database itself: look at it, copy it, erase from it
    Db(db::Args),
    /// Receivers: how they stand, tests, deliveries, replays, pauses, secrets
    Webhook(webhook::Args),
    /// Who is watched; unionIds of others, by DingTalk's contacts
    User(user::Args),
    /// The config: what holds and why, what keys mean, its JSON Schema
    Config(configuration::Args),
    /// Completions for a shell
    Completions(completions::Args),
    /// The manual pages
    Man(man::Args),
    /// The same as --help, for whoever is used to this
    #[command(hide = true)]
    Help {
        /// A command, with the one below it where it has some
        #[arg(value_name = "COMMAND")]
        of: Vec<String>,
    },
    /// The same as --version
    #[command(hide = true)]
    Version,
}

/// Prints what this option would, and ends; a command that there is not ends as one does.
fn instead(of: &[String], option: &str) -> ! {
    let words = ["presenced"].into_iter().chain(of.iter().map(String::as_str)).chain([option]);
    if let Err(said) = Cli::try_parse_from(words) {
        said.exit();
    }
    // After a `--` the option was taken for a word of the command's.
    anstream::eprintln!("{}error:{:#} `help` takes the name of a command", output::ERROR, output::ERROR);
    std::process::exit(Exit::Usage as i32)
}

/// Parses the command line, runs the command, prints its failure, gives its exit code.
pub fn main() -> ExitCode {
    let Cli { globals, command } = Cli::parse();
    if globals.no_color {
        anstream::ColorChoice::Never.write_global();
    }
    let ended = match command {
        Command::Run(args) => run::run(&globals, args),
        Command::Demo(args) => demo::run(&globals, &args),
        Command::Simulate(args) => simulate::run(&globals, args),
        Command::Check(args) => check::run(&globals, args),
        Command::Now(args) => now::run(&globals, args),
        Command::History(args) => history::run(&globals, args),
        Command::Report(args) => report::run(&globals, &args),
        Command::Events(args) => events::run(&globals, args),
        Command::Status(args) => status::run(&globals, args),
        Command::Init(args) => init::run(&globals, args),
        Command::Reload(args) => reload::run(&globals, args),
        Command::Plan(args) => plan::run(&globals, args),
        Command::Poll(args) => poll::run(&globals, args),
        Command::Db(args) => db::run(&globals, args),
        Command::Webhook(args) => webhook::run(&globals, args),
        Command::User(args) => user::run(&globals, args),
        Command::Config(args) => configuration::run(&globals, args),
        Command::Completions(args) => completions::run(&globals, args),
        Command::Man(args) => man::run(&globals, &args),
        Command::Help { of } => instead(&of, "--help"),
        Command::Version => instead(&[], "--version"),
    };
    let exit = ended.unwrap_or_else(|error| {
        let failure = error.downcast_ref::<Failure>();
        let told = output::harmless_lines(&format!("{error:#}"));
        if failure.is_some_and(|failure| failure.complete) {
            anstream::eprintln!("{told}");
        } else {
            anstream::eprintln!("{}error:{:#} {told}", output::ERROR, output::ERROR);
        }
        failure.map_or(Exit::Failed, |failure| failure.exit)
    });
    ExitCode::from(exit as u8)
}
