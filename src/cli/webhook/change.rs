//! `presenced webhook pause`, `resume`, `enable`, `snapshot`.
//!
//! Guards: what did not change is not said to have. Deliberately not here: what a change means (`policy::operator_action`).

use super::{Acting, named};
use crate::cli::output::{counted, write_out};
use crate::cli::reading::block_on;
use crate::cli::{Exit, Failure, Globals};
use crate::control::webhook::{WebhookRequest, WebhookResponse};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Pause,
    Resume,
    Enable,
    Snapshot,
}

/// Runs it.
pub(super) fn run(globals: &Globals, webhook: String, act: Act) -> anyhow::Result<Exit> {
    let acting = Acting::new(globals)?;
    named(&acting.config, &webhook)?;
    let request = match act {
        Act::Pause => WebhookRequest::Pause { webhook },
        Act::Resume => WebhookRequest::Resume { webhook },
        Act::Enable => WebhookRequest::Enable { webhook },
        Act::Snapshot => WebhookRequest::Snapshot { webhook },
    };
    let done = block_on(acting.ask(request))??;
    if acting.printer.is_table() {
        write_out(anstream::stdout().lock(), &format!("{}\n", told(&done)))?;
    } else {
        write_out(std::io::stdout().lock(), &format!("{}\n", serde_json::to_string(&done)?))?;
    }
    ended(act, &done)
}

fn told(done: &WebhookResponse) -> String {
    match done {
        WebhookResponse::Changed { webhook, was, state, snapshots } => {
            let turned = if was == state {
                format!("{webhook} is {state}")
            } else {
                format!("{webhook}: {was} -> {state}")
            };
            match snapshots {
                None => turned,
                Some(people) => {
                    format!("{turned}; snapshots of {} are on their way", counted_people(*people))
                }
            }
        }
        WebhookResponse::Snapshots { webhook, people } => {
            format!("{webhook}: snapshots of {} are on their way", counted_people(*people))
        }
        WebhookResponse::Tested(_) | WebhookResponse::Replayed { .. } => "done".to_owned(),
    }
}

fn counted_people(people: usize) -> String {
    counted(people, "person", "people")
}

/// What could not be done is a failure; nobody to tell about is nothing matched.
fn ended(act: Act, done: &WebhookResponse) -> anyhow::Result<Exit> {
    match (act, done) {
        (Act::Pause | Act::Resume, WebhookResponse::Changed { webhook, state, .. })
            if state == "disabled" =>
        {
            let text =
                format!("`{webhook}` is disabled: `presenced webhook enable {webhook}` brings it back");
            Err(Failure::new(Exit::Failed, text).into())
        }
        (Act::Snapshot, WebhookResponse::Snapshots { people: 0, .. }) => Ok(Exit::Nothing),
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
    fn a_change_is_told_and_none_is_not() {
        assert_eq!(told(&changed("up", "paused", None)), "crm: up -> paused");
        assert_eq!(told(&changed("paused", "paused", None)), "crm is paused");
        assert_eq!(
            told(&changed("disabled", "up", Some(1))),
            "crm: disabled -> up; snapshots of 1 person are on their way"
        );
    }

    #[test]
    fn what_is_disabled_cannot_be_paused_or_resumed() {
        for act in [Act::Pause, Act::Resume] {
            let error = ended(act, &changed("disabled", "disabled", None)).unwrap_err();
            assert!(error.to_string().contains("webhook enable crm"), "{error}");
        }
        assert_eq!(ended(Act::Enable, &changed("disabled", "up", Some(0))).unwrap(), Exit::Done);
    }
}
