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

/// `[history]`.
pub(super) fn history(section: &Section<'_>, folder: &Path) -> History {
    let backup = section.table("backup", "history.backup");
    let backup_dir = backup.get("dir", value::text);
    History {
        path: folder.join(section.get("path", value::some_text)),
        snapshots: section.get("snapshots", kept),
        visits: section.get("visits", kept),
        events: section.get("events", kept),
        backup_dir: (!backup_dir.is_empty()).then(|| folder.join(backup_dir)),
        backup_keep: backup.get("keep", value::number(1)),
        before_migration: backup.get("before_migration", value::flag),
    }
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
pub(super) fn privacy(section: &Section<'_>) -> (bool, Titles, Vec<String>) {
    let hide = section.list("title_hide", true, value::some_text);
    let store_nick = section.get("store_nick", value::flag);
    let titles = section.get("titles", value::choice(TITLES));
    (store_nick, titles, hide.into_iter().map(|pattern| pattern.value).collect())
}

/// `[log]`.
pub(super) fn log(section: &Section<'_>) -> Log {
    Log { level: section.get("level", level), format: section.get("format", value::choice(FORMATS)) }
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
