//! The parameters of the API: `?org=&user=&group=&since=&until=&after=&limit=` and a few more.
//!
//! Guards: one list of parameters for reading and for the `OpenAPI` document; a parameter that an operation does not have, or
//! that stands twice, is an error. Not here: what they select.

use axum::http::Uri;
use chrono::DateTime;
use serde_json::{Value, json};

use crate::presence::event::EventType;
use crate::store::history::check_event_type;
use crate::time::Timestamp;
use crate::web::response::{Problem, bad_request};
use crate::web::visitor::{TOKEN, pairs};

/// Default of `limit`.
const DEFAULT_PAGE: u32 = 100;
/// Maximum of `limit`.
const MAX_PAGE: u32 = 1000;

/// One parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    After,
    Event,
    Group,
    Limit,
    Org,
    Since,
    State,
    Type,
    Until,
    User,
}

impl Parameter {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::After => "after",
            Self::Event => "event",
            Self::Group => "group",
            Self::Limit => "limit",
            Self::Org => "org",
            Self::Since => "since",
            Self::State => "state",
            Self::Type => "type",
            Self::Until => "until",
            Self::User => "user",
        }
    }

    /// As a parameter object of `OpenAPI`.
    pub(super) fn document(self) -> Value {
        let text = || json!({ "type": "string" });
        let (schema, about) = match self {
            Self::After => (
                json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }),
                "What follows this position: `next_after` of the page before.",
            ),
            Self::Event => (text(), "Only of the event with this id."),
            Self::Group => (text(), "Only users in this group."),
            Self::Limit => (
                json!({ "type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32, "default": DEFAULT_PAGE }),
                "At most this many, from 1 to 1000; another number counts as the nearest of these.",
            ),
            Self::Org => (text(), "Only this organisation, by its name in the config."),
            Self::Since => (time(), "Only what happened at this time or later."),
            Self::State => (
                json!({ "enum": ["pending", "delivered", "dead", "expired"] }),
                "Only deliveries in this state.",
            ),
            Self::Type => (
                json!({ "enum": event_types() }),
                "Only events of this type; `*` at the end stands for any rest.",
            ),
            Self::Until => (time(), "Only what happened before this time."),
            Self::User => (text(), "Only users with exactly this name, unionId or `org/unionId`."),
        };
        json!({ "name": self.name(), "in": "query", "schema": schema, "description": about })
    }
}

/// All types, and patterns of them.
fn event_types() -> Vec<&'static str> {
    let patterns = ["*", "meeting.*", "user.*", "watch.*", "system.*", "webhook.*"];
    patterns.into_iter().chain(EventType::ALL.iter().map(|event_type| event_type.name())).collect()
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time", "examples": ["2026-11-29T08:00:00Z"] })
}

/// The parameters of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) after: Option<i64>,
    pub(super) event: Option<String>,
    pub(super) event_type: Option<String>,
    pub(super) group: Option<String>,
    limit: Option<u32>,
    pub(super) org: Option<String>,
    pub(super) since: Option<Timestamp>,
    pub(super) state: Option<&'static str>,
    pub(super) until: Option<Timestamp>,
    pub(super) user: Option<String>,
}

impl Query {
    /// Reads the parameters of a URL; only those in `allowed` may stand there, each once.
    pub(super) fn read(uri: &Uri, allowed: &[Parameter]) -> Result<Self, Problem> {
        let mut query = Self::default();
        let mut seen: Vec<Parameter> = Vec::new();
        for (name, value) in pairs(uri).filter(|(name, _)| name != TOKEN) {
            let Some(&parameter) = allowed.iter().find(|parameter| parameter.name() == name) else {
                let known: Vec<&str> = allowed.iter().map(|parameter| parameter.name()).collect();
                return Err(bad_request(format!("`{name}` is unknown here; known: {}", known.join(", "))));
            };
            if seen.contains(&parameter) {
                return Err(bad_request(format!("`{name}` stands twice")));
            }
            seen.push(parameter);
            query.set(parameter, value).map_err(|error| bad_request(format!("`{name}` {error}")))?;
        }
        Ok(query)
    }

    fn set(&mut self, parameter: Parameter, value: String) -> Result<(), String> {
        match parameter {
            Parameter::After => {
                let number: u64 = value.parse().map_err(|_| "is not a whole number, 0 or more")?;
                self.after = Some(i64::try_from(number).unwrap_or(i64::MAX));
            }
            Parameter::Limit => {
                self.limit = Some(value.parse().map_err(|_| "is not a whole number, 0 or more")?);
            }
            Parameter::Since => self.since = Some(instant(&value)?),
            Parameter::Until => self.until = Some(instant(&value)?),
            Parameter::State => {
                let states = ["pending", "delivered", "dead", "expired"];
                let known = states.into_iter().find(|state| *state == value);
                self.state = Some(known.ok_or("is not pending, delivered, dead or expired")?);
            }
            Parameter::Type => {
                check_event_type(&value)?;
                self.event_type = Some(value);
            }
            Parameter::Event => self.event = Some(value),
            Parameter::Group => self.group = Some(value),
            Parameter::Org => self.org = Some(value),
            Parameter::User => self.user = Some(value),
        }
        Ok(())
    }

    /// `limit` within its bounds.
    pub(super) fn limit(&self) -> u32 {
        self.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE)
    }

    /// The same for slices.
    pub(super) fn places(&self) -> usize {
        usize::try_from(self.limit()).unwrap_or(usize::MAX)
    }
}

fn instant(text: &str) -> Result<Timestamp, String> {
    let time = DateTime::parse_from_rfc3339(text);
    let wrong = "is not a time such as 2026-11-29T08:00:00Z (write `+` of an offset as %2B)";
    Ok(Timestamp::from_ms(time.map_err(|_| wrong.to_owned())?.timestamp_millis()))
}
