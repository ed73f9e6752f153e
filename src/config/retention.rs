//! Reads `[history]`, `[privacy]`, `[http]` and `[log]`.
//!
//! Guards: data about users is served to other machines only with a configured token. Not here: the database, the listener
//! and the log.

use std::path::Path;
use std::time::Duration;

use super::credentials::{Context, Purpose};
use super::keys::nearest;
use super::problem::Problem;
use super::section::{RawValue, Section, ValueError};
use super::{History, Http, Log, LogFormat, Titles, address, value};

const FORMATS: &[(&str, LogFormat)] = &[
    ("auto", LogFormat::Auto),
    ("text", LogFormat::Text),
    ("json", LogFormat::Json),
    ("journald", LogFormat::Journald),
];
const TITLES: &[(&str, Titles)] =
    &[("local", Titles::Local), ("events", Titles::Events), ("off", Titles::Off)];
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

const fn days(count: u64) -> Duration {
    Duration::from_hours(24 * count)
}

/// `[history]`.
pub(super) fn history(section: Option<&Section<'_>>, folder: &Path) -> History {
    let mut history = History {
        path: "/var/lib/presenced/presence.db".into(),
        snapshots: Some(days(90)),
        visits: Some(days(365)),
        events: Some(days(30)),
        backup_dir: None,
        backup_keep: 7,
        before_migration: true,
    };
    let Some(section) = section else { return history };
    if let Some(path) = section.take("path", value::some_text) {
        history.path = folder.join(path.value);
    }
    let forever = || value::or_word("forever");
    history.snapshots = section.take_or("snapshots", history.snapshots, forever());
    history.visits = section.take_or("visits", history.visits, forever());
    history.events = section.take_or("events", history.events, forever());
    if let Some(backup) = section.table("backup", "history.backup") {
        let dir = backup.take_or("dir", String::new(), value::text);
        history.backup_dir = (!dir.is_empty()).then(|| folder.join(dir));
        history.backup_keep = backup.take_or("keep", history.backup_keep, value::number(1));
        history.before_migration = backup.take_or("before_migration", history.before_migration, value::flag);
    }
    history
}

/// `[privacy]`: `store_nick`, `titles`, `title_hide`.
pub(super) fn privacy(section: Option<&Section<'_>>) -> (bool, Titles, Vec<String>) {
    let Some(section) = section else { return (true, Titles::Local, Vec::new()) };
    let store_nick = section.take_or("store_nick", true, value::flag);
    let titles = section.take_or("titles", Titles::Local, value::choice(TITLES));
    let hide = section.take_list("title_hide", true, value::some_text);
    let hide = hide.map(|list| list.value.into_iter().map(|pattern| pattern.value).collect());
    (store_nick, titles, hide.unwrap_or_default())
}

/// `[http]`.
pub(super) fn http(section: Option<&Section<'_>>, context: Context<'_>) -> Http {
    let listen = Some(([127, 0, 0, 1], 8787).into());
    let mut http = Http { listen, token: None, hosts: Vec::new(), metrics_per_user: false };
    let Some(section) = section else { return http };
    let listen = section.take_unless("listen", &http.listen, address::listen);
    let token = section.take("token", |raw| context.source(raw));
    if let Some(token) = &token {
        context.examine(token, Purpose::General);
    }
    if let Some(listen) = listen {
        http.listen = listen.value;
        if let Some(address) = listen.value.filter(|address| !address.ip().is_loopback())
            && !section.has("token")
        {
            let message = format!("`listen` in [http] is open to others at {address}, and no `token` is set");
            let problem = Problem::error("open-listener", Some(listen.place), message);
            context.report.push(problem.help("set `token`, or listen on `127.0.0.1`"));
        }
    }
    http.token = token.map(|spot| spot.value);
    let hosts = section.take_list("hosts", true, value::host_name);
    http.hosts =
        hosts.map(|list| list.value.into_iter().map(|host| host.value).collect()).unwrap_or_default();
    http.metrics_per_user = section.take_or("metrics_per_user", false, value::flag);
    http
}

/// `[log]`.
pub(super) fn log(section: Option<&Section<'_>>) -> Log {
    let mut log = Log { level: "info".into(), format: LogFormat::Auto };
    if let Some(section) = section {
        log.level = section.take_or("level", log.level, level);
        log.format = section.take_or("format", log.format, value::choice(FORMATS));
    }
    log
}

/// A level, or several with targets: `info,presenced::dingtalk=debug`.
fn level(raw: RawValue<'_>) -> Result<String, ValueError> {
    let text = value::text(raw)?;
    for part in text.split(',') {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level).trim();
        if !LEVELS.contains(&level.to_lowercase().as_str()) {
            let help = match nearest(level, LEVELS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("one of {}", LEVELS.join(", ")),
            };
            return Err(ValueError::new(format!("`{level}` is not a level"), help));
        }
    }
    Ok(text)
}
