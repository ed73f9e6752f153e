//! A meeting: who was in it, from when to when, how well that is known; as a page and as CSV.
//!
//! Guards: a user who is not in it is "not seen", never "absent"; a cell of the CSV that a spreadsheet would take for a formula
//! is text. Not here: reading (`api::lists`).

use axum::extract::{Path, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::lane::{Lane, Period, axis, lane, legend};
use super::parts::{meeting_name, title};
use super::respond::respond;
use super::view::{View, span};
use super::words;
use crate::store::history::VisitRow;
use crate::store::history::meetings::Attendance;
use crate::store::history::spans::Spans;
use crate::time::Timestamp;
use crate::web::api::lists::attendance;
use crate::web::people::{Filter, People};
use crate::web::response::{Problem, not_found};
use crate::web::state::State;

/// The page; with `.csv` at the end the same as a table.
pub(super) async fn meeting(Shared(state): Shared<State>, Path(id): Path<String>, view: View) -> Response {
    if let Some(id) = id.strip_suffix(".csv") {
        return match read(&state, &view, id).await {
            Ok((people, attendance)) => csv(&view, id, &people, &attendance),
            Err(problem) => problem.into_response(),
        };
    }
    respond(&view, view.t("Meeting", "会议"), async {
        let (people, attendance) = read(&state, &view, &id).await?;
        Ok(body(&view, &id, &people, &attendance))
    })
    .await
}

async fn read(state: &State, view: &View, id: &str) -> Result<(People, Attendance), Problem> {
    let people = People::read(state, &view.grant, Filter::default()).await?;
    let attendance = attendance(state, id, &people).await?;
    Ok((people, attendance.ok_or_else(|| not_found("no watched user was in a meeting with this id"))?))
}

fn body(view: &View, id: &str, people: &People, attendance: &Attendance) -> Markup {
    let Attendance { meeting, visits, gaps } = attendance;
    let end = meeting.last_leave.unwrap_or(view.now);
    let name = meeting_name(view, meeting.title.as_deref(), id, meeting.first_join);
    html! {
        (title(view, &name, Some(("/day", view.t("Day", "日程")))))
        div.card {
            dl {
                dt { (view.t("Time", "时间")) }
                dd {
                    (view.date(meeting.first_join)) " " (view.clock(meeting.first_join)) "–"
                    @match meeting.last_leave { Some(at) => { (view.clock(at)) } None => { (view.t("now", "现在")) } }
                    " · " (span(view.lang, end.since(meeting.first_join)))
                }
                @if let Some(creator) = meeting.creator.as_ref().filter(|_| view.has_names()) {
                    dt { (view.t("Created by", "创建者")) } dd { (creator) }
                }
                dt { (view.t("People", "人员")) }
                dd { (meeting.people) " " (view.t("watched people", "位关注的人员"))
                    @if meeting.inside > 0 { ", " (meeting.inside) " " (view.t("still in", "仍在会中")) } }
                dt { (view.t("Not known", "未知时段")) }
                dd {
                    @if gaps.is_empty() { (view.t("polled throughout", "全程有轮询")) }
                    @for gap in gaps {
                        p { (view.moment(gap.from)) "–" (view.clock(gap.to)) ": " (words::gap(view.lang, &gap.why)) }
                    }
                }
            }
        }
        div.card { (lanes(view, people, visits, Period { from: meeting.first_join, to: end.max(meeting.first_join.plus(std::time::Duration::from_mins(1))) }, attendance)) }
        div.card {
            div.scroll tabindex="0" { table {
                thead { tr {
                    th { (view.t("Who", "人员")) } th { (view.t("Joined", "加入")) } th { (view.t("Left", "离开")) }
                    th.n { (view.t("Minutes", "分钟")) } th { (view.t("Known by", "依据")) } th { (view.t("Role", "角色")) }
                } }
                tbody { @for visit in visits { (row(view, people, visit)) } }
            } }
        }
        p.actions {
            @if view.has_names() {
                a.button href=(view.link(&format!("/meeting/{id}.csv"))) download { (view.t("Download CSV", "下载 CSV")) }
            }
        }
        p.legend { (view.t("Users who are not listed were not seen in it; that is no proof of absence.", "未列出者未被观察到，不等于缺席。")) }
    }
}

fn lanes(
    view: &View,
    people: &People,
    visits: &[VisitRow],
    period: Period,
    attendance: &Attendance,
) -> Markup {
    let mut ids: Vec<i64> = Vec::new();
    for visit in visits {
        if !ids.contains(&visit.person_id) {
            ids.push(visit.person_id);
        }
    }
    html! {
        div.lanes {
            b {} (axis(view, period, None))
            @for id in ids {
                @let mine: Vec<&VisitRow> = visits.iter().filter(|visit| visit.person_id == id).collect();
                @let gaps = attendance.gaps.iter().filter(|gap| gap.person_id.is_none_or(|person| person == id));
                @let unknown = Spans::of(gaps.map(|gap| (gap.from.as_ms(), gap.to.as_ms())).collect());
                b { (people.get(id).map_or("", |seen| &seen.who)) }
                (lane(view, period, &Lane { visits: &mine, closed: &Spans::default(), unknown: &unknown, at: None }))
            }
        }
        (legend(view))
    }
}

fn row(view: &View, people: &People, visit: &VisitRow) -> Markup {
    let (minutes, least, most) = minutes(visit, view.now);
    html! {
        tr {
            td {
                @match people.get(visit.person_id) {
                    Some(seen) if view.has_names() => { a.name href=(view.link(&format!("/person/{}", seen.person_id))) { (seen.who) } }
                    Some(seen) => { (seen.who) }
                    None => {}
                }
                @if visit.external { span.badge.external { (view.t("external", "外部")) } }
                @if visit.by_phone { span.badge { (view.t("phone", "电话")) } }
            }
            td.now.num { (view.moment(visit.joined)) }
            td.now.num {
                @match visit.left { Some(at) => { (view.moment(at)) } None => { (view.t("is in", "在会中")) } }
            }
            td.n { (minutes) @if least != most { " " small { "(" (least) "–" (most) ")" } } }
            td {
                (words::basis(view.lang, visit.leave_basis.as_deref().unwrap_or(&visit.join_basis)))
                @if let Some(reason) = &visit.left_reason { small { " · " (words::left(view.lang, reason)) } }
            }
            td { (words::role(view.lang, &visit.role)) }
        }
    }
}

/// Minutes of a visit, and the least and most that they can be.
fn minutes(visit: &VisitRow, now: Timestamp) -> (u64, u64, u64) {
    let whole = |from: Timestamp, to: Timestamp| (to.since(from).as_secs() + 30) / 60;
    let left = visit.left.unwrap_or(now);
    let least = whole(visit.joined, visit.leave_earliest.unwrap_or(left));
    let most = whole(visit.join_earliest.unwrap_or(visit.joined), visit.leave_latest.unwrap_or(left));
    let minutes = whole(visit.joined, left);
    (minutes, least.min(minutes), most.max(minutes))
}

/// For spreadsheets: UTF-8 with a mark that they know it by.
fn csv(view: &View, id: &str, people: &People, attendance: &Attendance) -> Response {
    let mut text = String::from(
        "\u{feff}who,org,union_id,joined,left,minutes,minutes_min,minutes_max,basis,role,device\r\n",
    );
    for visit in &attendance.visits {
        let Some(seen) = people.get(visit.person_id) else { continue };
        let (minutes, least, most) = minutes(visit, view.now);
        let moment = |at: Timestamp| format!("{} {}", view.date(at), view.clock(at));
        let cells = [
            seen.who.clone(),
            seen.org.clone(),
            seen.union_id.clone().unwrap_or_default(),
            moment(visit.joined),
            visit.left.map(moment).unwrap_or_default(),
            minutes.to_string(),
            least.to_string(),
            most.to_string(),
            visit.leave_basis.clone().unwrap_or_else(|| visit.join_basis.clone()),
            visit.role.clone(),
            visit.device.clone().unwrap_or_default(),
        ];
        let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let plain: String = id.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"meeting-{plain}.csv\"")) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    (StatusCode::OK, headers, text).into_response()
}

/// A cell. One that a spreadsheet would take for a formula begins with an apostrophe.
fn quoted(cell: &str) -> String {
    let is_formula =
        cell.trim_start().starts_with(['=', '+', '-', '@', '|', '%']) || cell.starts_with(['\t', '\r', '\n']);
    let cell = if is_formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', '\n', '\r', ';']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_never_a_formula() {
        assert_eq!(quoted("Li Wei"), "Li Wei");
        assert_eq!(quoted("Li, \"Wei\""), "\"Li, \"\"Wei\"\"\"");
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1"] {
            assert!(quoted(formula).trim_start_matches('"').starts_with('\''), "{formula}");
        }
    }
}
