//! The screen of `status`: each line begins with a word that says what it is about.
//!
//! Guards: no line is wider than the terminal unless a single word is; text from outside cannot control the terminal. Not
//! here: collecting the data (`data`), sweeps in words (`sweep_status`).
#![expect(clippy::format_push_string, reason = "a line on a screen: the extra allocation is nothing")]

use std::fmt::Write as _;

use super::data::{
    ConfigFile, DatabaseFiles, MonthCalls, OpenWindows, PushMessages, StatusData, UserCounts, WebhookStatus,
};
use crate::cli::output::{ERROR, GOOD, Printer, WARNING, ago, counted, folded, harmless};
use crate::control::{PushReport, StatusReport, UnpolledUsers};
use crate::time::Timestamp;

/// Width of the first column.
const HEAD: usize = 10;

/// The screen, line by line; times are relative to `now`.
pub(super) fn show(status_data: &StatusData, now: Timestamp, printer: &Printer) -> String {
    let mut text = String::new();
    let mut line = |head: &str, what: String| {
        let wide = printer.width.saturating_sub(HEAD).max(HEAD);
        for (at, part) in folded(&harmless(&what), wide).iter().enumerate() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:<HEAD$}{part}", if at == 0 { head } else { "" });
        }
    };
    let since = |ms: i64| ago(now.since(Timestamp::from_ms(ms)));
    daemon(status_data.daemon.as_ref(), since, &mut line);
    config(&status_data.config, status_data.daemon.as_ref(), since, &mut line);
    line("windows", hours(&status_data.windows, printer));
    line("people", people(&status_data.people, since));
    for unpolled in status_data.daemon.iter().flat_map(|daemon| &daemon.unpolled_users) {
        line("", unpolled_users(unpolled));
    }
    for month in &status_data.budget {
        line("budget", spending(month));
    }
    for sweeping in &status_data.sweeps {
        line("sweeps", sweeping.line(since));
    }
    for push in status_data.daemon.iter().flat_map(|daemon| &daemon.push) {
        line("push", connection(push, since));
    }
    for PushMessages { org, name, messages } in &status_data.push_messages {
        line("push", format!("{org} {name}: {}", counted(*messages, "message", "messages")));
    }
    for webhook in &status_data.webhooks {
        line("webhook", delivering(webhook, since));
    }
    let DatabaseFiles { path, main_bytes, wal_bytes } = &status_data.database;
    line("database", format!("{path}: {} KiB, WAL {} KiB", main_bytes / 1024, wal_bytes / 1024));
    if let Some(token) = &status_data.token {
        line("token", token.clone());
    }
    text.replace("NOT READY", &format!("{ERROR}not ready{ERROR:#}"))
        .replace("DEGRADED", &format!("{WARNING}degraded{WARNING:#}"))
        .replace("REFUSED", &format!("{WARNING}refused{WARNING:#}"))
        .replace("CHANGED", &format!("{WARNING}changed{WARNING:#}"))
        .replace(" runs, started", &format!(" {GOOD}runs{GOOD:#}, started"))
}

fn daemon(status: Option<&StatusReport>, since: impl Fn(i64) -> String, line: &mut impl FnMut(&str, String)) {
    let Some(status) = status else {
        return line("daemon", "does not answer; showing what the database holds".to_owned());
    };
    line("daemon", format!("{} runs, started {}", status.version, since(status.started_ms)));
    let health = match (status.ready, status.degraded.is_empty()) {
        (true, true) => "good",
        (true, false) => "DEGRADED",
        (false, _) => "NOT READY",
    };
    line("health", health.to_owned());
    for reason in &status.reasons {
        line("", reason.clone());
    }
}

fn config(
    file: &ConfigFile,
    status: Option<&StatusReport>,
    since: impl Fn(i64) -> String,
    line: &mut impl FnMut(&str, String),
) {
    let ConfigFile { path, changed_since, warnings } = file;
    line("config", path.clone());
    if let Some(status) = status {
        line("", format!("read {}", since(status.loaded_ms)));
        if *changed_since {
            line("", "CHANGED since then; run `presenced reload` to apply it".to_owned());
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
}

fn hours(windows: &OpenWindows, printer: &Printer) -> String {
    let OpenWindows { people, open_for, next_change_ms } = windows;
    match (open_for, next_change_ms) {
        (0, None) => "never open: no user is polled".to_owned(),
        (_, None) => "always open".to_owned(),
        (open, Some(ms)) => {
            let state = match *open {
                0 => "closed".to_owned(),
                open if open == *people => "open".to_owned(),
                open => format!("open for {open} of {people} users"),
            };
            format!("{state} until {}", printer.local(Timestamp::from_ms(*ms)))
        }
    }
}

fn people(people: &UserCounts, since: impl Fn(i64) -> String) -> String {
    let UserCounts { watched, inside, unknown, last_good_poll_ms } = people;
    let mut text = format!("{watched} watched, {inside} in a meeting, {unknown} unknown");
    if let Some(ms) = last_good_poll_ms {
        text += &format!("; last poll answered {}", since(*ms));
    }
    text
}

fn unpolled_users(unpolled: &UnpolledUsers) -> String {
    let UnpolledUsers { org, reason, users, next_ms } = unpolled;
    let (users, next) = (counted(*users, "user is", "users are"), Timestamp::from_ms(*next_ms));
    match &**reason {
        "refused" => format!("{org}: {users} refused by DingTalk; next retry at {next}"),
        "late" => format!("{org}: {users} polled late; due since {next}"),
        _ => format!("{org}: {users} without a good answer, polls {reason}; next retry at {next}"),
    }
}

fn connection(push: &PushReport, since: impl Fn(i64) -> String) -> String {
    let PushReport { org, reason, why, since_ms, next_ms, ticket_ms, .. } = push;
    let mut text = match reason {
        None => format!("{org}: connected {}", since(*since_ms)),
        Some(reason) => format!("{org}: down ({reason}) {}", since(*since_ms)),
    };
    if let Some(why) = why {
        text += &format!(": {why}");
    }
    if let Some(next_ms) = next_ms {
        text += &format!("; next attempt at {}", Timestamp::from_ms(*next_ms));
    }
    if let Some(ticket_ms) = ticket_ms {
        text += &format!("; newest suite ticket came {}", since(*ticket_ms));
    }
    text
}

fn spending(month: &MonthCalls) -> String {
    let MonthCalls { org, name, used, limit, projected, throttled } = month;
    let mut calls = match limit {
        Some(limit) => format!("{org} {name}: {used} of {limit} calls"),
        None => format!("{org} {name}: {used} calls, no limit"),
    };
    if let Some(projected) = projected {
        calls += &format!("; {projected} expected by the end of the month");
    }
    if *throttled > 0 {
        calls += &format!("; {throttled} rate limited by DingTalk");
    }
    calls
}

fn delivering(webhook: &WebhookStatus, since: impl Fn(i64) -> String) -> String {
    let WebhookStatus {
        webhook,
        state,
        blocked,
        reason,
        pending,
        dead,
        oldest_ms,
        next_attempt_ms,
        next_probe_ms,
    } = webhook;
    let mut text = match blocked {
        Some("removed") => format!("{webhook} is removed from the config"),
        Some(blocked) if blocked != state => format!("{webhook} is {state}, {blocked}"),
        _ => format!("{webhook} is {state}"),
    };
    if let Some(reason) = reason {
        text += &format!(" ({reason})");
    }
    if let Some(ms) = next_probe_ms {
        text += &format!(", next probe at {}", Timestamp::from_ms(*ms));
    }
    if let Some(ms) = next_attempt_ms {
        text += &format!(", next attempt at {}", Timestamp::from_ms(*ms));
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

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::cli::OutputFormat;
    use crate::cli::sweep_status::{SweepCalls, SweepStatus};
    use crate::control::RefusedConfig;

    fn printer(width: usize) -> Printer {
        let format = OutputFormat::Table;
        Printer { format, time_zone: chrono_tz::Asia::Shanghai, width, ..Printer::default() }
    }

    fn sweeps(org: &str, state: &str, why: Option<&str>) -> SweepStatus {
        SweepStatus {
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

    fn unpolled(reason: &str) -> UnpolledUsers {
        UnpolledUsers { org: "default".into(), reason: reason.into(), users: 2, next_ms: 160_000 }
    }

    fn push(org: &str, reason: Option<&str>, why: Option<&str>) -> PushReport {
        PushReport {
            org: org.into(),
            connected: reason.is_none(),
            reason: reason.map(str::to_owned),
            why: why.map(str::to_owned),
            since_ms: 50_000,
            next_ms: reason.map(|_| 160_000),
            connections: 1,
            events: 41,
            not_understood: 0,
            ticket_ms: reason.is_none().then_some(70_000),
        }
    }

    fn status_data(daemon: Option<StatusReport>) -> StatusData {
        StatusData {
            at_ms: 100_000,
            daemon,
            config: ConfigFile {
                path: "/etc/presenced/config.toml".into(),
                changed_since: true,
                warnings: vec!["config.toml:7: a secret stands in the config as plain text".into()],
            },
            windows: OpenWindows { people: 3, open_for: 2, next_change_ms: Some(3_600_000) },
            people: UserCounts { watched: 3, inside: 1, unknown: 0, last_good_poll_ms: Some(95_000) },
            budget: vec![MonthCalls {
                org: "default".into(),
                name: "2026-11".into(),
                used: 120,
                limit: Some(5000),
                projected: Some(4300),
                throttled: 0,
            }],
            sweeps: vec![
                SweepCalls::new(sweeps("default", "trusted", None), Some(120)),
                SweepCalls::new(sweeps("beta", "learning", Some("the contacts may not be read")), None),
            ],
            push_messages: vec![PushMessages { org: "default".into(), name: "2026-11".into(), messages: 41 }],
            webhooks: vec![WebhookStatus {
                webhook: "crm".into(),
                state: "down".into(),
                blocked: Some("down"),
                reason: None,
                pending: 2,
                dead: 1,
                oldest_ms: Some(40_000),
                next_attempt_ms: None,
                next_probe_ms: Some(160_000),
            }],
            database: DatabaseFiles { path: "/p.db".into(), main_bytes: 4096, wal_bytes: 0 },
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
            degraded: Vec::new(),
            refused_users: Vec::new(),
            unpolled_users: ["refused", "failed", "late"].map(unpolled).into(),
            sweeps: Vec::new(),
            push: vec![
                push("default", None, None),
                push("beta", Some("auth"), Some("DingTalk refuses the app's key")),
            ],
        };
        let now = Timestamp::from_ms(100_000);
        let shown = show(&status_data(Some(status)), now, &printer(80));
        insta::assert_snapshot!(anstream::adapter::strip_str(&shown).to_string());
    }

    #[test]
    fn no_line_is_wider_than_the_screen_unless_a_word_is() {
        let shown = show(&status_data(None), Timestamp::from_ms(100_000), &printer(40));
        let shown = anstream::adapter::strip_str(&shown).to_string();
        let wide: Vec<&str> = shown.lines().filter(|line| line.width() > 40).collect();
        assert!(wide.is_empty(), "{wide:#?}");
    }

    #[test]
    fn without_the_daemon_what_is_stored_is_shown() {
        let shown = show(&status_data(None), Timestamp::from_ms(100_000), &printer(80));
        assert!(shown.starts_with("daemon    does not answer"), "{shown}");
        assert!(shown.contains("people    3 watched"));
    }
}
