//! Reads `[dingtalk]` and `[[org]]`: the organisations and their apps.
//!
//! Guards: an organisation inherits from `[dingtalk]` what it does not set, and has everything that its kind of app needs.
//! Not here: tokens and calls (the room `dingtalk`).

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

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

/// The keys of one table, as far as they are there and right.
#[derive(Debug, Default)]
struct Keys {
    site: Option<Located<Site>>,
    api_base: Option<Located<String>>,
    legacy_base: Option<Located<String>>,
    kind: Option<Located<Kind>>,
    app_key: Option<Located<String>>,
    app_secret: Option<Located<SecretSource>>,
    corp_id: Option<Located<String>>,
    suite_ticket: Option<Located<SecretSource>>,
    access_token: Option<Located<SecretSource>>,
    calls_per_month: Option<Located<u64>>,
    month_time_zone: Option<Located<Tz>>,
    rate: Option<Located<u32>>,
    concurrency: Option<Located<usize>>,
    timeout: Option<Located<Duration>>,
    connect_timeout: Option<Located<Duration>>,
    proxy: Option<Located<String>>,
    ca_file: Option<Located<PathBuf>>,
    /// Keys that stand there, right or wrong: a wrong one is not missing too.
    present: Vec<&'static str>,
}

/// Keys that some kind of app, or a host of one's own, cannot do without.
const NEEDED: [&str; 6] =
    ["app_key", "app_secret", "corp_id", "access_token", "calls_per_month", "legacy_base"];

/// The value of `suite_ticket` for tickets that DingTalk pushes.
const PUSH: &str = "push";

/// Where a site is: of the API, and of the older one.
const INTERNATIONAL: (&str, &str) = ("https://api.dingtalk.io", "https://oapi.dingtalk.io");
const MAINLAND: (&str, &str) = ("https://api.dingtalk.com", "https://oapi.dingtalk.com");

/// An organisation, and where its table is.
#[derive(Debug)]
pub(super) struct OrgAt {
    /// The organisation.
    pub(super) org: Org,
    /// Its table.
    pub(super) place: Place,
}

/// All organisations. Where something is missing, it is reported and the organisation left out.
pub(super) fn orgs(
    shared: Option<&Section<'_>>,
    own: &[Section<'_>],
    context: Context<'_>,
) -> (Vec<OrgAt>, Vec<OrgName>) {
    let base = shared.map(|section| read(section, context)).unwrap_or_default();
    let mut names: Vec<OrgName> = Vec::new();
    let mut seen: HashMap<OrgName, Place> = HashMap::new();
    let mut orgs = Vec::new();
    if own.is_empty() {
        let nowhere = Place { source: 0, span: 0..0 };
        let place = shared.map_or(nowhere, |section| section.place.clone());
        let name = OrgName::default_name();
        let org = build(&name, &Keys::default(), &base, &place, "[dingtalk]", context);
        orgs.extend(org.map(|org| OrgAt { org, place }));
        return (orgs, vec![name]);
    }
    for section in own {
        let name = section.take("name", |raw| super::users::name(raw, OrgName::parse));
        if name.is_none() && !section.has("name") {
            let help = "write `name = \"...\"`";
            context.report.error("missing-key", &section.place, "`name` is missing in [[org]]", help);
        }
        let keys = read(section, context);
        let Some(name) = name else {
            // Only for its problems.
            build(&OrgName::default_name(), &keys, &base, &section.place, "[[org]]", context);
            continue;
        };
        if let Some(first) = seen.get(&name.value) {
            let message = format!("two organisations are named `{}`", name.value);
            let problem =
                Problem::error("duplicate-org", Some(name.place.clone()), message).help("the second");
            context.report.push(problem.also(first.clone(), "the first"));
        } else {
            seen.insert(name.value.clone(), name.place);
        }
        let label = format!("[[org]] `{}`", name.value);
        let org = build(&name.value, &keys, &base, &section.place, &label, context);
        orgs.extend(org.map(|org| OrgAt { org, place: section.place.clone() }));
        names.push(name.value);
    }
    (orgs, names)
}

fn read(section: &Section<'_>, context: Context<'_>) -> Keys {
    let secret = |key| {
        let spot = section.take(key, |raw| context.source(raw))?;
        context.examine(&spot, Purpose::Copied);
        Some(spot)
    };
    Keys {
        site: section.take(
            "site",
            value::choice(&[("international", Site::International), ("mainland", Site::Mainland)]),
        ),
        api_base: section.take("api_base", address::api_base),
        legacy_base: section.take("legacy_base", address::api_base),
        kind: section.take_unless(
            "app",
            &Kind::Internal,
            value::choice(&[
                ("internal", Kind::Internal),
                ("third_party", Kind::ThirdParty),
                ("token", Kind::Token),
            ]),
        ),
        app_key: section.take("app_key", value::id),
        app_secret: secret("app_secret"),
        corp_id: section.take("corp_id", value::id),
        suite_ticket: suite_ticket(section, context),
        access_token: secret("access_token"),
        calls_per_month: section.take("calls_per_month", value::number(0)),
        month_time_zone: value::take_zone(section, "month_time_zone"),
        rate: section.take("rate", value::number(1)),
        concurrency: section.take("concurrency", value::number(1)),
        timeout: section.take("timeout", value::wait),
        connect_timeout: section.take("connect_timeout", value::wait),
        proxy: section.take("proxy", address::proxy),
        ca_file: ca_file(section, context),
        present: NEEDED.into_iter().filter(|key| section.has(key)).collect(),
    }
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

/// Puts one organisation together, own keys before shared ones.
fn build(
    name: &OrgName,
    own: &Keys,
    base: &Keys,
    place: &Place,
    label: &str,
    context: Context<'_>,
) -> Option<Org> {
    let missing = |key: &str, what: &str| {
        if !own.present.contains(&key) && !base.present.contains(&key) {
            let message = format!("`{key}` is missing in {label}");
            let problem =
                Problem::error("missing-key", Some(place.clone()), message).help(format!("write `{what}`"));
            context.report.push(if place.span.is_empty() { problem.aside("") } else { problem });
        }
    };
    let calls = own.calls_per_month.as_ref().or(base.calls_per_month.as_ref());
    if calls.is_none() {
        missing("calls_per_month", "calls_per_month = 5000");
    }
    refuse_push_without_suite(own, base, context);
    let app = app(own, base, missing)?;
    let hosts = match one(own.site.as_ref(), base.site.as_ref()).unwrap_or(Site::International) {
        Site::International => INTERNATIONAL,
        Site::Mainland => MAINLAND,
    };
    warn_of_one_host(own, base, hosts, context);
    let (api, legacy) = hosts;
    Some(Org {
        name: name.clone(),
        api_base: one(own.api_base.as_ref(), base.api_base.as_ref()).unwrap_or_else(|| api.to_owned()),
        legacy_base: one(own.legacy_base.as_ref(), base.legacy_base.as_ref())
            .unwrap_or_else(|| legacy.to_owned()),
        app,
        calls_per_month: Some(calls?.value).filter(|calls| *calls > 0),
        month_time_zone: one(own.month_time_zone.as_ref(), base.month_time_zone.as_ref())
            .unwrap_or(Tz::Asia__Shanghai),
        rate: one(own.rate.as_ref(), base.rate.as_ref()).unwrap_or(5),
        concurrency: one(own.concurrency.as_ref(), base.concurrency.as_ref()).unwrap_or(4),
        timeout: one(own.timeout.as_ref(), base.timeout.as_ref()).unwrap_or(Duration::from_secs(10)),
        connect_timeout: one(own.connect_timeout.as_ref(), base.connect_timeout.as_ref())
            .unwrap_or(Duration::from_secs(5)),
        proxy: one(own.proxy.as_ref(), base.proxy.as_ref()),
        ca_file: one(own.ca_file.as_ref(), base.ca_file.as_ref()),
    })
}

/// The API goes elsewhere and the older one stays behind: every organisation may be asked for its contacts at any time,
/// with a token that the other host gave.
fn warn_of_one_host(own: &Keys, base: &Keys, hosts: (&str, &str), context: Context<'_>) {
    let Some(api) = own.api_base.as_ref().or(base.api_base.as_ref()) else { return };
    let host = |text: &str| reqwest::Url::parse(text).ok().and_then(|url| url.host_str().map(str::to_owned));
    let (named, is_set) = (host(&api.value), |keys: &Keys| keys.present.contains(&"legacy_base"));
    if named == host(hosts.0) || is_set(own) || is_set(base) {
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
fn refuse_push_without_suite(own: &Keys, base: &Keys, context: Context<'_>) {
    let kind = one(own.kind.as_ref(), base.kind.as_ref()).unwrap_or(Kind::Internal);
    let inherits = own.suite_ticket.is_none() && own.kind.is_some();
    let Some(ticket) = own.suite_ticket.as_ref().or(base.suite_ticket.as_ref()) else { return };
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

fn app(own: &Keys, base: &Keys, missing: impl Fn(&str, &str)) -> Option<App> {
    let (key, secret) = (
        one(own.app_key.as_ref(), base.app_key.as_ref()),
        one(own.app_secret.as_ref(), base.app_secret.as_ref()),
    );
    let corp_id = one(own.corp_id.as_ref(), base.corp_id.as_ref());
    let kind = one(own.kind.as_ref(), base.kind.as_ref()).unwrap_or(Kind::Internal);
    if kind == Kind::Token {
        let access_token = one(own.access_token.as_ref(), base.access_token.as_ref());
        if access_token.is_none() {
            missing("access_token", "access_token = { file = \"...\" }");
        }
        return access_token.map(|access_token| App::Token { access_token });
    }
    if key.is_none() {
        missing("app_key", "app_key = \"...\"");
    }
    if secret.is_none() {
        missing("app_secret", "app_secret = { credential = \"app-secret\" }");
    }
    if kind == Kind::Internal {
        return Some(App::Internal { key: key?, secret: secret?, corp_id });
    }
    if corp_id.is_none() {
        missing("corp_id", "corp_id = \"...\"");
    }
    let suite_ticket = one(own.suite_ticket.as_ref(), base.suite_ticket.as_ref());
    Some(App::ThirdParty { key: key?, secret: secret?, corp_id: corp_id?, suite_ticket })
}

fn one<T: Clone>(own: Option<&Located<T>>, base: Option<&Located<T>>) -> Option<T> {
    own.or(base).map(|spot| spot.value.clone())
}
