//! `presenced page`: prints a link that signs a browser in.
//!
//! Guards: the link works once, within a minute, so one that lands in a log opens nothing. Not here: the page (`web`).

use super::daemon::{ask_running, unexpected};
use super::open_readonly::block_on;
use super::readable::config_files;
use super::{Exit, Failure, Globals, OutputFormat};
use crate::control::{Request, Response};

/// Options of `page`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(globals: &Globals, _args: Args) -> anyhow::Result<Exit> {
    if globals.output == Some(OutputFormat::Csv) {
        return Err(Failure::new(Exit::Usage, "`page` prints text, or JSON by `-o json`").into());
    }
    let Response::Page { url } = block_on(ask_running(&config_files(globals), &Request::Page))?? else {
        return Err(unexpected().into());
    };
    if matches!(globals.output, Some(OutputFormat::Json | OutputFormat::Jsonl)) {
        anstream::println!("{}", serde_json::json!({ "url": url }));
        return Ok(Exit::Done);
    }
    anstream::println!("{url}");
    if !globals.quiet {
        anstream::eprintln!("Open it within a minute; it works once.");
    }
    Ok(Exit::Done)
}
