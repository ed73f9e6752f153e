//! `presenced webhook secret new`: a fresh signing secret.
//!
//! Guards: it comes from the system's randomness; the standard output holds it alone, for a file; how to change over
//! without a lost or unverifiable delivery stands beside it. Deliberately not here: keeping it anywhere.

use std::io::Read;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;

use crate::cli::output::{FAINT, write_out};
use crate::cli::{Exit, Globals, OutputFormat};

/// Standard Webhooks allows 24 to 64.
const BYTES: usize = 32;

const HOW_TO_ROTATE: &str = "\
To rotate without a lost or unverifiable delivery:
1. Keep it in a file of its own (0600), and put it FIRST in the webhook's list:
   secret = [{ file = \"new.whsec\" }, { file = \"old.whsec\" }]
2. Reload or restart the daemon: each delivery has two signatures now, and either secret verifies it.
3. Give the receiver the new secret.
4. Take the old one out of the list, and reload or restart again.";

/// Options of `webhook secret`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a fresh signing secret, and how to change over to it
    New,
}

/// Runs it.
pub(super) fn run(globals: &Globals, args: &Args) -> anyhow::Result<Exit> {
    let Command::New = args.command;
    let secret = fresh().context("the system's randomness cannot be read")?;
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

fn fresh() -> std::io::Result<String> {
    let mut random = [0; BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(format!("whsec_{}", STANDARD.encode(random)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::{SigningKey, sign, verify};

    #[test]
    fn each_is_new_and_signs() {
        let (one, other) = (fresh().unwrap(), fresh().unwrap());
        assert_ne!(one, other);
        let keys = [SigningKey::parse(&one).unwrap()];
        let signed = sign(&keys, "evt_1", 1, b"{}");
        assert!(verify(&keys, "evt_1", 1, b"{}", &signed));
        assert!(!verify(&[SigningKey::parse(&other).unwrap()], "evt_1", 1, b"{}", &signed));
    }
}
