//! The differences between two configs, and which of them need a restart.
//!
//! Guards: a new field of a table does not compile here until its effect is decided; only names of keys are shown, no
//! values, so no secret. Not here: applying the changes (`app::reload`).

use std::collections::BTreeMap;
use std::fmt;

use super::{Blackout, Config, History, Http, Log, Org, Poll, User, Webhook, Window};

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At once.
    Live,
    /// At the next start.
    Restart,
}

/// What happened to an entry of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// These keys of it are different.
    Changed(Vec<&'static str>),
}

/// One difference between two configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table as in the file: `user`, `webhook`, `[poll]`.
    pub section: &'static str,
    /// Name of the entry.
    pub name: Option<String>,
    /// What happened to it.
    pub kind: Kind,
    /// When it takes effect.
    pub effect: Effect,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            Kind::Added => '+',
            Kind::Removed => '-',
            Kind::Changed(_) => '~',
        };
        write!(f, "{sign} {}", self.section)?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        if let Kind::Changed(keys) = &self.kind {
            write!(f, ": {}", keys.join(", "))?;
        }
        match self.effect {
            Effect::Live => Ok(()),
            Effect::Restart => f.write_str(" (needs a restart)"),
        }
    }
}

/// The keys whose values differ. Every field of the struct is named, so that a new one is decided on.
macro_rules! differing {
    ($Type:ident, $old:expr, $new:expr, [$($field:ident => $key:literal),* $(,)?], [$($other:ident),* $(,)?]) => {{
        let $Type { $($field: _,)* $($other: _,)* } = $old;
        let mut keys: Vec<&'static str> = Vec::new();
        $(if $old.$field != $new.$field { keys.push($key); })*
        keys
    }};
}

/// Everything in which `new` differs from `old`, in the order of the file's sections.
pub fn between(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    // Every field is named, here or there, so that a new one is decided on.
    let Config {
        file: _,
        time_zone,
        language,
        orgs: _,
        poll,
        windows: _,
        blackouts: _,
        users: _,
        webhooks: _,
        history,
        store_nick,
        titles,
        title_hide,
        http,
        log,
        auto_reload,
    } = old;
    let mut section = |name, keys: Vec<&'static str>, effect| {
        if !keys.is_empty() {
            changes.push(Change { section: name, name: None, kind: Kind::Changed(keys), effect });
        }
    };
    let zone = if *time_zone == new.time_zone { vec![] } else { vec!["time_zone"] };
    section("the file", zone, Effect::Restart);
    let language = if *language == new.language { vec![] } else { vec!["language"] };
    section("the file", language, Effect::Live);
    section("[poll]", poll_keys(poll, &new.poll), Effect::Live);
    let privacy = [
        ("store_nick", *store_nick == new.store_nick),
        ("titles", *titles == new.titles),
        ("title_hide", *title_hide == new.title_hide),
    ];
    let privacy = privacy.into_iter().filter(|(_, same)| !same).map(|(key, _)| key).collect();
    section("[privacy]", privacy, Effect::Live);
    section("[history]", history_keys(history, &new.history), Effect::Live);
    let path = differing!(History, history, new.history, [path => "path"],
        [snapshots, visits, events, backup_dir, backup_keep, before_migration]);
    section("[history]", path, Effect::Restart);
    let live = differing!(Http, http, new.http, [token => "token", hosts => "hosts", public_url => "public_url",
        trusted_proxies => "trusted_proxies", access => "access", metrics_per_user => "metrics_per_user"], [listen]);
    section("[http]", live, Effect::Live);
    section(
        "[http]",
        differing!(Http, http, new.http, [listen => "listen"], [token, hosts, public_url, trusted_proxies, access, metrics_per_user]),
        Effect::Restart,
    );
    section("[log]", differing!(Log, log, new.log, [level => "level"], [format]), Effect::Live);
    section("[log]", differing!(Log, log, new.log, [format => "format"], [level]), Effect::Restart);
    let watching = if *auto_reload == new.auto_reload { vec![] } else { vec!["auto_reload"] };
    section("[watch]", watching, Effect::Live);
    entries_between(old, new, &mut changes);
    changes
}

/// Organisations, windows, days off, people and webhooks: what came, went or differs.
fn entries_between(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    let Config { orgs, windows, blackouts, users, webhooks, .. } = old;
    let (key, label) = (|org: &Org| org.name.to_string(), |org: &Org| org.name.to_string());
    entries(changes, &Comparison { section: "org", old: orgs, new: &new.orgs, key, label, keys: org_keys });
    let (key, label) = (|window: &Window| window.name.clone(), |window: &Window| window.name.clone());
    entries(
        changes,
        &Comparison { section: "window", old: windows, new: &new.windows, key, label, keys: window_keys },
    );
    let (key, label) = (|days: &Blackout| days.name.clone(), |days: &Blackout| days.name.clone());
    entries(
        changes,
        &Comparison {
            section: "blackout",
            old: blackouts,
            new: &new.blackouts,
            key,
            label,
            keys: blackout_keys,
        },
    );
    let (key, label) = (|user: &User| user.identity.to_string(), user_label);
    entries(
        changes,
        &Comparison { section: "user", old: users, new: &new.users, key, label, keys: user_keys },
    );
    let (key, label) =
        (|webhook: &Webhook| webhook.name.to_string(), |webhook: &Webhook| webhook.name.to_string());
    entries(
        changes,
        &Comparison { section: "webhook", old: webhooks, new: &new.webhooks, key, label, keys: webhook_keys },
    );
}

/// How entries of one kind are compared.
struct Comparison<'a, T> {
    section: &'static str,
    old: &'a [T],
    new: &'a [T],
    /// By which two entries are the same one.
    key: fn(&T) -> String,
    /// Its name for people.
    label: fn(&T) -> String,
    /// In what two of them differ.
    keys: fn(&T, &T) -> Vec<&'static str>,
}

/// Of several entries with one key (windows may) the last counts.
fn entries<T>(changes: &mut Vec<Change>, comparison: &Comparison<'_, T>) {
    let index = |list: &'_ [T]| -> BTreeMap<String, usize> {
        list.iter().enumerate().map(|(at, entry)| ((comparison.key)(entry), at)).collect()
    };
    let (before, after) = (index(comparison.old), index(comparison.new));
    let mut record = |entry: &T, kind| {
        let name = Some((comparison.label)(entry));
        changes.push(Change { section: comparison.section, name, kind, effect: Effect::Live });
    };
    for (key, &at) in &after {
        let entry = &comparison.new[at];
        match before.get(key) {
            None => record(entry, Kind::Added),
            Some(&known) => {
                let keys = (comparison.keys)(&comparison.old[known], entry);
                if !keys.is_empty() {
                    record(entry, Kind::Changed(keys));
                }
            }
        }
    }
    for (_, &at) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
        record(&comparison.old[at], Kind::Removed);
    }
}

/// With the unionId, because two users may have the same name.
fn user_label(user: &User) -> String {
    let identity = &user.identity;
    if user.name == identity.union_id.as_str() {
        identity.to_string()
    } else {
        format!("{} ({identity})", user.name)
    }
}

fn user_keys(old: &User, new: &User) -> Vec<&'static str> {
    differing!(User, old, new, [name => "name", groups => "groups", tags => "tags", cadence => "interval"], [identity])
}

fn poll_keys(old: &Poll, new: &Poll) -> Vec<&'static str> {
    differing!(
        Poll,
        old,
        new,
        [
            cadence => "interval",
            min_interval => "min_interval",
            max_interval => "max_interval",
            first_poll_silent => "first_poll",
            leave_after_misses => "leave_after_misses",
            overtime => "overtime",
            sweep => "sweep",
            confirm_calls => "confirm_calls",
            stale_after => "stale_after",
            backoff => "backoff",
        ],
        []
    )
}

fn history_keys(old: &History, new: &History) -> Vec<&'static str> {
    differing!(
        History,
        old,
        new,
        [
            snapshots => "snapshots",
            visits => "visits",
            events => "events",
            backup_dir => "backup.dir",
            backup_keep => "backup.keep",
            before_migration => "backup.before_migration",
        ],
        [path]
    )
}

fn window_keys(old: &Window, new: &Window) -> Vec<&'static str> {
    differing!(Window, old, new, [hours => "hours", groups => "groups"], [name])
}

fn blackout_keys(old: &Blackout, new: &Blackout) -> Vec<&'static str> {
    differing!(Blackout, old, new, [dates => "dates"], [name])
}

fn org_keys(old: &Org, new: &Org) -> Vec<&'static str> {
    differing!(
        Org,
        old,
        new,
        [
            api_base => "api_base",
            legacy_base => "legacy_base",
            app => "app",
            calls_per_month => "calls_per_month",
            month_time_zone => "month_time_zone",
            rate => "rate",
            concurrency => "concurrency",
            timeout => "timeout",
            connect_timeout => "connect_timeout",
            proxy => "proxy",
            ca_file => "ca_file",
        ],
        [name]
    )
}

fn webhook_keys(old: &Webhook, new: &Webhook) -> Vec<&'static str> {
    let mut keys = differing!(
        Webhook,
        old,
        new,
        [
            url => "url",
            format => "format",
            secrets => "secret",
            events => "events",
            users => "users",
            groups => "groups",
            orgs => "orgs",
            only_hosts => "only_hosts",
            skip_late => "skip_late",
            titles => "titles",
            snapshot_on_start => "snapshot_on_start",
            headers => "headers",
            concurrency => "concurrency",
            rate => "rate",
            timeout => "timeout",
            connect_timeout => "connect_timeout",
            proxy => "proxy",
            ca_file => "ca_file",
            backoff => "backoff",
            attempts => "attempts",
            give_up_after => "give_up_after",
            max_age => "max_age",
            public_only => "network",
            allow_link_local => "allow_link_local",
            template => "template",
            style => "template",
            success => "success",
            batch => "batch",
        ],
        [name]
    );
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const BASE: &str = r#"
time_zone = "UTC"
[dingtalk]
app_key = "k"
app_secret = "s"
calls_per_month = 0
[poll]
interval = "5m"
[[user]]
union_id = "u1"
name = "Li Wei"
[[user]]
union_id = "u2"
[[webhook]]
name = "crm"
url = "http://127.0.0.1:1/"
[history]
path = "p.db"
[http]
listen = ""
[log]
level = "info"
"#;

    fn config(folder: &std::path::Path, text: &str) -> Config {
        let file = folder.join("config.toml");
        fs::write(&file, text).unwrap();
        super::super::load(&file).map_or_else(|refused| panic!("{refused}"), |loaded| loaded.config)
    }

    fn comparison(change: impl Fn(&str) -> String) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let old = config(folder.path(), BASE);
        let new = config(folder.path(), &change(BASE));
        between(&old, &new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_same_file_is_no_change() {
        assert!(comparison(str::to_owned).is_empty());
    }

    #[test]
    fn people_come_go_and_change() {
        let changes = comparison(|text| {
            text.replace("name = \"Li Wei\"", "name = \"Li Wei\"\ninterval = \"1m\"")
                .replace("\"u2\"", "\"u3\"")
        });
        assert_eq!(
            changes,
            ["~ user Li Wei (default/u1): interval", "+ user default/u3", "- user default/u2"]
        );
    }

    #[test]
    fn what_needs_a_restart_says_so() {
        let changes = comparison(|text| {
            text.replace("p.db", "q.db")
                .replace("listen = \"\"", "listen = \"127.0.0.1:1\"")
                .replace("level = \"info\"", "level = \"debug\"\nformat = \"json\"")
                .replace("\"UTC\"", "\"Asia/Shanghai\"")
        });
        assert_eq!(
            changes,
            [
                "~ the file: time_zone (needs a restart)",
                "~ [history]: path (needs a restart)",
                "~ [http]: listen (needs a restart)",
                "~ [log]: level",
                "~ [log]: format (needs a restart)",
            ]
        );
    }

    #[test]
    fn a_secret_that_changed_is_named_and_not_shown() {
        let changes = comparison(|text| {
            text.replace("app_secret = \"s\"", "app_secret = \"canary\"").replace(":1/\"", ":1/canary\"")
        });
        assert_eq!(changes, ["~ org default: app", "~ webhook crm: url"]);
    }
}
