//! Health: what `presenced status` says, with reasons.
//!
//! Guards: everything that is not well is on the page, with its reason. Not here: what makes the daemon ready
//! (`telemetry::health`).

use axum::extract::State as Shared;
use axum::response::Response;
use maud::{Markup, html};

use super::parts::title;
use super::respond::respond;
use super::view::View;
use super::words;
use crate::store::history::HealthRow;
use crate::store::stats::BlockedWebhook;
use crate::telemetry::health::Readiness;
use crate::web::state::State;

/// The most users in the table.
const USERS: u32 = 10_000;

/// The page.
pub(super) async fn health(Shared(state): Shared<State>, view: View) -> Response {
    respond(&view, view.t("Health", "健康"), async {
        let readiness = state.0.health.readiness(view.now);
        let blocked = state.blocked_webhooks().await?;
        let mut users = state.0.history.health(view.now, USERS).await?;
        users.retain(|user| user.errors_24h > 0);
        users.sort_by_key(|user| std::cmp::Reverse(user.errors_24h));
        Ok(html! {
            (title(&view, view.t("Health", "健康"), None))
            (checks(&view, &readiness))
            (reload(&view, &state))
            (unpolled(&view, &state))
            (webhooks(&view, &blocked))
            (failing(&view, &users))
        })
    })
    .await
}

fn checks(view: &View, readiness: &Readiness) -> Markup {
    html! {
        section.card {
            h2 {
                @if readiness.ready { span.tag.ok { (view.t("Ready", "就绪")) } }
                @else { span.tag.no { (view.t("Not ready", "未就绪")) } }
            }
            div.scroll tabindex="0" { table { tbody {
                @for check in &readiness.checks {
                    tr {
                        td { @if check.ok { span.tag.ok { (check.name) } } @else { span.tag.no { (check.name) } } }
                        td { @if let Some(org) = &check.org { (org) } }
                        td.wrap { (check.reason) }
                    }
                }
            } } }
            @for degraded in &readiness.degraded {
                p { b { (degraded.org) } ": " (degraded.reason)
                    @if let Some(since) = degraded.since { " · " (view.t("since", "始于")) " " (view.moment(since)) }
                    @if let Some(next) = degraded.next { " · " (view.t("next attempt", "下次尝试")) " " (view.ahead(next)) } }
            }
        }
    }
}

fn reload(view: &View, state: &State) -> Markup {
    let Some(measured) = state.0.measured.get() else { return html! {} };
    let attempts = measured.active_config.attempts();
    html! {
        section.card {
            h2 { (view.t("Daemon", "服务")) }
            dl {
                dt { (view.t("Version", "版本")) } dd { (env!("CARGO_PKG_VERSION")) }
                dt { (view.t("Running since", "启动于")) } dd { (view.moment(measured.active_config.started())) }
                dt { (view.t("Config read", "配置读取于")) } dd { (view.moment(attempts.loaded)) }
                @if let Some((at, why)) = &attempts.refused {
                    dt { span.tag.no { (view.t("Config refused", "配置被拒")) } } dd { (view.moment(*at)) ": " (why) }
                }
                @if !attempts.restart_for.is_empty() {
                    dt { (view.t("Needs a restart", "需要重启")) } dd { (attempts.restart_for.join(", ")) }
                }
            }
        }
    }
}

fn unpolled(view: &View, state: &State) -> Markup {
    let all = state.0.health.unpolled();
    html! {
        @if all.iter().any(|(_, some)| !some.is_empty()) {
            section.card {
                h2 { (view.t("Users who are not polled as planned", "未按计划轮询的人员")) }
                div.scroll tabindex="0" { table { tbody {
                    @for (org, some) in &all { @for one in some {
                        tr { td { (org) } td { span.tag.no { (one.reason.name()) } } td.n { (one.users) } td.now { (view.moment(one.next)) } }
                    } }
                } } }
            }
        }
    }
}

fn webhooks(view: &View, blocked: &[BlockedWebhook]) -> Markup {
    html! {
        @if !blocked.is_empty() {
            section.card {
                h2 { (view.t("Webhooks with deliveries that wait", "有待投递的 webhook")) }
                div.scroll tabindex="0" { table { tbody {
                    @for one in blocked {
                        tr {
                            td { a.name href=(view.link(&format!("/webhooks/{}", one.webhook))) { (one.webhook) } }
                            td { span.tag.(one.reason) { (words::state(view.lang, one.reason)) } }
                            td.wrap { (one.why.as_deref().unwrap_or("")) }
                            td.now { @if let Some(next) = one.next { (view.ahead(next)) } }
                        }
                    }
                } } }
            }
        }
    }
}

fn failing(view: &View, users: &[HealthRow]) -> Markup {
    html! {
        section.card {
            h2 { (view.t("Failed polls in the last 24 hours", "最近 24 小时失败的轮询")) }
            @if users.is_empty() { p.soft { (view.t("None.", "没有。")) } }
            @else {
                div.scroll tabindex="0" { table {
                    thead { tr { th { (view.t("Who", "人员")) } th.n { (view.t("Failed", "失败")) } th { (view.t("Last good poll", "最近一次成功轮询")) } th { (view.t("Newest error", "最新错误")) } } }
                    tbody { @for user in users { tr {
                        td { (user.name) } td.n { (user.errors_24h) }
                        td.now { @match user.last_ok { Some(at) => { (view.ago(at)) } None => "–" } }
                        td.wrap { (user.last_error.as_deref().unwrap_or("")) }
                    } } }
                } }
            }
        }
    }
}
