//! From a `[[webhook]]` of the config to what the dispatcher delivers to, and to what is filtered by.
//!
//! Guards: secrets come in resolved, and leave in types that do not print. Deliberately not here: resolving them
//! (`config::secrets`).

use crate::clock::SharedClock;
use crate::config::Webhook;
use crate::ids::WebhookName;
use crate::policy::delivery::Rules;
use crate::secret::Secret;
use crate::signature::SigningKey;
use crate::webhook::address::Reach;
use crate::webhook::routing::{Pattern, PatternError, Subscription};
use crate::webhook::send::{Destination, Sender, SenderError};

/// A webhook to deliver to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: WebhookName,
    /// Sends to it.
    pub sender: Sender,
    /// When to try again and when to give up.
    pub rules: Rules,
    /// Requests in flight.
    pub concurrency: u32,
    /// Requests a second.
    pub rate: u32,
    /// For a whole request, as the sender has it.
    pub timeout: std::time::Duration,
}

/// What of a webhook may be secret, resolved.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// `url`.
    pub url: Secret,
    /// `secret`: newest first; empty = unsigned.
    pub keys: Vec<SigningKey>,
    /// `headers`.
    pub headers: Vec<(String, Secret)>,
}

impl Target {
    /// What the config says, with its secrets.
    pub fn new(webhook: &Webhook, resolved: Resolved, clock: SharedClock) -> Result<Self, SenderError> {
        let destination = Destination {
            webhook: webhook.name.clone(),
            url: resolved.url,
            format: webhook.format,
            keys: resolved.keys,
            headers: resolved.headers,
            timeout: webhook.timeout,
            connect_timeout: webhook.connect_timeout,
            concurrency: webhook.concurrency,
            reach: Reach { public_only: webhook.public_only, allow_link_local: webhook.allow_link_local },
        };
        Ok(Self {
            name: webhook.name.clone(),
            sender: Sender::new(destination, clock)?,
            rules: Rules {
                initial: webhook.backoff.initial,
                max: webhook.backoff.max,
                factor: webhook.backoff.factor,
                attempts: webhook.attempts,
                give_up_after: webhook.give_up_after,
                max_age: webhook.max_age,
            },
            concurrency: u32::try_from(webhook.concurrency).unwrap_or(u32::MAX),
            rate: webhook.rate,
            timeout: webhook.timeout,
        })
    }
}

/// What the config lets through to a webhook.
pub fn subscription(webhook: &Webhook) -> Result<Subscription, PatternError> {
    Ok(Subscription {
        webhook: webhook.name.clone(),
        patterns: webhook.events.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?,
        users: webhook.users.clone(),
        groups: webhook.groups.clone(),
        orgs: webhook.orgs.clone(),
        only_hosts: webhook.only_hosts,
        skip_late: webhook.skip_late,
    })
}
