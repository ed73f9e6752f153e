//! The command line: what can be asked, where the answer goes, and with which exit code it ends.
//!
//! Guards: exit codes as documented; one file a command. Deliberately not here: the work itself (`app` and below).

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

pub mod check;
pub mod completions;
pub mod configuration;
pub mod db;
pub mod demo;
pub mod events;
mod exit;
mod globals;
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

pub use exit::{Exit, Failure};
pub use globals::{Globals, OutputFormat, load_checked, load_config, log_level};

/// Know who is in a DingTalk meeting, and tell other systems.
#[derive(Debug, Parser)]
#[command(name = "presenced", version, about, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
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
        Command::Completions(args) => completions::run(&args, &mut Cli::command()),
        Command::Man(args) => man::run(&globals, &args, Cli::command()),
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
