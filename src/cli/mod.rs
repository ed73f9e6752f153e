//! The command line: parses arguments, runs a command, and ends with its exit code.
//!
//! Guards: exit codes are those of the documentation; each command has its own file. Not here: the work itself (`app` and
//! the rooms below it).

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

mod arrivals;
pub mod check;
pub mod completions;
pub mod configuration;
mod daemon;
pub mod db;
pub mod demo;
pub mod events;
mod exit;
mod filter;
mod globals;
mod help;
pub mod history;
pub mod init;
pub mod man;
pub mod meeting;
pub mod meetings;
mod new_secret;
pub mod now;
mod number;
mod open_readonly;
pub mod output;
pub mod page;
pub mod plan;
pub mod poll;
mod readable;
pub mod reload;
pub mod report;
pub mod run;
mod runtime;
pub mod simulate;
pub mod status;
mod sweep_status;
pub mod user;
pub mod webhook;
mod when;

pub use exit::{Exit, Failure};
pub use globals::{Globals, OutputFormat, load_checked, load_config, log_level};

/// Watches who is in DingTalk meetings and notifies your systems, within a small monthly API budget
#[derive(Debug, Parser)]
#[command(name = "presenced", version, disable_help_subcommand = true, disable_help_flag = true)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon in the foreground
    Run(run::Args),
    /// Show everything in 30 seconds, without an account: simulator, daemon and receiver
    Demo(demo::Args),
    /// Run the built-in DingTalk simulator alone, for tests
    Simulate(simulate::Args),
    /// Validate the config; reports every problem with file, line and fix
    Check(check::Args),
    /// Show who is in a meeting now
    Now(now::Args),
    /// Show the visits of one user, or of all
    History(history::Args),
    /// Show meetings: title, start, end, number of people
    Meetings(meetings::Args),
    /// Show who was in a meeting, from when to when
    Meeting(meeting::Args),
    /// Show hours in meetings by user and day
    Report(report::Args),
    /// Show recorded events, or follow new ones
    Events(events::Args),
    /// Show the state of the daemon, webhooks and budget on one screen
    Status(status::Args),
    /// Print a link that opens the page in a browser, once, within a minute
    Page(page::Args),
    /// Write the files to start with: config, credentials folder, systemd unit
    Init(init::Args),
    /// Reload the config of the running daemon and print what changed
    Reload(reload::Args),
    /// Show what the settings cost: calls, budget, intervals; or replay a trace
    Plan(plan::Args),
    /// Poll one user now; prints the request, the answer and what changed
    Poll(poll::Args),
    /// Inspect, query, back up, restore and prune the database
    Db(db::Args),
    /// Manage webhooks: state, tests, deliveries, replays, pauses, secrets
    Webhook(webhook::Args),
    /// List watched users; find unionIds in DingTalk's contacts
    User(user::Args),
    /// Show the effective config, explain its keys, print its JSON Schema
    Config(configuration::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Print or write the manual pages
    Man(man::Args),
    /// Print names for completions
    #[command(hide = true)]
    Complete(completions::NamesArgs),
    /// Same as --help
    #[command(hide = true)]
    Help {
        /// A command, and its subcommand if it has one
        #[arg(value_name = "COMMAND")]
        of: Vec<String>,
    },
    /// Same as --version
    #[command(hide = true)]
    Version,
}

/// The command line, with examples in the help.
pub(crate) fn program() -> clap::Command {
    help::with_examples(Cli::command())
}

/// Prints what `--help` or `--version` would print, and exits. An unknown command fails as it does without `help`.
fn run_as_option(of: &[String], option: &str) -> ! {
    let words = ["presenced"].into_iter().chain(of.iter().map(String::as_str)).chain([option]);
    if let Err(shown) = program().try_get_matches_from(words) {
        shown.exit();
    }
    // After `--`, clap takes the option for an argument of the command.
    anstream::eprintln!("{}error:{:#} `help` takes the name of a command", output::ERROR, output::ERROR);
    std::process::exit(Exit::Usage as i32)
}

/// Parses the command line, runs the command, prints its failure and returns its exit code.
pub fn main() -> ExitCode {
    let parsed = program().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let Cli { globals, command } = parsed.unwrap_or_else(|shown| shown.exit());
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
        Command::Meetings(args) => meetings::run(&globals, args),
        Command::Meeting(args) => meeting::run(&globals, args),
        Command::Report(args) => report::run(&globals, args),
        Command::Events(args) => events::run(&globals, args),
        Command::Status(args) => status::run(&globals, args),
        Command::Page(args) => page::run(&globals, args),
        Command::Init(args) => init::run(&globals, args),
        Command::Reload(args) => reload::run(&globals, args),
        Command::Plan(args) => plan::run(&globals, args),
        Command::Poll(args) => poll::run(&globals, args),
        Command::Db(args) => db::run(&globals, args),
        Command::Webhook(args) => webhook::run(&globals, args),
        Command::User(args) => user::run(&globals, args),
        Command::Config(args) => configuration::run(&globals, args),
        Command::Completions(args) => completions::run(&args, &mut program()),
        Command::Complete(args) => completions::names(&globals, args),
        Command::Man(args) => man::run(&globals, &args, program()),
        Command::Help { of } => run_as_option(&of, "--help"),
        Command::Version => run_as_option(&[], "--version"),
    };
    let exit = ended.unwrap_or_else(|error| {
        let failure = error.downcast_ref::<Failure>();
        let text = output::harmless_lines(&format!("{error:#}"));
        if failure.is_some_and(|failure| failure.complete) {
            anstream::eprintln!("{text}");
        } else {
            anstream::eprintln!("{}error:{:#} {text}", output::ERROR, output::ERROR);
        }
        failure.map_or(Exit::Failed, |failure| failure.exit)
    });
    ExitCode::from(exit as u8)
}
