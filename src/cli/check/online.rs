//! `check --online`: checks the config with DingTalk: gets a token and polls one user of each organisation.
//!
//! Guards: makes one counted call for each organisation, and only if the file has no error; shows no token and no secret.
//! Not here: the content of the answers (`poll`).
#![expect(clippy::format_push_string, reason = "a line on a screen: the extra allocation is nothing")]

use std::sync::Arc;

use crate::app::build::push_app;
use crate::cli::daemon::exit;
use crate::cli::output::harmless;
use crate::cli::poll::credentials;
use crate::cli::{Exit, open_readonly};
use crate::clock::SystemClock;
use crate::config::secrets::{self, SecretError, SecretSource};
use crate::config::{App, Config, Org};
use crate::control::Advice;
use crate::dingtalk::client::Client;
use crate::dingtalk::error::{CallError, class};
use crate::secret::Secret;
use crate::stream::dial;
use crate::stream::machine::Reason;

/// The result for one organisation.
#[derive(Debug)]
pub(super) struct Found {
    /// The line to print.
    pub(super) line: String,
    /// What to do about it; may be empty.
    pub(super) help: &'static str,
    /// The exit code for this result.
    pub(super) exit: Exit,
}

/// Checks every organisation in turn.
pub(super) fn ask(config: &Config) -> anyhow::Result<Vec<Found>> {
    open_readonly::block_on(async {
        let mut found = Vec::with_capacity(config.orgs.len());
        for org in &config.orgs {
            let Answer { what, help, exit } = one(config, org).await;
            found.push(Found { line: format!("{}: {}", org.name, harmless(&what)), help, exit });
        }
        Ok(found)
    })?
}

/// The result before it is prefixed with the name of the organisation.
struct Answer {
    what: String,
    help: &'static str,
    exit: Exit,
}

impl Answer {
    fn good(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: "", exit: Exit::Done }
    }

    fn config(what: String) -> Self {
        Self { what, help: "", exit: Exit::Config }
    }

    /// With the code and the request id, which DingTalk's support asks for.
    fn refused(what: &str, error: &CallError) -> Self {
        let mut text = format!("{what}: {}: {}", error.class, error.text);
        if let Some(code) = &error.code {
            text += &format!(" (code {code})");
        }
        if let Some(id) = &error.request_id {
            text += &format!(" (request {id})");
        }
        Self { what: text, help: advice(error.class), exit: exit(Advice::from(&error.verdict)) }
    }
}

async fn one(config: &Config, org: &Org) -> Answer {
    let App::ThirdParty { key, secret, suite_ticket: Some(ticket @ SecretSource::Pushed(_)), .. } = &org.app
    else {
        return calls(config, org).await;
    };
    let secret = match secrets::resolve(secret).await {
        Ok(secret) => secret,
        Err(error) => return Answer::config(error.to_string()),
    };
    if let Err(answer) = push(org, key, secret).await {
        return answer;
    }
    if let Err(SecretError::NotPushed) = secrets::resolve(ticket).await {
        return Answer::good(
            "a push connection opens; no suite ticket was pushed yet: start the daemon, DingTalk pushes one about every 5 hours",
        );
    }
    let answer = calls(config, org).await;
    match answer.exit {
        Exit::Done => Answer::good(format!("a push connection opens; {}", answer.what)),
        _ => answer,
    }
}

/// Opens a push connection and closes it again.
async fn push(org: &Org, key: &str, secret: Secret) -> Result<(), Answer> {
    let app = Arc::new(push_app(org, key, secret).map_err(|error| Answer::config(error.to_string()))?);
    let Err(error) = dial::dial(&app).await else { return Ok(()) };
    let (help, exit) = match error.reason {
        Reason::Auth => (advice(class::CREDENTIALS), Exit::Refused),
        _ => (advice(class::UNREACHABLE), Exit::Unreachable),
    };
    Err(Answer { what: format!("no push connection: {error}"), help, exit })
}

/// Gets a token, and polls one user.
async fn calls(config: &Config, org: &Org) -> Answer {
    let client = match credentials(org).await {
        Ok(credentials) => Client::new(org, credentials, Arc::new(SystemClock)),
        Err(error) => return Answer::config(format!("{error:#}")),
    };
    let client = match client {
        Ok(client) => client,
        Err(error) => return Answer::config(error.to_string()),
    };
    if let Err(error) = client.token_ready().await {
        return Answer::refused("no token", &error);
    }
    let Some(user) = config.users.iter().find(|user| user.identity.org == org.name) else {
        return Answer::good("the app gets a token; no user of this organisation is watched");
    };
    match client.ongoing(&user.identity.union_id, None).await {
        Ok(_) => Answer::good(format!("the app gets a token and may poll {}", user.name)),
        Err(error) => Answer::refused(&format!("polling {}", user.name), &error),
    }
}

/// What to do about a failure of this class.
fn advice(failed: &str) -> &'static str {
    match failed {
        class::UNREACHABLE => "the request was not sent: is the network up, does this machine need `proxy`?",
        class::TIMEOUT => "no complete answer within `timeout`: try again, or raise it",
        class::BROKEN => "the connection was broken: by a proxy, by a firewall?",
        class::OVERSIZED | class::NOT_JSON | class::MALFORMED | class::FOREIGN => {
            "is `api_base` a host of DingTalk, is there a captive portal or a proxy?"
        }
        class::BANNED => {
            "this IP is banned: stop everything that calls DingTalk from here, wait five minutes, try again"
        }
        class::REDIRECT | class::MISCONFIGURED => {
            "check `site`, `api_base`, `app` and `corp_id`, which decide the call and its host"
        }
        class::THROTTLED | class::BUSY => {
            "try again in a minute; other apps of the organisation may be calling, too"
        }
        class::QUOTA_SPENT => "wait for the next month, or buy calls; `calls_per_month` limits this program",
        class::UNAUTHORISED => {
            "is `site` that of the organisation, is the token (`access_token`) still valid?"
        }
        class::CREDENTIALS => {
            "compare `app_key` and `app_secret` with the app's page in the developer console of that `site`"
        }
        class::FORBIDDEN => "request the permission in the developer console; an administrator grants it",
        class::IP_NOT_ALLOWED => {
            "add the address to the outgoing addresses of the app in the developer console"
        }
        class::UNKNOWN_USER => "is it a unionId of this organisation? `presenced user find` prints unionIds",
        class::REFUSED => "this affects only this user: are they a member of this organisation?",
        class::OUTAGE => "DingTalk has an outage: try again later",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_advice_on_every_class_of_failure() {
        let source = include_str!("../../dingtalk/error.rs");
        let classes: Vec<&str> = source
            .lines()
            .filter_map(|line| line.trim().strip_prefix("pub const ")?.split('"').nth(1))
            .collect();
        assert!(classes.len() >= 20 && classes.contains(&class::FORBIDDEN), "{classes:?}");
        for name in classes {
            assert!(!advice(name).is_empty(), "{name}");
        }
    }
}
