//! Webhooks: their state with its reason, their deliveries with each attempt, and what an operator can do.
//!
//! Guards: an action needs the cookie of an operator and the hidden field of a form that this listener gave to it, or the
//! operator's token as a bearer, so that no other site can cause it; no URL and no secret is shown. Not here: doing it
//! (`actions`).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, RawForm, State as Shared};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::chart::{Bar, spark};
use super::parts::title;
use super::respond::{failure, respond};
use super::view::View;
use super::{login, words};
use crate::secret::Secret;
use crate::store::outbox::reader::{AttemptRow, DeliveryQuery, DeliveryRow};
use crate::time::Timestamp;
use crate::web::actions::Action;
use crate::web::api::operator::{WebhookState, all_webhooks};
use crate::web::response::{Problem, not_found};
use crate::web::session::form_token;
use crate::web::state::State;
use crate::web::visitor::Visitor;

/// Deliveries on a page.
const DELIVERIES: u32 = 50;
/// Deliveries that the spark line is made from.
const SPARK: u32 = 2_000;
/// Hours of the spark line.
const HOURS: i64 = 24;

/// All webhooks.
pub(super) async fn webhooks(Shared(state): Shared<State>, view: View) -> Response {
    respond(&view, view.t("Webhooks", "Webhook"), async { list(&state, &view).await }).await
}

async fn list(state: &State, view: &View) -> Result<Markup, Problem> {
    let all = all_webhooks(state).await?;
    let mut sparks = BTreeMap::new();
    for webhook in &all {
        let query = DeliveryQuery {
            webhook: Some(webhook.webhook.clone()),
            limit: SPARK,
            ..DeliveryQuery::default()
        };
        sparks.insert(webhook.webhook.clone(), hours(view, &state.0.outbox.deliveries(&query).await?));
    }
    Ok(html! {
        (title(view, view.t("Webhooks", "Webhook"), None))
        @if all.is_empty() { p.empty { (view.t("The config has no webhook.", "配置中没有 webhook。")) } }
        @else {
            div.card { div.scroll tabindex="0" { table {
                thead { tr {
                    th { (view.t("Webhook", "Webhook")) } th { (view.t("State", "状态")) }
                    th.n { (view.t("Waiting", "等待")) } th.n { (view.t("Dead letters", "已放弃")) }
                    th { (view.t("Last 24 hours", "最近 24 小时")) } th { (view.t("Why", "原因")) }
                } }
                tbody {
                    @for webhook in &all {
                        tr id=(format!("w-{}", webhook.webhook)) {
                            td { a.name href=(view.link(&format!("/webhooks/{}", webhook.webhook))) { (webhook.webhook) } }
                            td { (state_tag(view, webhook)) }
                            td.n { (webhook.waiting) } td.n { (webhook.dead) }
                            td { (spark(&sparks[&webhook.webhook], view.t("deliveries by hour", "每小时投递数"))) }
                            td.wrap { (why(view, webhook)) }
                        }
                    }
                }
            } } }
        }
    })
}

fn state_tag(view: &View, webhook: &WebhookState) -> Markup {
    let state = webhook.blocked.as_deref().unwrap_or(&webhook.state);
    html! { span.tag.(state) { (words::state(view.lang, state)) } }
}

fn why(view: &View, webhook: &WebhookState) -> Markup {
    html! {
        @if !webhook.configured { (view.t("not in the config any more", "已不在配置中")) ". " }
        @if let Some(why) = &webhook.why { (why) " " }
        @if let Some(next) = &webhook.next_at { span.soft { (view.t("next attempt", "下次尝试")) " " (view.ahead(next.0)) } }
    }
}

/// Deliveries by hour: delivered, and given up.
fn hours(view: &View, rows: &[DeliveryRow]) -> Vec<Bar> {
    let hour = |at: Timestamp| at.as_ms().div_euclid(3_600_000);
    let now = hour(view.now);
    (now - HOURS + 1..=now)
        .map(|of| {
            let in_hour = || rows.iter().filter(|row| row.finished.is_some_and(|at| hour(at) == of));
            let count = |state: &str| in_hour().filter(|row| row.state == state).map(|_| 1.0).sum::<f64>();
            let (good, bad) = (count("delivered"), count("dead") + count("expired"));
            let name = view.clock(Timestamp::from_ms(of * 3_600_000));
            Bar { title: format!("{name}: {good:.0} + {bad:.0}"), name, value: good, other: bad }
        })
        .collect()
}

/// One webhook.
pub(super) async fn webhook(Shared(state): Shared<State>, Path(name): Path<String>, view: View) -> Response {
    respond(&view, "Webhook", async { details(&state, &view, &name, None).await }).await
}

async fn details(
    state: &State,
    view: &View,
    name: &str,
    done: Option<&Result<String, String>>,
) -> Result<Markup, Problem> {
    let webhook = all_webhooks(state).await?.into_iter().find(|webhook| webhook.webhook == name);
    let webhook = webhook.ok_or_else(|| not_found("no webhook has this name"))?;
    let wanted = view.parameter("state");
    let wanted = ["pending", "delivered", "dead", "expired"]
        .into_iter()
        .find(|state| wanted.as_deref() == Some(*state));
    let before = view.parameter("before").and_then(|before| before.parse().ok());
    let query = DeliveryQuery {
        webhook: Some(name.to_owned()),
        state: wanted,
        event: None,
        before,
        limit: DELIVERIES,
    };
    let mut rows = Vec::new();
    for row in state.0.outbox.deliveries(&query).await?.into_iter().rev() {
        let attempts = state.0.outbox.attempts(row.delivery_id).await?;
        rows.push((row, attempts));
    }
    let path = format!("/webhooks/{name}");
    let older = rows.last().filter(|_| rows.len() == DELIVERIES as usize).map(|(row, _)| row.delivery_id);
    Ok(html! {
        (title(view, name, Some(("/webhooks", view.t("Webhooks", "Webhook")))))
        @if let Some(done) = done {
            @match done {
                Ok(text) => { div.card.done role="status" { pre { (text) } } }
                Err(text) => { div.card.failed role="alert" { pre { (text) } } }
            }
        }
        div.card {
            dl {
                dt { (view.t("State", "状态")) } dd { (state_tag(view, &webhook)) }
                dt { (view.t("Why", "原因")) } dd { (why(view, &webhook)) @if webhook.why.is_none() && webhook.next_at.is_none() { "–" } }
                dt { (view.t("Waiting", "等待")) }
                dd { (webhook.waiting) @if let Some(at) = &webhook.oldest_waiting_at { ", " (view.t("the oldest", "最早的")) " " (view.ago(at.0)) } }
                dt { (view.t("Dead letters", "已放弃")) } dd { (webhook.dead) }
            }
            @if let Some(form) = view.form.as_ref().filter(|_| webhook.configured) { (actions(view, &webhook, form)) }
        }
        section.card {
            h2 { (view.t("Deliveries", "投递")) }
            nav.actions aria-label=(view.t("State", "状态")) {
                @for state in ["", "pending", "delivered", "dead", "expired"] {
                    a.button href=(view.link(&format!("{path}?state={state}"))) aria-current=[(wanted.unwrap_or("") == state).then_some("true")] {
                        @if state.is_empty() { (view.t("all", "全部")) } @else { (words::state(view.lang, state)) }
                    }
                }
            }
            @if rows.is_empty() { p.soft { (view.t("None.", "没有。")) } }
            @else { (table(view, name, &rows)) }
            @if let Some(id) = older {
                a.button href=(view.link(&format!("{path}?state={}&before={id}", wanted.unwrap_or("")))) { (view.t("Older", "更早")) }
            }
        }
    })
}

fn actions(view: &View, webhook: &WebhookState, form: &str) -> Markup {
    let all = [
        ("test", view.t("Send a test", "发送测试"), true),
        ("pause", view.t("Pause", "暂停"), webhook.state == "up" || webhook.state == "down"),
        ("resume", view.t("Resume", "恢复"), webhook.state == "paused" || webhook.state == "down"),
        ("enable", view.t("Enable", "启用"), webhook.state == "disabled"),
        (
            "replay",
            view.t("Replay dead letters", "重发已放弃的"),
            webhook.dead > 0 && webhook.state != "disabled",
        ),
    ];
    html! {
        div.actions {
            @for (action, name, _) in all.into_iter().filter(|(.., is_possible)| *is_possible) {
                (button(view, &webhook.webhook, action, name, form, None))
            }
        }
    }
}

fn button(view: &View, webhook: &str, action: &str, name: &str, form: &str, event: Option<&str>) -> Markup {
    html! {
        form.line method="post" action=(view.link(&format!("/webhooks/{webhook}/{action}"))) {
            input type="hidden" name="form" value=(form);
            @if let Some(event) = event { input type="hidden" name="event" value=(event); }
            button { (name) }
        }
    }
}

fn table(view: &View, webhook: &str, rows: &[(DeliveryRow, Vec<AttemptRow>)]) -> Markup {
    html! {
        div.scroll tabindex="0" { table {
            thead { tr {
                th { (view.t("Recorded", "记录时间")) } th { (view.t("Event", "事件")) } th { (view.t("State", "状态")) }
                th { (view.t("Attempts", "尝试")) } th { span.sr { (view.t("Resend", "重发")) } }
            } }
            tbody {
                @for (row, attempts) in rows {
                    tr id=(format!("d-{}", row.delivery_id)) {
                        td.now.num { (view.moment(row.recorded)) }
                        td { (row.event_type) @if let Some(name) = &row.name { " · " (name) } br; small { (row.event_id) } }
                        td { span.tag.(row.state) { (words::state(view.lang, &row.state)) }
                            @if row.trigger != "event" { " " small { (row.trigger) } }
                            @if let Some(at) = row.next_at { br; small { (view.ahead(at)) } } }
                        td.wrap {
                            @for attempt in attempts { p { (words_of(view, attempt)) } }
                            @if attempts.is_empty() { p.soft { (row.attempts) @if let Some(error) = &row.last_error { " · " (error) } } }
                        }
                        td { @if let Some(form) = view.form.as_ref().filter(|_| row.state != "pending") {
                            (button(view, webhook, "resend", view.t("Resend", "重发"), form, Some(&row.event_id))) } }
                    }
                }
            }
        } }
    }
}

fn words_of(view: &View, attempt: &AttemptRow) -> Markup {
    let took = Duration::from_secs_f64(attempt.took_s.clamp(0.0, 1e6));
    html! {
        span.num { (view.moment(attempt.sent)) } " · "
        @match attempt.status { Some(status) => { "HTTP " (status) } None => { (view.t("no answer", "无响应")) } }
        " · " (took.as_millis()) " ms"
        @if let Some(error) = &attempt.error { br; small { (error) } }
    }
}

/// `POST /webhooks/{name}/{action}`: does it, and shows the webhook with what came of it.
pub(super) async fn act(
    Shared(state): Shared<State>,
    Extension(visitor): Extension<Visitor>,
    Path((name, action)): Path<(String, String)>,
    headers: HeaderMap,
    view: View,
    RawForm(form): RawForm,
) -> Response {
    let field = |wanted: &str| {
        form_urlencoded::parse(&form).find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
    };
    if !is_meant(&visitor, &headers, field("form").as_deref()) {
        let body = failure(&view, StatusCode::FORBIDDEN);
        return (StatusCode::FORBIDDEN, login::page_headers(), view.page("Webhook", &body).into_string())
            .into_response();
    }
    let webhook = name.clone();
    let action = match (action.as_str(), field("event")) {
        ("test", _) => Some(Action::Test { webhook }),
        ("pause", _) => Some(Action::Pause { webhook }),
        ("resume", _) => Some(Action::Resume { webhook }),
        ("enable", _) => Some(Action::Enable { webhook }),
        ("replay", _) => Some(Action::ReplayDead { webhook }),
        ("resend", Some(event)) => Some(Action::Resend { webhook, event }),
        _ => None,
    };
    respond(&view, "Webhook", async {
        let (Some(action), Some(actions)) = (action, state.0.actions.get()) else {
            return Err(not_found("there is no such action"));
        };
        tracing::info!(webhook = name, ?action, "an operator acts on the page");
        let done = (actions.act)(action).await;
        details(&state, &view, &name, Some(&done)).await
    })
    .await
}

/// Whether a form of this listener, or a program with the token, sent it.
fn is_meant(visitor: &Visitor, headers: &HeaderMap, form: Option<&str>) -> bool {
    let Some(cookie) = &visitor.cookie else { return !visitor.by_url };
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    let is_own = site.is_none_or(|site| site == "same-origin");
    is_own && form.is_some_and(|form| Secret::new(&form_token(&visitor.grant, cookie)).matches(form))
}
