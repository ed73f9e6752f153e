//! `presenced poll`: being built.

use super::{Exit, Failure, Globals};

/// Options of `poll`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_globals: &Globals, _args: Args) -> anyhow::Result<Exit> {
    Err(Failure::new(Exit::Failed, "not built yet").into())
}
