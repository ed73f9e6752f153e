//! The kinds of apps: which token call each of them makes, and where its secrets come from.
//!
//! Guards: a secret is written into a request body and nowhere else. Not here: the token call itself (`token`).

use serde_json::{Value, json};

use super::encoding::percent_encoded;
use crate::config::App;
use crate::config::secrets::{self, SecretSource};
use crate::secret::Secret;

/// The kind of app, which decides the token call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppKind {
    /// `POST /v1.0/oauth2/accessToken` with the app's key and secret.
    Internal {
        /// The app key.
        key: String,
    },
    /// `POST /v1.0/oauth2/{corpId}/token`, for internal and third-party apps.
    Unified {
        /// The client id.
        key: String,
        /// The organisation the app runs in.
        corp_id: String,
    },
    /// `POST /v1.0/oauth2/corpAccessToken` with a suite ticket.
    Suite {
        /// The suite key.
        key: String,
        /// The organisation that authorised the suite.
        corp_id: String,
    },
    /// No token call: another tool writes the access token.
    ReadyMade,
}

impl AppKind {
    /// The kind that the config describes.
    pub fn of(app: &App) -> Self {
        match app {
            App::Internal { key, corp_id: None, .. } => Self::Internal { key: key.clone() },
            App::Internal { key, corp_id: Some(corp_id), .. }
            | App::ThirdParty { key, corp_id, suite_ticket: None, .. } => {
                Self::Unified { key: key.clone(), corp_id: corp_id.clone() }
            }
            App::ThirdParty { key, corp_id, suite_ticket: Some(_), .. } => {
                Self::Suite { key: key.clone(), corp_id: corp_id.clone() }
            }
            App::Token { .. } => Self::ReadyMade,
        }
    }

    /// The path of the token call below the base URL.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Internal { .. } | Self::ReadyMade => "/v1.0/oauth2/accessToken".into(),
            Self::Unified { corp_id, .. } => {
                format!("/v1.0/oauth2/{}/token", percent_encoded(corp_id))
            }
            Self::Suite { .. } => "/v1.0/oauth2/corpAccessToken".into(),
        }
    }

    /// A short word for log lines.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Internal { .. } => "internal",
            Self::Unified { .. } => "unified",
            Self::Suite { .. } => "suite",
            Self::ReadyMade => "ready-made",
        }
    }

    pub(super) fn body(&self, credentials: &Credentials) -> Value {
        let secret = credentials.secret.reveal();
        match self {
            Self::Internal { key } => json!({ "appKey": key, "appSecret": secret }),
            Self::Unified { key, .. } => {
                json!({ "client_id": key, "client_secret": secret, "grant_type": "client_credentials" })
            }
            Self::Suite { key, corp_id } => {
                let ticket = credentials.suite_ticket.as_ref().map_or("", |ticket| ticket.reveal());
                json!({ "suiteKey": key, "suiteSecret": secret, "authCorpId": corp_id, "suiteTicket": ticket })
            }
            Self::ReadyMade => Value::Null,
        }
    }
}

/// The app's secrets, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Credentials {
    /// `app_secret`, or the ready-made `access_token`.
    pub secret: Secret,
    /// `suite_ticket`.
    pub suite_ticket: Option<Secret>,
}

/// The sources of an app's secrets.
#[derive(Clone, Debug)]
pub struct SecretSources {
    /// `app_secret`, or the ready-made `access_token`.
    pub(super) secret: SecretSource,
    /// `suite_ticket`.
    pub(super) suite_ticket: Option<SecretSource>,
}

impl SecretSources {
    /// The sources that the config names.
    pub fn of(app: &App) -> Self {
        let (secret, suite_ticket) = match app {
            App::Internal { secret, .. } => (secret, None),
            App::ThirdParty { secret, suite_ticket, .. } => (secret, suite_ticket.as_ref()),
            App::Token { access_token } => (access_token, None),
        };
        Self { secret: secret.clone(), suite_ticket: suite_ticket.cloned() }
    }
}

/// Reads a source again. `None` for a plain text in the config, which only a reload changes, and if the source fails.
pub(super) async fn reread(source: &SecretSource) -> Option<Secret> {
    match source {
        SecretSource::Plain(_) => None,
        source => secrets::resolve(source).await.ok(),
    }
}
