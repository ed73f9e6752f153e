//! Reads `[dingtalk]` and `[[org]]`: the organisations and their apps.
//!
//! Guards: an organisation inherits from `[dingtalk]` what it does not set, and has everything that its kind of app needs.
//! Not here: tokens and calls (the room `dingtalk`).

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use chrono_tz::Tz;

use super::credentials::{Context, Purpose};
use super::problem::{Place, Problem};
use super::secrets::SecretSource;
use super::section::{Located, Section};
use super::{App, Org, address, plain_file, public, value};
use crate::ids::OrgName;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Site {
    International,
    Mainland,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Internal,
    ThirdParty,
    Token,
}

const SITES: &[(&str, Site)] = &[("international", Site::International), ("mainland", Site::Mainland)];
const KINDS: &[(&str, Kind)] =
    &[("internal", Kind::Internal), ("third_party", Kind::ThirdParty), ("token", Kind::Token)];

/// The value of `suite_ticket` for tickets that DingTalk pushes.
const PUSH: &str = "push";

/// Where a site is: of the API, and of the older one.
const INTERNATIONAL: (&str, &str) = ("https://api.dingtalk.io", "https://oapi.dingtalk.io");
const MAINLAND: (&str, &str) = ("https://api.dingtalk.com", "https://oapi.dingtalk.com");

/// An organisation, and where its table is.
#[derive(Debug)]
pub(super) struct OrgAt {
    pub(super) org: Org,
    pub(super) place: Place,
}

/// All organisations. Where something is missing, it is reported and the organisation left out.
pub(super) fn orgs(
    shared: Section<'_>,
    own: Vec<Section<'_>>,
    context: Context<'_>,
) -> (Vec<OrgAt>, Vec<OrgName>) {
    if own.is_empty() {
        let name = OrgName::default_name();
        let org = org(&name, &shared, "[dingtalk]", context);
        return (org.map(|org| OrgAt { org, place: shared.place }).into_iter().collect(), vec![name]);
    }
    let shared = Rc::new(shared);
    let mut names: Vec<OrgName> = Vec::new();
    let mut seen: HashMap<OrgName, Place> = HashMap::new();
    let mut orgs = Vec::new();
    for section in own {
        let section = section.over(&shared);
        let name = section.take("name", |raw| super::users::name(raw, OrgName::parse));
        if name.is_none() && !section.has("name") {
            let help = "write `name = \"...\"`";
            context.report.error("missing-key", &section.place, "`name` is missing in [[org]]", help);
        }
        let label = match &name {
            Some(name) => format!("[[org]] `{}`", name.value),
            None => "[[org]]".to_owned(),
        };
        let known = name.as_ref().map_or_else(OrgName::default_name, |name| name.value.clone());
        let org = org(&known, &section, &label, context);
        let Some(name) = name else { continue };
        if let Some(first) = seen.get(&name.value) {
            let message = format!("two organisations are named `{}`", name.value);
            let problem =
                Problem::error("duplicate-org", Some(name.place.clone()), message).help("the second");
            context.report.push(problem.also(first.clone(), "the first"));
        } else {
            seen.insert(name.value.clone(), name.place);
        }
        orgs.extend(org.map(|org| OrgAt { org, place: section.place.clone() }));
        names.push(name.value);
    }
    (orgs, names)
}

/// A secret, or `"push"`. Which file keeps a pushed one is decided in [`keep_tickets`].
fn suite_ticket(section: &Section<'_>, context: Context<'_>) -> Option<Located<SecretSource>> {
    let spot = section.take("suite_ticket", |raw| context.source(raw))?;
    let is_pushed = matches!(&spot.value, SecretSource::Plain(text) if text.reveal() == PUSH);
    let value = if is_pushed { SecretSource::Pushed(PathBuf::new()) } else { spot.value };
    let spot = Located { value, place: spot.place };
    context.examine(&spot, Purpose::Copied);
    Some(spot)
}

/// Names the file of each pushed suite ticket: beside the database, one for each organisation.
pub(super) fn keep_tickets(orgs: &mut [Org], database: &Path) {
    for org in orgs {
        if let App::ThirdParty { suite_ticket: Some(SecretSource::Pushed(file)), .. } = &mut org.app {
            *file = database.with_file_name(format!("suite-ticket.{}", org.name));
        }
    }
}

/// `ca_file`; a webhook has the key too.
pub(super) fn ca_file(section: &Section<'_>, context: Context<'_>) -> Option<Located<PathBuf>> {
    let spot = section.take("ca_file", |raw| value::some_text(raw).map(|path| context.folder.join(path)))?;
    context.report.reads(&spot.value);
    let message = match plain_file::read(&spot.value, plain_file::MAX_CA_BYTES) {
        // The daemon may be another user than the one who checks.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Some(spot),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            format!("there is no file {}", spot.value.display())
        }
        Err(error) => format!("the file {} cannot be read: {error}", spot.value.display()),
        Ok((pem, _)) => match plain_file::certificates_error(&pem) {
            None => return Some(spot),
            Some(error) => format!("the file {} {error}", spot.value.display()),
        },
    };
    context.report.error("missing-file", &spot.place, message, "a PEM file of certificates");
    Some(spot)
}

fn org(name: &OrgName, section: &Section<'_>, label: &str, context: Context<'_>) -> Option<Org> {
    let place = &section.place;
    let missing = |key: &str, what: &str| {
        if !section.has(key) {
            let message = format!("`{key}` is missing in {label}");
            let problem =
                Problem::error("missing-key", Some(place.clone()), message).help(format!("write `{what}`"));
            context.report.push(if place.span.is_empty() { problem.aside("") } else { problem });
        }
    };
    let text = |key| section.take(key, value::id).map(|spot| spot.value);
    let api_base = section.take("api_base", address::api_base);
    let legacy_base = section.take("legacy_base", address::api_base);
    let hosts = match section.get("site", value::choice(SITES)) {
        Site::International => INTERNATIONAL,
        Site::Mainland => MAINLAND,
    };
    if let Some(api) = &api_base
        && !section.has("legacy_base")
    {
        warn_of_one_host(api, hosts, context);
    }
    let calls = section.take("calls_per_month", value::number(0)).map(|spot| spot.value);
    if calls.is_none() {
        missing("calls_per_month", "calls_per_month = 5000");
    }
    let app = app(section, text("app_key"), text("corp_id"), missing, context);
    let org = Org {
        name: name.clone(),
        api_base: api_base.map_or_else(|| hosts.0.to_owned(), |spot| spot.value),
        legacy_base: legacy_base.map_or_else(|| hosts.1.to_owned(), |spot| spot.value),
        calls_per_month: calls.filter(|calls| *calls > 0),
        month_time_zone: value::take_zone(section, "month_time_zone")
            .map_or(Tz::Asia__Shanghai, |spot| spot.value),
        rate: section.get("rate", value::number(1)),
        concurrency: section.get("concurrency", value::number(1)),
        timeout: section.get("timeout", value::wait),
        connect_timeout: section.get("connect_timeout", value::wait),
        proxy: section.take("proxy", address::proxy).map(|spot| spot.value),
        ca_file: ca_file(section, context).map(|spot| spot.value),
        // Last, so that the other keys are read even without an app.
        app: app?,
    };
    calls.is_some().then_some(org)
}

/// The API goes elsewhere and the older one stays behind: every organisation may be asked for its contacts at any time,
/// with a token that the other host gave.
fn warn_of_one_host(api: &Located<String>, hosts: (&str, &str), context: Context<'_>) {
    let host = |text: &str| reqwest::Url::parse(text).ok().and_then(|url| url.host_str().map(str::to_owned));
    let named = host(&api.value);
    if named == host(hosts.0) {
        return;
    }
    let message = format!("`user find` still calls {}: set `legacy_base` beside `api_base`", hosts.1);
    let sites = [("international", INTERNATIONAL), ("mainland", MAINLAND)];
    let help = if let Some((site, of)) = sites.iter().find(|(_, of)| named == host(of.0)) {
        format!("`site = \"{site}\"` in its place means both, or add `legacy_base = \"{}\"`", of.1)
    } else {
        let base = public::origin_shown(&api.value).unwrap_or_else(|| "https://...".to_owned());
        format!("write `legacy_base = \"{base}\"`, or DingTalk's own host if that is meant")
    };
    context.report.warning("one-host", &api.place, message, &help);
}

/// Only the suite of a third-party app has tickets. An organisation may inherit `suite_ticket` without using it.
fn refuse_push_without_suite(
    section: &Section<'_>,
    kind: Kind,
    ticket: &Located<SecretSource>,
    context: Context<'_>,
) {
    let inherits = !section.has_itself("suite_ticket") && section.has_itself("app");
    if kind == Kind::ThirdParty || inherits || !matches!(ticket.value, SecretSource::Pushed(_)) {
        return;
    }
    let (message, help) = if kind == Kind::Token {
        ("`app = \"token\"` has no push: the connection needs the app's secret", "remove `suite_ticket`")
    } else {
        ("an internal app has no suite ticket", "remove `suite_ticket`, or write `app = \"third_party\"`")
    };
    context.report.error("no-push", &ticket.place, message, help);
}

fn app(
    section: &Section<'_>,
    key: Option<String>,
    corp_id: Option<String>,
    missing: impl Fn(&str, &str),
    context: Context<'_>,
) -> Option<App> {
    let secret = |key| {
        let spot = section.take(key, |raw| context.source(raw))?;
        context.examine(&spot, Purpose::Copied);
        Some(spot.value)
    };
    let (app_secret, suite_ticket, access_token) =
        (secret("app_secret"), suite_ticket(section, context), secret("access_token"));
    let kind = section.get("app", value::choice(KINDS));
    if let Some(ticket) = &suite_ticket {
        refuse_push_without_suite(section, kind, ticket, context);
    }
    if kind == Kind::Token {
        if access_token.is_none() {
            missing("access_token", "access_token = { file = \"...\" }");
        }
        return access_token.map(|access_token| App::Token { access_token });
    }
    if key.is_none() {
        missing("app_key", "app_key = \"...\"");
    }
    if app_secret.is_none() {
        missing("app_secret", "app_secret = { credential = \"app-secret\" }");
    }
    if kind == Kind::Internal {
        return Some(App::Internal { key: key?, secret: app_secret?, corp_id });
    }
    if corp_id.is_none() {
        missing("corp_id", "corp_id = \"...\"");
    }
    Some(App::ThirdParty {
        key: key?,
        secret: app_secret?,
        corp_id: corp_id?,
        suite_ticket: suite_ticket.map(|spot| spot.value),
    })
}
