//! Reads `[http]` and `[[http.access]]`.
//!
//! Guards: data about users is served to other machines only with a configured token; no two tokens share a name. Not here:
//! the listener and what each scope may see (`web`).

use super::credentials::{Context, Purpose};
use super::ip_range::IpRange;
use super::problem::Problem;
use super::recipients::Watched;
use super::section::{RawValue, Section, ValueError};
use super::users::name;
use super::{Access, Http, Scope, Show, address, value};
use crate::ids::OrgName;

const SCOPES: &[(&str, Scope)] =
    &[("board", Scope::Board), ("viewer", Scope::Viewer), ("operator", Scope::Operator)];
const SHOWS: &[(&str, Show)] =
    &[("names", Show::Names), ("initials", Show::Initials), ("counts", Show::Counts)];

/// `[http]`.
pub(super) fn http(section: &Section<'_>, watched: &Watched<'_>, context: Context<'_>) -> Http {
    let token = section.take("token", |raw| context.source(raw));
    if let Some(token) = &token {
        context.examine(token, Purpose::General);
    }
    let listen = section.located("listen", address::listen);
    let http = Http {
        listen: listen.value,
        token: token.map(|spot| spot.value),
        hosts: list(section, "hosts", value::host_name),
        public_url: section.take("public_url", public_url).map(|spot| spot.value),
        trusted_proxies: list(section, "trusted_proxies", |raw| IpRange::read(&value::text(raw)?)),
        access: access(section, watched, context),
        metrics_per_user: section.get("metrics_per_user", value::flag),
    };
    if let Some(address) = http.listen.filter(|address| !address.ip().is_loopback()) {
        if !section.has("token") {
            let message = format!("`listen` in [http] is open to others at {address}, and no `token` is set");
            let problem = Problem::error("open-listener", Some(listen.place), message);
            context.report.push(problem.help("set `token`, or listen on `127.0.0.1`"));
        } else if !http.public_url.as_ref().is_some_and(|url| url.starts_with("https:")) {
            let message = format!(
                "`listen` in [http] is open to others at {address} without TLS: tokens and names can be read on the way"
            );
            let problem = Problem::warning("open-listener", Some(listen.place), message);
            let help = "put a proxy with TLS in front and set `public_url` to its https URL, or listen on `127.0.0.1`";
            context.report.push(problem.help(help));
        }
    }
    http
}

fn list<T>(
    section: &Section<'_>,
    key: &'static str,
    read: impl Fn(RawValue<'_>) -> Result<T, ValueError>,
) -> Vec<T> {
    section.list(key, true, read).into_iter().map(|item| item.value).collect()
}

/// Without the slash at the end; its path is the prefix of every link.
fn public_url(raw: RawValue<'_>) -> Result<String, ValueError> {
    let url = address::url(&value::some_text(raw)?)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(ValueError::new("has a query or a fragment", "write `https://host/path`"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// `[[http.access]]`.
fn access(http: &Section<'_>, watched: &Watched<'_>, context: Context<'_>) -> Vec<Access> {
    let mut all: Vec<Access> = Vec::new();
    for section in http.tables_at("access", "http.access") {
        let missing = |key: &str| {
            let message = format!("`{key}` is missing in [[http.access]]");
            context.report.error("missing-key", &section.place, message, &format!("write `{key} = ...`"));
        };
        let own_name = section.take("name", |raw| name(raw, OrgName::parse));
        let token = section.take("token", |raw| context.source(raw));
        if let Some(token) = &token {
            context.examine(token, Purpose::General);
        }
        let scope = section.get("scope", value::choice(SCOPES));
        let show = section.get("show", value::choice(SHOWS));
        let orgs = list(&section, "orgs", |raw| name(raw, OrgName::parse));
        let groups = list(&section, "groups", value::some_text);
        for group in groups.iter().filter(|group| !watched.is_joined(group)) {
            let message = format!("`groups` in [[http.access]] names the group `{group}`: no user is in it");
            context.report.warning("matches-nobody", &section.place, message, "write a group of a [[user]]");
        }
        for (key, is_missing) in [("name", own_name.is_none()), ("token", token.is_none())] {
            if is_missing && !section.has(key) {
                missing(key);
            }
        }
        let (Some(own_name), Some(token)) = (own_name, token) else { continue };
        if all.iter().any(|other| other.name == own_name.value.as_str()) {
            let message = format!("two [[http.access]] are named `{}`", own_name.value);
            context.report.error("duplicate-access", &own_name.place, message, "give each its own name");
            continue;
        }
        let name = own_name.value.as_str().to_owned();
        all.push(Access { name, token: token.value, scope, orgs, groups, show });
    }
    all
}
