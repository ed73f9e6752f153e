//! A user: the next poll and why, the last days hour by hour, hours by weekday, visits, gaps.
//!
//! Guards: hours of days with gaps are marked as the least that there were. Not here: drawing lanes (`lane`).

use std::time::Duration;

use axum::extract::{Path, State as Shared};
use axum::response::Response;
use chrono::{Datelike as _, Days, NaiveDate, NaiveTime};
use maud::{Markup, html};

use super::chart::{Bar, bars};
use super::lane::{Lane, Period, axis, lane, legend};
use super::parts::{meeting_name, title};
use super::respond::respond;
use super::view::{View, span};
use super::words;
use crate::config::Scope;
use crate::ids::{Identity, OrgName, UnionId};
use crate::policy::civil;
use crate::store::history::report::{Gap, KnownUser};
use crate::store::history::timeline::Timeline;
use crate::store::history::{Filter, VisitQuery, VisitRow};
use crate::time::Timestamp;
use crate::web::actions::NextPoll;
use crate::web::page::day::timelines;
use crate::web::response::{Problem, not_found};
use crate::web::state::State;

/// Days with a lane.
const LANES: u64 = 7;
/// Days that hours and visits are shown of.
const SPAN_DAYS: u64 = 28;
/// The most visits and gaps in the tables.
const ROWS: u32 = 100;

/// What the page shows.
struct Facts {
    user: KnownUser,
    timeline: Timeline,
    visits: Vec<VisitRow>,
    gaps: Vec<Gap>,
    next: Option<NextPoll>,
}

/// The page.
pub(super) async fn person(Shared(state): Shared<State>, Path(id): Path<String>, view: View) -> Response {
    respond(&view, view.t("Person", "人员"), async {
        let none = || not_found("no user has this number");
        let person_id: i64 = id.parse().map_err(|_| none())?;
        let facts = read(&state, &view, person_id).await?.ok_or_else(none)?;
        Ok(body(&view, &facts))
    })
    .await
}

async fn read(state: &State, view: &View, person_id: i64) -> Result<Option<Facts>, Problem> {
    let from = view.now.minus(Duration::from_hours(24 * SPAN_DAYS));
    let all = timelines(state, Period { from, to: view.now }, view.now).await?;
    let Some((user, timeline)) = all.into_iter().find(|(user, _)| user.person_id == person_id) else {
        return Ok(None);
    };
    let groups = state.settings().groups(&user.org, &user.union_id).to_vec();
    if !view.grant.allows(&user.org, &groups) || !view.has_names() {
        return Ok(None);
    }
    let filter = Filter { person_id: Some(person_id), ..Filter::default() };
    let query = VisitQuery { filter, since: Some(from), limit: ROWS, ..VisitQuery::default() };
    let visits = state.0.history.visits(&query).await?;
    let mut gaps = state.0.history.report().gaps(from, view.now).await?;
    gaps.extend(state.0.history.report().open_gaps(view.now, view.now).await?);
    gaps.retain(|gap| gap.concerns(&user) && !gap.is_planned());
    let next = if user.watched { explained(state, &user).await } else { None };
    Ok(Some(Facts { user, timeline, visits, gaps, next }))
}

async fn explained(state: &State, user: &KnownUser) -> Option<NextPoll> {
    let identity =
        Identity { org: OrgName::parse(&user.org).ok()?, union_id: UnionId::parse(&user.union_id).ok()? };
    (state.0.actions.get()?.explain)(identity).await
}

fn body(view: &View, facts: &Facts) -> Markup {
    let Facts { user, timeline, visits, gaps, next } = facts;
    html! {
        (title(view, &user.name, Some(("/", view.t("Board", "看板")))))
        div.grid {
            div.card {
                h2 { (view.t("Next poll", "下次轮询")) }
                (next_poll(view, user, next.as_ref()))
            }
            div.card {
                h2 { (view.t("Hours in meetings by weekday, 4 weeks", "近四周各星期几的会议时长")) }
                (weekdays(view, timeline))
            }
        }
        section.card {
            h2 { (view.t("The last 7 days", "最近 7 天")) }
            (week(view, timeline, visits))
            (legend(view))
        }
        section.card {
            h2 { (view.t("Visits", "参会记录")) " " span.count { (visits.len()) } }
            @if visits.is_empty() { p.soft { (view.t("None in the last 28 days.", "最近 28 天没有。")) } }
            @else { (table(view, visits)) }
        }
        section.card {
            h2 { (view.t("Not known", "未知时段")) " " span.count { (gaps.len()) } }
            @if gaps.is_empty() { p.soft { (view.t("No gap is recorded in the last 28 days.", "最近 28 天没有记录到空白时段。")) } }
            @else {
                div.scroll tabindex="0" { table { tbody {
                    @for gap in gaps.iter().rev().take(ROWS as usize) {
                        tr {
                            td.now.num { (view.moment(gap.from)) "–" (view.moment(gap.to)) }
                            td.n { (span(view.lang, gap.to.since(gap.from))) }
                            td { (words::gap(view.lang, &gap.why)) }
                        }
                    }
                } } }
            }
        }
    }
}

fn next_poll(view: &View, user: &KnownUser, next: Option<&NextPoll>) -> Markup {
    html! {
        dl {
            dt { (view.t("Last good poll", "最近一次成功轮询")) }
            dd { @match user.last_ok { Some(at) => { (view.moment(at)) " (" (view.ago(at)) ")" } None => "–" } }
            dt { (view.t("Next poll", "下次轮询")) }
            dd {
                @match user.next_poll.filter(|_| user.watched) {
                    Some(at) => { (view.moment(at)) " (" (view.ahead(at)) ")" }
                    None => { (view.t("none: not watched any more", "无：不再关注")) }
                }
            }
            @if let Some(next) = next {
                dt { (view.t("Why then", "原因")) }
                dd { (reason(view, next)) }
                dt { (view.t("Chance that the board is wrong", "看板有误的概率")) }
                dd { (percent(next.wrong_now)) " " (view.t("now, ", "（现在），")) (percent(next.wrong_then)) " " (view.t("at the next poll", "（下次轮询时）")) }
            }
            dt { (view.t("Organisation", "组织")) } dd { (user.org) }
            @if !user.groups.is_empty() { dt { (view.t("Groups", "分组")) } dd { (user.groups.join(", ")) } }
            @if view.grant.scope == Scope::Operator { dt { "unionId" } dd { code { (user.union_id) } } }
        }
        (picture(view, user))
    }
}

/// From the last poll to the next one, with now between them.
fn picture(view: &View, user: &KnownUser) -> Markup {
    let (Some(last), Some(next)) = (user.last_ok, user.next_poll.filter(|next| *next > view.now)) else {
        return html! {};
    };
    let (whole, passed) = (next.since(last).as_secs_f64().max(1.0), view.now.since(last).as_secs_f64());
    let share = format!("{:.1}%", (passed / whole * 100.0).clamp(0.0, 100.0));
    html! { svg.meter role="img" aria-label=(view.t("time between the polls that has passed", "两次轮询之间已过的时间")) { rect.b x="0" y="0" width=(share) height="14" {} } }
}

fn percent(share: f64) -> String {
    format!("{:.0}%", share.clamp(0.0, 1.0) * 100.0)
}

fn reason(view: &View, next: &NextPoll) -> String {
    if let Some(instead) = &next.instead {
        return instead.clone();
    }
    match next.rule.as_str() {
        "even" => view.t("a fixed interval", "固定间隔"),
        "plenty" => view.t("there are calls enough to poll often", "调用额度充足，可频繁轮询"),
        "worth" => view.t("a change is likely enough to spend a call", "变化的可能性值得一次调用"),
        "not_worth" => {
            view.t("a change is unlikely; calls are spent on others", "变化可能性低，额度留给他人")
        }
        "closed" => view.t("outside hours", "非工作时间"),
        "longest" => view.t("the longest interval that is allowed", "允许的最长间隔"),
        "spent" => view.t("this month's calls are spent", "本月额度已用完"),
        "in_turn" => view.t("in turn with others", "与他人轮流"),
        other => return other.to_owned(),
    }
    .to_owned()
}

fn start_of(view: &View, date: NaiveDate) -> Timestamp {
    civil::first_instant(date.and_time(NaiveTime::MIN), view.zone)
}

/// The last days, today first.
fn dates(view: &View, count: u64) -> impl Iterator<Item = (NaiveDate, Period)> + '_ {
    let today = civil::wall(view.now, view.zone).date();
    let back = (0..count).filter_map(move |n| today.checked_sub_days(Days::new(n)));
    back.map(|date| {
        let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
        (date, Period { from: start_of(view, date), to: start_of(view, next) })
    })
}

fn weekday(view: &View, date: NaiveDate) -> &'static str {
    let (en, zh) = [
        ("Mon", "周一"),
        ("Tue", "周二"),
        ("Wed", "周三"),
        ("Thu", "周四"),
        ("Fri", "周五"),
        ("Sat", "周六"),
        ("Sun", "周日"),
    ][date.weekday().num_days_from_monday() as usize % 7];
    view.t(en, zh)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a month are far below 2^52")]
fn weekdays(view: &View, timeline: &Timeline) -> Markup {
    let mut days: Vec<(u32, &str, f64, f64)> = Vec::new();
    for (date, day) in dates(view, SPAN_DAYS) {
        let (from, to) = (day.from.as_ms(), day.to.min(view.now).as_ms());
        let hours = |spans: &crate::store::history::spans::Spans| {
            spans.within(from, to).total_ms() as f64 / 3_600_000.0
        };
        let (inside, unknown) = (hours(&timeline.inside), hours(&timeline.unknown));
        let number = date.weekday().num_days_from_monday();
        match days.iter_mut().find(|day| day.0 == number) {
            Some(day) => (day.2, day.3) = (day.2 + inside, day.3 + unknown),
            None => days.push((number, weekday(view, date), inside, unknown)),
        }
    }
    days.sort_by_key(|day| day.0);
    let bar = |(_, name, inside, _): &(u32, &str, f64, f64)| Bar {
        name: (*name).to_owned(),
        value: *inside,
        other: 0.0,
        title: format!("{name}: {inside:.1} h"),
    };
    bars(&days.iter().map(bar).collect::<Vec<_>>(), 1, view.t("hours", "小时"))
}

fn week(view: &View, timeline: &Timeline, visits: &[VisitRow]) -> Markup {
    html! {
        div.lanes {
            @for (n, (date, day)) in dates(view, LANES).enumerate() {
                @if n == 0 { b {} (axis(view, day, None)) }
                @let of_day = |visit: &&VisitRow| visit.joined < day.to && visit.left.unwrap_or(view.now) >= day.from;
                @let mine: Vec<&VisitRow> = visits.iter().filter(of_day).collect();
                a href=(view.link(&format!("/day?date={date}"))) { (weekday(view, date)) " " span.soft { (date.format("%m-%d")) } }
                (lane(view, day, &Lane { visits: &mine, closed: &timeline.closed, unknown: &timeline.unknown, at: None }))
            }
        }
    }
}

fn table(view: &View, visits: &[VisitRow]) -> Markup {
    html! {
        div.scroll tabindex="0" { table {
            thead { tr {
                th { (view.t("Meeting", "会议")) } th { (view.t("Joined", "加入")) } th { (view.t("Left", "离开")) }
                th.n { (view.t("Time", "时长")) } th { (view.t("Ended by", "结束方式")) } th { (view.t("Role", "角色")) } th { (view.t("Device", "设备")) }
            } }
            tbody {
                @for visit in visits.iter().rev() {
                    tr {
                        td { a href=(view.link(&format!("/meeting/{}", visit.conference_id))) { (meeting_name(view, visit.title.as_deref(), &visit.conference_id, visit.joined)) } }
                        td.now.num { (view.moment(visit.joined)) }
                        td.now.num { @match visit.left { Some(at) => { (view.moment(at)) } None => { (view.t("is in", "在会中")) } } }
                        td.n { (span(view.lang, visit.left.unwrap_or(view.now).since(visit.joined))) }
                        td { @if let Some(reason) = &visit.left_reason { (words::left(view.lang, reason)) } }
                        td { (words::role(view.lang, &visit.role)) }
                        td { (visit.device.as_deref().unwrap_or("")) }
                    }
                }
            }
        } }
    }
}
