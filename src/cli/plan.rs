//! `presenced plan`: shows what the settings cost, or would have cost on a trace.
//!
//! Guards: makes no call and writes nothing; the figures come from the policy code of the daemon. Not here: the rules
//! (`policy::pace`, `policy::replay`).

use std::path::PathBuf;

use super::{Exit, Failure, Globals, OutputFormat, load_config, number, when};
use crate::clock::{Clock, SystemClock};

mod ahead;
mod explain;
mod input;
mod trace;
mod windows;

/// Options of `plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show the windows of the next N days
    #[arg(long, value_name = "N", default_value_t = 7, allow_negative_numbers = true, value_parser = number::whole(1_u16, Some(366)))]
    pub days: u16,
    /// Replay visits: JSON lines with user, conference, `joined_ms`, `left_ms`
    #[arg(long, value_name = "TRACE.jsonl", conflicts_with_all = ["explain", "days"])]
    pub replay: Option<PathBuf>,
    /// Learn from this much of the trace before counting starts
    #[arg(long, value_name = "TIME", default_value = "28d", requires = "replay", value_parser = when::length)]
    pub warmup: std::time::Duration,
    /// Explain the time of the next poll of one user
    #[arg(long, value_name = "WHO")]
    pub explain: Option<String>,
}

/// Runs the command.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its options by value")]
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let json = match globals.output {
        Some(OutputFormat::Json) => true,
        None | Some(OutputFormat::Table) => false,
        Some(OutputFormat::Jsonl | OutputFormat::Csv) => {
            return Err(Failure::new(Exit::Usage, "`plan` prints text, or JSON with `-o json`").into());
        }
    };
    let config = load_config(globals)?;
    if let Some(path) = &args.replay {
        return trace::run(&config, path, args.warmup, json);
    }
    let (now, zone) = (SystemClock.now(), globals.tz.unwrap_or(config.time_zone));
    if let Some(who) = &args.explain {
        return explain::run(&config, who, now, zone, json);
    }
    let sweeps = input::sweeps(&config, now)?;
    ahead::run(&config, input::plans(&config, now)?, sweeps, args.days, now, zone, json)
}
