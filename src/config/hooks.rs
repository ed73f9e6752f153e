//! `[[webhook]]` and `[webhook_defaults]`: who is told what, how, and with which patience.
//!
//! Guards: names are unique, patterns name events that exist, headers do not collide with those of the contract,
//! and a filter that matches nobody is pointed out. Deliberately not here: what belongs to one format
//! (`hooks::format`), sending (`webhook`).

mod format;
mod robots;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;
use reqwest::header::{HeaderName, HeaderValue};
use toml::de::DeValue;

use self::format::Message;
use super::address;
use super::audience::{Filters, Watched, check_audience};
use super::credentials::{Context, Purpose};
use super::dingtalk::ca_file;
use super::keys::nearest;
use super::problem::{Place, Problem};
use super::secrets::SecretSource;
use super::section::{Raw, Section, Spot, Trouble, kind};
use super::{Backoff, Format, Text, Webhook, poll, public, value};
use crate::ids::{OrgName, WebhookName};
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

/// The keys that both tables have, as far as they are there and right.
#[derive(Debug, Default)]
struct Keys {
    format: Option<Spot<Format>>,
    secrets: Option<Spot<Vec<Spot<SecretSource>>>>,
    events: Option<Vec<String>>,
    users: Option<Vec<Spot<String>>>,
    groups: Option<Vec<Spot<String>>>,
    orgs: Option<Vec<Spot<OrgName>>>,
    only_hosts: Option<bool>,
    skip_late: Option<bool>,
    snapshot_on_start: Option<bool>,
    headers: Option<Vec<(String, Text)>>,
    concurrency: Option<usize>,
    rate: Option<u32>,
    timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    proxy: Option<Spot<String>>,
    ca_file: Option<Spot<PathBuf>>,
    attempts: Option<u32>,
    give_up_after: Option<Duration>,
    max_age: Option<Spot<Option<Duration>>>,
    public_only: Option<bool>,
    allow_link_local: Option<bool>,
    template: Option<Spot<String>>,
    success: Option<(String, serde_json::Value)>,
    batch: Option<Duration>,
}

const BACKOFF: Backoff =
    Backoff { initial: Duration::from_secs(5), max: Duration::from_hours(1), factor: 4.0 };

/// All webhooks; one that lacks a name or a URL is reported and left out.
pub(super) fn webhooks(
    shared: Option<&Section<'_>>,
    sections: &[Section<'_>],
    watched: &Watched<'_>,
    zone: Tz,
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
        let name = section.take("name", |raw| super::people::name(raw, WebhookName::parse));
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
        let (Some(name), Some(url)) = (name, url) else { continue };
        if let Some(first) = seen.get(&name.value) {
            let message = format!("two webhooks are named `{}`", name.value);
            let problem =
                Problem::error("duplicate-webhook", Some(name.place.clone()), message).help("the second");
            context.report.push(problem.also(first.clone(), "the first"));
        } else {
            seen.insert(name.value.clone(), name.place.clone());
        }
        let merged = merge(own, &base);
        format::check_secrets(&merged, context);
        robots::check(&url.value, &merged, section, context);
        check_proxy(&merged, context);
        let message = format::message(&merged, section, zone, context);
        check_audience(&filters(&merged), &name, watched, context.report);
        let mut webhook = build(name.value.clone(), url.value, merged, backoff, message);
        if webhook.format == Format::Template && webhook.success.is_none() {
            webhook.success = robot.and_then(robots::Robot::success);
        }
        webhooks.push(webhook);
    }
    webhooks
}

fn url(section: &Section<'_>, context: Context<'_>) -> Option<Spot<Text>> {
    let spot = section.take("url", |raw| match raw.value {
        DeValue::String(text) => address::url(text).map(|_| Text::Plain(text.to_string())),
        _ => context.text(raw),
    })?;
    if let Text::Secret(source) = &spot.value {
        context.examine(&Spot { value: source.clone(), place: spot.place.clone() }, Purpose::Url);
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
            .take_list("orgs", false, |raw| super::people::name(raw, OrgName::parse))
            .map(|spot| spot.value),
        only_hosts: flag("only_hosts"),
        skip_late: flag("skip_late"),
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
        let help = "leave `events` out for joins and lefts, or write `[\"*\"]` for everything";
        section.report.error("bad-value", &list.place, "no event at all is listed", help);
    }
    Some(list.value.into_iter().map(|spot| spot.value).collect())
}

/// An event's name, `family.*`, or `*`.
fn pattern(raw: Raw<'_>) -> Result<String, Trouble> {
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
    Err(Trouble::new(format!("there is no event `{text}`"), help))
}

fn headers(section: &Section<'_>, context: Context<'_>) -> Option<Vec<(String, Text)>> {
    let spot = section.take("headers", |raw| {
        raw.pairs().ok_or_else(|| {
            Trouble::new(
                format!("expected a table, found {}", kind(raw.value)),
                "for example `{ \"X-Site\" = \"HZ\" }`",
            )
        })
    })?;
    let mut headers = Vec::new();
    for (name, raw) in spot.value {
        if let Some((place, trouble)) = context.report.unseen_in_key(&name.value, &name.place) {
            let message = format!("the name of a header {}", trouble.message);
            context.report.error("bad-header", &place, message, &trouble.help);
        } else if let Some(trouble) = header_name_trouble(&name.value) {
            context.report.error("bad-header", &name.place, trouble.message, &trouble.help);
        }
        if let Some((place, trouble)) = context.report.unseen(&name.value, &raw) {
            let message = format!("the header `{}` {}", public::header_shown(&name.value), trouble.message);
            context.report.error("bad-header", &place, message, &trouble.help);
            continue;
        }
        match header_value(raw, context) {
            Ok(text) => {
                let place = raw.place();
                if let Text::Secret(source) = &text {
                    context.examine(&Spot { value: source.clone(), place }, Purpose::Header);
                } else if SECRET_HEADERS.contains(&name.value.to_lowercase().as_str()) {
                    let message = format!("the header `{}` holds a secret as plain text", name.value);
                    let problem = Problem::warning("plain-secret", Some(place), message).aside("");
                    context
                        .report
                        .push(problem.help("keep it in a file or a credential: `{ credential = \"NAME\" }`"));
                }
                headers.push((name.value, text));
            }
            Err(trouble) => {
                let message =
                    format!("the header `{}`: {}", public::header_shown(&name.value), trouble.message);
                context.report.error("bad-header", &raw.place(), message, &trouble.help);
            }
        }
    }
    Some(headers)
}

fn header_value(raw: Raw<'_>, context: Context<'_>) -> Result<Text, Trouble> {
    let text = context.text(raw)?;
    if let Text::Plain(plain) = &text
        && HeaderValue::from_str(plain).is_err()
    {
        return Err(Trouble::new("the value cannot travel in a header", "no control characters"));
    }
    Ok(text)
}

fn header_name_trouble(name: &str) -> Option<Trouble> {
    let lower = name.to_lowercase();
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Some(Trouble::new("this is no name of a header", "letters, digits and `-`"));
    }
    if RESERVED.contains(&lower.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
    {
        return Some(Trouble::new(
            format!("the header `{name}` is set by this program"),
            "choose another name",
        ));
    }
    None
}

/// A proxy looks host names up itself, so nothing here sees the address that `network = "public"` is about.
fn check_proxy(keys: &Keys, context: Context<'_>) {
    if let (Some(proxy), Some(true)) = (&keys.proxy, keys.public_only) {
        let message = "`network = \"public\"` cannot be kept through `proxy`, which looks names up itself";
        let help = "take one of the two out, and let the proxy refuse private addresses";
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
    fn values<T>(spots: Option<Vec<Spot<T>>>) -> Vec<T> {
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

/// What is subscribed; joins and lefts when nothing is said.
fn patterns(keys: &Keys) -> Vec<String> {
    let usual = [EventType::ParticipantJoined, EventType::ParticipantLeft];
    keys.events.clone().unwrap_or_else(|| usual.map(|event| event.name().to_owned()).to_vec())
}

fn filters(keys: &Keys) -> Filters<'_> {
    Filters {
        users: keys.users.as_deref().unwrap_or_default(),
        groups: keys.groups.as_deref().unwrap_or_default(),
        orgs: keys.orgs.as_deref().unwrap_or_default(),
    }
}
