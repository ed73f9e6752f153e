//! Renders bodies with MiniJinja templates: the shipped ones and the operator's own.
//!
//! Guards: a template gives JSON, or an error with the template's line, which the config check reports. A template
//! cannot run long or write much, and a missing member is an error instead of an empty text. Deliberately not here:
//! reading template files (`config`), what a receiver's answer must contain (`webhook::format`).

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;

use super::sample;
use super::sentence::StoredEvent;
use super::style::Style;
use super::text;

/// Maximum length of a template's output.
pub const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// Maximum length of a template.
pub const MAX_SOURCE_BYTES: usize = 64 * 1024;

/// Maximum number of events in one message.
pub const MAX_EVENTS: usize = 30;

/// Maximum number of the engine's steps; a loop over a full batch takes a few thousand.
const FUEL: u64 = 200_000;

/// Maximum depth of the engine's stack.
const DEPTH: usize = 64;

/// A template that comes with the program.
#[derive(Clone, Copy, Debug)]
struct Shipped {
    name: &'static str,
    source: &'static str,
    /// The member of the receiver's answer that is 0 on success.
    zero_at: Option<&'static str>,
    /// The output is the text of a message instead of JSON.
    is_text: bool,
    /// The receiver can require a signature inside the body.
    is_signed: bool,
}

const fn shipped(name: &'static str, source: &'static str) -> Shipped {
    Shipped { name, source, zero_at: None, is_text: false, is_signed: false }
}

const SHIPPED: [Shipped; 9] = [
    shipped("slack", include_str!("templates/slack.json.j2")),
    Shipped {
        zero_at: Some("/code"),
        is_signed: true,
        ..shipped("feishu", include_str!("templates/feishu.json.j2"))
    },
    Shipped { zero_at: Some("/errcode"), ..shipped("wecom", include_str!("templates/wecom.json.j2")) },
    shipped("discord", include_str!("templates/discord.json.j2")),
    shipped("telegram", include_str!("templates/telegram.json.j2")),
    Shipped { is_text: true, ..shipped("ntfy", include_str!("templates/ntfy.txt.j2")) },
    shipped("gotify", include_str!("templates/gotify.json.j2")),
    shipped("teams", include_str!("templates/teams.json.j2")),
    shipped("google_chat", include_str!("templates/google_chat.json.j2")),
];

/// The names of the shipped templates; each may be followed by `-en` or `-zh`.
pub fn shipped_names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|shipped| shipped.name)
}

/// A template that parses. Clones share it.
#[derive(Clone)]
pub struct Template(Arc<Inner>);

struct Inner {
    name: String,
    style: Style,
    source: String,
    /// Of a shipped one.
    shipped: Option<Shipped>,
    engine: Environment<'static>,
}

/// Why a template is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template does not parse, or failed while it ran.
    #[error("{}{what}", at_line(*line))]
    Template {
        /// Line in the template, from 1, if known.
        line: Option<usize>,
        what: String,
    },
    /// The output is not JSON.
    #[error("it does not give JSON: {0}")]
    NotJson(String),
    /// The output is longer than [`MAX_OUTPUT_BYTES`].
    #[error("it gives more than {} KiB", MAX_OUTPUT_BYTES / 1024)]
    TooMuch,
}

fn at_line(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!("line {line}: "))
}

/// Replaces the type of the sample when several events are rendered at once.
const SEVERAL: &str = "several events at once";

/// The variables of a template.
#[derive(Serialize)]
struct Context<'a> {
    event: &'a serde_json::Value,
    events: &'a [serde_json::Value],
    text: &'a str,
    texts: &'a [String],
    language: &'static str,
}

impl Template {
    /// A shipped template by its name, which may end in `-en` or `-zh`.
    pub fn shipped(name: &str, usual: Style) -> Option<Self> {
        let (bare, style) = Style::of_name(name, usual);
        let shipped = SHIPPED.iter().find(|shipped| shipped.name == bare)?;
        let template = Self::build(name, shipped.source, style, Some(*shipped));
        // Cannot fail: a test compiles each shipped template.
        Some(template.expect("a shipped template parses"))
    }

    /// The operator's own template. Messages contain `name`.
    pub fn compile(name: &str, source: &str, style: Style) -> Result<Self, TemplateError> {
        Self::build(name, source, style, None)
    }

    fn build(
        name: &str,
        source: &str,
        style: Style,
        shipped: Option<Shipped>,
    ) -> Result<Self, TemplateError> {
        let mut engine = Environment::new();
        engine.set_undefined_behavior(UndefinedBehavior::Strict);
        // Templates use the filter `json`; the engine must not guess from a file's name.
        engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        engine.set_fuel(Some(FUEL));
        engine.set_recursion_limit(DEPTH);
        engine.add_filter("json", |value: Value| {
            if value.is_undefined() {
                return Err(Error::from(ErrorKind::UndefinedError));
            }
            serde_json::to_string(&value)
                .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
        });
        engine.add_filter("cut", |value: String, bytes: usize| text::cut(&value, bytes));
        engine.add_filter("markdown", |value: String| text::for_markdown(&value));
        engine.add_filter("slack", |value: String| text::for_slack(&value));
        engine
            .add_template_owned(name.to_owned(), source.to_owned())
            .map_err(|error| template_error(&error))?;
        let (name, source) = (name.to_owned(), source.to_owned());
        Ok(Self(Arc::new(Inner { name, style, source, shipped, engine })))
    }

    /// Name or file of the template.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The member of the receiver's answer that is 0 on success, for a shipped template whose receiver has one.
    pub fn zero_at(&self) -> Option<&'static str> {
        self.0.shipped?.zero_at
    }

    /// Whether the output is plain text instead of JSON.
    pub fn is_text(&self) -> bool {
        self.0.shipped.is_some_and(|shipped| shipped.is_text)
    }

    /// Whether the receiver can require a signature inside the body, so that its secret has no `whsec_`.
    pub fn is_signed(&self) -> bool {
        self.0.shipped.is_some_and(|shipped| shipped.is_signed)
    }

    /// The body for `bodies`, which must not be empty.
    pub fn render(&self, bodies: &[&[u8]]) -> Result<Vec<u8>, TemplateError> {
        let events: Vec<serde_json::Value> =
            bodies.iter().map(|body| serde_json::from_slice(body).unwrap_or_default()).collect();
        let texts: Vec<String> =
            bodies.iter().map(|body| StoredEvent::read(body).sentence(self.0.style)).collect();
        let context = Context {
            event: events.first().unwrap_or(&serde_json::Value::Null),
            events: &events,
            text: texts.first().map_or("", String::as_str),
            texts: &texts,
            language: self.0.style.language.code(),
        };
        let mut output = Bounded(Vec::new());
        let template = self.0.engine.get_template(&self.0.name).map_err(|error| template_error(&error))?;
        if let Err(error) = template.render_captured_to(Value::from(Serde(&context)), &mut output) {
            return Err(if output.is_full() { TemplateError::TooMuch } else { template_error(&error) });
        }
        let body = output.0.trim_ascii();
        if self.is_text() {
            return Ok(body.to_vec());
        }
        match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
            Ok(_) => Ok(body.to_vec()),
            Err(error) => Err(TemplateError::NotJson(error.to_string())),
        }
    }

    /// Renders a sample of each of these types, and with `batch` all of them at once. An error comes with the type of
    /// the sample.
    pub fn check<'a>(&self, types: &[&'a str], batch: bool) -> Result<(), (&'a str, TemplateError)> {
        let samples: Vec<_> = types.iter().filter_map(|name| Some((*name, sample::body(name)?))).collect();
        for (name, body) in &samples {
            self.render(&[body.as_bytes()]).map_err(|error| (*name, error))?;
        }
        if batch {
            let bodies: Vec<_> = samples.iter().map(|(_, body)| body.as_bytes()).collect();
            self.render(&bodies).map_err(|error| (SEVERAL, error))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.0.name).field(&self.0.style).finish()
    }
}

/// Templates with the same name, source and style are equal.
impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        (&self.0.name, &self.0.source, self.0.style) == (&other.0.name, &other.0.source, other.0.style)
    }
}

impl Eq for Template {}

fn template_error(error: &Error) -> TemplateError {
    let what = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    TemplateError::Template { line: error.line(), what }
}

/// Accepts at most [`MAX_OUTPUT_BYTES`].
struct Bounded(Vec<u8>);

impl Bounded {
    /// One byte above the limit is kept to mark that the limit is exceeded.
    fn is_full(&self) -> bool {
        self.0.len() > MAX_OUTPUT_BYTES
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (MAX_OUTPUT_BYTES + 1).saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if self.is_full() { Err(io::Error::other("too much")) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use serde_json::json;

    use super::*;

    fn own(source: &str) -> Result<Template, TemplateError> {
        Template::compile("own.j2", source, Style::of_zone(Tz::UTC))
    }

    fn rendered(source: &str) -> Result<String, TemplateError> {
        let body = sample::body("meeting.participant_joined").unwrap();
        own(source)?.render(&[body.as_bytes()]).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn shipped_templates_for_every_type() {
        let mut lines = Vec::new();
        let names = shipped_names().flat_map(|name| [format!("{name}-en"), format!("{name}-zh")]);
        for name in names {
            let template = Template::shipped(&name, Style::of_zone(Tz::UTC)).unwrap();
            for body in sample::bodies() {
                let made = template.render(&[body.as_bytes()]).unwrap();
                lines.push(format!("{name} {}", String::from_utf8(made).unwrap()));
            }
            let all: Vec<_> = sample::bodies().map(str::as_bytes).collect();
            lines.push(format!("{name} {}", String::from_utf8(template.render(&all).unwrap()).unwrap()));
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn shipped_templates_have_the_shape_their_receiver_documents() {
        let body = sample::body("meeting.participant_joined").unwrap();
        let made = |name| -> serde_json::Value {
            let template = Template::shipped(name, Style::of_zone(Tz::Asia__Shanghai)).unwrap();
            serde_json::from_slice(&template.render(&[body.as_bytes()]).unwrap()).unwrap()
        };
        let text = "Li Wei 于 16:50:15 加入会议";
        assert_eq!(made("slack"), json!({"text": text}));
        assert_eq!(made("feishu"), json!({"msg_type": "text", "content": {"text": text}}));
        assert_eq!(made("wecom"), json!({"msgtype": "markdown", "markdown": {"content": text}}));
        let zero_at = |name| Template::shipped(name, Style::of_zone(Tz::UTC)).unwrap().zero_at();
        assert_eq!(
            [zero_at("slack"), zero_at("feishu"), zero_at("wecom-zh")],
            [None, Some("/code"), Some("/errcode")]
        );
        assert!(Template::shipped("matrix", Style::of_zone(Tz::UTC)).is_none());
    }

    #[test]
    fn a_full_batch_of_long_names_fits_wecom() {
        let body = sample::body("meeting.participant_joined").unwrap().replace("Li Wei", &"[王".repeat(60));
        let batch = vec![body.as_bytes(); MAX_EVENTS];
        for name in ["wecom-en", "wecom-zh"] {
            let made = Template::shipped(name, Style::of_zone(Tz::UTC)).unwrap().render(&batch).unwrap();
            let made: serde_json::Value = serde_json::from_slice(&made).unwrap();
            let content = made["markdown"]["content"].as_str().unwrap();
            assert!(content.len() <= 4096);
            assert_eq!(content.lines().count(), MAX_EVENTS);
        }
    }

    #[test]
    fn a_name_with_quotes_and_markup_breaks_nothing() {
        let evil = r#"\"}, <!channel> [x](http://x) <at user_id=\"all\">"#;
        let body = sample::body("meeting.participant_joined").unwrap().replace("Li Wei", evil);
        for name in shipped_names() {
            let made =
                Template::shipped(name, Style::of_zone(Tz::UTC)).unwrap().render(&[body.as_bytes()]).unwrap();
            assert!(!String::from_utf8(made).unwrap().contains('<'), "{name}");
        }
    }

    #[test]
    fn sentences_in_messages_hold_nothing_invisible_and_the_event_is_exact() {
        let hidden = "Li\u{202e}\u{2066}\u{200b}\u{ad}Wei";
        let body = sample::body("meeting.participant_joined").unwrap().replace("Li Wei", hidden);
        let source = "[{{ text | json }}, {{ texts | join | json }}, {{ event.data.user.name | json }}]";
        for template in [own(source).unwrap(), Template::shipped("slack", Style::of_zone(Tz::UTC)).unwrap()] {
            let made = String::from_utf8(template.render(&[body.as_bytes()]).unwrap()).unwrap();
            assert!(made.contains("Li����Wei"), "{made}");
            assert_eq!(made.matches(hidden).count(), usize::from(template.name() == "own.j2"), "{made}");
        }
    }

    #[test]
    fn a_template_has_event_events_text_texts_and_language() {
        let source = r#"{"who": {{ event.data.user.name | json }}, "n": {{ events | length }},
            "tags": {{ event.data.user.tags | json }}, "left": {{ event.data.visit.left_at | json }},
            "text": {{ text | json }}, "first": {{ (texts[0] == text) | json }}, "in": {{ language | json }}}"#;
        let made: serde_json::Value = serde_json::from_str(&rendered(source).unwrap()).unwrap();
        assert_eq!(
            made,
            json!({"who": "Li Wei", "n": 1, "tags": {"site": "HZ"}, "left": null,
                "text": "Li Wei joined a meeting at 08:50:15", "first": true, "in": "en"})
        );
    }

    #[test]
    fn an_error_has_its_line() {
        for (source, said) in [
            ("{\"a\": {{ event.data.user.nmae | json }}}", "line 1: undefined value"),
            ("\n\n{{ evnt.id | json }}", "line 3: undefined value"),
            ("{\n{% if %}", "line 2: syntax error"),
            ("{{ event.id | jsn }}", "line 1: unknown filter"),
            ("{\"a\": {{ event.id }}}", "it does not give JSON: expected value at line 1 column 7"),
            ("", "it does not give JSON: EOF while parsing a value at line 1 column 0"),
            ("{{ event.id | json }} x", "it does not give JSON: trailing characters"),
            ("{% include 'other' %}", "line 1: syntax error"),
        ] {
            let error = rendered(source).unwrap_err().to_string();
            assert!(error.starts_with(said), "{source:?}: {error}");
        }
    }

    #[test]
    fn a_template_cannot_run_long_or_write_much() {
        let forever = "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}1";
        assert!(rendered(forever).unwrap_err().to_string().contains("fuel"), "{:?}", rendered(forever));
        let much = "\"{% for i in range(9000) %}0123456789{% endfor %}\"";
        assert_eq!(rendered(much), Err(TemplateError::TooMuch));
        let enough = "\"{% for i in range(6000) %}0123456789{% endfor %}\"";
        assert_eq!(rendered(enough).unwrap().len(), 60_002);
    }

    #[test]
    fn a_check_tries_every_type_and_the_batch() {
        let types = ["meeting.participant_joined", "system.alert"];
        let template = own("{\"who\": {{ event.data.user.name | json }}}").unwrap();
        assert_eq!(template.check(&types[..1], true), Ok(()));
        assert_eq!(template.check(&types, false).unwrap_err().0, "system.alert");
        let one_only = own("{{ '1' if events | length == 1 else 'x' }}").unwrap();
        assert_eq!(one_only.check(&types, false), Ok(()));
        assert!(matches!(one_only.check(&types, true), Err((SEVERAL, TemplateError::NotJson(_)))));
    }
}
