//! `presenced webhook`: shows the state and the deliveries of webhooks, and controls them.
//!
//! Guards: commands that read need no daemon; commands that act need the running daemon, and say so if there is none. Shows
//! no secret and no path of a URL. Not here: the work (`tasks`), each command (its own file).

use clap::Subcommand;

use super::{Exit, Globals};

mod change;
mod client;
mod deliveries;
mod list;
mod render;
mod replay;
mod route;
mod secret;
mod test;

/// Options of `webhook`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the state of each webhook, its queue and its dead letters
    List,
    /// Send a test event now, or show what an event would look like
    Test(render::Args),
    /// Show which webhooks get an event, and why others do not
    Route(route::Args),
    /// Show deliveries and their results, newest first
    Deliveries(deliveries::Args),
    /// Send delivered, dead or expired events again
    Replay(replay::Args),
    /// Pause deliveries; events queue until `resume`
    Pause(Name),
    /// Resume deliveries; a webhook that is down is retried at once
    Resume(Name),
    /// Re-enable a webhook and send it a snapshot
    Enable(Name),
    /// Send a webhook the current presence of all users
    Snapshot(Name),
    /// Create signing secrets
    Secret(secret::Args),
}

#[derive(Clone, Debug, clap::Args)]
struct Name {
    /// Name of the webhook in the config
    #[arg(value_name = "NAME")]
    name: String,
}

/// Runs the command.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::List => list::run(globals),
        Command::Test(args) if args.dry_run => render::run(globals, &args),
        Command::Test(args) => test::run(globals, &args.name),
        Command::Route(args) => route::run(globals, &args),
        Command::Deliveries(args) => deliveries::run(globals, args),
        Command::Replay(args) => replay::run(globals, args),
        Command::Pause(name) => change::run(globals, name.name, change::Action::Pause),
        Command::Resume(name) => change::run(globals, name.name, change::Action::Resume),
        Command::Enable(name) => change::run(globals, name.name, change::Action::Enable),
        Command::Snapshot(name) => change::run(globals, name.name, change::Action::Snapshot),
        Command::Secret(args) => secret::run(globals, &args),
    }
}
