//! `presenced config`: shows the effective config, explains its keys, prints its JSON Schema.
//!
//! Guards: needs no daemon, no network and no database; shows no secret. Not here: problems of a config (`check`), what
//! its settings cost (`plan`).

use clap::Subcommand;

use super::output::write_out;
use super::{Exit, Globals, OutputFormat};
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
    /// Print the effective config, with included files and defaults, without secrets
    Show {
        /// Show for each value the file and line that set it, or `default`
        #[arg(long)]
        origin: bool,
    },
    /// Explain a key: type, default, unit, example
    Explain {
        /// A key (`poll.interval`) or a table (`history`); default: all
        #[arg(value_name = "KEY")]
        key: Vec<String>,
        /// Print the whole reference as Markdown
        #[arg(long, conflicts_with = "key")]
        markdown: bool,
        /// Print a config file with every key and its default
        #[arg(long, conflicts_with_all = ["key", "markdown"])]
        example: bool,
    },
    /// Print the JSON Schema of the config file, for editors
    Schema,
}

/// Runs the command.
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Show { origin } => show::run(globals, origin),
        What::Explain { markdown: true, .. } => {
            globals.allow_formats(&[], "`config explain --markdown` prints Markdown")?;
            write_out(std::io::stdout().lock(), &reference_page::markdown())?;
            Ok(Exit::Done)
        }
        What::Explain { example: true, .. } => {
            globals.allow_formats(&[], "`config explain --example` prints TOML")?;
            write_out(std::io::stdout().lock(), &reference::example())?;
            Ok(Exit::Done)
        }
        What::Explain { key, .. } => explain::run(globals, &key.join(" ")),
        What::Schema => {
            globals.allow_formats(&[OutputFormat::Json], "`config schema` prints JSON")?;
            let text = serde_json::to_string_pretty(&reference::schema())? + "\n";
            write_out(std::io::stdout().lock(), &text)?;
            Ok(Exit::Done)
        }
    }
}
