//! `presenced webhook`: how the receivers stand, what became of deliveries, and what the operator may do about it.
//!
//! Guards: what only looks needs no daemon; what acts asks the running one, and says so when there is none. No secret
//! and no URL's path is shown. Deliberately not here: the work (`tasks`), the words of each command (its own file).

use clap::Subcommand;

use super::globals::load_readable;
use super::output::Printer;
use super::poll::exit;
use super::{Exit, Failure, Globals};
use crate::config::{Config, Loaded, Webhook};
use crate::control::webhook::{WebhookRequest, WebhookResponse};
use crate::control::{ControlError, Request, Response, ask, ask_places};

mod change;
mod deliveries;
mod list;
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
    /// How each receiver stands, what waits for it, what was given up
    List,
    /// Send a test event now, and show request, answer and what it means
    Test(Name),
    /// Which webhooks get an event, and why the others do not
    Route(route::Args),
    /// What became of each event at each receiver, the newest
    Deliveries(deliveries::Args),
    /// Send again what was sent, given up or expired
    Replay(replay::Args),
    /// Hold everything back; what is for it waits
    Pause(Name),
    /// End a pause; one that is down is tried at once
    Resume(Name),
    /// Up again whatever it was, and told how everybody stands
    Enable(Name),
    /// Tell it how everybody stands
    Snapshot(Name),
    /// Signing secrets
    Secret(secret::Args),
}

#[derive(Clone, Debug, clap::Args)]
struct Name {
    /// The webhook's name in the config
    #[arg(value_name = "NAME")]
    name: String,
}

/// Runs it.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::List => list::run(globals),
        Command::Test(name) => test::run(globals, &name.name),
        Command::Route(args) => route::run(globals, &args),
        Command::Deliveries(args) => deliveries::run(globals, args),
        Command::Replay(args) => replay::run(globals, args),
        Command::Pause(name) => change::run(globals, name.name, change::Act::Pause),
        Command::Resume(name) => change::run(globals, name.name, change::Act::Resume),
        Command::Enable(name) => change::run(globals, name.name, change::Act::Enable),
        Command::Snapshot(name) => change::run(globals, name.name, change::Act::Snapshot),
        Command::Secret(args) => secret::run(globals, &args),
    }
}

/// What a command that acts works with.
struct Acting {
    config: Config,
    printer: Printer,
}

impl Acting {
    fn new(globals: &Globals) -> anyhow::Result<Self> {
        // The daemon answers, whatever the file is like by now.
        let (Loaded { config, .. }, _) = load_readable(globals)?;
        let printer = Printer::new(globals, config.time_zone);
        Ok(Self { config, printer })
    }

    /// Asks the daemon.
    async fn ask(&self, request: WebhookRequest) -> anyhow::Result<WebhookResponse> {
        match ask(&ask_places(&self.config.file), &Request::Webhook(request)).await {
            Ok(Response::Webhook(done)) => Ok(done),
            Ok(Response::Refused { advice, message }) => Err(Failure::new(exit(advice), message).into()),
            Ok(_) => Err(Failure::new(Exit::Failed, "the daemon answered something else").into()),
            Err(error @ (ControlError::Unreachable { .. } | ControlError::Denied { .. })) => {
                Err(Failure::new(Exit::Unreachable, error.to_string()).into())
            }
            Err(error @ ControlError::Slow) => Err(Failure::new(Exit::TryLater, error.to_string()).into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The webhook of this name in the config.
fn named<'a>(config: &'a Config, name: &str) -> Result<&'a Webhook, Failure> {
    if let Some(webhook) = config.webhooks.iter().find(|webhook| webhook.name.as_str() == name) {
        return Ok(webhook);
    }
    let known: Vec<&str> = config.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
    let there_are = match known.as_slice() {
        [] => "there is no [[webhook]] in the config".to_owned(),
        [one] => format!("there is `{one}`"),
        several => format!("there are `{}`", several.join("`, `")),
    };
    Err(Failure::new(Exit::Nothing, format!("no webhook is called `{name}`: {there_are}")))
}
