//! `presenced status`: how the daemon is, in one picture.
//!
//! Guards: works with the daemon down, from what is stored, and then ends with 69; nothing is changed. Deliberately not
//! here: the picture in lines (`screen`), single people (`now`), what makes the daemon ready (`telemetry::health`).

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::output::write_out;
use super::reading::{Reading, read};
use super::sweeps::{Spending, Standing, standings};
use super::{Exit, Failure, Globals, OutputFormat};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::control::{Request, Response, StatusReport, ask, ask_places};
use crate::ids::WebhookName;
use crate::policy;
use crate::policy::window::OpenTime;
use crate::store::beside;
use crate::store::history::{BudgetRow, Counts};
use crate::store::stats::{BlockedWebhook, Queue, file_sizes};
use crate::time::Timestamp;
use crate::web::token;

mod screen;

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
    /// The word for why some or all of what waits is not sent.
    blocked: Option<&'static str>,
    reason: Option<String>,
    pending: i64,
    dead: i64,
    oldest_ms: Option<i64>,
    /// While something waits after a failed attempt.
    next_attempt_ms: Option<i64>,
    /// While it is down.
    next_probe_ms: Option<i64>,
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
                    format!("{clear}{}", screen::show(&picture, now, &reading.printer))
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
    let sizes = file_sizes(path);
    let mut budget: Vec<Month> = Vec::new();
    for row in reading.history.budget(MONTHS).await? {
        if !budget.iter().any(|known| known.org == row.org) {
            budget.push(month(row));
        }
    }
    let now = SystemClock.now();
    let loaded_ms = daemon.as_ref().map(|daemon| daemon.loaded_ms);
    let reports = daemon.as_mut().map(|daemon| std::mem::take(&mut daemon.sweeps)).unwrap_or_default();
    let stored = reading.history.sweep_states().await?;
    let sweeps = standings(config, &reports, &stored, now).into_iter();
    let sweeps = sweeps.map(|standing| beside(config, standing, &budget, now)).collect();
    let names: Vec<WebhookName> = config.webhooks.iter().map(|webhook| webhook.name.clone()).collect();
    let blocked = reading.history.webhooks().blocked(&names, now).await?;
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
        webhooks: hooks(config, reading.history.webhooks().queues().await?, &blocked),
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
    beside::read(&token::path(database.parent()?)).ok().map(|text| text.trim().to_owned())
}

fn month(row: BudgetRow) -> Month {
    let BudgetRow { org, month, used, throttled, call_limit, projected, .. } = row;
    Month { org, name: month, used, limit: call_limit, projected, throttled }
}

/// Those of the config, in its order; one that nothing was ever for is up. Then those that were taken out of it and
/// still have something.
fn hooks(config: &Config, queues: Vec<Queue>, blocked: &[BlockedWebhook]) -> Vec<Hook> {
    let mut known: Vec<Hook> = queues.into_iter().map(|queue| hook(queue, blocked)).collect();
    let mut hooks: Vec<Hook> = Vec::new();
    for webhook in &config.webhooks {
        let at = known.iter().position(|known| known.webhook == webhook.name.as_str());
        hooks.push(match at {
            Some(at) => known.remove(at),
            None => Hook {
                webhook: webhook.name.to_string(),
                state: "up".to_owned(),
                blocked: None,
                reason: None,
                pending: 0,
                dead: 0,
                oldest_ms: None,
                next_attempt_ms: None,
                next_probe_ms: None,
            },
        });
    }
    hooks.extend(known.into_iter().filter(|hook| hook.pending > 0 || hook.dead > 0));
    hooks
}

fn hook(queue: Queue, blocked: &[BlockedWebhook]) -> Hook {
    let Queue { webhook, state, pending, dead, oldest, reason, next_probe } = queue;
    let (oldest_ms, next_probe_ms) = (oldest.map(Timestamp::as_ms), next_probe.map(Timestamp::as_ms));
    let blocked = blocked.iter().find(|one| one.webhook == webhook);
    let next = blocked.filter(|_| next_probe_ms.is_none()).and_then(|one| one.next);
    Hook {
        webhook,
        state,
        reason: reason.or_else(|| blocked?.why.clone()),
        blocked: blocked.map(|one| one.reason),
        pending,
        dead,
        oldest_ms,
        next_attempt_ms: next.map(Timestamp::as_ms),
        next_probe_ms,
    }
}
