//! What the pacing rule is worth: made-up calendars of six kinds, replayed under `even`, `auto` and what they are compared with.
//!
//! `cargo bench --bench pacing` prints the ratios over fresh seeds; `-- --seeds N` takes more of them, `-- --sweeps` prints
//! what sweeps are worth, `-- --start` what learning costs at a start and what is kept, `-- --write` writes the shipped
//! traces (`traces/`), their configs and the plot (`docs/pacing.svg`) anew. Deliberately not here: asserting anything.
#![expect(clippy::cast_precision_loss, reason = "counts, minutes and milliseconds here are far below 2^52")]
#![expect(clippy::print_stdout, reason = "a bench prints its table")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use chrono_tz::Tz;
use presenced::policy::pace::{PacedUser, Settings, Visit, conference_key};
use presenced::policy::replay::{Outcome, Policy, ReplayInput, SweepMode};
use presenced::policy::window::{OpenTime, Window};
use presenced::time::Timestamp;

mod generate;
mod start;
mod sweeps;

use generate::{Kind, generate};

const KINDS: [(Kind, &str); 6] = [
    (Kind::Recurring, "recurring"),
    (Kind::AdHoc, "adhoc"),
    (Kind::Shifts, "shifts"),
    (Kind::Mixed, "mixed"),
    (Kind::Crowded, "crowded"),
    (Kind::Rooms, "rooms"),
];
/// People and calls a month.
const SIZES: [(u32, u64); 3] = [(10, 5_000), (30, 5_000), (50, 20_000)];
const WEEKS: i64 = 8;
/// 2026-03-02, a Monday, midnight in Shanghai.
const START_MS: i64 = 1_772_380_800_000;
/// The policies of the table.
const COMPARED: [Policy; 5] =
    [Policy::Even, Policy::Auto, Policy::Histogram, Policy::Never, Policy::Clairvoyant];
/// The traces that are shipped are of this seed.
const SHIPPED: u64 = 1;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = args.iter().position(|arg| arg == "--seeds").and_then(|at| args.get(at + 1)?.parse().ok());
    let seeds: u64 = number.unwrap_or(3);
    let write = args.iter().any(|arg| arg == "--write");
    if args.iter().any(|arg| arg == "--sweeps") {
        sweeps::rows(seeds);
        return;
    }
    if let Some(at) = args.iter().position(|arg| arg == "--start") {
        start::rows(args.get(at + 1).map(String::as_str).filter(|row| row.contains('-')));
        return;
    }
    println!(
        "{:<10} {:>6} {:>6} | {:>8} {:>9} {:>7} {:>9} {:>6} {:>11} {:>6}",
        "kind",
        "people",
        "calls",
        "even, h",
        "auto/even",
        "missed",
        "histogram",
        "never",
        "clairvoyant",
        "calls"
    );
    let mut bars = Vec::new();
    for (kind, name) in KINDS {
        for (people, calls) in SIZES {
            if write {
                ship(
                    name,
                    people,
                    calls,
                    &generate(kind, people, WEEKS, START_MS, SHIPPED * 100 + u64::from(people)),
                );
            }
            let mut sum = [0.0; 7];
            for seed in SHIPPED..=seeds {
                let scene = scene(kind, people, calls, seed * 100 + u64::from(people));
                let outcomes: Vec<Outcome> =
                    COMPARED.iter().filter_map(|policy| scene.run(*policy)).collect();
                let [even, auto, histogram, never, clairvoyant] = &outcomes[..] else { continue };
                let figures = [
                    even.wrong_s / 3600.0,
                    auto.wrong_s / even.wrong_s,
                    count(auto.missed_visits) / count(even.missed_visits.max(1)),
                    histogram.wrong_s / even.wrong_s,
                    never.wrong_s / even.wrong_s,
                    clairvoyant.wrong_s / even.wrong_s,
                    auto.calls as f64 / even.calls as f64,
                ];
                for (total, figure) in sum.iter_mut().zip(figures) {
                    *total += figure / seeds as f64;
                }
            }
            let [even_h, wrong, missed, histogram, never, clairvoyant, spent] = sum;
            println!(
                "{name:<10} {people:>6} {calls:>6} | {even_h:>8.0} {wrong:>9.2} {missed:>7.2} {histogram:>9.2} {never:>6.2} {clairvoyant:>11.2} {spent:>6.2}"
            );
            bars.push((name, people, wrong, histogram));
        }
    }
    if write {
        let plot = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pacing.svg");
        if let Err(error) = std::fs::write(&plot, svg(&bars)) {
            println!("{}: {error}", plot.display());
        }
    }
}

fn scene(kind: Kind, people: u32, calls: u64, seed: u64) -> ReplayInput {
    let visits = generate(kind, people, WEEKS, START_MS, seed).into_iter().map(|visit| Visit {
        user: visit.user,
        conference: conference_key(&visit.conference),
        joined: Timestamp::from_ms(visit.joined_ms),
        left: Some(Timestamp::from_ms(visit.left_ms)),
    });
    let time_zone = Tz::Asia__Shanghai;
    let office = Window {
        days: [true, true, true, true, true, false, false],
        from_minute: 8 * 60 + 30,
        to_minute: 19 * 60 + 30,
        time_zone,
    };
    ReplayInput {
        settings: Settings {
            time_zone,
            min_interval: Duration::from_secs(30),
            max_interval: Duration::from_hours(12),
            open: vec![OpenTime::new(Some(vec![office]), Vec::new())],
        },
        users: (0..people)
            .map(|n| PacedUser { key: u64::from(n.wrapping_mul(2_654_435_761)), open: 0 })
            .collect(),
        calls_per_month: calls,
        month_time_zone: time_zone,
        warmup: Duration::from_hours(24 * 28),
        visits: visits.collect(),
        sweep: SweepMode::Off,
        foreign: BTreeSet::new(),
    }
}

/// Writes a trace, and a config to replay it with.
fn ship(kind: &str, people: u32, calls: u64, visits: &[generate::Visit]) {
    let mut lines = String::new();
    for visit in visits {
        let generate::Visit { user, conference, joined_ms, left_ms } = visit;
        let _ = writeln!(
            lines,
            "{{\"user\":\"u{user:02}\",\"conference\":\"{conference}\",\"joined_ms\":{joined_ms},\"left_ms\":{left_ms}}}"
        );
    }
    let mut config = format!(
        "# For `presenced -c traces/{people}.toml plan --replay traces/recurring-{people}.jsonl`.\n\
         time_zone = \"Asia/Shanghai\"\n\n[dingtalk]\napp = \"token\"\naccess_token = {{ env = \"DINGTALK_TOKEN\" }}\n\
         calls_per_month = {calls}\n\n[[window]]\nname = \"workdays\"\ndays = [\"mon-fri\"]\nfrom = \"08:30\"\nto = \"19:30\"\n"
    );
    for user in 0..people {
        let _ = write!(config, "\n[[user]]\nunion_id = \"u{user:02}\"\n");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(folder.join(format!("{kind}-{people}.jsonl")), lines))
        .and_then(|()| std::fs::write(folder.join(format!("{people}.toml")), config));
    if let Err(error) = written {
        println!("{}: {error}", folder.display());
    }
}

/// Wrong time against even spreading, a bar each.
fn svg(bars: &[(&str, u32, f64, f64)]) -> String {
    let (left, top, height, step) = (60.0, 40.0, 260.0, 56.0);
    let width = left + step * count(bars.len()) + 20.0;
    let y = |ratio: f64| top + height * (1.0 - ratio.min(1.0));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} 380\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"380\" fill=\"#fff\"/>\n\
         <text x=\"{left}\" y=\"20\" font-size=\"13\">Wrong time against even spreading (1.0), same calls; grey: the histogram rule</text>\n"
    );
    for tenth in 0..=5 {
        let ratio = f64::from(tenth) / 5.0;
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{}\" y1=\"{1}\" y2=\"{1}\" stroke=\"#ddd\"/><text x=\"{2}\" y=\"{3}\" text-anchor=\"end\">{ratio:.1}</text>",
            width - 20.0,
            y(ratio),
            left - 6.0,
            y(ratio) + 4.0
        );
    }
    for (index, (name, people, auto, histogram)) in bars.iter().enumerate() {
        let x = left + step * count(index) + 8.0;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"20\" height=\"{}\" fill=\"#2563eb\"/>",
            y(*auto),
            height * auto.min(1.0)
        );
        let _ = writeln!(
            svg,
            "<rect x=\"{}\" y=\"{}\" width=\"14\" height=\"{}\" fill=\"#bbb\"/>",
            x + 22.0,
            y(*histogram),
            height * histogram.min(1.0)
        );
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{auto:.2}</text>",
            x + 10.0,
            y(*auto) - 4.0
        );
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"318\" text-anchor=\"middle\">{name}</text><text x=\"{0}\" y=\"332\" text-anchor=\"middle\">{people}</text>",
            x + 18.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}
