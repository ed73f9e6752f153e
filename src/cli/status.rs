//! `presenced status`: how the daemon is, on one screen.
//!
//! Guards: works with the daemon down, from what is stored, and then ends with 69; nothing is changed. Deliberately not
//! here: single people (`now`), what makes the daemon ready (`telemetry::health`).
#![expect(clippy::format_push_string, reason = "a line on a screen: the extra allocation is nothing")]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::output::{ERROR, GOOD, WARNING, ago, counted, harmless, write_out};
use super::reading::{Reading, read};
use super::{Exit, Failure, Globals, OutputFormat};
use crate::clock::{Clock, SystemClock};
use crate::control::{Request, Response, StatusReport, ask, ask_places};
use crate::store::census::{Queue, weight};
use crate::store::history::{BudgetRow, Counts};
use crate::time::Timestamp;
use crate::web::token;

/// Between two pictures of `--watch`.
const EVERY: Duration = Duration::from_secs(2);
/// Months shown: the present one of each organisation, and then some.
const MONTHS: u32 = 64;

/// Options of `status`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Again every 2 seconds, until interrupted
    #[arg(short, long)]
    watch: bool,
}

/// Everything shown. Its JSON is part of the contract.
#[derive(Debug, Serialize)]
struct Picture {
    daemon: Option<StatusReport>,
    people: People,
    budget: Vec<Month>,
    webhooks: Vec<Hook>,
    database: Files,
    #[serde(skip)]
    token: Option<String>,
}

#[derive(Debug, Serialize)]
struct People {
    watched: i64,
    inside: i64,
    unknown: i64,
    last_good_poll_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Month {
    org: String,
    #[serde(rename = "month")]
    name: String,
    used: i64,
    limit: Option<i64>,
    projected: Option<i64>,
    throttled: i64,
}

#[derive(Debug, Serialize)]
struct Hook {
    webhook: String,
    state: String,
    reason: Option<String>,
    pending: i64,
    dead: i64,
    oldest_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Files {
    path: String,
    main_bytes: u64,
    wal_bytes: u64,
}

/// Runs it.
#[expect(clippy::needless_pass_by_value, reason = "every command takes its options by value")]
pub fn run(globals: &Globals, args: Args) -> anyhow::Result<Exit> {
    read(globals, async |reading: &Reading| {
        loop {
            let now = SystemClock.now();
            let picture = take(reading).await?;
            let running = picture.daemon.is_some();
            let text = match globals.output {
                Some(OutputFormat::Json) => serde_json::to_string_pretty(&picture)? + "\n",
                Some(OutputFormat::Jsonl) => serde_json::to_string(&picture)? + "\n",
                Some(OutputFormat::Csv) => {
                    let text = "`status` prints text, or JSON by `-o json`";
                    return Err(Failure::new(Exit::Usage, text).into());
                }
                None | Some(OutputFormat::Table) => {
                    let clear = if args.watch { "\x1b[H\x1b[2J" } else { "" };
                    format!("{clear}{}", show(&picture, now))
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

async fn take(reading: &Reading) -> anyhow::Result<Picture> {
    let config = &reading.config;
    // Whatever keeps it from answering, what is stored is shown all the same.
    let daemon = match ask(&ask_places(&config.file), &Request::Status).await {
        Ok(Response::Status(status)) => Some(*status),
        Ok(_) | Err(_) => None,
    };
    let Counts { watched, inside, unknown, last_ok, .. } = reading.history.counts().await?;
    let path = &config.history.path;
    let sizes = weight(path);
    let mut budget: Vec<Month> = Vec::new();
    for row in reading.history.budget(MONTHS).await? {
        if !budget.iter().any(|known| known.org == row.org) {
            budget.push(month(row));
        }
    }
    let listens = config.http.listen.is_some() && config.http.token.is_none();
    Ok(Picture {
        daemon,
        people: People { watched, inside, unknown, last_good_poll_ms: last_ok.map(Timestamp::as_ms) },
        budget,
        webhooks: reading.history.queues().await?.into_iter().map(hook).collect(),
        database: Files {
            path: path.display().to_string(),
            main_bytes: sizes.main_bytes,
            wal_bytes: sizes.wal_bytes,
        },
        token: if listens { made_token(path) } else { None },
    })
}

/// The listener's token, for who may read its file.
fn made_token(database: &Path) -> Option<String> {
    std::fs::read_to_string(token::path(database.parent()?)).ok().map(|text| text.trim().to_owned())
}

fn month(row: BudgetRow) -> Month {
    let BudgetRow { org, month, used, throttled, call_limit, projected, .. } = row;
    Month { org, name: month, used, limit: call_limit, projected, throttled }
}

fn hook(queue: Queue) -> Hook {
    let Queue { webhook, state, pending, dead, oldest, reason } = queue;
    Hook { webhook, state, reason, pending, dead, oldest_ms: oldest.map(Timestamp::as_ms) }
}

fn show(picture: &Picture, now: Timestamp) -> String {
    let mut text = String::new();
    let mut line = |head: &str, what: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{head:<10}{}", harmless(&what));
    };
    let since = |ms: i64| ago(now.since(Timestamp::from_ms(ms)));
    match &picture.daemon {
        None => line("daemon", "does not answer; this is what is stored".to_owned()),
        Some(status) => {
            let text = format!("{} runs, started {}", status.version, since(status.started_ms));
            line("daemon", text);
            line("config", format!("read {}", since(status.loaded_ms)));
            if let Some(refused) = &status.refused {
                line("", format!("REFUSED {}: {}", since(refused.at_ms), refused.why));
            }
            for change in &status.restart_for {
                line("", format!("waits for a restart: {change}"));
            }
            line("health", if status.ready { "well".to_owned() } else { "NOT WELL".to_owned() });
            for reason in &status.reasons {
                line("", reason.clone());
            }
        }
    }
    let People { watched, inside, unknown, last_good_poll_ms } = &picture.people;
    let mut people = format!("{watched} watched, {inside} in a meeting, {unknown} unknown");
    if let Some(ms) = last_good_poll_ms {
        people += &format!("; newest good look {}", since(*ms));
    }
    line("people", people);
    for month in &picture.budget {
        let Month { org, name: month, used, limit, projected, throttled } = month;
        let of = limit.map_or_else(|| "no limit".to_owned(), |limit| format!("of {limit}"));
        let mut calls = format!("{org} {month}: {used} calls, {of}");
        if let Some(projected) = projected {
            calls += &format!(", {projected} by the end of the month");
        }
        if *throttled > 0 {
            calls += &format!(", {throttled} refused for their rate");
        }
        line("budget", calls);
    }
    for hook in &picture.webhooks {
        let Hook { webhook, state, reason, pending, dead, oldest_ms } = hook;
        let mut text = format!("{webhook} is {state}");
        if let Some(reason) = reason {
            text += &format!(" ({reason})");
        }
        if *pending > 0 {
            text += &format!(", {pending} waiting");
        }
        if let Some(ms) = oldest_ms {
            text += &format!(", the oldest recorded {}", since(*ms));
        }
        if *dead > 0 {
            text +=
                &format!(", {}", counted(usize::try_from(*dead).unwrap_or(0), "dead letter", "dead letters"));
        }
        line("webhook", text);
    }
    let Files { path, main_bytes, wal_bytes } = &picture.database;
    line("database", format!("{path}: {} KiB, {} KiB of log", main_bytes / 1024, wal_bytes / 1024));
    if let Some(token) = &picture.token {
        line("token", token.clone());
    }
    text.replace("NOT WELL", &format!("{ERROR}not well{ERROR:#}"))
        .replace("REFUSED", &format!("{WARNING}refused{WARNING:#}"))
        .replace(" runs, started", &format!(" {GOOD}runs{GOOD:#}, started"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::RefusedConfig;

    fn picture(daemon: Option<StatusReport>) -> Picture {
        Picture {
            daemon,
            people: People { watched: 3, inside: 1, unknown: 0, last_good_poll_ms: Some(95_000) },
            budget: vec![Month {
                org: "default".into(),
                name: "2026-11".into(),
                used: 120,
                limit: Some(5000),
                projected: Some(4300),
                throttled: 0,
            }],
            webhooks: vec![Hook {
                webhook: "crm".into(),
                state: "down".into(),
                reason: None,
                pending: 2,
                dead: 1,
                oldest_ms: Some(40_000),
            }],
            database: Files { path: "/p.db".into(), main_bytes: 4096, wal_bytes: 0 },
            token: None,
        }
    }

    #[test]
    fn one_screen_says_it_all() {
        let status = StatusReport {
            version: "0.1.0".into(),
            started_ms: 40_000,
            loaded_ms: 40_000,
            refused: Some(RefusedConfig { at_ms: 70_000, why: "error: unknown key".into() }),
            restart_for: vec!["~ [http]: listen (needs a restart)".into()],
            ready: false,
            reasons: vec!["token of default: credentials".into()],
        };
        let now = Timestamp::from_ms(100_000);
        let shown = anstream::adapter::strip_str(&show(&picture(Some(status)), now)).to_string();
        for line in [
            "daemon    0.1.0 runs, started ",
            "          refused ",
            "error: unknown key",
            "          waits for a restart: ~ [http]: listen",
            "health    not well",
            "          token of default: credentials",
            "people    3 watched, 1 in a meeting, 0 unknown; newest good look ",
            "budget    default 2026-11: 120 calls, of 5000, 4300 by the end of the month",
            "webhook   crm is down, 2 waiting, the oldest recorded ",
            ", 1 dead letter",
            "database  /p.db: 4 KiB, 0 KiB of log",
        ] {
            assert!(shown.contains(line), "{line}\n{shown}");
        }
    }

    #[test]
    fn without_the_daemon_what_is_stored_is_shown() {
        let shown = show(&picture(None), Timestamp::from_ms(100_000));
        assert!(shown.starts_with("daemon    does not answer"), "{shown}");
        assert!(shown.contains("people    3 watched"));
    }
}
