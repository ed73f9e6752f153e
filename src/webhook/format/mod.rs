//! How stored events become one request's body, and when its answer counts as taken.
//!
//! Guards: `standard` and `cloudevents` send the stored bytes as they are, so every webhook, retry and replay gets the
//! same; a robot and a template are asked in the receiver's own terms whether it took the message. Deliberately not
//! here: the envelope itself (`presence::event`), the wording (`message`), headers and URLs (`send`).

mod answer;

use std::time::Duration;

use crate::config;
use crate::message::robot;
use crate::message::style::Style;
use crate::message::template::{self, Template};
use crate::policy::delivery::Outcome;
use crate::policy::robot::SILENCE;
use crate::secret::Secret;
use crate::signature::robot::SECRET_PREFIX;
use crate::signature::{KeyError, SigningKey};

pub use self::answer::Success;

/// A webhook's format, with what it needs.
#[derive(Clone, Debug)]
pub enum Shape {
    /// The envelope as it is.
    Standard,
    /// The same, under the name of the CloudEvents standard.
    CloudEvents,
    /// A DingTalk group robot.
    Robot {
        /// To sign with, where the robot's settings ask for it.
        secret: Option<Secret>,
        /// Language and clock.
        style: Style,
    },
    /// A template's output.
    Template {
        /// Which.
        template: Template,
        /// What the answer must hold.
        success: Option<Success>,
        /// How long events are collected for one request.
        batch: Option<Duration>,
    },
}

/// How many events one request may hold, and how long they are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    /// Every event by itself.
    Single,
    /// What comes within so long of the first, at most so many.
    Collected {
        /// How long.
        window: Duration,
        /// How many.
        most: usize,
    },
    /// By the pace of a robot (`policy::robot`), at most so many.
    Paced {
        /// How many.
        most: usize,
    },
}

/// What an answer with an accepting status says in its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What it means.
    pub outcome: Outcome,
    /// Why it is not accepted.
    pub error: Option<String>,
    /// The robot wants to be left alone for so long.
    pub silence: Option<Duration>,
}

/// The secrets of a webhook, by what they are for.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Standard Webhooks: newest first.
    pub signing: Vec<SigningKey>,
    /// The robot's.
    pub robot: Option<Secret>,
}

impl Keys {
    /// Sorts resolved secrets. A robot may have both kinds: its own, and one for whoever stands in between.
    pub fn sort(secrets: &[Secret], format: config::Format) -> Result<Self, KeyError> {
        let mut keys = Self::default();
        for secret in secrets {
            let text = secret.reveal().trim();
            if format == config::Format::DingtalkRobot && text.starts_with(SECRET_PREFIX) {
                keys.robot.get_or_insert_with(|| Secret::new(text));
            } else {
                keys.signing.push(SigningKey::parse(text)?);
            }
        }
        Ok(keys)
    }
}

impl Shape {
    /// What the config says. `None`: a template is missing, which a valid config never lacks.
    pub fn of(webhook: &config::Webhook, robot_secret: Option<Secret>) -> Option<Self> {
        Some(match webhook.format {
            config::Format::Standard => Self::Standard,
            config::Format::CloudEvents => Self::CloudEvents,
            config::Format::DingtalkRobot => Self::Robot { secret: robot_secret, style: webhook.style? },
            config::Format::Template => Self::Template {
                template: webhook.template.clone()?,
                success: webhook.success.clone().map(|(pointer, equals)| Success { pointer, equals }),
                batch: webhook.batch,
            },
        })
    }

    /// The `Content-Type` that goes with it.
    pub fn content_type(&self) -> &'static str {
        match self {
            // A structured CloudEvent says so by its media type (CloudEvents HTTP binding, section 3.2).
            Self::CloudEvents => "application/cloudevents+json",
            Self::Standard => "application/json",
            // These receivers read Chinese out of it, and some ask for the charset.
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

    /// The body for some stored events, at least one; `id` names the request. The error is why there is none.
    pub fn compose(&self, id: &str, mut bodies: Vec<Vec<u8>>) -> Result<Vec<u8>, String> {
        match self {
            // Nobody hands these more than one.
            Self::Standard | Self::CloudEvents => Ok(bodies.swap_remove(0)),
            Self::Robot { style, .. } => {
                let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
                Ok(robot::message(id, &bodies, *style))
            }
            Self::Template { template, .. } => {
                let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
                template.render(&bodies).map_err(|error| format!("template {}: {error}", template.name()))
            }
        }
    }

    /// Whether an accepting status is not enough.
    pub fn reads_answers(&self) -> bool {
        matches!(self, Self::Robot { .. } | Self::Template { success: Some(_), .. })
    }

    /// What the body of an answer with an accepting status means. `whole`: all of it is there.
    pub fn judge(&self, body: &[u8], whole: bool) -> Judgement {
        match self {
            Self::Robot { .. } => answer::of_robot(body, whole),
            Self::Template { success: Some(success), .. } => success.judge(body, whole),
            _ => Judgement { outcome: Outcome::Accepted, error: None, silence: None },
        }
    }
}

impl Judgement {
    fn accepted() -> Self {
        Self { outcome: Outcome::Accepted, error: None, silence: None }
    }

    fn unavailable(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::Unavailable, error: Some(why.into()), silence: None }
    }

    fn silent(self, silence: bool) -> Self {
        Self { silence: silence.then_some(SILENCE), ..self }
    }
}
