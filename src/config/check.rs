//! The whole file: every table to its reader, then what must hold between them.
//!
//! Guards: one pass finds everything; what this version does not do yet is said. Deliberately not here: the rules
//! of single tables, which have a room each.

use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::audience::Watched;
use super::credentials::Context;
use super::file::Document;
use super::hooks::webhooks;
use super::problem::{Place, Problem, Sources};
use super::secrets::Surroundings;
use super::section::{Report, Section, Spot};
use super::{Config, dingtalk, housekeeping, people, plan, poll, value};

/// Keys that are read and checked, but whose work is not built in this version: each warns when it is set to
/// something else than its default. Later versions take rows away.
pub const NOT_BUILT_YET: &[(&str, &str)] = &[];

/// What an included file may hold.
const INCLUDED: [&str; 3] = ["user", "group", "org"];

/// All the files of one config.
#[derive(Debug)]
pub(super) struct Files<'a> {
    /// The main one, canonical.
    pub(super) path: PathBuf,
    /// Its folder.
    pub(super) folder: PathBuf,
    /// The main one's text.
    pub(super) main: &'a Document<'a>,
    /// The others, in order.
    pub(super) included: &'a [Document<'a>],
    /// The main one's top.
    pub(super) root: &'a Section<'a>,
    /// `[watch] auto_reload`, which stands beside the names of the others.
    pub(super) auto_reload: bool,
}

/// Reads everything. `None`, or an error in the report: there is no config.
pub(super) fn config(
    files: &Files<'_>,
    around: &Surroundings,
    sources: &Sources,
    report: &Report,
) -> Option<Config> {
    let root = files.root;
    let context = Context { report, folder: &files.folder, around };
    let mut tops = Vec::new();
    for document in files.included {
        tops.push(Section::root(&document.table, document.source, report, &INCLUDED));
    }
    let everywhere = |key| -> Vec<Section<'_>> {
        [root].into_iter().chain(&tops).flat_map(|top| top.tables(key)).collect()
    };

    let time_zone = match root.take("time_zone", value::zone) {
        Some(spot) => Some(spot.value),
        None if root.has("time_zone") => None,
        None => local_zone(report),
    };
    let zone = time_zone.unwrap_or_default();
    let (poll, poll_cadence) = poll::poll(root.table("poll", "poll").as_ref());
    let (windows, window_groups): (Vec<_>, Vec<_>) =
        poll::windows(&root.tables("window"), zone).into_iter().unzip();
    let blackouts = poll::blackouts(&root.tables("blackout"), zone);
    let (orgs, org_names) =
        dingtalk::orgs(root.table("dingtalk", "dingtalk").as_ref(), &everywhere("org"), context);
    let groups = people::groups(&everywhere("group"), report);
    let users = people::users(
        &everywhere("user"),
        &org_names,
        &groups,
        (&poll.cadence, poll_cadence.as_ref()),
        report,
    );
    let watched = Watched { users: &users, groups: &groups, orgs: &org_names };
    let defaults = root.table("webhook_defaults", "webhook_defaults");
    let webhooks = webhooks(defaults.as_ref(), &root.tables("webhook"), watched, zone, context);
    let history = housekeeping::history(root.table("history", "history").as_ref(), &files.folder);
    let store_nick = housekeeping::store_nick(root.table("privacy", "privacy").as_ref());
    let http = housekeeping::http(root.table("http", "http").as_ref(), context);
    let log = housekeeping::log(root.table("log", "log").as_ref());

    warn_of_window_groups(window_groups.iter().flatten(), &users, report);
    if !report.has_errors() {
        warn_of_nobody(&users, &windows, report);
    }
    warn_of_least_interval(&users, &poll, report);
    let arithmetic = plan::Plan { windows: &windows, blackouts: &blackouts, poll: &poll, time_zone: zone };
    plan::check(arithmetic, &orgs, &users, sources, report);
    warn_of_interpolation(files, report);
    warn_of_open_files(files, sources, report);
    warn_of_what_is_not_built(report);
    let users = users.into_iter().filter(|at| at.enabled).map(|at| at.user).collect();
    let orgs = orgs.into_iter().map(|at| at.org).collect();
    let file = files.path.clone();
    let time_zone = time_zone?;
    Some(Config {
        file,
        time_zone,
        orgs,
        poll,
        windows,
        blackouts,
        users,
        webhooks,
        history,
        store_nick,
        http,
        log,
        auto_reload: files.auto_reload,
    })
}

fn local_zone(report: &Report) -> Option<chrono_tz::Tz> {
    match value::local_zone() {
        Ok(zone) => Some(zone),
        Err(trouble) => {
            report.push(
                Problem::error("no-time-zone", None, trouble.message)
                    .help(format!("`time_zone`: {}", trouble.help)),
            );
            None
        }
    }
}

fn warn_of_window_groups<'a>(
    named: impl Iterator<Item = &'a Spot<String>>,
    users: &[people::UserAt],
    report: &Report,
) {
    for word in named {
        let groups = || users.iter().flat_map(|at| at.user.groups.iter().map(String::as_str));
        if !groups().any(|group| group == word.value) {
            let near = super::keys::nearest(&word.value, groups());
            let help = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
            let message = format!("a window names the group `{}`, which nobody is in", word.value);
            report.warning("matches-nobody", &word.place, message, &help);
        }
    }
}

fn warn_of_nobody(users: &[people::UserAt], windows: &[super::Window], report: &Report) {
    let mut enabled = users.iter().filter(|at| at.enabled).peekable();
    if enabled.peek().is_none() {
        report.push(Problem::warning("nobody-watched", None, "nobody is watched").help("add a [[user]]"));
    }
    for at in enabled {
        let never = !windows.is_empty()
            && windows.iter().all(|window| {
                !window.groups.is_empty() && !window.groups.iter().any(|group| at.user.groups.contains(group))
            });
        if never {
            let message = format!("no [[window]] is for `{}`: never looked at", at.user.name);
            let help = "add a window without `groups`, or one for a group of theirs";
            report.warning("never-open", &at.place, message, help);
        }
    }
}

/// Whoever sets both may take it for a floor.
fn warn_of_least_interval(users: &[people::UserAt], poll: &super::Poll, report: &Report) {
    if report.first_use("poll.min_interval").is_none() {
        return;
    }
    for at in users.iter().filter(|at| at.enabled) {
        if let (super::Cadence::Every(interval), Some(place)) = (&at.user.cadence, &at.cadence_place)
            && *interval < poll.min_interval
        {
            let message = "`interval` is shorter than `min_interval`, which only holds for \"auto\"";
            let every = humantime::format_duration(*interval);
            let help = format!("looks come every {every} all the same: write the interval that is meant");
            report.warning("no-effect", place, message, &help);
        }
    }
}

/// A text is taken as it stands; who comes from a shell may expect otherwise.
fn warn_of_interpolation(files: &Files<'_>, report: &Report) {
    for document in [files.main].into_iter().chain(files.included) {
        walk(&document.table, &mut |key, value, span| {
            if let DeValue::String(text) = value
                && key != "command"
                && let Some((_, rest)) = text.split_once("${")
                && let Some((variable, _)) = rest.split_once('}')
            {
                let place = Place { source: document.source, span };
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
fn warn_of_open_files(files: &Files<'_>, sources: &Sources, report: &Report) {
    for document in [files.main].into_iter().chain(files.included) {
        if document.world_readable && report.has_plain_secret(document.source) {
            let name = sources.all().get(document.source).map_or("", |source| source.name.as_str());
            let message = format!("everybody on this machine can read {name}, and secrets stand in it");
            report
                .push(Problem::warning("world-readable", None, message).help(format!("chmod o-rwx {name}")));
        }
    }
}

fn warn_of_what_is_not_built(report: &Report) {
    for (path, note) in NOT_BUILT_YET {
        if let Some(place) = report.first_use(path) {
            let key =
                path.rsplit_once('.').map_or_else(|| format!("[[{path}]]"), |(_, key)| format!("`{key}`"));
            let message = format!("{key} has no effect in this version: {note}");
            report.push(Problem::warning("not-built-yet", Some(place), message));
        }
    }
}
