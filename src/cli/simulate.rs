//! `presenced simulate`: runs the DingTalk simulator alone, with a receiver of callbacks, for first steps and tests.
//!
//! Guards: the first line of the output is the URL and nothing else, so that a script can read it; an invalid scenario is
//! refused with every problem and its line. Not here: the answers (`simulator`), the line of a callback (`arrivals`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::arrivals::Arrivals;
use super::output::WARNING;
use super::{Exit, Failure, Globals, number};
use crate::clock::{Clock as _, ScaledClock, SharedClock, SystemClock};
use crate::config;
use crate::simulator::receiver::{DEMO_SECRET, Inbox};
use crate::simulator::{Running, Scenario, Simulator, api};

/// For the help.
const API_HELP: &str = "Scenarios: working-day, demo, calls, two-devices, chaos (scenarios/README.md).";

/// Options of `simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = API_HELP)]
pub struct Args {
    /// Listen on this address (port 0: any free port)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8788", value_parser = number::address)]
    listen: SocketAddr,
    /// Play a file or a scenario
    #[arg(long, value_name = "FILE", default_value = "working-day")]
    scenario: String,
    /// Play at N times real time
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed)]
    speed: f64,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if (0.001..=1e6).contains(&speed) => Ok(speed),
        _ => Err("write a number from 0.001 to 1000000".into()),
    }
}

/// Runs it until SIGINT or SIGTERM.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its options the same way")]
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    let scenario = load(&args.scenario)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(globals, &args, scenario));
    // Connections that a client keeps open do not delay the end.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

fn load(name: &str) -> anyhow::Result<Scenario> {
    if let Some(built_in) = Scenario::built_in(name) {
        return Ok(built_in.map_err(|error| Failure::new(Exit::Config, error.to_string()))?);
    }
    let text = std::fs::read_to_string(name).map_err(|error| {
        let known: Vec<&str> = Scenario::built_in_names().collect();
        let message = format!("{name}: {error} (the built-in scenarios are {})", known.join(", "));
        Failure::new(Exit::Config, message)
    })?;
    Ok(Scenario::parse(&text, name).map_err(|error| Failure::new(Exit::Config, error.to_string()))?)
}

async fn serve(globals: &Globals, args: &Args, scenario: Scenario) -> anyhow::Result<Exit> {
    let clock: SharedClock = if (args.speed - 1.0).abs() < f64::EPSILON {
        Arc::new(SystemClock)
    } else {
        Arc::new(ScaledClock::starting(SystemClock.now(), args.speed))
    };
    // Before the first line is printed, so that a script that has read it can send a signal.
    let end = end_signal()?;
    let title = scenario.title.clone();
    let stop = CancellationToken::new();
    // Callbacks are signed by the real time, whatever the speed.
    let inbox = Inbox::new(&[DEMO_SECRET], Arc::new(SystemClock), stop.clone())?;
    let running = Simulator::start_with(args.listen, scenario, clock, stop, Some(&inbox))
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    anstream::println!("{}", running.base_url());
    if !globals.quiet {
        explain(&running, &title, args.speed);
    }
    tokio::select! {
        () = end => {}
        () = show_callbacks(&inbox, globals.tz.or_else(config::local_time_zone).unwrap_or_default()) => {}
    }
    let stopped = running.stop();
    // An answer in progress gets two seconds.
    let clock = SystemClock;
    tokio::select! {
        () = stopped => {}
        () = clock.sleep_until(clock.now().plus(Duration::from_secs(2))) => {}
    }
    Ok(Exit::Done)
}

/// Prints each callback as it arrives. Does not end.
async fn show_callbacks(inbox: &Inbox, time_zone: chrono_tz::Tz) {
    let (mut arrivals, mut printed) = (inbox.arrivals(), Arrivals::new(time_zone));
    let mut is_first = true;
    while arrivals.changed().await.is_ok() {
        if std::mem::take(&mut is_first) {
            anstream::println!();
            Arrivals::heading();
        }
        printed.print(&inbox.received());
    }
}

fn explain(running: &Running, title: &str, speed: f64) {
    let base = running.base_url();
    let union_id = running.world().people().first().map_or("u", |person| person.union_id.as_str());
    anstream::println!("plays {title:?} at {speed} times real time; ctrl-c ends it");
    for person in running.world().people().iter().take(10) {
        anstream::println!("  {:<34} {}", person.union_id, person.nick);
    }
    anstream::println!("`presenced init --try` writes a config for it; the keys in yours would be");
    for host in ["api_base", "legacy_base"] {
        anstream::println!("  {host} = \"{base}\"");
    }
    if (speed - 1.0).abs() > f64::EPSILON {
        anstream::println!(
            "{WARNING}warning:{WARNING:#} a daemon on the real time sees times that are hours off; without"
        );
        anstream::println!("  --speed they agree, and `presenced demo --speed N` runs both on one clock");
    }
    anstream::println!("callbacks to {base}{} are verified and shown here", api::CALLBACKS);
    let token = "-H \"x-acs-dingtalk-access-token: $TOKEN\"";
    anstream::println!("try:\n  BASE={base}");
    anstream::println!("  TOKEN=$(curl -s $BASE{} \\", api::ACCESS_TOKEN);
    anstream::println!("    -H 'content-type: application/json' \\");
    anstream::println!("    -d '{{\"appKey\":\"k\",\"appSecret\":\"s\"}}' | cut -d'\"' -f4)");
    anstream::println!("  curl -s \"$BASE{}?unionId={union_id}\" \\\n    {token}", api::LISTS);
    anstream::println!("  curl -s $BASE{} {token}", api::ORG_MEETINGS);
    anstream::println!("  curl -s $BASE/_simulator/inside   # who is in which meetings");
}

/// A future that ends at SIGINT or SIGTERM. The signals are caught from now on, not from the first poll of the future.
fn end_signal() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch signals")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
