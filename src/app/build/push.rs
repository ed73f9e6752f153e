//! Lists the organisations whose app has a push connection.
//!
//! Guards: a connection uses the proxy, the certificates and the time-outs of the organisation's calls. Not here: keeping
//! the connections (`tasks::push`).

use std::sync::Arc;

use super::error::BuildError;
use super::organisations::ClientEntry;
use crate::config::secrets::SecretSource;
use crate::config::{self, App, Config, Org};
use crate::net::{self, ClientError, ClientOptions};
use crate::secret::Secret;
use crate::stream::dial;
use crate::tasks::push::Member;

/// The members of all push connections.
pub(in crate::app) fn push_members(
    config: &Config,
    clients: &[ClientEntry],
) -> Result<Arc<[Member]>, BuildError> {
    let mut members = Vec::new();
    for (org, entry) in config.orgs.iter().zip(clients) {
        let App::ThirdParty { key, corp_id, suite_ticket: Some(SecretSource::Pushed(file)), .. } = &org.app
        else {
            continue;
        };
        let app = push_app(org, key, entry.secret().clone())
            .map_err(|error| BuildError::Client { org: org.name.to_string(), error })?;
        members.push(Member {
            org: org.clone(),
            corp_id: Some(corp_id.clone()),
            app,
            client: entry.client().clone(),
            ticket_file: Some(file.clone()),
        });
    }
    Ok(members.into())
}

/// The app of a push connection.
pub fn push_app(org: &Org, key: &str, secret: Secret) -> Result<dial::App, ClientError> {
    let options = ClientOptions {
        connect_timeout: org.connect_timeout,
        timeout: org.timeout,
        idle_per_host: 1,
        proxy: org.proxy.clone(),
        extra_roots_pem: config::read_ca_file(org.ca_file.as_deref()).map_err(ClientError::Roots)?,
    };
    let http =
        net::http_client(&options)?.build().map_err(|error| ClientError::Build(net::describe(error)))?;
    let api_base = org.api_base.trim_end_matches('/').to_owned();
    Ok(dial::App { api_base, key: key.to_owned(), secret, http })
}
