//! `presenced status`: the state of the daemon and the database, on one screen.
//!
//! Guards: works with the daemon down, from the database, and then ends with 69; changes nothing. Not here: collecting
//! (`data`), the layout of the screen (`screen`), single users (`now`), what makes the daemon ready (`telemetry::health`).

use std::time::Duration;

use super::open_readonly::{Session, open_readonly};
use super::output::{FLAT, flat, write_out};
use super::{Exit, Globals, OutputFormat};
use crate::clock::{Clock, SystemClock};

mod data;
mod screen;

/// Between two screens of `--watch`.
const EVERY: Duration = Duration::from_secs(2);

/// Options of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Refresh every 2 seconds until interrupted
    #[arg(short, long)]
    watch: bool,
    /// Also show the token of the page and the API
    #[arg(long)]
    token: bool,
}

/// Runs the command.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its options by value")]
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    open_readonly(globals, async |session: &Session| {
        loop {
            let now = SystemClock.now();
            let mut status = data::collect(session).await?;
            if !args.token {
                status.token = None;
            }
            let running = status.daemon.is_some();
            let text = match globals.output {
                Some(OutputFormat::Json) => serde_json::to_string_pretty(&status)? + "\n",
                Some(OutputFormat::Jsonl) => serde_json::to_string(&status)? + "\n",
                Some(OutputFormat::Csv) => {
                    session.printer.render(FLAT, &flat(&serde_json::to_value(&status)?))
                }
                None | Some(OutputFormat::Table) => {
                    let clear = if args.watch { "\x1b[H\x1b[2J" } else { "" };
                    format!("{clear}{}", screen::show(&status, now, &session.printer))
                }
            };
            write_out(anstream::stdout(), &text)?;
            if !args.watch {
                return Ok(if running { Exit::Done } else { Exit::Unreachable });
            }
            SystemClock.sleep_until(now.plus(EVERY)).await;
        }
    })
}
