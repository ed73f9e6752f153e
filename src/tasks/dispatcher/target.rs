//! What the dispatcher delivers to, and what a webhook of the config is filtered by.
//!
//! Guards: secrets are resolved and in types that do not print. Deliberately not here: building one (`app`).

use crate::config::Webhook;
use crate::ids::WebhookName;
use crate::policy::delivery::Rules;
use crate::webhook::routing::{Pattern, PatternError, Subscription};
use crate::webhook::send::Sender;

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
