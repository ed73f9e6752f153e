//! `presenced page`: prints a link that signs a browser in.
//!
//! Guards: the link works once, within a minute, so one that lands in a log opens nothing. Not here: the page (`web`).

use super::globals::config_path;
use super::open_readonly::block_on;
use super::poll::exit;
use super::{Exit, Failure, Globals, OutputFormat};
use crate::control::{ControlError, Request, Response, ask, ask_places};

/// Options of `page`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(globals: &Globals, _args: Args) -> anyhow::Result<Exit> {
    let file = config_path(globals)?;
    match block_on(ask(&ask_places(&file), &Request::Page))? {
        Ok(Response::Page { url }) => {
            match globals.output {
                None | Some(OutputFormat::Table) => {
                    anstream::println!("{url}");
                    if !globals.quiet {
                        anstream::eprintln!("Open it within a minute; it works once.");
                    }
                }
                Some(OutputFormat::Json | OutputFormat::Jsonl) => {
                    anstream::println!("{}", serde_json::json!({ "url": url }));
                }
                Some(OutputFormat::Csv) => {
                    return Err(Failure::new(Exit::Usage, "`page` prints text, or JSON by `-o json`").into());
                }
            }
            Ok(Exit::Done)
        }
        Ok(Response::Refused { advice, message }) => Err(Failure::new(exit(advice), message).into()),
        Ok(_) => {
            Err(Failure::new(Exit::Failed, "the daemon sent an unexpected answer; is it of another version?")
                .into())
        }
        Err(error @ (ControlError::Unreachable { .. } | ControlError::Denied { .. })) => {
            Err(Failure::new(Exit::Unreachable, error.to_string()).into())
        }
        Err(error @ ControlError::Slow) => Err(Failure::new(Exit::TryLater, error.to_string()).into()),
        Err(error) => Err(error.into()),
    }
}
