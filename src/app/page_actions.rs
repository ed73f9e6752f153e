//! Does what an operator asks for on the page: the same requests as on the control socket.
//!
//! Guards: an action of the page does exactly what the command of that name does. Not here: the forms (`web`), the work
//! (`control_handler`).

use std::sync::{Arc, Weak};

use super::control_handler::ControlHandler;
use crate::control::webhook::{ReplayRequest, Replayed, TestReport, WebhookRequest, WebhookResponse};
use crate::control::{Request, Response};
use crate::ids::Identity;
use crate::web::{Action, ActionHandler, NextPoll};

/// What the page calls; it does not keep the handler alive.
pub(super) fn page_actions(handler: &Arc<ControlHandler>) -> ActionHandler {
    let (acting, explaining) = (Arc::downgrade(handler), Arc::downgrade(handler));
    ActionHandler {
        act: Arc::new(move |action| Box::pin(act(acting.clone(), action))),
        explain: Arc::new(move |who| Box::pin(explain(explaining.clone(), who))),
    }
}

async fn answer(handler: &Weak<ControlHandler>, request: Request) -> Option<Response> {
    Some(handler.upgrade()?.answer(request).await)
}

async fn act(handler: Weak<ControlHandler>, action: Action) -> Result<String, String> {
    match answer(&handler, Request::Webhook(request(action))).await {
        Some(Response::Webhook(done)) => words(done),
        Some(Response::Refused { message, .. }) => Err(message),
        Some(_) | None => Err("the daemon is stopping".to_owned()),
    }
}

fn request(action: Action) -> WebhookRequest {
    let replay = |webhook, events, state: Option<&str>| {
        let state = state.map(str::to_owned);
        WebhookRequest::Replay(ReplayRequest {
            webhooks: vec![webhook],
            events,
            state,
            ..ReplayRequest::default()
        })
    };
    match action {
        Action::Test { webhook } => WebhookRequest::Test { webhook },
        Action::Pause { webhook } => WebhookRequest::Pause { webhook },
        Action::Resume { webhook } => WebhookRequest::Resume { webhook },
        Action::Enable { webhook } => WebhookRequest::Enable { webhook },
        Action::ReplayDead { webhook } => replay(webhook, Vec::new(), Some("dead")),
        Action::Resend { webhook, event } => replay(webhook, vec![event], None),
    }
}

fn words(done: WebhookResponse) -> Result<String, String> {
    match done {
        WebhookResponse::Tested(report) => tested(&report),
        WebhookResponse::Changed { webhook, was, state, snapshots: None } => {
            Ok(format!("{webhook}: {was} -> {state}"))
        }
        WebhookResponse::Changed { webhook, was, state, snapshots: Some(users) } => {
            Ok(format!("{webhook}: {was} -> {state}; a snapshot of {users} users is sent"))
        }
        WebhookResponse::Snapshots { webhook, people } => {
            Ok(format!("{webhook}: a snapshot of {people} users is sent"))
        }
        WebhookResponse::Replayed { counts } => {
            let line = |count: &Replayed| {
                let Replayed { webhook, again, waiting } = count;
                format!("{webhook}: {again} queued again, {waiting} waiting already")
            };
            Ok(counts.iter().map(line).collect::<Vec<_>>().join("\n"))
        }
    }
}

fn tested(report: &TestReport) -> Result<String, String> {
    let TestReport { webhook, outcome, status, answered, error, took_ms, .. } = report;
    let status = status.map_or_else(|| "no answer".to_owned(), |status| format!("HTTP {status}"));
    let error = error.as_deref().map(|error| format!("\n{error}")).unwrap_or_default();
    let answered = if answered.is_empty() { String::new() } else { format!("\n{answered}") };
    let text = format!("{webhook}: {outcome}, {status} after {took_ms} ms{error}{answered}");
    if outcome == "accepted" { Ok(text) } else { Err(text) }
}

async fn explain(handler: Weak<ControlHandler>, who: Identity) -> Option<NextPoll> {
    let request = Request::Explain { org: who.org, union_id: who.union_id };
    let Some(Response::Explained(report)) = answer(&handler, request).await else { return None };
    let factors = report.factors;
    Some(NextPoll {
        rule: factors.rule,
        instead: report.instead,
        wrong_now: factors.wrong_now,
        wrong_then: factors.wrong_then,
        peak_chance_a_minute: factors.peak_chance_a_minute,
    })
}
