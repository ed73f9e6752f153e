//! The board: who is in which meeting now, who is free, who is not known, and who is outside hours.
//!
//! Guards: each user says how it is known; what is not known is never shown as free. Not here: reading (`people`).

use std::collections::BTreeMap;

use axum::extract::State as Shared;
use axum::response::Response;
use maud::{Markup, html};

use super::parts::{avatar, meeting_name};
use super::respond::respond;
use super::view::View;
use super::words;
use crate::config::{Scope, Show};
use crate::store::history::OpenVisit;
use crate::time::Timestamp;
use crate::web::api::now::counts;
use crate::web::people::{Present, Standing, present};
use crate::web::state::State;

/// The page.
pub(super) async fn board(Shared(state): Shared<State>, view: View) -> Response {
    respond(&view, view.t("Board", "看板"), async {
        let all = present(&state, &view.grant).await?;
        Ok(body(&view, &all))
    })
    .await
}

fn body(view: &View, all: &[Present]) -> Markup {
    let counts = counts(all);
    let of = |standing: Standing| -> Vec<&Present> {
        let mut some: Vec<&Present> = all.iter().filter(|row| row.standing == standing).collect();
        some.sort_by(|a, b| a.seen.who.cmp(&b.seen.who));
        some.dedup_by_key(|row| row.seen.person_id);
        some
    };
    let (free, unknown, closed) = (of(Standing::Outside), of(Standing::Unknown), of(Standing::Closed));
    html! {
        h1.sr { (view.t("Who is in a meeting", "谁在会议中")) }
        (totals(view, [counts.inside, counts.outside, counts.unknown, counts.closed]))
        @if all.is_empty() {
            p.empty { (view.t("No user is watched here.", "这里没有关注的人员。")) }
        }
        (meetings(view, all))
        @if view.grant.show != Show::Counts {
            (section(view, "free", view.t("Free", "空闲"), &free))
            (section(view, "unknown", view.t("Not known", "未知"), &unknown))
            (section(view, "closed", view.t("Outside hours", "非工作时间"), &closed))
        }
    }
}

fn totals(view: &View, [inside, free, unknown, closed]: [i64; 4]) -> Markup {
    let all = [
        ("inside", inside, view.t("in a meeting", "会议中")),
        ("free", free, view.t("free", "空闲")),
        ("unknown", unknown, view.t("not known", "未知")),
        ("closed", closed, view.t("outside hours", "非工作时间")),
    ];
    html! {
        ul.totals aria-label=(view.t("Totals", "总数")) {
            @for (class, count, name) in all {
                @if count > 0 || class == "inside" || class == "free" {
                    li class=(class) { b { (count) } " " span { (name) } }
                }
            }
        }
    }
}

/// Users by meeting, the oldest meeting first.
fn meetings(view: &View, all: &[Present]) -> Markup {
    let mut meetings: BTreeMap<(&str, &str), Vec<(&Present, &OpenVisit)>> = BTreeMap::new();
    for row in all.iter().filter(|row| row.standing == Standing::Inside) {
        if let Some(visit) = &row.visit {
            meetings.entry((&row.seen.org, &visit.conference_id)).or_default().push((row, visit));
        }
    }
    let mut meetings: Vec<_> = meetings.into_iter().collect();
    let first = |rows: &[(&Present, &OpenVisit)]| rows.iter().map(|(_, visit)| visit.joined).min();
    meetings.sort_by_key(|(key, rows)| (first(rows), *key));
    html! {
        @if !meetings.is_empty() {
            section.meetings aria-label=(view.t("Meetings", "会议")) {
                @for ((_, id), mut rows) in meetings {
                    (meeting(view, id, first(&rows).unwrap_or(view.now), {
                        rows.sort_by_key(|(row, visit)| (visit.joined, row.seen.person_id));
                        &rows
                    }))
                }
            }
        } @else if !all.is_empty() {
            p.empty { (view.t("No user is in a meeting, as far as is known.", "目前所知，没有人在会议中。")) }
        }
    }
}

fn meeting(view: &View, id: &str, first: Timestamp, rows: &[(&Present, &OpenVisit)]) -> Markup {
    let title = rows.iter().find_map(|(_, visit)| visit.title.as_deref());
    let name = meeting_name(view, title, id, first);
    let can_open = view.grant.scope >= Scope::Viewer && view.has_names();
    html! {
        article.meeting id=(format!("m-{id}")) {
            header {
                h2 {
                    @if can_open {
                        a href=(view.link(&format!("/meeting/{id}"))) { (name) }
                    } @else { (name) }
                }
                p.when { (view.t("since", "始于")) " " (view.moment(first)) " · " (view.lasting(first)) }
                span.count title=(view.t("watched people in it", "在会的关注人员")) { (rows.len()) }
            }
            @if view.grant.show != Show::Counts {
                ul.people { @for (row, visit) in rows { (participant(view, row, visit)) } }
            }
        }
    }
}

fn participant(view: &View, row: &Present, visit: &OpenVisit) -> Markup {
    html! {
        li.person.inside id=(format!("p-{}-{}", row.seen.person_id, visit.conference_id)) {
            (avatar(&row.seen.who))
            div.who {
                (name(view, row))
                @match visit.role.as_str() {
                    "host" => { span.badge.host { (view.t("host", "主持人")) } }
                    "co_host" => { span.badge.host { (view.t("co-host", "联席主持")) } }
                    _ => {}
                }
                @if visit.by_phone { span.badge { (view.t("phone", "电话")) } }
                @if visit.external { span.badge.external { (view.t("external", "外部")) } }
                p.how { (how(view, row)) }
            }
            (view.lasting(visit.joined))
        }
    }
}

fn name(view: &View, row: &Present) -> Markup {
    html! {
        @if view.grant.scope >= Scope::Viewer && view.has_names() {
            a.name href=(view.link(&format!("/person/{}", row.seen.person_id))) { (row.seen.who) }
        } @else { span.name { (row.seen.who) } }
    }
}

/// How it is known: the newest poll and the next one.
fn how(view: &View, row: &Present) -> Markup {
    html! {
        @match row.last_ok {
            Some(at) => { (view.t("polled", "轮询于")) " " (view.ago(at)) }
            None => { (view.t("not polled yet", "尚未轮询")) }
        }
        @if let Some(next) = row.next_poll.filter(|next| row.why.is_none() && *next > view.now) {
            span.next { " · " (view.t("next", "下次")) " " (view.ahead(next)) }
        }
    }
}

fn section(view: &View, class: &str, title: &str, rows: &[&Present]) -> Markup {
    html! {
        @if !rows.is_empty() {
            section.(class) id=(class) {
                h2 { (title) " " span.count { (rows.len()) } }
                ul.people {
                    @for row in rows {
                        li.person.(class) id=(format!("p-{}", row.seen.person_id)) {
                            (avatar(&row.seen.who))
                            div.who { (name(view, row)) p.how { (details(view, row)) } }
                        }
                    }
                }
            }
        }
    }
}

fn details(view: &View, row: &Present) -> Markup {
    match (row.standing, &row.why) {
        (Standing::Closed, _) => html! {
            @match row.opens {
                Some(at) => { (view.t("polled again", "恢复轮询")) " " (view.moment(at)) }
                None => { (view.t("not polled now", "现在不轮询")) }
            }
        },
        (Standing::Unknown, why) => html! {
            @if let Some(why) = why { (words::gap(view.lang, why)) " · " }
            @match row.last_ok {
                Some(at) => { (view.t("last seen", "最近一次得知")) " " (view.ago(at)) }
                None => { (view.t("not polled yet", "尚未轮询")) }
            }
        },
        _ => how(view, row),
    }
}
