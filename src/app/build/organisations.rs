//! Organisations, built: the client of each with its credentials, and what the poller needs to know of them.
//!
//! Guards: a client that would be made the same is kept, with its token and its connections. Deliberately not here: what a
//! client asks (`dingtalk`), when (`tasks::poller`).

use std::sync::Arc;

use super::{BuildError, secret};
use crate::clock::SharedClock;
use crate::config::{App, Config, Org};
use crate::dingtalk::client::{Client, Credentials};
use crate::ids::OrgName;
use crate::policy::quota::{Month, MonthBudget, RateLimiter};
use crate::store::Store;
use crate::tasks::poller::upstream::{Parts, Upstream};
use crate::telemetry::health::Health;

/// A client, and what it was made from.
#[derive(Clone, Debug)]
pub(in crate::app) struct Held {
    org: Org,
    credentials: Credentials,
    client: Client,
}

impl Held {
    /// Whether the client made for one would ask the same as the one made for the other. Limits are not the client's.
    fn serves(&self, org: &Org) -> bool {
        let Org { calls_per_month, month_time_zone, rate, .. } = org.clone();
        Org { calls_per_month, month_time_zone, rate, ..self.org.clone() } == *org
    }
}

/// One client for each organisation. What is held already and would be made the same is kept, with its token and its
/// connections. Also says which are not.
pub(in crate::app) async fn clients(
    config: &Config,
    held: &[Held],
    clock: &SharedClock,
) -> Result<(Vec<Held>, Vec<OrgName>), BuildError> {
    let (mut clients, mut renewed) = (Vec::with_capacity(config.orgs.len()), Vec::new());
    for org in &config.orgs {
        let credentials = credentials(org).await?;
        let kept = held.iter().find(|held| held.serves(org) && held.credentials == credentials);
        let client = if let Some(kept) = kept {
            kept.client.clone()
        } else {
            renewed.push(org.name.clone());
            Client::new(org, credentials.clone(), Arc::clone(clock))
                .map_err(|error| BuildError::Client { org: org.name.to_string(), error })?
        };
        clients.push(Held { org: org.clone(), credentials, client });
    }
    Ok((clients, renewed))
}

async fn credentials(org: &Org) -> Result<Credentials, BuildError> {
    let whose = |key: &'static str| move || format!("organisation `{}`: {key}", org.name);
    Ok(match &org.app {
        App::Internal { secret: source, .. } => {
            Credentials { secret: secret(whose("app_secret"), source).await?, suite_ticket: None }
        }
        App::ThirdParty { secret: source, suite_ticket, .. } => {
            let suite_ticket = match suite_ticket {
                None => None,
                Some(ticket) => Some(secret(whose("suite_ticket"), ticket).await?),
            };
            Credentials { secret: secret(whose("app_secret"), source).await?, suite_ticket }
        }
        App::Token { access_token } => {
            Credentials { secret: secret(whose("access_token"), access_token).await?, suite_ticket: None }
        }
    })
}

/// How each organisation stands with its limits, as this month's calls are written down.
pub(in crate::app) async fn upstreams(
    config: &Config,
    clients: &[Held],
    store: &Store,
    health: &Health,
    clock: &SharedClock,
) -> Result<Vec<Upstream>, BuildError> {
    let now = clock.now();
    let mut upstreams = Vec::with_capacity(clients.len());
    for (org, held) in config.orgs.iter().zip(clients) {
        let month = Month::of(now, org.month_time_zone).to_string();
        let usage = store.call_usage().of_month(org.name.clone(), month).await?;
        upstreams.push(Upstream::new(Parts {
            name: org.name.clone(),
            client: held.client.clone(),
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
