//! Reads the keys of one format: template, secrets, the expected answer.
//!
//! Guards: a template gives JSON for every subscribed type of event, or the config is refused; a secret has the form that
//! the format signs with. Not here: templates (`message::template`).

use std::io::ErrorKind;
use std::path::Path;

use chrono_tz::Tz;
use toml::de::DeValue;

use super::super::credentials::{Context, Purpose};
use super::super::keys::nearest;
use super::super::section::{Located, RawValue, Section, ValueError, kind};
use super::super::{Format, Webhook, plain_file, value};
use super::keys::Keys;
use crate::message::style::Style;
use crate::message::template::{self, MAX_SOURCE_BYTES, Template};
use crate::presence::event::EventType;

/// The name in `template` for a robot, where it only sets the language.
const ROBOT: &str = "robot";

/// How messages of a webhook are made.
#[derive(Debug)]
pub(super) struct Message {
    /// For `format = "dingtalk_robot"`: the language and the wall clock.
    pub(super) style: Option<Style>,
    /// For `format = "template"`.
    pub(super) template: Option<Template>,
}

/// Reads and tests the template; problems are reported at the place of its name.
pub(super) fn message(
    webhook: &Webhook,
    keys: &Keys,
    section: &Section<'_>,
    usual: Style,
    context: Context<'_>,
) -> Message {
    let plain = Message { style: None, template: None };
    match (webhook.format, &keys.template) {
        (Format::Template, Some(spot)) => {
            Message { template: template(spot, webhook, usual, context), ..plain }
        }
        (Format::Template, None) => {
            let (message, help) =
                ("`template` is missing for this format", "write `template = \"slack\"`, or a file");
            context.report.error("missing-key", &keys.format.place, message, help);
            plain
        }
        (Format::DingtalkRobot, Some(spot)) => {
            let (bare, style) = Style::of_name(&spot.value, usual);
            if bare != ROBOT {
                let message = format!("a robot has no template `{}`", spot.value);
                let help = "its messages are built in: `robot-en` or `robot-zh` names their language";
                context.report.error("bad-value", &spot.place, message, help);
            }
            Message { style: Some(style), ..plain }
        }
        (Format::DingtalkRobot, None) => Message { style: Some(usual), ..plain },
        // One for all webhooks passes those by that have no use for it.
        (Format::Standard | Format::CloudEvents, Some(spot)) if section.has_itself("template") => {
            let message = "`template` has no effect with this format";
            context.report.warning("no-effect", &spot.place, message, "write `format = \"template\"`");
            plain
        }
        _ => plain,
    }
}

/// Events are the same bytes for every webhook, so only messages that are made of them can be without titles.
pub(super) fn check_titles(keys: &Keys, context: Context<'_>) {
    if !keys.titles.value && matches!(keys.format.value, Format::Standard | Format::CloudEvents) {
        let message = "`titles = false` needs a robot or a template: events are the same for every webhook";
        let help = "write `titles = \"local\"` in [privacy] to keep titles out of all events";
        context.report.error("bad-value", &keys.titles.place, message, help);
    }
}

/// A shipped template, or a file of the config's folder.
fn template(
    spot: &Located<String>,
    webhook: &Webhook,
    usual: Style,
    context: Context<'_>,
) -> Option<Template> {
    let template = match Template::shipped(&spot.value, usual) {
        Some(template) => template,
        None => own(spot, usual, context)?,
    };
    let types: Vec<&str> = EventType::ALL
        .iter()
        .map(|event| event.name())
        .filter(|name| is_subscribed(name, &webhook.events))
        .collect();
    if let Err((event_type, error)) = template.check(&types, webhook.batch.is_some()) {
        let message = format!("the template {} fails for {event_type}: {error}", spot.value);
        let help = "it must give JSON for every event of `events`: insert texts with `{{ text | json }}`";
        context.report.error("bad-template", &spot.place, message, help);
    }
    Some(template)
}

/// A format by its name. The names of shipped templates are not formats.
pub(super) fn named(
    raw: RawValue<'_>,
    formats: &'static [(&'static str, Format)],
) -> Result<Format, ValueError> {
    value::choice(formats)(raw).map_err(|error| match value::text(raw) {
        Ok(word) if template::shipped_names().any(|name| name == word) => ValueError::new(
            error.message,
            format!("write `format = \"template\"` and `template = \"{word}\"`"),
        ),
        _ => error,
    })
}

fn own(spot: &Located<String>, usual: Style, context: Context<'_>) -> Option<Template> {
    let path = context.folder.join(&spot.value);
    context.report.reads(&path);
    let source = match read(&path) {
        Ok(source) => source,
        Err(why) => {
            let known = || template::shipped_names().chain([ROBOT]);
            let help = match nearest(&spot.value, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    format!("a file, or one of {}", template::shipped_names().collect::<Vec<_>>().join(", "))
                }
            };
            let path = path.display();
            let message = match why {
                None => format!("there is no template {path}"),
                Some(why) => format!("the template {path} cannot be read: {why}"),
            };
            context.report.error("missing-file", &spot.place, message, &help);
            return None;
        }
    };
    // `alert-zh.json.j2` is Chinese, whatever the zone: the same rule as for the shipped names.
    let stem = Path::new(&spot.value).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (_, style) = Style::of_name(stem.split('.').next().unwrap_or_default(), usual);
    match Template::compile(&spot.value, &source, style) {
        Ok(template) => Some(template),
        Err(error) => {
            let message = format!("the template {} does not parse: {error}", spot.value);
            context.report.error(
                "bad-template",
                &spot.place,
                message,
                "it is MiniJinja, which is Jinja2 without Python",
            );
            None
        }
    }
}

/// The text of a file, or the error; `Err(None)` if there is no file.
fn read(path: &Path) -> Result<String, Option<String>> {
    let (bytes, _) = plain_file::read(path, MAX_SOURCE_BYTES as u64)
        .map_err(|error| (error.kind() != ErrorKind::NotFound).then(|| error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| Some("it is not UTF-8".to_owned()))
}

/// Whether a pattern covers the type. `*` is everything but tests, for which a template need not be made.
fn is_subscribed(name: &str, patterns: &[String]) -> bool {
    let is_test = name == EventType::WebhookTest.name();
    let covers = |pattern: &String| {
        (pattern == "*" && !is_test)
            || pattern == name
            || pattern
                .strip_suffix('*')
                .is_some_and(|family| family.ends_with('.') && name.starts_with(family))
    };
    patterns.iter().any(covers)
}

/// Signing keys have a form; a robot's has another, and there is one.
pub(super) fn check_secrets(keys: &Keys, context: Context<'_>) {
    let feishu = || {
        let name = keys.template.as_ref().map_or("", |spot| spot.value.as_str());
        Template::shipped(name, Style::of_zone(Tz::UTC)).is_some_and(|template| template.is_signed())
    };
    let purpose = match keys.format.value {
        Format::DingtalkRobot => Purpose::Robot,
        // The secret of such a bot has no form of its own.
        Format::Template if feishu() => Purpose::General,
        _ => Purpose::Signing,
    };
    for secret in &keys.secrets {
        context.examine(secret, purpose);
    }
}

/// `success`: what the answer must hold.
pub(super) fn success(section: &Section<'_>) -> Option<(String, serde_json::Value)> {
    let table = section.table_if_set("success", "webhook.success")?;
    let pointer = table.take("json", |raw| {
        let pointer = value::text(raw)?;
        let is_pointer = pointer.is_empty() || pointer.starts_with('/');
        is_pointer.then_some(pointer).ok_or_else(|| {
            ValueError::new("is no JSON pointer", "it begins with `/`, for example `/errcode`")
        })
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

fn plain_json(raw: RawValue<'_>) -> Result<serde_json::Value, ValueError> {
    let number = |text: &str| serde_json::from_str(text).ok();
    match raw.value {
        DeValue::String(text) => Some(serde_json::Value::from(text.as_ref())),
        DeValue::Boolean(flag) => Some(serde_json::Value::from(*flag)),
        DeValue::Integer(integer) => number(integer.as_str()),
        DeValue::Float(float) => number(float.as_str()),
        _ => None,
    }
    .ok_or_else(|| {
        ValueError::new(format!("cannot be compared with {}", kind(raw.value)), "a text, a number or a flag")
    })
}
