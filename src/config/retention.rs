//! Reads `[history]`, `[privacy]` and `[log]`.
//!
//! Guards: durations have bounds, levels exist. Not here: the database and the log.

use std::path::Path;
use std::time::Duration;

use toml::de::DeValue;

use super::keys::nearest;
use super::section::{RawValue, Section, ValueError};
use super::{History, Log, LogFormat, Titles, value};

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
    history.snapshots = section.take_or("snapshots", history.snapshots, kept);
    history.visits = section.take_or("visits", history.visits, kept);
    history.events = section.take_or("events", history.events, kept);
    if let Some(backup) = section.table("backup", "history.backup") {
        let dir = backup.take_or("dir", String::new(), value::text);
        history.backup_dir = (!dir.is_empty()).then(|| folder.join(dir));
        history.backup_keep = backup.take_or("keep", history.backup_keep, value::number(1));
        history.before_migration = backup.take_or("before_migration", history.before_migration, value::flag);
    }
    history
}

/// How long something is kept. A bare number most likely means days.
fn kept(raw: RawValue<'_>) -> Result<Option<Duration>, ValueError> {
    if let DeValue::Integer(number) = raw.value {
        let help = format!("write `\"{}d\"` for days", number.as_str());
        return Err(ValueError::new("a duration is a text with its unit", help));
    }
    value::or_word("forever")(raw)
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
