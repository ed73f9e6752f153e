//! Collects what `status` shows: from the running daemon, the config and the database.
//!
//! Guards: reads only; what the daemon does not answer comes from the database. Not here: how it is printed (`screen`).

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

use crate::cli::daemon::ask_running;
use crate::cli::open_readonly::Session;
use crate::cli::sweep_status::{SweepCalls, SweepStatus, sweep_status};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::control::{Request, Response, StatusReport};
use crate::ids::WebhookName;
use crate::policy;
use crate::policy::window::OpenTime;
use crate::store::history::{BudgetRow, Counts, Filter};
use crate::store::stats::{BlockedWebhook, Queue, file_sizes};
use crate::store::{PushMonth, beside};
use crate::time::Timestamp;
use crate::web::token;

/// Rows of the budget table that are read: the newest months of every organisation.
const MONTHS: u32 = 64;

/// Everything that is shown. Its JSON is part of the contract.
#[derive(Debug, Serialize)]
pub(super) struct StatusData {
    /// When it was collected.
    pub(super) at_ms: i64,
    pub(super) daemon: Option<StatusReport>,
    pub(super) config: ConfigFile,
    pub(super) windows: OpenWindows,
    pub(super) people: UserCounts,
    pub(super) budget: Vec<MonthCalls>,
    pub(super) sweeps: Vec<SweepCalls>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) push_messages: Vec<PushMessages>,
    pub(super) webhooks: Vec<WebhookStatus>,
    pub(super) database: DatabaseFiles,
    #[serde(skip)]
    pub(super) token: Option<String>,
}

/// The config file as it is now; the daemon may use an older one.
#[derive(Debug, Serialize)]
pub(super) struct ConfigFile {
    pub(super) path: String,
    /// Written after the daemon read it.
    pub(super) changed_since: bool,
    pub(super) warnings: Vec<String>,
}

/// How many users are polled at this time of day.
#[derive(Debug, Serialize)]
pub(super) struct OpenWindows {
    pub(super) people: usize,
    pub(super) open_for: usize,
    /// When a window opens or closes next; `None`: never.
    pub(super) next_change_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(super) struct UserCounts {
    pub(super) watched: i64,
    pub(super) inside: i64,
    pub(super) unknown: i64,
    pub(super) last_good_poll_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(super) struct MonthCalls {
    pub(super) org: String,
    #[serde(rename = "month")]
    pub(super) name: String,
    pub(super) used: i64,
    pub(super) limit: Option<i64>,
    pub(super) projected: Option<i64>,
    pub(super) throttled: i64,
}

/// Events that DingTalk pushed in the newest month.
#[derive(Debug, Serialize)]
pub(super) struct PushMessages {
    pub(super) org: String,
    #[serde(rename = "month")]
    pub(super) name: String,
    pub(super) messages: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct WebhookStatus {
    pub(super) webhook: String,
    pub(super) state: String,
    /// Name of the reason why deliveries wait.
    pub(super) blocked: Option<&'static str>,
    pub(super) reason: Option<String>,
    pub(super) pending: i64,
    pub(super) dead: i64,
    pub(super) oldest_ms: Option<i64>,
    /// Set while a delivery waits after a failed attempt.
    pub(super) next_attempt_ms: Option<i64>,
    /// Set while the webhook is down.
    pub(super) next_probe_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(super) struct DatabaseFiles {
    pub(super) path: String,
    pub(super) main_bytes: u64,
    pub(super) wal_bytes: u64,
}

pub(super) async fn collect(session: &Session) -> anyhow::Result<StatusData> {
    let config = &session.config;
    // Whatever the reason for no answer, the stored state is shown.
    let mut daemon = match ask_running(std::slice::from_ref(&config.file), &Request::Status).await {
        Ok(Response::Status(status)) => Some(*status),
        Ok(_) | Err(_) => None,
    };
    let Counts { watched, inside, unknown, last_ok, .. } = session.history.counts(&Filter::default()).await?;
    let path = &config.history.path;
    let sizes = file_sizes(path);
    let mut budget: Vec<MonthCalls> = Vec::new();
    for row in session.history.budget(MONTHS).await? {
        if !budget.iter().any(|known| known.org == row.org) {
            budget.push(month(row));
        }
    }
    let now = SystemClock.now();
    let loaded_ms = daemon.as_ref().map(|daemon| daemon.loaded_ms);
    let reports = daemon.as_mut().map(|daemon| std::mem::take(&mut daemon.sweeps)).unwrap_or_default();
    let stored = session.history.sweep_states().await?;
    let sweeps = sweep_status(config, &reports, &stored, now).into_iter();
    let sweeps = sweeps.map(|status| with_polls(config, status, &budget, now)).collect();
    let pushed = session.history.push_months().await?.into_iter();
    let push_messages = pushed.map(|PushMonth { org, month, messages }| PushMessages {
        org,
        name: month,
        messages: usize::try_from(messages).unwrap_or(0),
    });
    let names: Vec<WebhookName> = config.webhooks.iter().map(|webhook| webhook.name.clone()).collect();
    let blocked = session.history.webhooks().blocked(&names, now).await?;
    let listens = config.http.listen.is_some() && config.http.token.is_none();
    Ok(StatusData {
        at_ms: now.as_ms(),
        config: ConfigFile {
            path: config.file.display().to_string(),
            changed_since: loaded_ms.is_some_and(|loaded_ms| is_newer(&config.file, loaded_ms)),
            warnings: session.warnings.clone(),
        },
        windows: windows(config, now),
        daemon,
        people: UserCounts { watched, inside, unknown, last_good_poll_ms: last_ok.map(Timestamp::as_ms) },
        budget,
        sweeps,
        push_messages: push_messages.collect(),
        webhooks: hooks(config, session.history.webhooks().queues().await?, &blocked),
        database: DatabaseFiles {
            path: path.display().to_string(),
            main_bytes: sizes.main_bytes,
            wal_bytes: sizes.wal_bytes,
        },
        token: if listens { made_token(path) } else { None },
    })
}

/// Adds the calls that were left for polls.
fn with_polls(config: &Config, sweeps: SweepStatus, budget: &[MonthCalls], now: Timestamp) -> SweepCalls {
    let org = config.orgs.iter().find(|org| org.name.as_str() == sweeps.org);
    let month = org.map(|org| policy::quota::Month::of(now, org.month_time_zone).to_string());
    let spent = budget.iter().find(|row| row.org == sweeps.org && Some(&row.name) == month.as_ref());
    let used = spent.and_then(|row| u64::try_from(row.used).ok());
    SweepCalls::new(sweeps, used)
}

fn is_newer(file: &Path, than_ms: i64) -> bool {
    std::fs::metadata(file).is_ok_and(|file| file.mtime() * 1000 + file.mtime_nsec() / 1_000_000 > than_ms)
}

fn windows(config: &Config, now: Timestamp) -> OpenWindows {
    // UserCounts share their hours, mostly; there are few different ones.
    let mut hours: Vec<(&[String], OpenTime, usize)> = Vec::new();
    for user in &config.users {
        match hours.iter_mut().find(|(groups, ..)| *groups == user.groups) {
            Some((.., people)) => *people += 1,
            None => hours.push((&user.groups, config.open_time(user), 1)),
        }
    }
    let open = hours.iter().filter(|(_, open, _)| open.open_at(now));
    OpenWindows {
        people: config.users.len(),
        open_for: open.map(|(.., people)| people).sum(),
        next_change_ms: hours
            .iter()
            .filter_map(|(_, open, _)| open.next_change(now))
            .min()
            .map(Timestamp::as_ms),
    }
}

/// The listener's token, if this process may read its file.
fn made_token(database: &Path) -> Option<String> {
    beside::read(&token::path(database.parent()?)).ok().map(|text| text.trim().to_owned())
}

fn month(row: BudgetRow) -> MonthCalls {
    let BudgetRow { org, month, used, throttled, call_limit, projected, .. } = row;
    MonthCalls { org, name: month, used, limit: call_limit, projected, throttled }
}

/// The webhooks of the config in its order (one without deliveries is up), then removed ones that still have deliveries.
fn hooks(config: &Config, queues: Vec<Queue>, blocked: &[BlockedWebhook]) -> Vec<WebhookStatus> {
    let mut known: Vec<WebhookStatus> = queues.into_iter().map(|queue| hook(queue, blocked)).collect();
    let mut hooks: Vec<WebhookStatus> = Vec::new();
    for webhook in &config.webhooks {
        let at = known.iter().position(|known| known.webhook == webhook.name.as_str());
        hooks.push(match at {
            Some(at) => known.remove(at),
            None => WebhookStatus {
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

fn hook(queue: Queue, blocked: &[BlockedWebhook]) -> WebhookStatus {
    let Queue { webhook, state, pending, dead, oldest, reason, next_probe } = queue;
    let (oldest_ms, next_probe_ms) = (oldest.map(Timestamp::as_ms), next_probe.map(Timestamp::as_ms));
    let blocked = blocked.iter().find(|one| one.webhook == webhook);
    let next = blocked.filter(|_| next_probe_ms.is_none()).and_then(|one| one.next);
    WebhookStatus {
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
