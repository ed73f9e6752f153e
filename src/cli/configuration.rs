//! `presenced config`: what holds and why, what keys mean, the file as JSON Schema.
//!
//! Guards: no daemon, no network and no database is needed; no secret is shown. Deliberately not here: what is wrong
//! with a config (`check`), what its settings come to (`plan`).

use clap::Subcommand;

use super::output::write_out;
use super::{Exit, Failure, Globals, OutputFormat};
use crate::config::reference;

mod explain;
mod reference_page;
mod show;

/// Options of `config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The config that holds, after inheritance, included files and defaults; secrets are not shown
    Show {
        /// Say of each value where it stands, or that it is the default
        #[arg(long)]
        origin: bool,
    },
    /// What a key means: type, default, unit, who uses it, an example
    Explain {
        /// `poll.interval`, `interval`, a whole table such as `history`; none: all keys in short
        #[arg(value_name = "KEY")]
        key: Vec<String>,
        /// All of it as a Markdown page
        #[arg(long, conflicts_with = "key")]
        markdown: bool,
    },
    /// The JSON Schema of the file, for editors
    Schema,
}

/// Runs it.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Show { origin } => show::run(globals, origin),
        What::Explain { markdown: true, .. } => {
            only(globals, &[], "`config explain --markdown` prints Markdown")?;
            write_out(std::io::stdout().lock(), &reference_page::markdown())?;
            Ok(Exit::Done)
        }
        What::Explain { key, .. } => explain::run(globals, &key.join(" ")),
        What::Schema => {
            only(globals, &[OutputFormat::Json], "`config schema` prints JSON")?;
            let text = serde_json::to_string_pretty(&reference::schema())? + "\n";
            write_out(std::io::stdout().lock(), &text)?;
            Ok(Exit::Done)
        }
    }
}

/// Refuses a shape that the answer does not have.
fn only(globals: &Globals, shapes: &[OutputFormat], why: &str) -> anyhow::Result<()> {
    match globals.output {
        Some(shape) if !shapes.contains(&shape) => Err(Failure::new(Exit::Usage, why).into()),
        _ => Ok(()),
    }
}
