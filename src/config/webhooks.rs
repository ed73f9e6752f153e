//! Reads `[[webhook]]` and `[webhook_defaults]`.
//!
//! Guards: names are unique, patterns match existing events, headers do not collide with those that the program sets, and a
//! filter that matches no user is reported. Not here: keys of one format (`format`), sending (`webhook`).

mod format;
mod keys;
mod robots;

use std::collections::HashMap;
use std::rc::Rc;

use reqwest::header::{HeaderName, HeaderValue};
use toml::de::DeValue;

use self::format::Message;
use self::keys::Keys;
use super::address;
use super::credentials::{Context, Purpose};
use super::dingtalk::ca_file;
use super::keys::nearest;
use super::problem::{Place, Problem};
use super::recipients::{Watched, check_recipients};
use super::section::{Located, RawValue, Section, ValueError, kind};
use super::{Format, Text, Webhook, poll, public, value};
use crate::ids::{OrgName, WebhookName};
use crate::message::style::Style;
use crate::message::template::Template;
use crate::presence::event::EventType;

const FORMATS: &[(&str, Format)] = &[
    ("standard", Format::Standard),
    ("cloudevents", Format::CloudEvents),
    ("dingtalk_robot", Format::DingtalkRobot),
    ("template", Format::Template),
];
const NETWORKS: &[(&str, bool)] = &[("any", false), ("public", true)];
/// Headers that the contract, or HTTP itself, gives a meaning.
const RESERVED: [&str; 8] = [
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "host",
    "user-agent",
    "expect",
];
const RESERVED_PREFIXES: [&str; 2] = ["webhook-", "presenced-"];
/// Headers whose plain value is a secret for sure.
const SECRET_HEADERS: [&str; 6] =
    ["authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token", "x-token"];

/// All webhooks; one that lacks a name or a URL is reported and left out.
pub(super) fn webhooks(
    defaults: Section<'_>,
    sections: Vec<Section<'_>>,
    watched: &Watched<'_>,
    usual: Style,
    context: Context<'_>,
) -> Vec<Webhook> {
    let unnamed = || WebhookName::parse("without-a-name").ok();
    let unknown = || Text::Plain(String::new());
    let defaults = Rc::new(defaults);
    if let Some(name) = unnamed().filter(|_| sections.is_empty()) {
        // Read for its problems.
        read(&defaults, name, unknown(), context);
    }
    let mut seen: HashMap<WebhookName, Place> = HashMap::new();
    let mut webhooks = Vec::new();
    for section in sections {
        let section = section.over(&defaults);
        let name = section.take("name", |raw| super::users::name(raw, WebhookName::parse));
        let url = url(&section, context);
        for (key, there) in [("name", name.is_some()), ("url", url.is_some())] {
            if !there && !section.has(key) {
                let message = format!("`{key}` is missing in [[webhook]]");
                let help = format!("write `{key} = \"...\"`");
                context.report.error("missing-key", &section.place, message, &help);
            }
        }
        let Some(known) = name.as_ref().map(|name| name.value.clone()).or_else(unnamed) else { continue };
        let address = url.as_ref().map_or_else(unknown, |url| url.value.clone());
        let (webhook, keys) = read(&section, known, address, context);
        // A table without a name or a URL is left out in the end; until then its other problems are found.
        let is_complete = name.is_some() && url.is_some();
        let stand_in = || Located { value: webhook.name.clone(), place: section.place.clone() };
        let is_named = name.is_some();
        let name = name.unwrap_or_else(stand_in);
        if let Some(first) = seen.get(&name.value) {
            let message = format!("two webhooks are named `{}`", name.value);
            let problem =
                Problem::error("duplicate-webhook", Some(name.place.clone()), message).help("the second");
            context.report.push(problem.also(first.clone(), "the first"));
        } else if is_named {
            seen.insert(name.value.clone(), name.place.clone());
        }
        let webhook = checked(webhook, &keys, &section, usual, context);
        check_recipients(&keys.filters(), &name, watched, context.report);
        webhooks.extend(is_complete.then_some(webhook));
    }
    webhooks
}

/// Checks the rules between keys, and adds what the message format needs.
fn checked(
    mut webhook: Webhook,
    keys: &Keys,
    section: &Section<'_>,
    usual: Style,
    context: Context<'_>,
) -> Webhook {
    format::check_secrets(keys, context);
    format::check_titles(keys, context);
    let robot = robots::known(&webhook.url);
    robots::check(robot, webhook.format, section, context);
    check_proxy(&webhook, keys, context);
    let Message { style, template } = format::message(&webhook, keys, section, usual, context);
    let zero_at = template.as_ref().and_then(Template::zero_at).map(|at| (at.to_owned(), 0.into()));
    let of_robot = || robot.filter(|_| webhook.format == Format::Template).and_then(robots::Robot::success);
    webhook.success = webhook.success.or(zero_at).or_else(of_robot);
    Webhook { style, template, ..webhook }
}

fn url(section: &Section<'_>, context: Context<'_>) -> Option<Located<Text>> {
    let spot = section.take("url", |raw| match raw.value {
        DeValue::String(text) => address::url(text).map(|_| Text::Plain(text.to_string())),
        _ => context.text(raw),
    })?;
    if let Text::Secret(source) = &spot.value {
        context.examine(&Located { value: source.clone(), place: spot.place.clone() }, Purpose::Url);
    }
    Some(spot)
}

/// The values of one table. The rules between keys are not checked yet, and the message format is missing.
fn read(section: &Section<'_>, name: WebhookName, url: Text, context: Context<'_>) -> (Webhook, Keys) {
    fn values<T: Clone>(spots: &[Located<T>]) -> Vec<T> {
        spots.iter().map(|spot| spot.value.clone()).collect()
    }
    let flag = |key| section.get(key, value::flag);
    let keys = Keys {
        format: section.located("format", |raw| format::named(raw, FORMATS)),
        secrets: section.list("secret", true, |raw| context.source(raw)),
        users: section.list("users", false, value::some_text),
        groups: section.list("groups", false, value::some_text),
        orgs: section.list("orgs", false, |raw| super::users::name(raw, OrgName::parse)),
        proxy: section.take("proxy", address::proxy),
        template: section.take("template", value::some_text),
        titles: section.located("titles", value::flag),
    };
    let webhook = Webhook {
        name,
        url,
        format: keys.format.value,
        secrets: values(&keys.secrets),
        events: events(section),
        users: values(&keys.users),
        groups: values(&keys.groups),
        orgs: values(&keys.orgs),
        only_hosts: flag("only_hosts"),
        skip_late: flag("skip_late"),
        titles: keys.titles.value,
        snapshot_on_start: flag("snapshot_on_start"),
        headers: headers(section, context),
        concurrency: section.get("concurrency", value::number(1)),
        rate: section.get("rate", value::number(1)),
        timeout: section.get("timeout", value::wait),
        connect_timeout: section.get("connect_timeout", value::wait),
        proxy: keys.proxy.as_ref().map(|spot| spot.value.clone()),
        ca_file: ca_file(section, context).map(|spot| spot.value),
        backoff: poll::backoff(&section.table("backoff", "webhook.backoff")),
        attempts: section.get("attempts", value::number(1)),
        give_up_after: section.get("give_up_after", value::wait),
        max_age: section.get("max_age", value::or_word("forever")),
        public_only: section.get("network", value::choice(NETWORKS)),
        allow_link_local: flag("allow_link_local"),
        style: None,
        template: None,
        success: format::success(section),
        batch: section.take("batch", value::wait).map(|spot| spot.value),
    };
    (webhook, keys)
}

fn events(section: &Section<'_>) -> Vec<String> {
    if let Some(list) = section.take_list("events", false, pattern).filter(|list| list.value.is_empty()) {
        let help = "remove `events` for joins and leaves, or write `[\"*\"]` for all events";
        section.report.error("bad-value", &list.place, "the list of events is empty", help);
    }
    section.list("events", false, pattern).into_iter().map(|spot| spot.value).collect()
}

/// An event's name, `family.*`, or `*`.
fn pattern(raw: RawValue<'_>) -> Result<String, ValueError> {
    let text = value::text(raw)?;
    let names = || EventType::ALL.iter().map(|event| event.name());
    let family = text.strip_suffix(".*").map(|family| format!("{family}."));
    let known = text == "*"
        || names().any(|name| name == text)
        || family.is_some_and(|family| names().any(|name| name.starts_with(&family)));
    if known {
        return Ok(text);
    }
    let patterns = ["*", "meeting.*", "user.*", "watch.*", "system.*", "webhook.*"];
    let help = match nearest(&text, names().chain(patterns)).or_else(|| EventType::suggestion_for(&text)) {
        Some(near) if !text.is_empty() => format!("did you mean `{near}`?"),
        _ => "for example `meeting.participant_joined`, `meeting.*` or `*`".to_owned(),
    };
    Err(ValueError::new(format!("there is no event `{text}`"), help))
}

fn headers(section: &Section<'_>, context: Context<'_>) -> Vec<(String, Text)> {
    let pairs = section.take("headers", |raw| {
        raw.pairs().ok_or_else(|| {
            ValueError::new(
                format!("expected a table, found {}", kind(raw.value)),
                "for example `{ \"X-Site\" = \"HZ\" }`",
            )
        })
    });
    let mut headers = Vec::new();
    for (name, raw) in pairs.map_or_else(Vec::new, |spot| spot.value) {
        if let Some((place, error)) = context.report.unseen_in_key(&name.value, &name.place) {
            let message = format!("the name of a header {}", error.message);
            context.report.error("bad-header", &place, message, &error.help);
        } else if let Some(error) = header_name_error(&name.value) {
            context.report.error("bad-header", &name.place, error.message, &error.help);
        }
        if let Some((place, error)) = context.report.unseen("headers", &raw) {
            let message = format!("the header `{}` {}", public::header_shown(&name.value), error.message);
            context.report.error("bad-header", &place, message, &error.help);
            continue;
        }
        match header_value(raw, context) {
            Ok(text) => {
                let place = raw.place();
                if let Text::Secret(source) = &text {
                    context.examine(&Located { value: source.clone(), place }, Purpose::Header);
                } else if SECRET_HEADERS.contains(&name.value.to_lowercase().as_str()) {
                    let message = format!("the header `{}` holds a secret as plain text", name.value);
                    let problem = Problem::warning("plain-secret", Some(place), message).aside("");
                    context
                        .report
                        .push(problem.help("keep it in a file or a credential: `{ credential = \"NAME\" }`"));
                }
                headers.push((name.value, text));
            }
            Err(error) => {
                let message =
                    format!("the header `{}`: {}", public::header_shown(&name.value), error.message);
                context.report.error("bad-header", &raw.place(), message, &error.help);
            }
        }
    }
    headers
}

fn header_value(raw: RawValue<'_>, context: Context<'_>) -> Result<Text, ValueError> {
    let text = context.text(raw)?;
    if let Text::Plain(plain) = &text
        && HeaderValue::from_str(plain).is_err()
    {
        return Err(ValueError::new("the value is not a valid header value", "no control characters"));
    }
    Ok(text)
}

fn header_name_error(name: &str) -> Option<ValueError> {
    let lower = name.to_lowercase();
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Some(ValueError::new("this is no name of a header", "letters, digits and `-`"));
    }
    if RESERVED.contains(&lower.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
    {
        return Some(ValueError::new(
            format!("the header `{name}` is set by this program"),
            "choose another name",
        ));
    }
    None
}

/// A proxy resolves host names, so `network = "public"` cannot check the address.
fn check_proxy(webhook: &Webhook, keys: &Keys, context: Context<'_>) {
    if let Some(proxy) = keys.proxy.as_ref().filter(|_| webhook.public_only) {
        let message = "`network = \"public\"` cannot be used with `proxy`, which resolves host names itself";
        let help = "remove one of them, and let the proxy refuse private addresses";
        context.report.error("bad-value", &proxy.place, message, help);
    }
}
