//! The differences between two configs, and which of them need a restart.
//!
//! Guards: a new field of a table does not compile here until it is compared; a change takes effect when the reference says
//! so; only names of keys are shown, no
//! values, so no secret. Not here: applying the changes (`app::reload`).

use std::collections::BTreeMap;
use std::fmt;

use super::reference::{Effect, key_of};
use super::{Blackout, Config, History, Http, Log, Org, Poll, User, Webhook, Window};

/// What happened to an entry of the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
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
            Effect::Reload => Ok(()),
            Effect::Restart => f.write_str(" (needs a restart)"),
        }
    }
}

/// The keys whose values differ. A key has the name of its field unless another one is given. Every field of the struct is
/// named, so that a new one is decided on.
macro_rules! differing {
    ($Type:ident, $old:expr, $new:expr, [$($field:ident $($key:literal)?),* $(,)?] $(, not $other:ident)?) => {{
        let $Type { $($field: _,)* $($other: _,)? } = $old;
        let keys: [Option<&'static str>; _] =
            [$(($old.$field != $new.$field).then_some([$($key,)? stringify!($field)][0])),*];
        keys.into_iter().flatten().collect::<Vec<_>>()
    }};
}

/// Everything in which `new` differs from `old`, in the order of the file's sections.
pub fn between(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut section = |name: &'static str, path: &str, keys: Vec<&'static str>| {
        let at_start = |key: &&str| key_of(path, key).is_some_and(|key| key.effect == Effect::Restart);
        let (restart, live): (Vec<_>, Vec<_>) = keys.into_iter().partition(at_start);
        for (keys, effect) in [(live, Effect::Reload), (restart, Effect::Restart)] {
            if !keys.is_empty() {
                changes.push(Change { section: name, name: None, kind: Kind::Changed(keys), effect });
            }
        }
    };
    let single = |key, is_same: bool| if is_same { vec![] } else { vec![key] };
    // Every field is named, here or in `entries_between`, so that a new one is decided on.
    let Config {
        file: _,
        time_zone,
        language,
        poll,
        history,
        store_nick,
        titles,
        title_hide,
        http,
        log,
        auto_reload,
        ..
    } = old;
    section("the file", "", single("time_zone", *time_zone == new.time_zone));
    section("the file", "", single("language", *language == new.language));
    section("[poll]", "poll", poll_keys(poll, &new.poll));
    let privacy = [
        single("store_nick", *store_nick == new.store_nick),
        single("titles", *titles == new.titles),
        single("title_hide", *title_hide == new.title_hide),
    ];
    section("[privacy]", "privacy", privacy.concat());
    section("[history]", "history", history_keys(history, &new.history));
    let http = differing!(
        Http,
        http,
        new.http,
        [token, hosts, public_url, trusted_proxies, access, metrics_per_user, listen,]
    );
    section("[http]", "http", http);
    section("[log]", "log", differing!(Log, log, new.log, [level, format]));
    section("[watch]", "watch", single("auto_reload", *auto_reload == new.auto_reload));
    entries_between(old, new, &mut changes);
    changes
}

/// Organisations, windows, days off, people and webhooks: what came, went or differs.
fn entries_between(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    let Config {
        orgs,
        windows,
        blackouts,
        users,
        webhooks,
        file: _,
        time_zone: _,
        language: _,
        poll: _,
        history: _,
        store_nick: _,
        titles: _,
        title_hide: _,
        http: _,
        log: _,
        auto_reload: _,
    } = old;
    entries(changes, "org", (orgs, &new.orgs), |org| org.name.to_string(), None, org_keys);
    entries(changes, "window", (windows, &new.windows), |window| window.name.clone(), None, window_keys);
    entries(changes, "blackout", (blackouts, &new.blackouts), |days| days.name.clone(), None, blackout_keys);
    let user_key = |user: &User| user.identity.to_string();
    entries(changes, "user", (users, &new.users), user_key, Some(user_label), user_keys);
    let webhook_key = |webhook: &Webhook| webhook.name.to_string();
    entries(changes, "webhook", (webhooks, &new.webhooks), webhook_key, None, webhook_keys);
}

/// Compares the entries of one kind: those with the same key are the same one, and `label` is its name for people. Of several
/// entries with one key (windows may) the last counts.
fn entries<T>(
    changes: &mut Vec<Change>,
    section: &'static str,
    (old, new): (&[T], &[T]),
    key: fn(&T) -> String,
    label: Option<fn(&T) -> String>,
    keys: fn(&T, &T) -> Vec<&'static str>,
) {
    let index = |list: &[T]| -> BTreeMap<String, usize> {
        list.iter().enumerate().map(|(at, entry)| (key(entry), at)).collect()
    };
    let (before, after) = (index(old), index(new));
    let mut record = |entry: &T, kind| {
        let name = Some(label.unwrap_or(key)(entry));
        changes.push(Change { section, name, kind, effect: Effect::Reload });
    };
    for (key, &at) in &after {
        match before.get(key) {
            None => record(&new[at], Kind::Added),
            Some(&known) => {
                let mut keys = keys(&old[known], &new[at]);
                // Two fields may have one key.
                keys.dedup();
                if !keys.is_empty() {
                    record(&new[at], Kind::Changed(keys));
                }
            }
        }
    }
    for (_, &at) in before.iter().filter(|(key, _)| !after.contains_key(*key)) {
        record(&old[at], Kind::Removed);
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
    differing!(User, old, new, [name, groups, tags, cadence "interval"], not identity)
}

fn poll_keys(old: &Poll, new: &Poll) -> Vec<&'static str> {
    differing!(Poll, old, new, [
        cadence "interval", min_interval, max_interval, first_poll_silent "first_poll", leave_after_misses, overtime, sweep,
        confirm_calls, stale_after, backoff,
    ])
}

fn history_keys(old: &History, new: &History) -> Vec<&'static str> {
    differing!(History, old, new, [
        snapshots, visits, events, backup_dir "backup.dir", backup_keep "backup.keep",
        before_migration "backup.before_migration", path,
    ])
}

fn window_keys(old: &Window, new: &Window) -> Vec<&'static str> {
    differing!(Window, old, new, [hours, groups], not name)
}

fn blackout_keys(old: &Blackout, new: &Blackout) -> Vec<&'static str> {
    differing!(Blackout, old, new, [dates], not name)
}

fn org_keys(old: &Org, new: &Org) -> Vec<&'static str> {
    differing!(Org, old, new, [
        api_base, legacy_base, app, calls_per_month, month_time_zone, rate, concurrency, timeout, connect_timeout, proxy, ca_file,
    ], not name)
}

fn webhook_keys(old: &Webhook, new: &Webhook) -> Vec<&'static str> {
    differing!(Webhook, old, new, [
        url, format, secrets "secret", events, users, groups, orgs, only_hosts, skip_late, titles, snapshot_on_start, headers,
        concurrency, rate, timeout, connect_timeout, proxy, ca_file, backoff, attempts, give_up_after, max_age,
        public_only "network", allow_link_local, template, style "template", success, batch,
    ], not name)
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
