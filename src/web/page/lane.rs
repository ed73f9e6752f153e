//! The picture of a user's time: bars for meetings, hatched where nothing is known, grey outside hours.
//!
//! Guards: drawn with attributes only, because the policy allows no inline styles. Not here: what is drawn (`day`).

use maud::{Markup, html};

use super::parts::{colour, meeting_name};
use super::view::View;
use crate::store::history::VisitRow;
use crate::store::history::spans::Spans;
use crate::time::Timestamp;

/// A period that lanes show, as wide as the lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Period {
    /// A place in percent of the width.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a few days are far below 2^52")]
    fn place(self, ms: i64) -> f64 {
        let (from, to) = (self.from.as_ms(), self.to.as_ms());
        let share = (ms.clamp(from, to) - from) as f64 / (to - from).max(1) as f64;
        (share * 100_000.0).round() / 1000.0
    }

    fn percent(self, ms: i64) -> String {
        format!("{}%", self.place(ms))
    }

    fn width(self, from: i64, to: i64) -> String {
        format!("{:.3}%", (self.place(to) - self.place(from)).max(0.0))
    }
}

/// What one lane shows.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    pub(super) visits: &'a [&'a VisitRow],
    pub(super) closed: &'a Spans,
    pub(super) unknown: &'a Spans,
    /// A line there.
    pub(super) at: Option<Timestamp>,
}

const HEIGHT: u32 = 30;

/// The hours of a period, with some of them named.
pub(super) fn axis(view: &View, period: Period, at: Option<Timestamp>) -> Markup {
    let step = 1 + hours(period).count() / 10;
    html! {
        svg.axis aria-hidden="true" {
            @for (n, hour) in hours(period).step_by(step).enumerate() {
                text.half[n % 2 == 1] x=(period.percent(hour)) y="13" { (view.clock(Timestamp::from_ms(hour))) }
            }
            @if let Some(at) = at { (line(period, at, 18)) }
        }
    }
}

fn hours(period: Period) -> impl Iterator<Item = i64> + Clone {
    const HOUR_MS: usize = 3_600_000;
    (period.from.as_ms()..period.to.as_ms()).step_by(HOUR_MS)
}

fn line(period: Period, at: Timestamp, height: u32) -> Markup {
    let x = period.percent(at.as_ms());
    html! { line.at x1=(x) x2=(x) y1="0" y2=(height) {} }
}

/// One lane, with what it shows in words.
pub(super) fn lane(view: &View, period: Period, lane: &Lane<'_>) -> Markup {
    let (from, to) = (period.from.as_ms(), period.to.as_ms());
    let band = |class: &'static str, (start, end): (i64, i64)| {
        html! { rect class=(class) x=(period.percent(start)) y="1" width=(period.width(start, end)) height="28" {} }
    };
    let now = view.now.as_ms();
    html! {
        svg.lane role="img" aria-label=(words(view, lane)) {
            rect.base x="0" y="0.5" width="100%" height="29" rx="6" {}
            @for hour in hours(period).skip(1) {
                line.grid-line x1=(period.percent(hour)) x2=(period.percent(hour)) y1="1" y2="29" {}
            }
            @for span in lane.closed.within(from, to.min(now)).iter() { (band("shut", span)) }
            @for span in lane.unknown.within(from, to.min(now)).iter() { (band("gap", span)) }
            @if now < to { (band("future", (now.max(from), to))) }
            @for visit in lane.visits { (bar(view, period, visit)) }
            @if let Some(at) = lane.at { (line(period, at, HEIGHT)) }
        }
    }
}

/// A visit: solid while it is certain, pale where its end is in doubt.
fn bar(view: &View, period: Period, visit: &VisitRow) -> Markup {
    let end = visit.left.unwrap_or(view.now).as_ms();
    let sure = visit.leave_earliest.map_or(end, |at| at.as_ms().clamp(visit.joined.as_ms(), end));
    let last = visit.leave_latest.filter(|_| visit.left.is_some()).map_or(end, |at| at.as_ms().max(end));
    let (start, name) = (visit.joined.as_ms(), name(view, visit));
    let shown = period.place(end) - period.place(start.max(period.from.as_ms()));
    html! {
        g class=(colour(&visit.conference_id)) {
            title { (name) ": " (times(view, visit)) }
            @if last > sure {
                rect.soft-end x=(period.percent(sure)) y="4" width=(period.width(sure, last)) height="22" {}
            }
            svg x=(period.percent(start)) y="4" width=(period.width(start, sure)) height="22" {
                rect.bar-of x="0" y="0" width="100%" height="22" rx="5" {}
                @if shown > 7.0 { text.label x="6" y="15" { (name) } }
            }
            @if shown < 0.2 { rect.bar-of x=(period.percent(start)) y="4" width="2" height="22" {} }
        }
    }
}

fn name(view: &View, visit: &VisitRow) -> String {
    meeting_name(view, visit.title.as_deref(), &visit.conference_id, visit.joined)
}

fn times(view: &View, visit: &VisitRow) -> String {
    let left = visit.left.map_or_else(|| view.t("now", "现在").to_owned(), |at| view.clock(at));
    format!("{}–{left}", view.clock(visit.joined))
}

fn words(view: &View, lane: &Lane<'_>) -> String {
    if lane.visits.is_empty() {
        return view.t("no meeting", "没有会议").to_owned();
    }
    let all: Vec<String> =
        lane.visits.iter().map(|visit| format!("{} {}", name(view, visit), times(view, visit))).collect();
    all.join("; ")
}

/// What the colours mean.
pub(super) fn legend(view: &View) -> Markup {
    let key = |class: &'static str| html! { svg.lane aria-hidden="true" { rect.base width="100%" height="100%" {} rect class=(class) width="100%" height="100%" {} } };
    html! {
        p.legend {
            span { svg.lane.c0 aria-hidden="true" { rect.bar-of width="100%" height="100%" {} } (view.t("in a meeting", "会议中")) }
            span { svg.lane.c0 aria-hidden="true" { rect.soft-end width="100%" height="100%" {} } (view.t("end in doubt", "结束时间不确定")) }
            span { (key("gap")) (view.t("not polled: not known", "未轮询：未知")) }
            span { (key("shut")) (view.t("outside hours", "非工作时间")) }
        }
    }
}
