//! The next windows, and changes of the clock in them.
//!
//! Guards: every time is given in local time and in UTC. Not here: what a window is (`policy::window`).

use std::collections::BTreeSet;
use std::time::Duration;

use chrono_tz::Tz;
use serde::Serialize;

use super::input::PlanInput;
use crate::config::Config;
use crate::policy::civil;
use crate::policy::pace::open_spans::OpenSpans;
use crate::time::Timestamp;

/// Changes of the clock are reported at least this far ahead.
const WARN_AHEAD: Duration = Duration::from_hours(24 * 30);

/// A period in which users are polled.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct OpenRow {
    pub(super) opens_at: String,
    pub(super) closes_at: String,
    pub(super) opens_local: String,
    pub(super) closes_local: String,
}

/// The open periods of the next `days` days, of all users.
pub(super) fn upcoming(plans: &[PlanInput<'_>], now: Timestamp, days: u16, zone: Tz) -> Vec<OpenRow> {
    let until = now.plus(Duration::from_hours(24 * u64::from(days)));
    let mut spans = BTreeSet::new();
    for open in plans.iter().flat_map(|plan| &plan.hours) {
        spans.extend(OpenSpans::of(open, now, until).spans().iter().copied());
    }
    let row = |(from, to): (i64, i64)| {
        let (from, to) = (Timestamp::from_ms(from), Timestamp::from_ms(to));
        OpenRow {
            opens_at: from.rfc3339(),
            closes_at: to.rfc3339(),
            opens_local: local(from, zone),
            closes_local: local(to, zone),
        }
    };
    spans.into_iter().map(row).collect()
}

/// `Mon 2026-11-23 08:30`.
pub(super) fn local(at: Timestamp, zone: Tz) -> String {
    civil::wall(at, zone).format("%a %Y-%m-%d %H:%M").to_string()
}

/// Changes of the clock, and what each does to a window.
pub(super) fn clock_changes(config: &Config, now: Timestamp, days: u16) -> Vec<String> {
    let until = now.plus(WARN_AHEAD.max(Duration::from_hours(24 * u64::from(days))));
    let mut changes = BTreeSet::new();
    for window in &config.windows {
        let zone = window.hours.time_zone;
        let Some(change) = civil::next_offset_change(zone, now, until) else { continue };
        let by_ms =
            civil::offset_ms(change, zone) - civil::offset_ms(Timestamp::from_ms(change.as_ms() - 1), zone);
        let (way, minutes) = (if by_ms > 0 { "forward" } else { "back" }, by_ms.abs() / 60_000);
        let open = crate::policy::window::OpenTime::new(Some(vec![window.hours.clone()]), Vec::new());
        let inside = open.open_at(change) && open.open_at(Timestamp::from_ms(change.as_ms() - 1));
        let meaning = match (inside, by_ms > 0) {
            (true, true) => format!("; window `{}` is {minutes} min shorter that day", window.name),
            (true, false) => format!("; window `{}` is {minutes} min longer that day", window.name),
            (false, _) => format!("; window `{}` moves by {minutes} min against UTC", window.name),
        };
        changes.insert(format!("{zone}: clocks go {way} by {minutes} min at {}{meaning}", change.rfc3339()));
    }
    changes.into_iter().collect()
}
