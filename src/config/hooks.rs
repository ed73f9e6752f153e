//! `[[webhook]]` and `[webhook_defaults]`: who is told what, how, and with which patience.
//!
//! Guards: names are unique, patterns name events that exist, headers do not collide with those of the contract,
//! and a filter that matches nobody is pointed out. Deliberately not here: formats and sending (`webhook`).

use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use toml::de::DeValue;

use super::credentials::{Context, Purpose};
use super::people::{Group, UserAt};
use super::problem::Problem;
use super::secrets::SecretSource;
use super::section::{Raw, Section, Spot, Trouble, kind, nearest};
use super::{Backoff, Format, Text, Webhook, poll, value};
use crate::ids::{OrgName, WebhookName};
use crate::presence::event::EventType;

const FORMATS: &[(&str, Format)] = &[
    ("standard", Format::Standard),
    ("cloudevents", Format::CloudEvents),
    ("dingtalk_robot", Format::DingtalkRobot),
    ("template", Format::Template),
];
const NETWORKS: &[(&str, bool)] = &[("any", false), ("public", true)];
/// The templates that come with the program.
const SHIPPED_TEMPLATES: [&str; 3] = ["slack", "feishu", "wecom"];
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

/// Whom filters can name.
#[derive(Clone, Copy, Debug)]
pub struct Watched<'a> {
    /// All users.
    pub users: &'a [UserAt],
    /// All groups with a table of their own.
    pub groups: &'a [Group],
    /// All organisations.
    pub orgs: &'a [OrgName],
}

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
    attempts: Option<u32>,
    give_up_after: Option<Duration>,
    max_age: Option<Option<Duration>>,
    public_only: Option<bool>,
    allow_link_local: Option<bool>,
    template: Option<String>,
    success: Option<(String, serde_json::Value)>,
    batch: Option<Duration>,
}

const BACKOFF: Backoff =
    Backoff { initial: Duration::from_secs(5), max: Duration::from_hours(1), factor: 4.0 };

/// All webhooks; one that lacks a name or a URL is reported and left out.
pub fn webhooks(
    shared: Option<&Section<'_>>,
    sections: &[Section<'_>],
    watched: Watched<'_>,
    context: Context<'_>,
) -> Vec<Webhook> {
    let base = shared.map(|section| read(section, context)).unwrap_or_default();
    let shared_backoff = shared.and_then(|section| section.table("backoff", "webhook.backoff"));
    if shared_backoff.is_some() && sections.is_empty() {
        poll::backoff(None, shared_backoff.as_ref(), BACKOFF);
    }
    let mut names: Vec<Spot<WebhookName>> = Vec::new();
    let mut webhooks = Vec::new();
    for section in sections {
        let name = section.take("name", |raw| super::people::name(raw, WebhookName::parse));
        let url = url(section, context);
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
        if let Some(first) = names.iter().find(|other| other.value == name.value) {
            let message = format!("two webhooks are named `{}`", name.value);
            let problem =
                Problem::error("duplicate-webhook", Some(name.place.clone()), message).help("the second");
            context.report.push(problem.also(first.place.clone(), "the first"));
        }
        let merged = merge(own, &base);
        check_secrets(&merged, context);
        check_template(&merged, section, context);
        check_filters(&merged, &name, watched, context);
        webhooks.push(build(name.value.clone(), url, merged, backoff));
        names.push(name);
    }
    webhooks
}

fn url(section: &Section<'_>, context: Context<'_>) -> Option<Text> {
    let spot = section.take("url", |raw| match raw.value {
        DeValue::String(text) => value::url(text).map(|_| Text::Plain(text.to_string())),
        _ => context.text(raw),
    })?;
    if let Text::Secret(source) = &spot.value {
        context.examine(&Spot { value: source.clone(), place: spot.place.clone() }, Purpose::General);
    }
    Some(spot.value)
}

fn read(section: &Section<'_>, context: Context<'_>) -> Keys {
    let texts = |key| section.take_list(key, false, value::some_text).map(|spot| spot.value);
    let flag = |key| section.take_unless(key, &false, value::flag).map(|spot| spot.value);
    let waits = |key, default| section.take_unless(key, &default, value::wait).map(|spot| spot.value);
    Keys {
        format: section.take_unless("format", &Format::Standard, value::choice(FORMATS)),
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
        attempts: section.take("attempts", value::number(1)).map(|spot| spot.value),
        give_up_after: waits("give_up_after", GIVE_UP_AFTER),
        max_age: section
            .take_unless("max_age", &Some(MAX_AGE), value::or_word("forever"))
            .map(|spot| spot.value),
        public_only: section.take_unless("network", &false, value::choice(NETWORKS)).map(|spot| spot.value),
        allow_link_local: flag("allow_link_local"),
        template: template(section, context),
        success: success(section),
        batch: section.take("batch", value::wait).map(|spot| spot.value),
    }
}

const GIVE_UP_AFTER: Duration = Duration::from_hours(5 * 24);
const MAX_AGE: Duration = Duration::from_hours(7 * 24);

fn events(section: &Section<'_>) -> Option<Vec<String>> {
    let list = section.take_list("events", false, pattern)?;
    if list.value.is_empty() {
        let written_empty = !section.report.has_error_within(&list.place);
        if written_empty {
            let help = "leave `events` out for joins and lefts, or write `[\"*\"]` for everything";
            section.report.error("bad-value", &list.place, "no event at all is listed", help);
        }
        return None;
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
    let short = || names().find(|name| name.split('.').nth(1).is_some_and(|event| event.ends_with(&text)));
    let help = match nearest(&text, names().chain(patterns)).or_else(short) {
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
        if let Some(trouble) = header_name_trouble(&name.value) {
            context.report.error("bad-header", &name.place, trouble.message, &trouble.help);
        }
        match header_value(raw, context) {
            Ok(text) => {
                let place = raw.place();
                if let Text::Secret(source) = &text {
                    context.examine(&Spot { value: source.clone(), place }, Purpose::General);
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
                let message = format!("the header `{}`: {}", name.value, trouble.message);
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
        return Some(Trouble::new(format!("`{name}` is no name of a header"), "letters, digits and `-`"));
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

/// A shipped template's name, or a file's path from the config's folder.
fn template(section: &Section<'_>, context: Context<'_>) -> Option<String> {
    let spot = section.take("template", value::some_text)?;
    if SHIPPED_TEMPLATES.contains(&spot.value.as_str()) {
        return Some(spot.value);
    }
    let path = context.folder.join(&spot.value);
    if !path.is_file() {
        let help = match nearest(&spot.value, SHIPPED_TEMPLATES) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("a file, or one of {}", SHIPPED_TEMPLATES.join(", ")),
        };
        let message = format!("there is no template {}", path.display());
        context.report.error("missing-file", &spot.place, message, &help);
    }
    Some(path.display().to_string())
}

fn success(section: &Section<'_>) -> Option<(String, serde_json::Value)> {
    let table = section.table("success", "webhook.success")?;
    let pointer = table.take("json", |raw| {
        let pointer = value::text(raw)?;
        let is_pointer = pointer.is_empty() || pointer.starts_with('/');
        is_pointer
            .then_some(pointer)
            .ok_or_else(|| Trouble::new("is no JSON pointer", "it begins with `/`, for example `/errcode`"))
    });
    let equals = table.take("equals", plain_json);
    for (key, there) in [("json", pointer.is_some()), ("equals", equals.is_some())] {
        if !there && !table.has(key) {
            let message = format!("`{key}` is missing in {}", table.label());
            table.report.error(
                "missing-key",
                &table.place,
                message,
                "write `{ json = \"/errcode\", equals = 0 }`",
            );
        }
    }
    Some((pointer?.value, equals?.value))
}

fn plain_json(raw: Raw<'_>) -> Result<serde_json::Value, Trouble> {
    let number = |text: &str| serde_json::from_str(text).ok();
    match raw.value {
        DeValue::String(text) => Some(serde_json::Value::from(text.as_ref())),
        DeValue::Boolean(flag) => Some(serde_json::Value::from(*flag)),
        DeValue::Integer(integer) => number(integer.as_str()),
        DeValue::Float(float) => number(float.as_str()),
        _ => None,
    }
    .ok_or_else(|| {
        Trouble::new(format!("cannot be compared with {}", kind(raw.value)), "a text, a number or a flag")
    })
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
        attempts: own.attempts.or(base.attempts),
        give_up_after: own.give_up_after.or(base.give_up_after),
        max_age: own.max_age.or(base.max_age),
        public_only: own.public_only.or(base.public_only),
        allow_link_local: own.allow_link_local.or(base.allow_link_local),
        template: own.template.or_else(|| base.template.clone()),
        success: own.success.or_else(|| base.success.clone()),
        batch: own.batch.or(base.batch),
    }
}

fn build(name: WebhookName, url: Text, keys: Keys, backoff: Backoff) -> Webhook {
    fn values<T>(spots: Option<Vec<Spot<T>>>) -> Vec<T> {
        spots.unwrap_or_default().into_iter().map(|spot| spot.value).collect()
    }
    let usual =
        || [EventType::ParticipantJoined, EventType::ParticipantLeft].map(|event| event.name().to_owned());
    Webhook {
        name,
        url,
        format: keys.format.map_or(Format::Standard, |spot| spot.value),
        secrets: values(keys.secrets.map(|spot| spot.value)),
        events: keys.events.unwrap_or_else(|| usual().to_vec()),
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
        backoff,
        attempts: keys.attempts.unwrap_or(5),
        give_up_after: keys.give_up_after.unwrap_or(GIVE_UP_AFTER),
        max_age: keys.max_age.unwrap_or(Some(MAX_AGE)),
        public_only: keys.public_only.unwrap_or(false),
        allow_link_local: keys.allow_link_local.unwrap_or(false),
        template: keys.template,
        success: keys.success,
        batch: keys.batch,
    }
}

/// Signing keys have a form only in the formats that are signed by Standard Webhooks.
fn check_secrets(keys: &Keys, context: Context<'_>) {
    let signed = !matches!(keys.format.as_ref().map(|spot| spot.value), Some(Format::DingtalkRobot));
    let purpose = if signed { Purpose::Signing } else { Purpose::General };
    for secret in keys.secrets.iter().flat_map(|list| &list.value) {
        context.examine(secret, purpose);
    }
}

fn check_template(keys: &Keys, section: &Section<'_>, context: Context<'_>) {
    if let Some(format) = keys.format.as_ref().filter(|format| format.value == Format::Template)
        && keys.template.is_none()
        && !section.has("template")
    {
        let help = "write `template = \"slack\"`, or a file";
        context.report.error("missing-key", &format.place, "`template` is missing for this format", help);
    }
}

/// Names that nobody has, and filters that leave nobody together.
fn check_filters(keys: &Keys, name: &Spot<WebhookName>, watched: Watched<'_>, context: Context<'_>) {
    let users = keys.users.as_deref().unwrap_or_default();
    let groups = keys.groups.as_deref().unwrap_or_default();
    let orgs = keys.orgs.as_deref().unwrap_or_default();
    let mut all_known = true;
    let mut unknown = |what: &str, word: &Spot<String>, near: Option<&str>| {
        all_known = false;
        let message =
            format!("webhook `{}` names {what} `{}`, which nobody is in or has", name.value, word.value);
        let help = near.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
        context.report.warning("matches-nobody", &word.place, message, &help);
    };
    for word in users {
        let names = || {
            watched.users.iter().flat_map(|at| [at.user.name.as_str(), at.user.identity.union_id.as_str()])
        };
        if !names().any(|name| name == word.value) {
            unknown("the user", word, nearest(&word.value, names()));
        }
    }
    for word in groups {
        let names = || watched.users.iter().flat_map(|at| at.user.groups.iter().map(String::as_str));
        if !names().any(|name| name == word.value) {
            let declared = watched.groups.iter().map(|group| group.name.value.as_str());
            unknown(
                "the group",
                word,
                nearest(&word.value, names().chain(declared).filter(|name| *name != word.value)),
            );
        }
    }
    for word in orgs {
        if !watched.orgs.contains(&word.value) {
            let near = nearest(word.value.as_str(), watched.orgs.iter().map(OrgName::as_str));
            unknown(
                "the organisation",
                &Spot { value: word.value.to_string(), place: word.place.clone() },
                near,
            );
        }
    }
    let chosen = |at: &&UserAt| {
        let (user, identity) = (&at.user, &at.user.identity);
        (users.is_empty()
            || users.iter().any(|w| w.value == user.name || w.value == identity.union_id.as_str()))
            && (groups.is_empty() || groups.iter().any(|w| user.groups.contains(&w.value)))
            && (orgs.is_empty() || orgs.iter().any(|w| w.value == identity.org))
    };
    if all_known
        && !watched.users.is_empty()
        && !watched.users.iter().filter(|at| at.enabled).any(|at| chosen(&at))
    {
        let message = format!("webhook `{}` matches nobody", name.value);
        let help = "`users`, `groups` and `orgs` must all hold for somebody who is enabled";
        context.report.warning("matches-nobody", &name.place, message, help);
    }
}
