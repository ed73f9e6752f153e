//! Calls to DingTalk: the month against the budget, hour by hour, and the state of sweeps.
//!
//! Guards: what is counted and what is projected look different. Not here: the budget (`policy::quota`).

use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;
use maud::{Markup, html};

use super::chart::{Bar, bars};
use super::parts::title;
use super::respond::respond;
use super::view::View;
use crate::ids::OrgName;
use crate::store::history::BudgetRow;
use crate::store::history::lists::Lists;
use crate::telemetry::health::Sweeps;
use crate::time::Timestamp;
use crate::web::state::State;

/// Hours in the chart.
const HOURS: u64 = 48;
const HOUR_MS: i64 = 3_600_000;
/// Months that are shown.
const MONTHS: u32 = 24;

/// The page.
pub(super) async fn calls(Shared(state): Shared<State>, view: View) -> Response {
    respond(&view, view.t("Calls", "调用"), async {
        let budget = state.0.history.budget(MONTHS).await?;
        // Whole hours, the one that goes on included.
        let until = Timestamp::from_ms((view.now.as_ms().div_euclid(HOUR_MS) + 1) * HOUR_MS);
        let since = until.minus(Duration::from_hours(HOURS));
        let polls = Lists::of(&state.0.history).polls_by_hour(since, until, None).await?;
        let errors = Lists::of(&state.0.history).errors_by_hour(since).await?;
        let sweeps = state.0.health.sweeps();
        Ok(body(&view, &budget, &columns(&view, since, &polls, &errors), &sweeps))
    })
    .await
}

#[expect(clippy::cast_precision_loss, reason = "counts of an hour are far below 2^52")]
fn columns(view: &View, since: Timestamp, polls: &[f64], errors: &[(i64, i64)]) -> Vec<Bar> {
    let mut hour = since.as_ms();
    let mut all = Vec::with_capacity(polls.len());
    for polls in polls {
        let failed: f64 = errors.iter().filter(|(at, _)| *at == hour).map(|(_, errors)| *errors as f64).sum();
        let name = view.clock(Timestamp::from_ms(hour));
        let title = format!(
            "{name}: {polls:.0} {}, {failed:.0} {}",
            view.t("polls", "次轮询"),
            view.t("failed", "次失败")
        );
        all.push(Bar { name, value: *polls, other: failed, title });
        hour += HOUR_MS;
    }
    all
}

fn body(view: &View, budget: &[BudgetRow], columns: &[Bar], sweeps: &[(OrgName, Sweeps)]) -> Markup {
    let newest = budget.first().map(|row| row.month.clone()).unwrap_or_default();
    html! {
        (title(view, view.t("Calls", "调用"), None))
        @if budget.is_empty() { p.empty { (view.t("No call was made yet.", "尚未调用。")) } }
        div.grid { @for row in budget.iter().filter(|row| row.month == newest) { (month(view, row)) } }
        section.card {
            h2 { (view.t("Polls by hour, two days", "两天内每小时轮询数")) }
            (bars(columns, 6, view.t("polls", "次")))
            p.legend { (view.t("Red: failed polls. Polls that gave the same answer are spread evenly over their time.", "红色：失败的轮询。答复相同的轮询在其时段内均匀分布。")) }
        }
        @if !sweeps.is_empty() {
            section.card {
                h2 { (view.t("Sweeps", "批量查询")) }
                div.scroll tabindex="0" { table {
                    thead { tr {
                        th { (view.t("Organisation", "组织")) } th { (view.t("State", "状态")) }
                        th.n { (view.t("Calls this month", "本月调用")) } th { (view.t("Last", "最近")) } th { (view.t("Why", "原因")) }
                    } }
                    tbody { @for (org, sweep) in sweeps { tr {
                        td { (org) } td { (sweep.state.name()) @if sweep.needed > 0 { " " small { (sweep.agreed) "/" (sweep.needed) } } }
                        td.n { (sweep.calls) } td.now { @if let Some(at) = sweep.last { (view.ago(at)) } }
                        td.wrap { (sweep.why.as_deref().unwrap_or("")) }
                    } } }
                } }
            }
        }
        @if budget.iter().any(|row| row.month != newest) {
            section.card {
                h2 { (view.t("Earlier months", "以前的月份")) }
                div.scroll tabindex="0" { table {
                    tbody { @for row in budget.iter().filter(|row| row.month != newest) { tr {
                        td { (row.month) } td { (row.org) } td.n { (row.used) }
                        td.n { @if let Some(limit) = row.call_limit { "/ " (limit) } }
                    } } }
                } }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "calls of a month are far below 2^52")]
fn month(view: &View, row: &BudgetRow) -> Markup {
    let limit = row.call_limit.filter(|limit| *limit > 0);
    let share = |calls: i64| {
        let share = limit.map_or(0.0, |limit| calls as f64 / limit as f64 * 100.0);
        format!("{:.1}%", share.clamp(0.0, 100.0))
    };
    let is_over = limit.is_some_and(|limit| row.projected.is_some_and(|projected| projected > limit));
    html! {
        section.card {
            h2 { (row.org) " · " (row.month) }
            ul.totals {
                li { b { (row.used) } span { (view.t("calls", "次调用")) @if let Some(limit) = limit { " " (view.t("of", "/ 共")) " " (limit) } } }
            }
            @if limit.is_some() {
                svg.meter role="img" aria-label=(format!("{} / {}", row.used, row.call_limit.unwrap_or(0))) {
                    @if let Some(projected) = row.projected { rect.p.over[is_over] x="0" y="0" width=(share(projected)) height="14" {} }
                    rect.b x="0" y="0" width=(share(row.used)) height="14" {}
                }
            } @else { p.soft { (view.t("No limit is set.", "未设上限。")) } }
            dl {
                @if let Some(projected) = row.projected { dt { (view.t("Expected by the end of the month", "预计月底")) } dd { (projected) } }
                dt { (view.t("Refused by a rate limit, not charged", "被限流、不计费")) } dd { (row.throttled) }
            }
        }
    }
}
