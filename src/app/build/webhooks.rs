//! Builds subscriptions and delivery targets from the webhooks of the config.
//!
//! Guards: secrets are held in types that do not print. Not here: sending (`webhook`), queueing (`tasks::dispatcher`).

use std::sync::Arc;

use super::error::BuildError;
use super::resolve::{secret, text};
use crate::clock::SharedClock;
use crate::confidential::SharedConfidential;
use crate::config::header_shown;
use crate::config::{Config, Webhook};
use crate::policy::delivery::Rules as DeliveryRules;
use crate::tasks::dispatcher::{Target, subscription};
use crate::webhook::address::NetworkPolicy;
use crate::webhook::format::{BodyFormat, Keys};
use crate::webhook::routing::Subscription;
use crate::webhook::send::{Destination, Sender, SenderError};

/// Which events each webhook gets.
pub(in crate::app) fn subscriptions(webhooks: &[Webhook]) -> Result<Arc<[Subscription]>, BuildError> {
    webhooks.iter().map(|webhook| subscription(webhook).map_err(|error| refused(webhook, &error))).collect()
}

/// Where and how events are sent, for each webhook.
pub(in crate::app) async fn targets(
    config: &Config,
    clock: &SharedClock,
    confidential: &SharedConfidential,
) -> Result<Vec<Target>, BuildError> {
    let mut targets = Vec::with_capacity(config.webhooks.len());
    for webhook in &config.webhooks {
        let destination = destination(webhook, confidential.clone()).await?;
        let sender = Sender::new(destination, Arc::clone(clock))
            .map_err(|error: SenderError| refused(webhook, &error))?;
        targets.push(Target {
            name: webhook.name.clone(),
            sender,
            rules: DeliveryRules {
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
        });
    }
    Ok(targets)
}

async fn destination(webhook: &Webhook, confidential: SharedConfidential) -> Result<Destination, BuildError> {
    let label = |key: &str| format!("webhook `{}`: {key}", webhook.name);
    let mut secrets = Vec::with_capacity(webhook.secrets.len());
    for source in &webhook.secrets {
        secrets.push(secret(|| label("secret"), source).await?);
    }
    let keys = Keys::sort(&secrets, webhook).map_err(|error| refused(webhook, &error))?;
    let format =
        BodyFormat::of(webhook, keys.robot).ok_or_else(|| refused(webhook, &"it has no template"))?;
    let mut headers = Vec::with_capacity(webhook.headers.len());
    for (name, value) in &webhook.headers {
        headers.push((name.clone(), text(value, || label(header_shown(name))).await?));
    }
    Ok(Destination {
        webhook: webhook.name.clone(),
        url: text(&webhook.url, || label("url")).await?,
        format,
        keys: keys.signing,
        headers,
        timeout: webhook.timeout,
        connect_timeout: webhook.connect_timeout,
        concurrency: webhook.concurrency,
        network: NetworkPolicy {
            allow_link_local: webhook.allow_link_local,
            public_only: webhook.public_only,
        },
        proxy: webhook.proxy.clone(),
        ca_file: webhook.ca_file.clone(),
        confidential,
    })
}

fn refused(webhook: &Webhook, error: &impl std::fmt::Display) -> BuildError {
    BuildError::Webhook { webhook: webhook.name.to_string(), reason: error.to_string() }
}
