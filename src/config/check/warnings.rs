//! Warnings about valid configs that are most likely wrong: users that are never polled, texts that expect a shell, files
//! that every user can read.
//!
//! Guards: a warning never refuses a config; users without polls are reported only if no error may be the cause. Not here:
//! too few calls (`plan`), webhooks that match no user (`recipients`).

use std::collections::HashSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::document::Files;
use crate::config::problem::{Place, Problem, Sources};
use crate::config::recipients::Watched;
use crate::config::reference::default;
use crate::config::section::{Located, Report};
use crate::config::users::UserAt;
use crate::config::{Cadence, Poll, Window, public, value};

/// Users without a window, windows without users, no users at all.
pub(super) fn about_people<'a>(
    watched: &Watched<'_>,
    windows: &[Window],
    window_groups: impl Iterator<Item = &'a Located<String>>,
    report: &Report,
) {
    of_window_groups(window_groups, watched, report);
    if !report.has_errors() {
        of_nobody(watched.users, windows, report);
    }
}

/// Fixed intervals below `min_interval`, which an operator may take for a minimum.
pub(super) fn about_least_interval(users: &[UserAt], poll: &Poll, report: &Report) {
    let default = default("poll", "min_interval").map(|text| value::parse_duration(text.trim_matches('"')));
    if default.is_some_and(|default| default.is_ok_and(|default| default == poll.min_interval)) {
        return;
    }
    for at in users.iter().filter(|at| at.enabled) {
        if let (Cadence::Every(interval), Some(place)) = (&at.user.cadence, &at.cadence_place)
            && *interval < poll.min_interval
        {
            let message = "`interval` is shorter than `min_interval`, which only holds for \"auto\"";
            let every = humantime::format_duration(*interval);
            let help = format!("the user is polled every {every} all the same: write the intended interval");
            report.warning("no-effect", place, message, &help);
        }
    }
}

/// Texts in the files, and who can read these.
pub(super) fn about_files(files: &Files<'_>, sources: &Sources, report: &Report) {
    of_interpolation(files, report);
    of_open_files(files, sources, report);
}

fn of_window_groups<'a>(
    named: impl Iterator<Item = &'a Located<String>>,
    watched: &Watched<'_>,
    report: &Report,
) {
    for word in named {
        if !watched.is_joined(&word.value) {
            let near = report.nearest(&word.value, watched.joined().iter().copied());
            let help = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
            let message = format!("a window names the group `{}`, which has no users", word.value);
            report.warning("matches-nobody", &word.place, message, &help);
        }
    }
}

fn of_nobody(users: &[UserAt], windows: &[Window], report: &Report) {
    let mut enabled = users.iter().filter(|at| at.enabled).peekable();
    if enabled.peek().is_none() {
        report.push(Problem::warning("nobody-watched", None, "no user is watched").help("add a [[user]]"));
    }
    let is_for_all = windows.is_empty() || windows.iter().any(|window| window.groups.is_empty());
    let chosen: HashSet<&String> = windows.iter().flat_map(|window| &window.groups).collect();
    for at in enabled {
        if !is_for_all && !at.user.groups.iter().any(|group| chosen.contains(group)) {
            let message =
                format!("no [[window]] applies to `{}`, so this user is never polled", at.user.name);
            let help = "add a window without `groups`, or one for a group of the user";
            report.warning("never-open", &at.place, message, help);
        }
    }
}

/// Texts with `${...}`, which is not replaced as in a shell.
fn of_interpolation(files: &Files<'_>, report: &Report) {
    for document in [files.main].into_iter().chain(files.included) {
        walk(&document.table, &mut |key, value, span| {
            if let DeValue::String(text) = value
                && key != "command"
                && let Some((_, rest)) = text.split_once("${")
                && let Some((variable, _)) = rest.split_once('}')
            {
                let place = Place { source: document.source, span };
                // Between the braces may be a part of a secret.
                let variable = if public::is_variable(variable) { variable } else { "..." };
                let message =
                    format!("`${{{variable}}}` is kept as text: variables are not replaced in this file");
                let problem = Problem::warning("kept-as-text", Some(place), message);
                report.push(problem.help(format!("for a secret, write `{{ env = \"{variable}\" }}`")));
            }
        });
    }
}

/// Calls `see` with every value, the key it stands under, and its place.
fn walk(table: &DeTable<'_>, see: &mut impl FnMut(&str, &DeValue<'_>, Range<usize>)) {
    fn one(key: &str, value: &Spanned<DeValue<'_>>, see: &mut impl FnMut(&str, &DeValue<'_>, Range<usize>)) {
        see(key, value.get_ref(), value.span());
        match value.get_ref() {
            DeValue::Array(items) => items.iter().for_each(|item| one(key, item, see)),
            DeValue::Table(table) => walk(table, see),
            _ => {}
        }
    }
    for (key, value) in table {
        one(key.get_ref(), value, see);
    }
}

/// A file with a secret that every user can read.
fn of_open_files(files: &Files<'_>, sources: &Sources, report: &Report) {
    for document in [files.main].into_iter().chain(files.included) {
        if document.world_readable && report.has_plain_secret(document.source) {
            let name = sources.all().get(document.source).map_or("", |source| source.name.as_str());
            let message = format!("every user of this machine can read {name}, which contains secrets");
            report
                .push(Problem::warning("world-readable", None, message).help(format!("chmod o-rwx {name}")));
        }
    }
}
