//! The names of all tables and keys, and what somebody who wrote another one may have meant.
//!
//! Guards: this is the one list; a key that is read without standing here does not pass the tests, nor does one that
//! the example file leaves out. Deliberately not here: what the keys mean.

/// The keys of every table. The first column is the table's path, in which an array of tables counts once.
pub(super) const KEYS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "time_zone",
            "dingtalk",
            "org",
            "poll",
            "window",
            "blackout",
            "group",
            "user",
            "watch",
            "webhook_defaults",
            "webhook",
            "history",
            "privacy",
            "http",
            "log",
        ],
    ),
    (
        "dingtalk",
        &[
            "site",
            "api_base",
            "legacy_base",
            "app",
            "app_key",
            "app_secret",
            "corp_id",
            "suite_ticket",
            "access_token",
            "calls_per_month",
            "month_time_zone",
            "rate",
            "concurrency",
            "timeout",
            "connect_timeout",
            "proxy",
            "ca_file",
        ],
    ),
    (
        "org",
        &[
            "name",
            "site",
            "api_base",
            "legacy_base",
            "app",
            "app_key",
            "app_secret",
            "corp_id",
            "suite_ticket",
            "access_token",
            "calls_per_month",
            "month_time_zone",
            "rate",
            "concurrency",
            "timeout",
            "connect_timeout",
            "proxy",
            "ca_file",
        ],
    ),
    (
        "poll",
        &[
            "interval",
            "cron",
            "min_interval",
            "max_interval",
            "first_poll",
            "leave_after_misses",
            "overtime",
            "sweep",
            "confirm_calls",
            "stale_after",
            "backoff",
        ],
    ),
    ("poll.backoff", &["initial", "max", "factor"]),
    ("window", &["name", "days", "from", "to", "time_zone", "groups"]),
    ("blackout", &["name", "dates"]),
    ("group", &["name", "interval", "cron"]),
    ("user", &["union_id", "name", "org", "groups", "tags", "interval", "cron", "enabled"]),
    ("watch", &["include", "auto_reload"]),
    ("webhook_defaults", WEBHOOK_DEFAULTS),
    (
        "webhook",
        &[
            "name",
            "url",
            "format",
            "secret",
            "events",
            "users",
            "groups",
            "orgs",
            "only_hosts",
            "skip_late",
            "snapshot_on_start",
            "headers",
            "concurrency",
            "rate",
            "timeout",
            "connect_timeout",
            "backoff",
            "attempts",
            "give_up_after",
            "max_age",
            "network",
            "allow_link_local",
            "template",
            "success",
            "batch",
        ],
    ),
    ("webhook.backoff", &["initial", "max", "factor"]),
    ("webhook.success", &["json", "equals"]),
    ("history", &["path", "snapshots", "visits", "events", "backup"]),
    ("history.backup", &["dir", "keep"]),
    ("privacy", &["store_nick"]),
    ("http", &["listen", "token", "metrics_per_user"]),
    ("log", &["level", "format"]),
];

const WEBHOOK_DEFAULTS: &[&str] = &[
    "format",
    "secret",
    "events",
    "users",
    "groups",
    "orgs",
    "only_hosts",
    "skip_late",
    "snapshot_on_start",
    "headers",
    "concurrency",
    "rate",
    "timeout",
    "connect_timeout",
    "backoff",
    "attempts",
    "give_up_after",
    "max_age",
    "network",
    "allow_link_local",
    "template",
    "success",
    "batch",
];

/// The one of `known` that somebody may have meant by `word`.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= 1 + known.chars().count().min(word.chars().count()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The keys of a table, by its path.
pub(super) fn keys_of(path: &str) -> &'static [&'static str] {
    KEYS.iter().find(|(of, _)| *of == path).map_or(&[], |(_, keys)| keys)
}

/// What to do about an unknown key: the nearest one here, else where it is known, else what is known here.
pub(super) fn advice(name: &str, path: &str) -> String {
    let here = keys_of(path);
    if let Some(near) = nearest(name, here.iter().copied()) {
        return format!("did you mean `{near}`?");
    }
    let elsewhere: Vec<String> = KEYS
        .iter()
        .filter(|(of, keys)| !of.is_empty() && keys.contains(&name))
        .map(|(of, _)| match *of {
            "org" | "window" | "blackout" | "group" | "user" | "webhook" => format!("[[{of}]]"),
            of => format!("[{of}]"),
        })
        .collect();
    if !elsewhere.is_empty() {
        return format!("it is a key of {}", elsewhere.join(", "));
    }
    if keys_of("").contains(&name) && !path.is_empty() {
        return "it stands at the top of the file, before the first table".to_owned();
    }
    format!("known here: {}", here.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("intervall", ["interval", "cron"]), Some("interval"));
        assert_eq!(nearest("Mainland", ["mainland", "international"]), Some("mainland"));
        assert_eq!(nearest("union_ids", ["union_id", "name"]), Some("union_id"));
        assert_eq!(nearest("colour", ["interval", "cron"]), None);
    }

    #[test]
    fn advice_names_the_table_a_key_belongs_to() {
        assert_eq!(advice("intervall", "poll"), "did you mean `interval`?");
        assert_eq!(advice("min_interval", "history"), "it is a key of [poll]");
        assert_eq!(advice("colour", "privacy"), "known here: store_nick");
    }

    #[test]
    fn a_webhooks_defaults_are_its_keys_but_name_and_url() {
        let own: Vec<_> = keys_of("webhook").iter().filter(|key| !["name", "url"].contains(*key)).collect();
        assert_eq!(own, WEBHOOK_DEFAULTS.iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_example_shows_every_key() {
        let example = include_str!("../../config.example.toml");
        for (path, keys) in KEYS {
            // From this table's header, commented out or not, to the next one.
            let shown = |header: &str| {
                let rest = example.split_once(&format!("\n{header}\n")).map(|(_, rest)| rest)?;
                Some(rest.split("\n[").next()?.split("\n# [[").next().unwrap_or(""))
            };
            let part = match *path {
                "" => Some(example),
                "org" | "webhook" => continue,
                "webhook.backoff" => shown("[webhook_defaults.backoff]"),
                "webhook.success" => Some("json = \nequals = "),
                path => ["", "# "].iter().find_map(|hash| {
                    shown(&format!("{hash}[{path}]")).or_else(|| shown(&format!("{hash}[[{path}]]")))
                }),
            };
            let part = part.unwrap_or_else(|| panic!("[{path}] is not in the example"));
            for key in *keys {
                let there = part.contains(&format!("{key} = "))
                    || example.contains(&format!("[{key}]"))
                    || example.contains(&format!("{path}.{key}]"));
                assert!(there, "`{key}` of [{path}] is not in the example");
            }
        }
    }
}
