//! `presenced webhook secret new`: prints a new signing secret.
//!
//! Guards: stdout has only the secret, so that it can be redirected to a file; stderr explains the rotation. Not here: making
//! it (`new_secret`), storing it.

use anyhow::Context as _;
use clap::Subcommand;

use crate::cli::new_secret::new_secret;
use crate::cli::output::{FAINT, write_out};
use crate::cli::{Exit, Globals, OutputFormat};

const HOW_TO_ROTATE: &str = "\
To rotate without a lost or unverifiable delivery:
1. Write the new secret to its own file (mode 0600), and put it first:
   secret = [{ file = \"new.whsec\" }, { file = \"old.whsec\" }]
2. Run `presenced reload`: each delivery now has two signatures, and either
   secret verifies it.
3. Give the receiver the new secret.
4. Remove the old secret from the list, and run `presenced reload` again.";

/// Options of `webhook secret`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a new signing secret, and how to rotate to it
    New,
}

/// Runs the command.
pub(super) fn run(globals: &Globals, args: &Args) -> anyhow::Result<Exit> {
    let Command::New = args.command;
    let secret = new_secret().context("cannot read /dev/urandom")?;
    let as_data = !matches!(globals.output, None | Some(OutputFormat::Table));
    let text = match globals.output {
        None | Some(OutputFormat::Table) => format!("{secret}\n"),
        Some(OutputFormat::Csv) => format!("secret\n{secret}\n"),
        Some(OutputFormat::Json | OutputFormat::Jsonl) => {
            format!("{}\n", serde_json::json!({ "secret": secret }))
        }
    };
    write_out(std::io::stdout().lock(), &text)?;
    if !globals.quiet && !as_data {
        anstream::eprintln!("{}{HOW_TO_ROTATE}{}", FAINT.render(), FAINT.render_reset());
    }
    Ok(Exit::Done)
}
