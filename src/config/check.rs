//! Reads all tables of a config, then checks the rules between them.
//!
//! Guards: one pass finds all problems. Not here: the rules of single tables (the files beside it), warnings (`warnings`).

use super::credentials::Context;
use super::document::Files;
use super::problem::{Problem, Sources};
use super::recipients::Watched;
use super::secrets::Env;
use super::section::{Report, Section};
use super::webhooks::webhooks;
use super::{Config, dingtalk, http, plan, poll, retention, users, value};
use crate::message::style::{Language, Style};

pub(super) mod warnings;

/// Languages of messages; `None` follows the time zone.
const LANGUAGES: &[(&str, Option<Language>)] =
    &[("auto", None), ("zh-CN", Some(Language::Zh)), ("en", Some(Language::En))];
/// What an included file may hold.
const INCLUDED: [&str; 3] = ["user", "group", "org"];

/// Reads everything. With an error in the report it is what could be read, and must not run.
pub(super) fn config(files: &Files<'_>, around: &Env, sources: &Sources, report: &Report) -> Config {
    let root = files.root;
    let context = Context { report, folder: &files.folder, around };
    let mut tops = Vec::new();
    for document in files.included {
        tops.push(Section::root(&document.table, document.source, report, &INCLUDED));
    }
    let everywhere = |key| -> Vec<Section<'_>> {
        [root].into_iter().chain(&tops).flat_map(|top| top.tables(key)).collect()
    };

    let zone = time_zone(root, report).unwrap_or_default();
    let language = root.get("language", value::choice(LANGUAGES));
    let (poll, poll_cadence) = poll::poll(&root.table("poll", "poll"));
    let (windows, window_groups): (Vec<_>, Vec<_>) =
        poll::windows(&root.tables("window"), zone).into_iter().unzip();
    let blackouts = poll::blackouts(&root.tables("blackout"), zone);
    let (orgs, org_names) = dingtalk::orgs(root.table("dingtalk", "dingtalk"), everywhere("org"), context);
    let groups = users::groups(&everywhere("group"), report);
    let users = users::users(
        &everywhere("user"),
        &org_names,
        &groups,
        (&poll.cadence, poll_cadence.as_ref()),
        report,
    );
    let watched = Watched::new(&users, &groups, &org_names);
    let defaults = root.table("webhook_defaults", "webhook_defaults");
    let webhooks = webhooks(defaults, root.tables("webhook"), &watched, Style::new(zone, language), context);
    let history = retention::history(&root.table("history", "history"), &files.folder);
    let (store_nick, titles, title_hide) = retention::privacy(&root.table("privacy", "privacy"));
    let listener = http::http(&root.table("http", "http"), &watched, context);
    let log = retention::log(&root.table("log", "log"));

    warnings::about_people(&watched, &windows, window_groups.iter().flatten(), report);
    warnings::about_least_interval(&users, &poll, report);
    let arithmetic = plan::Plan { windows: &windows, blackouts: &blackouts, poll: &poll, time_zone: zone };
    plan::check(arithmetic, &orgs, &users, sources, report);
    warnings::about_files(files, sources, report);
    let users = users.into_iter().filter(|at| at.enabled).map(|at| at.user).collect();
    let mut orgs: Vec<_> = orgs.into_iter().map(|at| at.org).collect();
    dingtalk::keep_tickets(&mut orgs, &history.path);
    let file = files.path.clone();
    Config {
        file,
        time_zone: zone,
        language,
        orgs,
        poll,
        windows,
        blackouts,
        users,
        webhooks,
        history,
        store_nick,
        titles,
        title_hide,
        http: listener,
        log,
        auto_reload: files.auto_reload,
    }
}

/// As the file says, else as this machine is set.
fn time_zone(root: &Section<'_>, report: &Report) -> Option<chrono_tz::Tz> {
    match value::take_zone(root, "time_zone") {
        Some(spot) => Some(spot.value),
        None if root.has("time_zone") => None,
        None => local_zone(report),
    }
}

fn local_zone(report: &Report) -> Option<chrono_tz::Tz> {
    match value::local_zone() {
        Ok(zone) => {
            value::warn_if_west(zone, None, report);
            Some(zone)
        }
        Err(error) => {
            report.push(
                Problem::error("no-time-zone", None, error.message)
                    .help(format!("`time_zone`: {}", error.help)),
            );
            None
        }
    }
}
