//! The day: a lane for each user, hour by hour; who was in at an instant; the last 30 days as density.
//!
//! Guards: what was not polled is hatched, never empty. Not here: drawing lanes (`lane`).

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State as Shared;
use axum::response::Response;
use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime};
use maud::{Markup, html};

use super::lane::{Lane, Period, axis, lane, legend};
use super::respond::respond;
use super::view::{View, span};
use super::words;
use crate::policy::civil;
use crate::policy::pace::open_spans::OpenSpans;
use crate::store::StoreError;
use crate::store::history::at_instant::{State as Was, StateAt};
use crate::store::history::report::KnownUser;
use crate::store::history::spans::Spans;
use crate::store::history::timeline::Timeline;
use crate::store::history::{Filter, MAX_ROWS, VisitQuery, VisitRow};
use crate::time::Timestamp;
use crate::web::state::{Settings, State};

/// Days that are shown as density.
const DENSITY_DAYS: u64 = 30;

/// The page.
pub(super) async fn day(Shared(state): Shared<State>, view: View) -> Response {
    let today = civil::wall(view.now, view.zone).date();
    let date = view.parameter("date").and_then(|date| date.parse::<NaiveDate>().ok()).unwrap_or(today);
    let date = date.min(today);
    let period = of_date(&view, date);
    let at = at(&view, date, period);
    respond(&view, view.t("Day", "日程"), async {
        let grant = &view.grant;
        let settings = state.settings();
        let all = timelines(&state, period, view.now).await?;
        let may = |user: &KnownUser| grant.allows(&user.org, settings.groups(&user.org, &user.union_id));
        let all: Vec<_> = all.into_iter().filter(|(user, _)| may(user)).collect();
        let shown = interesting(&view, period, &all);
        let query = VisitQuery {
            since: Some(period.from),
            until: Some(period.to),
            limit: MAX_ROWS,
            ..VisitQuery::default()
        };
        let visits = state.0.history.visits(&query).await?;
        let mut then = Vec::new();
        if let Some(at) = at {
            then = state.0.history.report().at(at, &Filter::default(), view.now).await?;
            then.retain(|one| may(&one.user));
        }
        let days = density(&state, &view, today, may).await?;
        Ok(html! {
            h1.sr { (view.t("Day", "日程")) " " (date) }
            (strip(&view, date, &days))
            (slider(&view, date, at))
            @if let Some(at) = at { (instant(&view, at, &then)) }
            section.card aria-label=(view.t("Lanes", "时间轴")) {
                @if all.is_empty() { p.empty { (view.t("No user is watched here.", "这里没有关注的人员。")) } }
                @else { (lanes(&view, shown, at, &all, &visits)) (legend(&view)) }
            }
        })
    })
    .await
}

/// A local day; one of 23 or 25 hours is as long as it is.
fn of_date(view: &View, date: NaiveDate) -> Period {
    let start = |date: NaiveDate| civil::first_instant(date.and_time(NaiveTime::MIN), view.zone);
    Period { from: start(date), to: start(date.checked_add_days(Days::new(1)).unwrap_or(date)) }
}

/// The hours of a day of which anything is known, and at least eight: the rest would only be hatched or grey.
fn interesting(view: &View, day: Period, all: &[(KnownUser, Timeline)]) -> Period {
    const HOUR: i64 = 3_600_000;
    let (from, to) = (day.from.as_ms(), day.to.as_ms());
    let seen = Spans::of(vec![(from, to.min(view.now.as_ms()))]);
    let known = all.iter().flat_map(|(_, line)| {
        let known = seen.without(&line.closed).without(&line.unknown);
        known.iter().collect::<Vec<_>>()
    });
    let (first, last) = known.fold((to, from), |(first, last), (a, b)| (first.min(a), last.max(b)));
    if first >= last {
        return day;
    }
    let first = from + (first - from).div_euclid(HOUR) * HOUR;
    let last = (from + ((last - from).div_euclid(HOUR) + 1) * HOUR).min(to);
    let last = last.max((first + 8 * HOUR).min(to));
    Period { from: Timestamp::from_ms(first.min(last - 8 * HOUR).max(from)), to: Timestamp::from_ms(last) }
}

/// The instant that is asked for, as `at=10:15` or as minutes of the day (`m=615`, from the slider); not in the future.
fn at(view: &View, date: NaiveDate, period: Period) -> Option<Timestamp> {
    let clock = view.parameter("at").and_then(|at| NaiveTime::parse_from_str(&at, "%H:%M").ok());
    let minutes = || view.parameter("m").and_then(|minutes| minutes.parse::<u64>().ok());
    let at = match clock {
        Some(time) => civil::first_instant(NaiveDateTime::new(date, time), view.zone),
        None => period.from.plus(Duration::from_secs(minutes()?.min(24 * 60) * 60)),
    };
    Some(at.min(view.now).min(period.to))
}

/// The timelines of all users, with the closed windows that are in no table yet.
pub(super) async fn timelines(
    state: &State,
    period: Period,
    now: Timestamp,
) -> Result<Vec<(KnownUser, Timeline)>, StoreError> {
    let settings = state.settings();
    let shut = |user: &KnownUser| closed_since(&settings, user, now);
    state.0.history.report().timelines(&Filter::default(), (period.from, period.to), now, shut).await
}

fn closed_since(settings: &Settings, user: &KnownUser, now: Timestamp) -> Vec<(i64, i64)> {
    let Some(member) = settings.member(&user.org, &user.union_id) else { return Vec::new() };
    let Some(from) = user.last_ok.filter(|_| !member.open.is_always()) else { return Vec::new() };
    let open = OpenSpans::of(&member.open, from, now);
    let mut closed = Vec::new();
    let mut at = from.as_ms();
    for (start, end) in open.spans() {
        if *start > at {
            closed.push((at, *start));
        }
        at = at.max(*end);
    }
    if at < now.as_ms() {
        closed.push((at, now.as_ms()));
    }
    closed
}

fn lanes(
    view: &View,
    period: Period,
    at: Option<Timestamp>,
    all: &[(KnownUser, Timeline)],
    visits: &[VisitRow],
) -> Markup {
    let mut by_user: BTreeMap<i64, Vec<&VisitRow>> = BTreeMap::new();
    for visit in visits {
        by_user.entry(visit.person_id).or_default().push(visit);
    }
    html! {
        div.lanes {
            b {} (axis(view, period, at))
            @for (user, timeline) in all {
                @if view.has_names() {
                    a href=(view.link(&format!("/person/{}", user.person_id))) { (view.grant.shown(&user.name)) }
                } @else { b { (view.grant.shown(&user.name)) } }
                (lane(view, period, &Lane {
                    visits: by_user.get(&user.person_id).map_or(&[], Vec::as_slice),
                    closed: &timeline.closed,
                    unknown: &timeline.unknown,
                    at,
                }))
            }
        }
    }
}

fn slider(view: &View, date: NaiveDate, at: Option<Timestamp>) -> Markup {
    let wall = civil::wall(at.unwrap_or(view.now), view.zone).time();
    let minutes = wall.signed_duration_since(NaiveTime::MIN).num_minutes();
    html! {
        form.bar method="get" {
            label for="date" { (view.t("Day", "日期")) }
            input #date type="date" name="date" value=(date);
            label for="m" { (view.t("Who was in at", "此刻谁在会：")) " " b.num { (wall.format("%H:%M")) } }
            input #m type="range" name="m" min="0" max="1439" step="5" value=(minutes);
            button { (view.t("Show", "显示")) }
        }
    }
}

fn instant(view: &View, at: Timestamp, then: &[StateAt]) -> Markup {
    let of = |state: Was| then.iter().filter(move |one| one.state == state).collect::<Vec<_>>();
    let groups = [
        (Was::Inside, view.t("in a meeting", "会议中")),
        (Was::Outside, view.t("free", "空闲")),
        (Was::Unknown, view.t("not known", "未知")),
    ];
    html! {
        section.card #instant aria-live="polite" {
            h2 { (view.clock(at)) }
            dl {
                @for (state, title) in groups {
                    @let some = of(state);
                    dt { (title) " " span.count { (some.len()) } }
                    dd {
                        @for (n, one) in some.iter().enumerate() {
                            @if n > 0 { (view.t(", ", "、")) }
                            (view.grant.shown(&one.user.name))
                            @if let Some(why) = &one.why { small { " (" (words::gap(view.lang, why)) ")" } }
                        }
                        @if some.is_empty() { "–" }
                    }
                }
            }
        }
    }
}

/// Hours in meetings of each of the last days.
async fn density(
    state: &State,
    view: &View,
    today: NaiveDate,
    may: impl Fn(&KnownUser) -> bool,
) -> Result<Vec<(NaiveDate, Duration)>, StoreError> {
    let first = today.checked_sub_days(Days::new(DENSITY_DAYS - 1)).unwrap_or(today);
    let period = Period { from: of_date(view, first).from, to: of_date(view, today).to };
    let all = timelines(state, period, view.now).await?;
    let dates = first.iter_days().take_while(|date| *date <= today);
    Ok(dates
        .map(|date| {
            let day = of_date(view, date);
            let (from, to) = (day.from.as_ms(), day.to.min(view.now).as_ms());
            let seen = all.iter().filter(|(user, _)| may(user));
            let ms: i64 = seen.map(|(_, timeline)| timeline.inside.within(from, to).total_ms()).sum();
            (date, Duration::from_millis(ms.try_into().unwrap_or(0)))
        })
        .collect())
}

fn strip(view: &View, shown: NaiveDate, days: &[(NaiveDate, Duration)]) -> Markup {
    let most = days.iter().map(|(_, time)| time.as_secs()).max().unwrap_or(0).max(1);
    let level = |time: &Duration| match time.as_secs() {
        0 => 0,
        seconds => 1 + (seconds * 4 - 1) / (most + 1).max(1),
    };
    html! {
        nav.days aria-label=(view.t("The last 30 days", "最近 30 天")) {
            @for (date, time) in days {
                @let title = format!("{date}: {}", span(view.lang, *time));
                a.(format!("d{}", level(time).min(4))) href=(view.link(&format!("/day?date={date}"))) title=(title)
                    aria-current=[(*date == shown).then_some("date")] { i {} (date.format("%-d")) }
            }
        }
    }
}
