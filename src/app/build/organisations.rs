//! Builds the DingTalk client of each organisation, and what the poller needs to know about it.
//!
//! Guards: a reload keeps a client whose settings did not change, with its token and connections. Not here: calls
//! (`dingtalk`), when they are made (`tasks::poller`).

use std::sync::Arc;

use super::error::BuildError;
use super::resolve::secret;
use crate::clock::SharedClock;
use crate::confidential::{Confidential, SharedConfidential};
use crate::config::secrets::SecretSource;
use crate::config::{App, Config, Org};
use crate::dingtalk::client::{Client, Credentials};
use crate::ids::OrgName;
use crate::policy::quota::{Month, MonthBudget, RateLimiter};
use crate::secret::Secret;
use crate::store::Store;
use crate::tasks::poller::upstream::{Upstream, UpstreamParts};
use crate::telemetry::health::Health;

/// A client, and the settings that it was built from.
#[derive(Clone, Debug)]
pub(in crate::app) struct ClientEntry {
    org: Org,
    credentials: Credentials,
    client: Client,
}

impl ClientEntry {
    /// The client.
    pub(in crate::app) fn client(&self) -> &Client {
        &self.client
    }

    /// The app's secret.
    pub(in crate::app) fn secret(&self) -> &Secret {
        &self.credentials.secret
    }

    /// Whether the client can be used for `org`. Limits are ignored, because the client does not apply them.
    fn serves(&self, org: &Org) -> bool {
        let Org { calls_per_month, month_time_zone, rate, .. } = org.clone();
        Org { calls_per_month, month_time_zone, rate, ..self.org.clone() } == *org
    }
}

/// One client for each organisation; `known` clients with the same settings are kept. Also returns the organisations with a
/// new client.
pub(in crate::app) async fn clients(
    config: &Config,
    known: &[ClientEntry],
    clock: &SharedClock,
    confidential: &SharedConfidential,
) -> Result<(Vec<ClientEntry>, Vec<OrgName>), BuildError> {
    let (mut clients, mut renewed) = (Vec::with_capacity(config.orgs.len()), Vec::new());
    for org in &config.orgs {
        let credentials = credentials(org).await?;
        let kept = known
            .iter()
            .find(|entry| entry.serves(org) && same_secrets(org, &entry.credentials, &credentials));
        let client = if let Some(kept) = kept {
            kept.client.clone()
        } else {
            renewed.push(org.name.clone());
            Client::hiding(org, credentials.clone(), Arc::clone(clock), confidential.clone())
                .map_err(|error| BuildError::Client { org: org.name.to_string(), error })?
        };
        clients.push(ClientEntry { org: org.clone(), credentials, client });
    }
    Ok((clients, renewed))
}

/// What no text of DingTalk or of a receiver may show in the log or in the database: the ids of all users, and the secrets
/// of all organisations. A client hides the rest of what it sends itself.
pub(in crate::app) fn confidential(config: &Config, clients: &[ClientEntry]) -> Confidential {
    let mut all = Confidential::default();
    for user in &config.users {
        all.add_escaped(user.identity.union_id.as_str());
    }
    for ClientEntry { credentials: Credentials { secret, suite_ticket }, .. } in clients {
        all.add_escaped(secret.reveal());
        if let Some(ticket) = suite_ticket {
            all.add_escaped(ticket.reveal());
        }
    }
    all
}

/// A pushed suite ticket is given to the client when it comes, so a newer one needs no new client.
fn same_secrets(org: &Org, known: &Credentials, new: &Credentials) -> bool {
    let is_pushed = matches!(&org.app, App::ThirdParty { suite_ticket: Some(SecretSource::Pushed(_)), .. });
    known.secret == new.secret && (is_pushed || known.suite_ticket == new.suite_ticket)
}

async fn credentials(org: &Org) -> Result<Credentials, BuildError> {
    let label = |key: &'static str| move || format!("organisation `{}`: {key}", org.name);
    Ok(match &org.app {
        App::Internal { secret: source, .. } => {
            Credentials { secret: secret(label("app_secret"), source).await?, suite_ticket: None }
        }
        App::ThirdParty { secret: source, suite_ticket, .. } => {
            let suite_ticket = match suite_ticket {
                None => None,
                // The first ticket may still have to be pushed.
                Some(SecretSource::Pushed(file)) if !file.exists() => None,
                Some(ticket) => Some(secret(label("suite_ticket"), ticket).await?),
            };
            Credentials { secret: secret(label("app_secret"), source).await?, suite_ticket }
        }
        App::Token { access_token } => {
            Credentials { secret: secret(label("access_token"), access_token).await?, suite_ticket: None }
        }
    })
}

/// The limits of each organisation, and how many calls of this month are used.
pub(in crate::app) async fn upstreams(
    config: &Config,
    clients: &[ClientEntry],
    store: &Store,
    health: &Health,
    clock: &SharedClock,
) -> Result<Vec<Upstream>, BuildError> {
    let now = clock.now();
    let mut upstreams = Vec::with_capacity(clients.len());
    for (org, entry) in config.orgs.iter().zip(clients) {
        let month = Month::of(now, org.month_time_zone).to_string();
        let usage = store.call_usage().of_month(org.name.clone(), month).await?;
        upstreams.push(Upstream::new(UpstreamParts {
            name: org.name.clone(),
            client: entry.client.clone(),
            limiter: RateLimiter::new(org.rate),
            budget: MonthBudget::new(org.month_time_zone, org.calls_per_month, now, usage.used),
            concurrency: org.concurrency,
            month_time_zone: org.month_time_zone,
            throttled: usage.throttled,
            health: health.org(&org.name),
        }));
    }
    Ok(upstreams)
}
