//! What the acting `webhook` commands share: the config, and requests to the running daemon.
//!
//! Guards: without a daemon the command ends with 69 and says so. Not here: what each command asks for.

use crate::cli::daemon::{ask_running, unexpected};
use crate::cli::output::Printer;
use crate::cli::readable::load_readable;
use crate::cli::{Exit, Failure, Globals};
use crate::config::{Config, Loaded, Webhook};
use crate::control::webhook::{WebhookRequest, WebhookResponse};
use crate::control::{Request, Response};

/// The config, the printer, and the way to the running daemon.
pub(super) struct WebhookClient {
    pub(super) config: Config,
    pub(super) printer: Printer,
    /// Whether `config` is that of a valid file.
    is_valid: bool,
}

impl WebhookClient {
    pub(super) fn new(globals: &Globals) -> anyhow::Result<Self> {
        // The daemon uses the config it has read, so a file that is invalid by now does not matter.
        let (Loaded { config, .. }, refused) = load_readable(globals)?;
        let printer = Printer::new(globals, config.time_zone);
        Ok(Self { config, printer, is_valid: refused.is_none() })
    }

    /// Refuses a name that no webhook has. Of an invalid file only the daemon knows.
    pub(super) fn expect(&self, name: &str) -> Result<(), Failure> {
        if self.is_valid { named(&self.config, name).map(|_| ()) } else { Ok(()) }
    }

    /// Sends a request to the daemon and waits for its answer.
    pub(super) async fn ask(&self, request: WebhookRequest) -> Result<WebhookResponse, Failure> {
        match ask_running(std::slice::from_ref(&self.config.file), &Request::Webhook(request)).await? {
            Response::Webhook(done) => Ok(done),
            _ => Err(unexpected()),
        }
    }
}

/// The webhook of this name in the config.
pub(super) fn named<'a>(config: &'a Config, name: &str) -> Result<&'a Webhook, Failure> {
    if let Some(webhook) = config.webhooks.iter().find(|webhook| webhook.name.as_str() == name) {
        return Ok(webhook);
    }
    let known: Vec<&str> = config.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
    let there_are = match known.as_slice() {
        [] => "there is no [[webhook]] in the config".to_owned(),
        [one] => format!("there is `{one}`"),
        several => format!("there are `{}`", several.join("`, `")),
    };
    Err(Failure::new(Exit::Nothing, format!("no webhook is called `{name}`: {there_are}")))
}
