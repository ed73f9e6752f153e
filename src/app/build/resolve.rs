//! Reads the secrets that the config refers to.
//!
//! Guards: an error names the key, never the secret. Not here: where secrets come from (`config::secrets`).

use std::path::Path;
use std::sync::Arc;

use super::error::BuildError;
use crate::config::secrets::{self, SecretSource};
use crate::config::{Config, Text};
use crate::secret::Secret;
use crate::web;
use crate::web::Grant;

/// The token of the HTTP listener: from the config, else created beside the database.
async fn http_token(config: &Config) -> Result<Secret, BuildError> {
    if let Some(source) = &config.http.token {
        return secret(|| "[http] token".to_owned(), source).await;
    }
    let folder = config.history.path.parent().unwrap_or(Path::new("."));
    let file = |error| BuildError::File { what: "the file of the HTTP token", error };
    web::token::load_or_create(folder).map_err(file)
}

/// All tokens of the HTTP listener and what they open: the operator's first.
pub(in crate::app) async fn http_grants(config: &Config) -> Result<Arc<[Grant]>, BuildError> {
    let mut grants = vec![Grant::operator(http_token(config).await?)];
    for access in &config.http.access {
        let what = || format!("[[http.access]] {}: token", access.name);
        grants.push(Grant::new(access, secret(what, &access.token).await?));
    }
    Ok(grants.into())
}

pub(super) async fn secret(what: impl Fn() -> String, source: &SecretSource) -> Result<Secret, BuildError> {
    secrets::resolve(source).await.map_err(|error| BuildError::Secret { what: what(), error })
}

pub(super) async fn text(text: &Text, what: impl Fn() -> String) -> Result<Secret, BuildError> {
    match text {
        Text::Plain(plain) => Ok(Secret::new(plain)),
        Text::Secret(source) => secret(what, source).await,
    }
}
