//! What a config may say, but hardly means: people nobody looks at, texts that expect a shell, files that stand open.
//!
//! Guards: nothing here refuses a config; of whom nobody would look at is only spoken once there is no error that may be
//! the reason. Deliberately not here: calls that are short (`plan`), webhooks that match nobody (`audience`).

use std::collections::HashSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Files, NOT_BUILT_YET};
use crate::config::audience::Watched;
use crate::config::people::UserAt;
use crate::config::problem::{Place, Problem, Sources};
use crate::config::section::{Report, Spot};
use crate::config::{Cadence, Poll, Window, public};

/// People whom no window is for, windows that are for nobody, nobody at all.
pub(super) fn about_people<'a>(
    watched: &Watched<'_>,
    windows: &[Window],
    window_groups: impl Iterator<Item = &'a Spot<String>>,
    report: &Report,
) {
    of_window_groups(window_groups, watched, report);
    if !report.has_errors() {
        of_nobody(watched.users, windows, report);
    }
}

/// Intervals below the least one; whoever sets both may take it for a floor.
pub(super) fn about_least_interval(users: &[UserAt], poll: &Poll, report: &Report) {
    if report.first_use("poll.min_interval").is_none() {
        return;
    }
    for at in users.iter().filter(|at| at.enabled) {
        if let (Cadence::Every(interval), Some(place)) = (&at.user.cadence, &at.cadence_place)
            && *interval < poll.min_interval
        {
            let message = "`interval` is shorter than `min_interval`, which only holds for \"auto\"";
            let every = humantime::format_duration(*interval);
            let help = format!("looks come every {every} all the same: write the interval that is meant");
            report.warning("no-effect", place, message, &help);
        }
    }
}

/// Texts in the files, and who can read these.
pub(super) fn about_files(files: &Files<'_>, sources: &Sources, report: &Report) {
    of_interpolation(files, report);
    of_open_files(files, sources, report);
}

/// Keys without effect in this version.
pub(super) fn about_what_is_not_built(report: &Report) {
    for (path, note) in NOT_BUILT_YET {
        if let Some(place) = report.first_use(path) {
            let key =
                path.rsplit_once('.').map_or_else(|| format!("[[{path}]]"), |(_, key)| format!("`{key}`"));
            let message = format!("{key} has no effect in this version: {note}");
            report.push(Problem::warning("not-built-yet", Some(place), message));
        }
    }
}

fn of_window_groups<'a>(
    named: impl Iterator<Item = &'a Spot<String>>,
    watched: &Watched<'_>,
    report: &Report,
) {
    for word in named {
        if !watched.is_joined(&word.value) {
            let near = report.nearest(&word.value, watched.joined().iter().copied());
            let help = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
            let message = format!("a window names the group `{}`, which nobody is in", word.value);
            report.warning("matches-nobody", &word.place, message, &help);
        }
    }
}

fn of_nobody(users: &[UserAt], windows: &[Window], report: &Report) {
    let mut enabled = users.iter().filter(|at| at.enabled).peekable();
    if enabled.peek().is_none() {
        report.push(Problem::warning("nobody-watched", None, "nobody is watched").help("add a [[user]]"));
    }
    let is_for_all = windows.is_empty() || windows.iter().any(|window| window.groups.is_empty());
    let chosen: HashSet<&String> = windows.iter().flat_map(|window| &window.groups).collect();
    for at in enabled {
        if !is_for_all && !at.user.groups.iter().any(|group| chosen.contains(group)) {
            let message = format!("no [[window]] is for `{}`: never looked at", at.user.name);
            let help = "add a window without `groups`, or one for a group of theirs";
            report.warning("never-open", &at.place, message, help);
        }
    }
}

/// A text is taken as it stands; who comes from a shell may expect otherwise.
fn of_interpolation(files: &Files<'_>, report: &Report) {
    for document in [files.main].into_iter().chain(files.included) {
        walk(&document.table, &mut |key, value, span| {
            if let DeValue::String(text) = value
                && key != "command"
                && let Some((_, rest)) = text.split_once("${")
                && let Some((variable, _)) = rest.split_once('}')
            {
                let place = Place { source: document.source, span };
                // Between the braces of a secret that is no variable stands a part of the secret.
                let variable = if public::is_variable(variable) { variable } else { "..." };
                let message = format!("`${{{variable}}}` is kept as text: nothing is replaced in this file");
                let problem = Problem::warning("kept-as-text", Some(place), message);
                report.push(
                    problem.help(format!("where a secret may stand, write `{{ env = \"{variable}\" }}`")),
                );
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

/// A file with a secret in it, which everybody can read.
fn of_open_files(files: &Files<'_>, sources: &Sources, report: &Report) {
    for document in [files.main].into_iter().chain(files.included) {
        if document.world_readable && report.has_plain_secret(document.source) {
            let name = sources.all().get(document.source).map_or("", |source| source.name.as_str());
            let message = format!("everybody on this machine can read {name}, and secrets stand in it");
            report
                .push(Problem::warning("world-readable", None, message).help(format!("chmod o-rwx {name}")));
        }
    }
}
