//! `presenced plan`: what these settings mean, and what they would have meant.
//!
//! Guards: DingTalk is not asked and nothing is written; the real policy code answers. Deliberately not here: the rules
//! (`policy::pace`, `policy::replay`).

use std::path::PathBuf;

use super::{Exit, Failure, Globals, OutputFormat, load_config, number, when};
use crate::clock::{Clock, SystemClock};

mod ahead;
mod explain;
mod scene;
mod trace;
mod windows;

/// Options of `plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Windows of so many days ahead
    #[arg(long, value_name = "N", default_value_t = 7, allow_negative_numbers = true, value_parser = number::whole(1_u16, Some(366)))]
    pub days: u16,
    /// Replay visits: one JSON object a line with user, conference, `joined_ms`, `left_ms`
    #[arg(long, value_name = "TRACE.jsonl", conflicts_with_all = ["explain", "days"])]
    pub replay: Option<PathBuf>,
    /// The beginning of the trace that is known before the counting starts
    #[arg(long, value_name = "TIME", default_value = "28d", requires = "replay", value_parser = when::length)]
    pub warmup: std::time::Duration,
    /// Why somebody's next look is when it is
    #[arg(long, value_name = "WHO")]
    pub explain: Option<String>,
}

/// Runs it.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its options by value")]
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let json = match globals.output {
        Some(OutputFormat::Json) => true,
        None | Some(OutputFormat::Table) => false,
        Some(OutputFormat::Jsonl | OutputFormat::Csv) => {
            return Err(Failure::new(Exit::Usage, "`plan` prints text, or JSON by `-o json`").into());
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
    let sweeps = scene::sweeps(&config, now)?;
    ahead::run(&config, scene::plans(&config, now)?, sweeps, args.days, now, zone, json)
}
