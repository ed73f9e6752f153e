//! Reads `[[webhook]]` and `[webhook_defaults]`.
//!
//! Guards: names are unique, patterns match existing events, headers do not collide with those that the program sets, and a
//! filter that matches no user is reported. Not here: keys of one format (`format`), sending (`webhook`).

mod format;
mod keys;
mod robots;

use std::collections::HashMap;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use toml::de::DeValue;

use self::format::Message;
use self::keys::{Keys, patterns};
use super::address;
use super::credentials::{Context, Purpose};
use super::dingtalk::ca_file;
use super::keys::nearest;
use super::problem::{Place, Problem};
use super::recipients::{Filters, Watched, check_recipients};
use super::section::{Located, RawValue, Section, ValueError, kind};
use super::{Backoff, Format, Text, Webhook, poll, public, value};
use crate::ids::{OrgName, WebhookName};
use crate::message::style::Style;
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

const BACKOFF: Backoff =
    Backoff { initial: Duration::from_secs(5), max: Duration::from_hours(1), factor: 4.0 };

/// All webhooks; one that lacks a name or a URL is reported and left out.
pub(super) fn webhooks(
    shared: Option<&Section<'_>>,
    sections: &[Section<'_>],
    watched: &Watched<'_>,
    usual: Style,
    context: Context<'_>,
) -> Vec<Webhook> {
    let base = shared.map(|section| read(section, context)).unwrap_or_default();
    let shared_backoff = shared.and_then(|section| section.table("backoff", "webhook.backoff"));
    if shared_backoff.is_some() && sections.is_empty() {
        poll::backoff(None, shared_backoff.as_ref(), BACKOFF);
    }
    let mut seen: HashMap<WebhookName, Place> = HashMap::new();
    let mut webhooks = Vec::new();
    for section in sections {
        let name = section.take("name", |raw| super::users::name(raw, WebhookName::parse));
        let url = url(section, context);
        let robot = url.as_ref().and_then(|url| robots::known(&url.value));
        for (key, there) in [("name", name.is_some()), ("url", url.is_some())] {
            if !there && !section.has(key) {
                let message = format!("`{key}` is missing in [[webhook]]");
                context.report.error(
                    "missing-key",
                    &section.place,
                    message,
                    &format!("write `{key} = \"...\"`"),
                );
            }
        }
        let own = read(section, context);
        let own_backoff = section.table("backoff", "webhook.backoff");
        let backoff = poll::backoff(own_backoff.as_ref(), shared_backoff.as_ref(), BACKOFF);
        // A table without a name is left out in the end; until then its other problems are found.
        let is_named = name.is_some();
        let Some(name) = name.or_else(|| stand_in(section)) else { continue };
        if let Some(first) = seen.get(&name.value) {
            let message = format!("two webhooks are named `{}`", name.value);
            let problem =
                Problem::error("duplicate-webhook", Some(name.place.clone()), message).help("the second");
            context.report.push(problem.also(first.clone(), "the first"));
        } else if is_named {
            seen.insert(name.value.clone(), name.place.clone());
        }
        let merged = merge(own, &base);
        format::check_secrets(&merged, context);
        format::check_titles(&merged, context);
        if let Some(url) = &url {
            robots::check(&url.value, &merged, section, context);
        }
        check_proxy(&merged, context);
        let message = format::message(&merged, section, usual, context);
        check_recipients(&filters(&merged), &name, watched, context.report);
        let Some(url) = url.filter(|_| is_named) else { continue };
        let mut webhook = build(name.value.clone(), url.value, merged, backoff, message);
        if webhook.format == Format::Template && webhook.success.is_none() {
            webhook.success = robot.and_then(robots::Robot::success);
        }
        webhooks.push(webhook);
    }
    webhooks
}

/// The name of a webhook in messages if it has none.
fn stand_in(section: &Section<'_>) -> Option<Located<WebhookName>> {
    let value = WebhookName::parse("without-a-name").ok()?;
    Some(Located { value, place: section.place.clone() })
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

fn read(section: &Section<'_>, context: Context<'_>) -> Keys {
    let texts = |key| section.take_list(key, false, value::some_text).map(|spot| spot.value);
    let flag = |key| section.take_unless(key, &false, value::flag).map(|spot| spot.value);
    let waits = |key, default| section.take_unless(key, &default, value::wait).map(|spot| spot.value);
    Keys {
        format: section.take_unless("format", &Format::Standard, |raw| format::named(raw, FORMATS)),
        secrets: section.take_list("secret", true, |raw| context.source(raw)),
        events: events(section),
        users: texts("users"),
        groups: texts("groups"),
        orgs: section
            .take_list("orgs", false, |raw| super::users::name(raw, OrgName::parse))
            .map(|spot| spot.value),
        only_hosts: flag("only_hosts"),
        skip_late: flag("skip_late"),
        titles: section.take_unless("titles", &true, value::flag),
        snapshot_on_start: flag("snapshot_on_start"),
        headers: headers(section, context),
        concurrency: section.take("concurrency", value::number(1)).map(|spot| spot.value),
        rate: section.take("rate", value::number(1)).map(|spot| spot.value),
        timeout: waits("timeout", Duration::from_secs(15)),
        connect_timeout: waits("connect_timeout", Duration::from_secs(5)),
        proxy: section.take("proxy", address::proxy),
        ca_file: ca_file(section, context),
        attempts: section.take("attempts", value::number(1)).map(|spot| spot.value),
        give_up_after: waits("give_up_after", GIVE_UP_AFTER),
        max_age: section.take_unless("max_age", &Some(MAX_AGE), value::or_word("forever")),
        public_only: section.take_unless("network", &false, value::choice(NETWORKS)).map(|spot| spot.value),
        allow_link_local: flag("allow_link_local"),
        template: section.take("template", value::some_text),
        success: format::success(section),
        batch: section.take("batch", value::wait).map(|spot| spot.value),
    }
}

const GIVE_UP_AFTER: Duration = Duration::from_hours(5 * 24);
const MAX_AGE: Duration = Duration::from_hours(7 * 24);

fn events(section: &Section<'_>) -> Option<Vec<String>> {
    let list = section.take_list("events", false, pattern)?;
    if list.value.is_empty() {
        let help = "remove `events` for joins and leaves, or write `[\"*\"]` for all events";
        section.report.error("bad-value", &list.place, "the list of events is empty", help);
    }
    Some(list.value.into_iter().map(|spot| spot.value).collect())
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

fn headers(section: &Section<'_>, context: Context<'_>) -> Option<Vec<(String, Text)>> {
    let spot = section.take("headers", |raw| {
        raw.pairs().ok_or_else(|| {
            ValueError::new(
                format!("expected a table, found {}", kind(raw.value)),
                "for example `{ \"X-Site\" = \"HZ\" }`",
            )
        })
    })?;
    let mut headers = Vec::new();
    for (name, raw) in spot.value {
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
    Some(headers)
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
fn check_proxy(keys: &Keys, context: Context<'_>) {
    if let (Some(proxy), Some(true)) = (&keys.proxy, keys.public_only) {
        let message = "`network = \"public\"` cannot be used with `proxy`, which resolves host names itself";
        let help = "remove one of them, and let the proxy refuse private addresses";
        context.report.error("bad-value", &proxy.place, message, help);
    }
}

/// Own keys before the shared ones.
fn merge(own: Keys, base: &Keys) -> Keys {
    Keys {
        format: own.format.or_else(|| base.format.clone()),
        secrets: own.secrets.or_else(|| base.secrets.clone()),
        events: own.events.or_else(|| base.events.clone()),
        users: own.users.or_else(|| base.users.clone()),
        groups: own.groups.or_else(|| base.groups.clone()),
        orgs: own.orgs.or_else(|| base.orgs.clone()),
        only_hosts: own.only_hosts.or(base.only_hosts),
        skip_late: own.skip_late.or(base.skip_late),
        titles: own.titles.or_else(|| base.titles.clone()),
        snapshot_on_start: own.snapshot_on_start.or(base.snapshot_on_start),
        headers: own.headers.or_else(|| base.headers.clone()),
        concurrency: own.concurrency.or(base.concurrency),
        rate: own.rate.or(base.rate),
        timeout: own.timeout.or(base.timeout),
        connect_timeout: own.connect_timeout.or(base.connect_timeout),
        proxy: own.proxy.or_else(|| base.proxy.clone()),
        ca_file: own.ca_file.or_else(|| base.ca_file.clone()),
        attempts: own.attempts.or(base.attempts),
        give_up_after: own.give_up_after.or(base.give_up_after),
        max_age: own.max_age.or_else(|| base.max_age.clone()),
        public_only: own.public_only.or(base.public_only),
        allow_link_local: own.allow_link_local.or(base.allow_link_local),
        template: own.template.or_else(|| base.template.clone()),
        success: own.success.or_else(|| base.success.clone()),
        batch: own.batch.or(base.batch),
    }
}

fn build(name: WebhookName, url: Text, keys: Keys, backoff: Backoff, message: Message) -> Webhook {
    fn values<T>(spots: Option<Vec<Located<T>>>) -> Vec<T> {
        spots.unwrap_or_default().into_iter().map(|spot| spot.value).collect()
    }
    let events = patterns(&keys);
    Webhook {
        name,
        url,
        format: keys.format.map_or(Format::Standard, |spot| spot.value),
        secrets: values(keys.secrets.map(|spot| spot.value)),
        events,
        users: values(keys.users),
        groups: values(keys.groups),
        orgs: values(keys.orgs),
        only_hosts: keys.only_hosts.unwrap_or(false),
        skip_late: keys.skip_late.unwrap_or(false),
        titles: keys.titles.is_none_or(|spot| spot.value),
        snapshot_on_start: keys.snapshot_on_start.unwrap_or(false),
        headers: keys.headers.unwrap_or_default(),
        concurrency: keys.concurrency.unwrap_or(8),
        rate: keys.rate.unwrap_or(10),
        timeout: keys.timeout.unwrap_or(Duration::from_secs(15)),
        connect_timeout: keys.connect_timeout.unwrap_or(Duration::from_secs(5)),
        proxy: keys.proxy.map(|spot| spot.value),
        ca_file: keys.ca_file.map(|spot| spot.value),
        backoff,
        attempts: keys.attempts.unwrap_or(5),
        give_up_after: keys.give_up_after.unwrap_or(GIVE_UP_AFTER),
        max_age: keys.max_age.map_or(Some(MAX_AGE), |spot| spot.value),
        public_only: keys.public_only.unwrap_or(false),
        allow_link_local: keys.allow_link_local.unwrap_or(false),
        style: message.style,
        success: keys.success.or_else(|| message.success()),
        template: message.template,
        batch: keys.batch,
    }
}

fn filters(keys: &Keys) -> Filters<'_> {
    Filters {
        users: keys.users.as_deref().unwrap_or_default(),
        groups: keys.groups.as_deref().unwrap_or_default(),
        orgs: keys.orgs.as_deref().unwrap_or_default(),
    }
}
