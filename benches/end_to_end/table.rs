//! The table: a row for each quantity, with what it is compared with, the ratio and the aim.
//!
//! Guards: a ratio is the median of paired ratios, each of two runs one after the other. Deliberately not here: how
//! one run is measured (`measure`, `records`).

use std::time::Duration;

use crate::measure::{self, Figures, Subject, median};
use crate::records::{self, Job, Paced, Writer};
use crate::{Answers, Effort, Load, machine};

/// After the first polls: what a start leaves to be done is over.
const SETTLE: Duration = Duration::from_secs(2);

/// Measures and prints everything whose name holds `only`, row by row as it comes.
pub(crate) fn print(effort: Effort, only: &str) {
    println!("{}; load before: {}\n", machine::description(), load());
    println!("| what | presenced | beside | ratio | aim |\n|---|---|---|---|---|");
    let saturated =
        Load { users: 10_000, concurrency: 32, rate: None, answers: Answers::Inside, settle: SETTLE };
    let paced = Load { users: 2_000, rate: Some(2_000), ..saturated };
    let changing = Load { users: 2_000, answers: Answers::Changing, ..saturated };
    let mut others = Vec::new();
    let mut wanted = |name: &str, row: &mut dyn FnMut(&str, &mut Vec<f64>)| {
        if name.contains(only) {
            row(name, &mut others);
        }
    };
    wanted("unchanged polls, as fast as answers come", &mut |name, others| {
        pairs(name, &saturated, effort, Aims { pace: ">= 0.75", cpu: "<= 1.5" }, others);
    });
    wanted("unchanged polls, 2,000 a second", &mut |name, others| {
        pairs(name, &paced, effort, Aims { pace: "", cpu: "<= 1.0" }, others);
    });
    wanted("changed polls, each posted", &mut |name, others| {
        pairs(name, &changing, effort, Aims { pace: "", cpu: "" }, others);
    });
    for in_flight in [256, 16] {
        wanted(&format!("recordings, {in_flight} ready at a time"), &mut |name, _| {
            recordings(name, in_flight, Writer::Store, effort);
        });
    }
    wanted("recordings with a visit, 256 ready at a time", &mut |name, _| {
        recordings(name, 256, Writer::StoreWithVisit, effort);
    });
    wanted("memory, 100,000 people", &mut |name, _| memory(name, effort));
    wanted("idle, 1,000 people, 20 calls a second", &mut |name, _| idle(name));
    if !others.is_empty() {
        let most = others.iter().copied().fold(0.0, f64::max);
        println!(
            "\nOther processes used {:.2} cores in the middle run with polls, {most:.2} in the worst; load after: {}",
            median(others.iter().copied()),
            load()
        );
    }
}

#[derive(Clone, Copy)]
struct Aims {
    pace: &'static str,
    cpu: &'static str,
}

/// Bare and daemon in turn; a row for each quantity: medians, and the median of the paired ratios.
fn pairs(what: &str, load: &Load, effort: Effort, aims: Aims, others: &mut Vec<f64>) {
    let (mut bare, mut daemon) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let measured = measure::run(Subject::Bare, load, effort.window).and_then(|figures| {
            bare.push(figures);
            daemon.push(measure::run(Subject::Daemon, load, effort.window)?);
            Ok(())
        });
        if let Err(error) = measured {
            return not_measured(what, &error);
        }
    }
    others.extend(bare.iter().chain(&daemon).map(Figures::others_cores));
    let row = |unit: &str, of: fn(&Figures) -> f64, aim: &str| {
        compare(
            &format!("{what}: {unit}"),
            daemon.iter().map(of).collect(),
            bare.iter().map(of).collect(),
            aim,
        );
    };
    row("polls/s", Figures::polls_per_second, aims.pace);
    row("CPU us a poll", Figures::cpu_us_per_poll, aims.cpu);
    if load.answers == Answers::Changing {
        row("posts/s", Figures::posts_per_second, "");
        row("CPU us a post", Figures::cpu_us_per_post, "<= 2.0");
    }
    row("RSS MB", |figures| figures.rss_bytes / 1e6, "");
}

/// Bare statements and the store in turn.
fn recordings(what: &str, in_flight: usize, writer: Writer, effort: Effort) {
    let (mut bare, mut store) = (Vec::new(), Vec::new());
    let window = effort.window;
    for _ in 0..effort.rounds {
        let measured = records::measure(Job { writer: Writer::Bare, in_flight, window }).and_then(|paced| {
            bare.push(paced);
            store.push(records::measure(Job { writer, in_flight, window })?);
            Ok(())
        });
        if let Err(error) = measured {
            return not_measured(what, &error);
        }
    }
    let least = if in_flight == 256 { "24,000/s" } else { "10,000/s" };
    let row = |unit: &str, of: fn(&Paced) -> f64, aim: &str| {
        compare(
            &format!("{what}: {unit}"),
            store.iter().map(of).collect(),
            bare.iter().map(of).collect(),
            aim,
        );
    };
    // With a visit the store writes more than the statements beside it do, so there the ratio has no aim.
    let same_rows = writer == Writer::Store;
    row(
        "a second",
        |paced| paced.a_second,
        &if same_rows { format!(">= 0.8, >= {least}") } else { String::new() },
    );
    row("CPU us each", |paced| paced.cpu_us, if same_rows { "<= 1.3" } else { "" });
}

/// Resident memory with many people less that with one, all of them polled once.
fn memory(what: &str, effort: Effort) {
    let one =
        Load { users: 1, concurrency: 32, rate: Some(1), answers: Answers::OneInFiveInside, settle: SETTLE };
    let many = Load { users: 100_000, rate: Some(2_000), ..one };
    let measured = measure::run(Subject::Daemon, &one, effort.window).and_then(|base| {
        let full = measure::run(Subject::Daemon, &many, effort.window)?;
        Ok((base.rss_bytes, full.rss_bytes))
    });
    match measured {
        Ok((base, full)) => {
            println!("| {what}: RSS MB, beside 1 person | {:.1} | {:.1} | | |", full / 1e6, base / 1e6);
            let each = (full - base) / (many.users - one.users) as f64;
            println!("| {what}: bytes a person | {each:.0} | | | <= 300 |");
        }
        Err(error) => not_measured(what, &error),
    }
}

/// CPU and memory of a daemon with little to do, beside a bare loop and beside the official SDK in a script.
fn idle(what: &str) {
    let answers = Answers::OneInFiveInside;
    let load = Load { users: 1_000, concurrency: 4, rate: Some(20), answers, settle: SETTLE };
    // One whole interval: everybody is looked at once, wherever their turns fall in it.
    let window = Duration::from_secs(50);
    // A daemon looks at everybody soon after its start, and finds everybody's turn within one and a half intervals.
    let from_start = Load { settle: window * 3 / 2, ..load };
    let daemon = match measure::run(Subject::Daemon, &from_start, window) {
        Ok(daemon) => daemon,
        Err(error) => return not_measured(what, &error),
    };
    for (beside, subject) in [("bare loop", Subject::Bare), ("SDK in a script", Subject::Script)] {
        match measure::run(subject, &load, window) {
            Ok(other) => beside_idle(&format!("{what}, beside a {beside}"), &daemon, &other),
            Err(error) => not_measured(&format!("{what}, beside a {beside}"), &error),
        }
    }
}

fn beside_idle(what: &str, daemon: &Figures, other: &Figures) {
    let row = |unit: &str, of: &dyn Fn(&Figures) -> f64, aim: &str| {
        compare(&format!("{what}: {unit}"), vec![of(daemon)], vec![of(other)], aim);
    };
    row("polls/s", &Figures::polls_per_second, "");
    row("CPU us a poll", &Figures::cpu_us_per_poll, "");
    row("% of a core", &|figures| 100.0 * figures.cpu_seconds / figures.wall_seconds, "<= 1 %");
    row("RSS MB", &|figures| figures.rss_bytes / 1e6, "<= 25 MB");
}

/// One row: medians, and the median of the ratios of neighbours.
fn compare(what: &str, ours: Vec<f64>, theirs: Vec<f64>, aim: &str) {
    let ratio = median(ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs));
    let (ours, theirs) = (median(ours.into_iter()), median(theirs.into_iter()));
    println!("| {what} | {} | {} | {ratio:.2} | {aim} |", short(ours), short(theirs));
}

/// Three significant digits.
fn short(value: f64) -> String {
    let decimals = if value >= 100.0 { 0 } else { usize::from(value < 10.0) + 1 };
    format!("{value:.decimals$}")
}

fn not_measured(what: &str, error: &anyhow::Error) {
    println!("| {what} | not measured: {} | | | |", one_line(error));
}

/// An error with its causes, without line breaks.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many processes want a core, over the last minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}
