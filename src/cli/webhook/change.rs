//! `presenced webhook pause`, `resume`, `enable` and `snapshot`.
//!
//! Guards: prints the old and the new state only if they differ. Not here: the effect of a change
//! (`policy::operator_action`).

use super::client::WebhookClient;
use crate::cli::open_readonly::block_on;
use crate::cli::output::{counted, write_out};
use crate::cli::{Exit, Failure, Globals};
use crate::control::webhook::{WebhookRequest, WebhookResponse};

/// The action of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Pause,
    Resume,
    Enable,
    Snapshot,
}

/// Runs the command.
pub(super) fn run(globals: &Globals, webhook: String, action: Action) -> anyhow::Result<Exit> {
    let client = WebhookClient::new(globals)?;
    client.expect(&webhook)?;
    let request = match action {
        Action::Pause => WebhookRequest::Pause { webhook },
        Action::Resume => WebhookRequest::Resume { webhook },
        Action::Enable => WebhookRequest::Enable { webhook },
        Action::Snapshot => WebhookRequest::Snapshot { webhook },
    };
    let done = block_on(client.ask(request))??;
    if client.printer.is_table() {
        write_out(anstream::stdout().lock(), &format!("{}\n", text(&done)))?;
    } else {
        write_out(std::io::stdout().lock(), &format!("{}\n", serde_json::to_string(&done)?))?;
    }
    ended(action, &done)
}

fn text(done: &WebhookResponse) -> String {
    match done {
        WebhookResponse::Changed { webhook, was, state, snapshots } => {
            let change = if was == state {
                format!("{webhook} is {state}")
            } else {
                format!("{webhook}: {was} -> {state}")
            };
            match snapshots {
                None => change,
                Some(people) => {
                    format!("{change}; sending snapshots of {}", counted_people(*people))
                }
            }
        }
        WebhookResponse::Snapshots { webhook, people } => {
            format!("{webhook}: sending snapshots of {}", counted_people(*people))
        }
        WebhookResponse::Tested(_) | WebhookResponse::Replayed { .. } => "done".to_owned(),
    }
}

fn counted_people(people: usize) -> String {
    counted(people, "person", "people")
}

/// An action without effect fails; a snapshot without users ends with "nothing matched".
fn ended(action: Action, done: &WebhookResponse) -> anyhow::Result<Exit> {
    match (action, done) {
        (Action::Pause | Action::Resume, WebhookResponse::Changed { webhook, state, .. })
            if state == "disabled" =>
        {
            let text =
                format!("`{webhook}` is disabled; run `presenced webhook enable {webhook}` to re-enable it");
            Err(Failure::new(Exit::Failed, text).into())
        }
        (Action::Snapshot, WebhookResponse::Snapshots { people: 0, .. }) => Ok(Exit::Nothing),
        _ => Ok(Exit::Done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(was: &str, state: &str, snapshots: Option<usize>) -> WebhookResponse {
        WebhookResponse::Changed { webhook: "crm".into(), was: was.into(), state: state.into(), snapshots }
    }

    #[test]
    fn only_a_change_shows_both_states() {
        assert_eq!(text(&changed("up", "paused", None)), "crm: up -> paused");
        assert_eq!(text(&changed("paused", "paused", None)), "crm is paused");
        assert_eq!(
            text(&changed("disabled", "up", Some(1))),
            "crm: disabled -> up; sending snapshots of 1 person"
        );
    }

    #[test]
    fn what_is_disabled_cannot_be_paused_or_resumed() {
        for action in [Action::Pause, Action::Resume] {
            let error = ended(action, &changed("disabled", "disabled", None)).unwrap_err();
            assert!(error.to_string().contains("webhook enable crm"), "{error}");
        }
        assert_eq!(ended(Action::Enable, &changed("disabled", "up", Some(0))).unwrap(), Exit::Done);
    }
}
