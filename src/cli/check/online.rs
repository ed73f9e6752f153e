//! `check --online`: whether DingTalk agrees with the config: a token and one person for each organisation.
//!
//! Guards: one call of the month an organisation, and only where the file has no error; no token and no secret is
//! shown. Deliberately not here: what the answers say (`poll`).
#![expect(clippy::format_push_string, reason = "a line on a screen: the extra allocation is nothing")]

use crate::cli::output::harmless;
use crate::cli::poll::{credentials, exit};
use crate::cli::{Exit, reading};
use crate::clock::SystemClock;
use crate::config::{Config, Org};
use crate::control::Advice;
use crate::dingtalk::client::Client;
use crate::dingtalk::error::CallError;

/// One organisation's line, and what it means for the command.
#[derive(Debug)]
pub(super) struct Found {
    /// For a person.
    pub(super) line: String,
    /// How the command ends when this is the worst.
    pub(super) exit: Exit,
}

/// Asks for every organisation in turn.
pub(super) fn ask(config: &Config) -> anyhow::Result<Vec<Found>> {
    reading::runtime()?.block_on(async {
        let mut found = Vec::with_capacity(config.orgs.len());
        for org in &config.orgs {
            let (what, exit) = one(config, org).await;
            found.push(Found { line: format!("{}: {}", org.name, harmless(&what)), exit });
        }
        Ok(found)
    })
}

async fn one(config: &Config, org: &Org) -> (String, Exit) {
    let client = match credentials(org).await {
        Ok(credentials) => Client::new(org, credentials, std::sync::Arc::new(SystemClock)),
        Err(error) => return (format!("{error:#}"), Exit::Config),
    };
    let client = match client {
        Ok(client) => client,
        Err(error) => return (error.to_string(), Exit::Config),
    };
    if let Err(error) = client.token_ready().await {
        return refused("no token", &error);
    }
    let Some(user) = config.users.iter().find(|user| user.identity.org == org.name) else {
        return ("the app gets a token; nobody of it is watched".to_owned(), Exit::Done);
    };
    match client.ongoing(&user.identity.union_id, None).await {
        Ok(_) => (format!("the app gets a token and may look at {}", user.name), Exit::Done),
        Err(error) => refused(&format!("looking at {}", user.name), &error),
    }
}

/// What DingTalk's support asks for is said, too.
fn refused(what: &str, error: &CallError) -> (String, Exit) {
    let mut text = format!("{what}: {}: {}", error.class, error.text);
    if let Some(code) = &error.code {
        text += &format!(" (code {code})");
    }
    if let Some(id) = &error.request_id {
        text += &format!(" (request {id})");
    }
    (text, exit(Advice::from(&error.verdict)))
}
