//! `presenced simulate`: runs the DingTalk simulator alone, for tests.
//!
//! Guards: the first line of the output is the URL and nothing else, so that a script can read it; an invalid scenario is
//! refused with every problem and its line. Not here: the answers (`simulator`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, Globals, number};
use crate::clock::{Clock as _, ScaledClock, SharedClock, SystemClock};
use crate::simulator::{Running, Scenario, Simulator, api};

/// The simulated API, for the help.
const API_HELP: &str = "\
It answers GET users/lists, orgConferences, videoConferences/{id} and its members, POST videoConferences/query (all
below /v1.0/conference/), the three token calls, and the contacts calls that find people. scenarios/README.md
explains scenarios, with meetings of other organisations (`foreign = true`), options and faults.";

/// Options of `simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = API_HELP)]
pub struct Args {
    /// Listen on this address (port 0: any free port)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8788", value_parser = number::address)]
    listen: SocketAddr,
    /// Play a file, or one of working-day, demo, calls, two-devices, chaos
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
    let running = Simulator::start(args.listen, scenario, clock, CancellationToken::new())
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    anstream::println!("{}", running.base_url());
    if !globals.quiet {
        explain(&running, &title, args.speed);
    }
    end.await;
    let stopped = running.stop();
    // An answer in progress gets two seconds.
    let clock = SystemClock;
    tokio::select! {
        () = stopped => {}
        () = clock.sleep_until(clock.now().plus(Duration::from_secs(2))) => {}
    }
    Ok(Exit::Done)
}

fn explain(running: &Running, title: &str, speed: f64) {
    let base = running.base_url();
    let union_id = running.world().people().first().map_or("u", |person| person.union_id.as_str());
    anstream::println!(
        "plays {title:?} at {speed} times real time; it accepts any app key and secret, unless the scenario names its apps"
    );
    if speed > 1.0 {
        anstream::println!(
            "its clock runs ahead of this machine's, so that a daemon at normal speed sees joins in the future"
        );
    }
    for person in running.world().people().iter().take(10) {
        anstream::println!("  {:<34} {}", person.union_id, person.nick);
    }
    anstream::println!("in the [dingtalk] of a config:");
    for host in ["api_base", "legacy_base"] {
        anstream::println!("  {host} = \"{base}\"");
    }
    anstream::println!("try:");
    anstream::println!(
        "  TOKEN=$(curl -s {base}{} -H 'content-type: application/json' -d '{{\"appKey\":\"k\",\"appSecret\":\"s\"}}' | cut -d'\"' -f4)",
        api::ACCESS_TOKEN
    );
    anstream::println!(
        "  curl -s '{base}{}?unionId={union_id}' -H \"x-acs-dingtalk-access-token: $TOKEN\"",
        api::LISTS
    );
    anstream::println!(
        "  curl -s '{base}{}' -H \"x-acs-dingtalk-access-token: $TOKEN\"    # the organisation's ongoing meetings",
        api::ORG_MEETINGS
    );
    anstream::println!("  curl -s {base}/_simulator/inside    # who is in which meetings; ctrl-c ends it");
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
