//! `presenced status`: how the daemon is, on one screen.
//!
//! Guards: works with the daemon down, from what is stored, and then ends with 69; nothing is changed. Deliberately not
//! here: single people (`now`), what makes the daemon ready (`telemetry::health`).
#![expect(clippy::format_push_string, reason = "a line on a screen: the extra allocation is nothing")]

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use super::output::{ERROR, GOOD, Printer, WARNING, ago, counted, harmless, write_out};
use super::reading::{Reading, read};
use super::sweeps::{Spending, Standing, standings};
use super::{Exit, Failure, Globals, OutputFormat};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::control::{Request, Response, StatusReport, ask, ask_places};
use crate::policy;
use crate::policy::window::OpenTime;
use crate::store::census::{Queue, weight};
use crate::store::history::{BudgetRow, Counts};
use crate::time::Timestamp;
use crate::web::token;

/// Between two pictures of `--watch`.
const EVERY: Duration = Duration::from_secs(2);
/// Cells before what there is to say.
const HEAD: usize = 10;
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
    /// When this was put together.
    at_ms: i64,
    daemon: Option<StatusReport>,
    config: ConfigFile,
    windows: Windows,
    people: People,
    budget: Vec<Month>,
    sweeps: Vec<Spending>,
    webhooks: Vec<Hook>,
    database: Files,
    #[serde(skip)]
    token: Option<String>,
}

/// The file as it is now; what the daemon goes by may be an older one.
#[derive(Debug, Serialize)]
struct ConfigFile {
    path: String,
    /// Written after the daemon read it.
    changed_since: bool,
    warnings: Vec<String>,
}

/// For whom it is time to be looked at.
#[derive(Debug, Serialize)]
struct Windows {
    people: usize,
    open_for: usize,
    /// When that is different for anybody; `None`: never.
    next_change_ms: Option<i64>,
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
                    format!("{clear}{}", show(&picture, now, &reading.printer))
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
    let mut daemon = match ask(&ask_places(&config.file), &Request::Status).await {
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
    let now = SystemClock.now();
    let loaded_ms = daemon.as_ref().map(|daemon| daemon.loaded_ms);
    let reports = daemon.as_mut().map(|daemon| std::mem::take(&mut daemon.sweeps)).unwrap_or_default();
    let stored = reading.history.sweeps().await?;
    let sweeps = standings(config, &reports, &stored, now).into_iter();
    let sweeps = sweeps.map(|standing| beside(config, standing, &budget, now)).collect();
    let listens = config.http.listen.is_some() && config.http.token.is_none();
    Ok(Picture {
        at_ms: now.as_ms(),
        config: ConfigFile {
            path: config.file.display().to_string(),
            changed_since: loaded_ms.is_some_and(|loaded_ms| is_newer(&config.file, loaded_ms)),
            warnings: reading.warnings.clone(),
        },
        windows: windows(config, now),
        daemon,
        people: People { watched, inside, unknown, last_good_poll_ms: last_ok.map(Timestamp::as_ms) },
        budget,
        sweeps,
        webhooks: hooks(config, reading.history.queues().await?),
        database: Files {
            path: path.display().to_string(),
            main_bytes: sizes.main_bytes,
            wal_bytes: sizes.wal_bytes,
        },
        token: if listens { made_token(path) } else { None },
    })
}

/// Sweeps beside looks.
fn beside(config: &Config, standing: Standing, budget: &[Month], now: Timestamp) -> Spending {
    let org = config.orgs.iter().find(|org| org.name.as_str() == standing.org);
    let month = org.map(|org| policy::quota::Month::of(now, org.month_time_zone).to_string());
    let spent = budget.iter().find(|row| row.org == standing.org && Some(&row.name) == month.as_ref());
    let used = spent.and_then(|row| u64::try_from(row.used).ok());
    Spending::new(standing, used)
}

fn is_newer(file: &Path, than_ms: i64) -> bool {
    std::fs::metadata(file).is_ok_and(|file| file.mtime() * 1000 + file.mtime_nsec() / 1_000_000 > than_ms)
}

fn windows(config: &Config, now: Timestamp) -> Windows {
    // People share their hours, mostly; there are few different ones.
    let mut hours: Vec<(&[String], OpenTime, usize)> = Vec::new();
    for user in &config.users {
        match hours.iter_mut().find(|(groups, ..)| *groups == user.groups) {
            Some((.., people)) => *people += 1,
            None => hours.push((&user.groups, config.open_time(user), 1)),
        }
    }
    let open = hours.iter().filter(|(_, open, _)| open.open_at(now));
    Windows {
        people: config.users.len(),
        open_for: open.map(|(.., people)| people).sum(),
        next_change_ms: hours
            .iter()
            .filter_map(|(_, open, _)| open.next_change(now))
            .min()
            .map(Timestamp::as_ms),
    }
}

/// The listener's token, for who may read its file.
fn made_token(database: &Path) -> Option<String> {
    std::fs::read_to_string(token::path(database.parent()?)).ok().map(|text| text.trim().to_owned())
}

fn month(row: BudgetRow) -> Month {
    let BudgetRow { org, month, used, throttled, call_limit, projected, .. } = row;
    Month { org, name: month, used, limit: call_limit, projected, throttled }
}

/// Those of the config, in its order; one that nothing was ever for is up. Then those that were taken out of it and
/// still have something.
fn hooks(config: &Config, queues: Vec<Queue>) -> Vec<Hook> {
    let mut known: Vec<Hook> = queues.into_iter().map(hook).collect();
    let mut hooks: Vec<Hook> = Vec::new();
    for webhook in &config.webhooks {
        let at = known.iter().position(|known| known.webhook == webhook.name.as_str());
        hooks.push(match at {
            Some(at) => known.remove(at),
            None => Hook {
                webhook: webhook.name.to_string(),
                state: "up".to_owned(),
                reason: None,
                pending: 0,
                dead: 0,
                oldest_ms: None,
            },
        });
    }
    hooks.extend(known.into_iter().filter(|hook| hook.pending > 0 || hook.dead > 0));
    hooks
}

fn hook(queue: Queue) -> Hook {
    let Queue { webhook, state, pending, dead, oldest, reason } = queue;
    Hook { webhook, state, reason, pending, dead, oldest_ms: oldest.map(Timestamp::as_ms) }
}

fn show(picture: &Picture, now: Timestamp, printer: &Printer) -> String {
    let mut text = String::new();
    let mut line = |head: &str, what: String| {
        let wide = printer.width.saturating_sub(HEAD).max(HEAD);
        for (at, part) in folded(&harmless(&what), wide).iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:<HEAD$}{part}", if at == 0 { head } else { "" });
        }
    };
    let since = |ms: i64| ago(now.since(Timestamp::from_ms(ms)));
    daemon(picture.daemon.as_ref(), since, &mut line);
    let ConfigFile { path, changed_since, warnings } = &picture.config;
    line("config", path.clone());
    if let Some(status) = &picture.daemon {
        line("", format!("read {}", since(status.loaded_ms)));
        if *changed_since {
            line("", "CHANGED since then: `presenced reload` puts it in force".to_owned());
        }
        if let Some(refused) = &status.refused {
            line("", format!("REFUSED {}: {}", since(refused.at_ms), refused.why));
        }
        for change in &status.restart_for {
            line("", format!("waits for a restart: {change}"));
        }
    }
    for warning in warnings {
        line("", format!("warning: {warning}"));
    }
    let Windows { people, open_for, next_change_ms } = &picture.windows;
    let hours = match (open_for, next_change_ms) {
        (0, None) => "never open".to_owned(),
        (_, None) => "always open".to_owned(),
        (open, Some(ms)) => {
            let state = match *open {
                0 => "closed".to_owned(),
                open if open == *people => "open".to_owned(),
                open => format!("open for {open} of {people} people"),
            };
            format!("{state} until {}", printer.local(Timestamp::from_ms(*ms)))
        }
    };
    line("windows", hours);
    let People { watched, inside, unknown, last_good_poll_ms } = &picture.people;
    let mut people = format!("{watched} watched, {inside} in a meeting, {unknown} unknown");
    if let Some(ms) = last_good_poll_ms {
        people += &format!("; newest good look {}", since(*ms));
    }
    line("people", people);
    for month in &picture.budget {
        line("budget", spending(month));
    }
    for sweeping in &picture.sweeps {
        line("sweeps", sweeping.line(since));
    }
    for hook in &picture.webhooks {
        line("webhook", delivering(hook, since));
    }
    let Files { path, main_bytes, wal_bytes } = &picture.database;
    line("database", format!("{path}: {} KiB, {} KiB of log", main_bytes / 1024, wal_bytes / 1024));
    if let Some(token) = &picture.token {
        line("token", token.clone());
    }
    text.replace("NOT WELL", &format!("{ERROR}not well{ERROR:#}"))
        .replace("REFUSED", &format!("{WARNING}refused{WARNING:#}"))
        .replace("CHANGED", &format!("{WARNING}changed{WARNING:#}"))
        .replace(" runs, started", &format!(" {GOOD}runs{GOOD:#}, started"))
}

fn daemon(status: Option<&StatusReport>, since: impl Fn(i64) -> String, line: &mut impl FnMut(&str, String)) {
    let Some(status) = status else {
        return line("daemon", "does not answer; this is what is stored".to_owned());
    };
    line("daemon", format!("{} runs, started {}", status.version, since(status.started_ms)));
    line("health", if status.ready { "well".to_owned() } else { "NOT WELL".to_owned() });
    for reason in &status.reasons {
        line("", reason.clone());
    }
}

fn spending(month: &Month) -> String {
    let Month { org, name, used, limit, projected, throttled } = month;
    let mut calls = match limit {
        Some(limit) => format!("{org} {name}: {used} of {limit} calls"),
        None => format!("{org} {name}: {used} calls, no limit"),
    };
    if let Some(projected) = projected {
        calls += &format!("; {projected} by the end of the month");
    }
    if *throttled > 0 {
        calls += &format!("; {throttled} refused for their rate");
    }
    calls
}

fn delivering(hook: &Hook, since: impl Fn(i64) -> String) -> String {
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
        text += &format!(", {}", counted(usize::try_from(*dead).unwrap_or(0), "dead letter", "dead letters"));
    }
    text
}

/// Lines of at most `wide` cells, broken between words; a word that is longer stays whole, so that it can be copied.
pub(super) fn folded(text: &str, wide: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.width() + 1 + word.width() <= wide {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::RefusedConfig;

    fn printer(width: usize) -> Printer {
        let format = OutputFormat::Table;
        Printer { format, time_zone: chrono_tz::Asia::Shanghai, width, quiet: false }
    }

    fn standing(org: &str, state: &str, why: Option<&str>) -> Standing {
        Standing {
            org: org.into(),
            state: state.into(),
            why: why.map(str::to_owned),
            agreed: 4,
            needed: 10,
            ids: Some("userid".into()),
            calls: 44,
            calls_each: Some(2.9),
            last_ms: Some(94_000),
        }
    }

    fn picture(daemon: Option<StatusReport>) -> Picture {
        Picture {
            at_ms: 100_000,
            daemon,
            config: ConfigFile {
                path: "/etc/presenced/config.toml".into(),
                changed_since: true,
                warnings: vec!["config.toml:7: a secret stands in the config as plain text".into()],
            },
            windows: Windows { people: 3, open_for: 2, next_change_ms: Some(3_600_000) },
            people: People { watched: 3, inside: 1, unknown: 0, last_good_poll_ms: Some(95_000) },
            budget: vec![Month {
                org: "default".into(),
                name: "2026-11".into(),
                used: 120,
                limit: Some(5000),
                projected: Some(4300),
                throttled: 0,
            }],
            sweeps: vec![
                Spending::new(standing("default", "trusted", None), Some(120)),
                Spending::new(standing("beta", "learning", Some("the contacts may not be read")), None),
            ],
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
            sweeps: Vec::new(),
        };
        let now = Timestamp::from_ms(100_000);
        let shown = show(&picture(Some(status)), now, &printer(80));
        insta::assert_snapshot!(anstream::adapter::strip_str(&shown).to_string());
    }

    #[test]
    fn no_line_is_wider_than_the_screen_unless_a_word_is() {
        let shown = show(&picture(None), Timestamp::from_ms(100_000), &printer(40));
        let shown = anstream::adapter::strip_str(&shown).to_string();
        let wide: Vec<&str> = shown.lines().filter(|line| line.width() > 40).collect();
        assert!(wide.is_empty(), "{wide:#?}");
        assert_eq!(folded("一二 三四 wordsaredear", 8), ["一二", "三四", "wordsaredear"]);
    }

    #[test]
    fn without_the_daemon_what_is_stored_is_shown() {
        let shown = show(&picture(None), Timestamp::from_ms(100_000), &printer(80));
        assert!(shown.starts_with("daemon    does not answer"), "{shown}");
        assert!(shown.contains("people    3 watched"));
    }
}
