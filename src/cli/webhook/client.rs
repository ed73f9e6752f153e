//! What the acting `webhook` commands share: the config, and requests to the running daemon.
//!
//! Guards: without a daemon the command ends with 69 and says so. Not here: what each command asks for.

use crate::cli::globals::load_readable;
use crate::cli::output::Printer;
use crate::cli::poll::exit;
use crate::cli::{Exit, Failure, Globals};
use crate::config::{Config, Loaded, Webhook};
use crate::control::webhook::{WebhookRequest, WebhookResponse};
use crate::control::{ControlError, Request, Response, ask, ask_places};

/// The config, the printer, and the way to the running daemon.
pub(super) struct WebhookClient {
    pub(super) config: Config,
    pub(super) printer: Printer,
}

impl WebhookClient {
    pub(super) fn new(globals: &Globals) -> anyhow::Result<Self> {
        // The daemon uses the config it has read, so a file that is invalid by now does not matter.
        let (Loaded { config, .. }, _) = load_readable(globals)?;
        let printer = Printer::new(globals, config.time_zone);
        Ok(Self { config, printer })
    }

    /// Sends a request to the daemon and waits for its answer.
    pub(super) async fn ask(&self, request: WebhookRequest) -> anyhow::Result<WebhookResponse> {
        match ask(&ask_places(&self.config.file), &Request::Webhook(request)).await {
            Ok(Response::Webhook(done)) => Ok(done),
            Ok(Response::Refused { advice, message }) => Err(Failure::new(exit(advice), message).into()),
            Ok(_) => Err(Failure::new(
                Exit::Failed,
                "the daemon sent an unexpected answer; is it of another version?",
            )
            .into()),
            Err(error @ (ControlError::Unreachable { .. } | ControlError::Denied { .. })) => {
                Err(Failure::new(Exit::Unreachable, error.to_string()).into())
            }
            Err(error @ ControlError::Slow) => Err(Failure::new(Exit::TryLater, error.to_string()).into()),
            Err(error) => Err(error.into()),
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
