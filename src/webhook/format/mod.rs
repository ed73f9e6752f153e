//! Turns stored events into the body of one request, and decides whether its answer counts as accepted.
//!
//! Guards: `standard` and `cloudevents` send the stored bytes unchanged, so every webhook, retry and replay sends the same
//! bytes. For a robot or a template, the receiver's own success code decides. Not here: the envelope (`presence::event`),
//! the wording (`message`), headers and URLs (`send`).

mod judgement;

use std::time::Duration;

use crate::config;
use crate::message::style::Style;
use crate::message::template::{self, Template};
use crate::message::{robot, title};
use crate::policy::delivery::Outcome;
use crate::secret::Secret;
use crate::signature::robot::{SECRET_PREFIX, sign_feishu};
use crate::signature::{KeyError, SigningKey};
use crate::time::Timestamp;

pub use self::judgement::{Judgement, Success};

/// A webhook's body format and its settings.
#[derive(Clone, Debug)]
pub enum BodyFormat {
    /// The envelope, unchanged.
    Standard,
    /// The same, with the media type of CloudEvents.
    CloudEvents,
    /// A DingTalk group robot.
    Robot {
        /// The secret for signing, if the robot's settings require it.
        secret: Option<Secret>,
        /// Language and time zone of the text.
        style: Style,
        /// Whether messages say the titles of meetings.
        titles: bool,
    },
    /// The output of a template.
    Template {
        /// The compiled template.
        template: Template,
        /// What the answer must hold.
        success: Option<Success>,
        /// How long events are collected for one request.
        batch: Option<Duration>,
        /// Whether messages say the titles of meetings.
        titles: bool,
        /// The secret of a bot that requires a signature in the body (Feishu).
        secret: Option<Secret>,
    },
}

/// How many events one request may hold, and how long they are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    /// One event per request.
    Single,
    /// All events within a time window after the first.
    Collected {
        /// The length of the window.
        window: Duration,
        /// The most events.
        most: usize,
    },
    /// Events are collected while the robot's rate limit (`policy::robot`) delays the next request.
    Paced {
        /// The most events.
        most: usize,
    },
}

/// The secrets of a webhook, by purpose.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Standard Webhooks keys, newest first.
    pub signing: Vec<SigningKey>,
    /// The robot's secret.
    pub robot: Option<Secret>,
}

impl Keys {
    /// Splits resolved secrets by purpose. A robot may have its own secret and also keys for a proxy in front of it.
    pub fn sort(secrets: &[Secret], webhook: &config::Webhook) -> Result<Self, KeyError> {
        let is_of_robot = |text: &str| match webhook.format {
            config::Format::DingtalkRobot => text.starts_with(SECRET_PREFIX),
            config::Format::Template => {
                webhook.template.as_ref().is_some_and(Template::is_signed) && !text.starts_with("whsec_")
            }
            config::Format::Standard | config::Format::CloudEvents => false,
        };
        let mut keys = Self::default();
        for secret in secrets {
            let text = secret.reveal().trim();
            if is_of_robot(text) {
                keys.robot.get_or_insert_with(|| Secret::new(text));
            } else {
                keys.signing.push(SigningKey::parse(text)?);
            }
        }
        Ok(keys)
    }
}

impl BodyFormat {
    /// The format that the config describes. `None` if the template is missing, which a valid config rules out.
    pub fn of(webhook: &config::Webhook, robot_secret: Option<Secret>) -> Option<Self> {
        Some(match webhook.format {
            config::Format::Standard => Self::Standard,
            config::Format::CloudEvents => Self::CloudEvents,
            config::Format::DingtalkRobot => {
                Self::Robot { secret: robot_secret, style: webhook.style?, titles: webhook.titles }
            }
            config::Format::Template => Self::Template {
                template: webhook.template.clone()?,
                success: webhook.success.clone().map(|(pointer, equals)| Success { pointer, equals }),
                batch: webhook.batch,
                titles: webhook.titles,
                secret: robot_secret,
            },
        })
    }

    /// The `Content-Type` header.
    pub fn content_type(&self) -> &'static str {
        match self {
            // The media type marks a structured CloudEvent (CloudEvents HTTP binding, section 3.2).
            Self::CloudEvents => "application/cloudevents+json",
            Self::Standard => "application/json",
            Self::Template { template, .. } if template.is_text() => "text/plain; charset=utf-8",
            // These receivers display Chinese text, and some require the charset.
            Self::Robot { .. } | Self::Template { .. } => "application/json; charset=utf-8",
        }
    }

    /// How many events a request may hold.
    pub fn batching(&self) -> Batching {
        match self {
            Self::Standard | Self::CloudEvents | Self::Template { batch: None, .. } => Batching::Single,
            Self::Robot { .. } => Batching::Paced { most: robot::MAX_EVENTS },
            Self::Template { batch: Some(window), .. } => {
                Batching::Collected { window: *window, most: template::MAX_EVENTS }
            }
        }
    }

    /// The body for stored events, at least one; `id` names the request. The error says why there is no body.
    pub fn compose(&self, id: &str, mut bodies: Vec<Vec<u8>>, now: Timestamp) -> Result<Vec<u8>, String> {
        if let Self::Robot { titles: false, .. } | Self::Template { titles: false, .. } = self {
            bodies.iter_mut().for_each(title::remove);
        }
        match self {
            // These formats never get more than one event.
            Self::Standard | Self::CloudEvents => Ok(bodies.swap_remove(0)),
            Self::Robot { style, .. } => {
                let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
                Ok(robot::message(id, &bodies, *style))
            }
            Self::Template { template, secret, .. } => {
                let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
                let body = template.render(&bodies);
                let body = body.map_err(|error| format!("template {}: {error}", template.name()))?;
                Ok(match secret {
                    Some(secret) => signed_for_feishu(&body, secret, now),
                    None => body,
                })
            }
        }
    }

    /// The secret of a robot, which no text may hold.
    pub(super) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Robot { secret, .. } | Self::Template { secret, .. } => secret.as_ref(),
            Self::Standard | Self::CloudEvents => None,
        }
    }

    /// Whether the body of an accepting answer must be read.
    pub fn reads_answers(&self) -> bool {
        matches!(self, Self::Robot { .. } | Self::Template { success: Some(_), .. })
    }

    /// Judges the body of an answer with an accepting status. `whole`: the body is complete.
    pub fn judge(&self, body: &[u8], whole: bool) -> Judgement {
        match self {
            Self::Robot { .. } => judgement::of_robot(body, whole),
            Self::Template { success: Some(success), .. } => success.judge(body, whole),
            _ => Judgement { outcome: Outcome::Accepted, error: None, silence: None },
        }
    }
}

/// The JSON object with `timestamp` and `sign` in front; a Feishu bot accepts them for an hour.
fn signed_for_feishu(body: &[u8], secret: &Secret, now: Timestamp) -> Vec<u8> {
    let seconds = now.as_ms().div_euclid(1000);
    let sign = sign_feishu(secret, seconds);
    let first = format!("{{\"timestamp\": \"{seconds}\", \"sign\": \"{sign}\", ");
    // The template gives an object that is not empty.
    [first.as_bytes(), body.trim_ascii_start().strip_prefix(b"{").unwrap_or(body)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::sample;

    #[test]
    fn a_feishu_bot_gets_timestamp_and_signature_in_the_body() {
        let template = Template::shipped("feishu-en", Style::of_zone(chrono_tz::Tz::UTC)).unwrap();
        let secret = Secret::new("demo");
        let format =
            BodyFormat::Template { template, success: None, batch: None, titles: true, secret: Some(secret) };
        let event = sample::body("meeting.participant_joined").unwrap().as_bytes().to_vec();
        let body = format.compose("evt_1", vec![event], Timestamp::from_ms(1_599_360_473_999)).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["timestamp"], "1599360473");
        assert_eq!(body["sign"], "l1N0gAcBjdwBvGm1xMjOF0XSyaLRpR7tuO5dHfhAYc8=");
        assert_eq!(body["msg_type"], "text");
    }
}
