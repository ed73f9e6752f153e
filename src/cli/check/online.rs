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
use crate::dingtalk::error::{CallError, class};

/// One organisation's line, and what it means for the command.
#[derive(Debug)]
pub(super) struct Found {
    /// For a person.
    pub(super) line: String,
    /// What to do about it; empty where there is nothing to do.
    pub(super) help: &'static str,
    /// How the command ends when this is the worst.
    pub(super) exit: Exit,
}

/// Asks for every organisation in turn.
pub(super) fn ask(config: &Config) -> anyhow::Result<Vec<Found>> {
    reading::block_on(async {
        let mut found = Vec::with_capacity(config.orgs.len());
        for org in &config.orgs {
            let Said { what, help, exit } = one(config, org).await;
            found.push(Found { line: format!("{}: {}", org.name, harmless(&what)), help, exit });
        }
        Ok(found)
    })?
}

/// The same before the organisation's name is put in front.
struct Said {
    what: String,
    help: &'static str,
    exit: Exit,
}

impl Said {
    fn good(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: "", exit: Exit::Done }
    }

    fn config(what: String) -> Self {
        Self { what, help: "", exit: Exit::Config }
    }

    /// What DingTalk's support asks for is said, too.
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

async fn one(config: &Config, org: &Org) -> Said {
    let client = match credentials(org).await {
        Ok(credentials) => Client::new(org, credentials, std::sync::Arc::new(SystemClock)),
        Err(error) => return Said::config(format!("{error:#}")),
    };
    let client = match client {
        Ok(client) => client,
        Err(error) => return Said::config(error.to_string()),
    };
    if let Err(error) = client.token_ready().await {
        return Said::refused("no token", &error);
    }
    let Some(user) = config.users.iter().find(|user| user.identity.org == org.name) else {
        return Said::good("the app gets a token; nobody of it is watched");
    };
    match client.ongoing(&user.identity.union_id, None).await {
        Ok(_) => Said::good(format!("the app gets a token and may look at {}", user.name)),
        Err(error) => Said::refused(&format!("looking at {}", user.name), &error),
    }
}

/// What to do about a failure of that class.
fn advice(failed: &str) -> &'static str {
    match failed {
        class::UNREACHABLE => "nothing was sent: is the network up, does DingTalk need `proxy` from here?",
        class::TIMEOUT => "no whole answer within `timeout`: try again, or allow more",
        class::BROKEN => "something on the way breaks connections: a proxy, a firewall?",
        class::OVERSIZED | class::NOT_JSON | class::MALFORMED | class::FOREIGN => {
            "is `api_base` DingTalk's own host, is a portal or a proxy in between?"
        }
        class::BANNED => "stop what calls DingTalk from here, wait five minutes, try again",
        class::REDIRECT | class::MISCONFIGURED => {
            "`site`, `api_base`, `app` and `corp_id` decide which call is made, and where"
        }
        class::THROTTLED | class::BUSY => {
            "try again in a minute; other apps of the organisation may call, too"
        }
        class::QUOTA_SPENT => {
            "wait for the next month, or buy calls; `calls_per_month` keeps this program below"
        }
        class::UNAUTHORISED => "is `site` the organisation's, is the token (`access_token`) a fresh one?",
        class::CREDENTIALS => {
            "compare `app_key` and `app_secret` with the app's page in the developer console of that `site`"
        }
        class::FORBIDDEN => {
            "ask for it under permissions in the developer console; an administrator grants it"
        }
        class::IP_NOT_ALLOWED => "add the address to the app's outgoing addresses in the developer console",
        class::UNKNOWN_USER => {
            "is it a unionId of this organisation? `presenced user find` prints those of its people"
        }
        class::REFUSED => "it is about this person only: is it somebody of this organisation?",
        class::OUTAGE => "DingTalk's own trouble: try again later",
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
