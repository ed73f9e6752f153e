//! The day of one user: in a meeting, not in one, unobserved, or closed.
//!
//! Guards: the four never overlap; a reported visit counts even while the user was not observed. Not here: where the
//! periods come from (`super`).

use std::collections::BTreeSet;

use super::spans::Spans;
use crate::time::Timestamp;

/// Everything known about one user.
#[derive(Debug)]
pub(super) struct Timeline {
    visits: Vec<(String, (i64, i64))>,
    inside: Spans,
    closed: Spans,
    unknown: Spans,
}

/// One day of a user.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Day {
    /// In a meeting; in two at once counts once.
    pub(super) inside: Spans,
    /// Outside the windows.
    pub(super) closed: Spans,
    /// Not observed.
    pub(super) unknown: Spans,
    /// The meetings.
    pub(super) meetings: BTreeSet<String>,
    /// The longest visit, as far as it is in this day.
    pub(super) longest_ms: i64,
    /// The end of the day, or now.
    end: i64,
}

impl Timeline {
    /// From visits with their meetings; `inside` has precedence over `unknown`, and that over `closed`.
    pub(super) fn new(visits: Vec<(String, (i64, i64))>, closed: &Spans, unknown: &Spans) -> Self {
        let inside = Spans::of(visits.iter().map(|(_, span)| *span).collect());
        let unknown = unknown.without(&inside);
        let closed = closed.without(&inside).without(&unknown);
        Self { visits, inside, closed, unknown }
    }

    /// One day, up to now.
    pub(super) fn day(&self, (from, to): (Timestamp, Timestamp), now: Timestamp) -> Day {
        let (from, to) = (from.as_ms(), to.min(now).as_ms());
        let touching =
            self.visits.iter().filter(|(_, span)| span.0 < to && (span.1 > from || span.0 >= from));
        let (mut meetings, mut longest_ms) = (BTreeSet::new(), 0);
        for (meeting, span) in touching {
            meetings.insert(meeting.clone());
            longest_ms = longest_ms.max(span.1.min(to) - span.0.max(from));
        }
        let within = |spans: &Spans| spans.within(from, to);
        Day {
            inside: within(&self.inside),
            closed: within(&self.closed),
            unknown: within(&self.unknown),
            meetings,
            longest_ms,
            end: to,
        }
    }
}

impl Day {
    /// One character per hour: in a meeting if any part is, else what most of the hour is. A day of 23 or 25 hours has 24
    /// characters too.
    pub(super) fn bar(&self, (from, to): (Timestamp, Timestamp)) -> String {
        const HOURS: i64 = 24;
        let (from, length) = (from.as_ms(), to.as_ms() - from.as_ms());
        (0..HOURS)
            .map(|hour| {
                let (begin, end) = (from + length * hour / HOURS, from + length * (hour + 1) / HOURS);
                let share = |spans: &Spans| spans.within(begin, end).total_ms() * 2;
                if begin >= self.end {
                    ' '
                } else if share(&self.inside) > 0 {
                    '█'
                } else if share(&self.unknown) >= end - begin {
                    '?'
                } else if share(&self.closed) >= end - begin {
                    ' '
                } else {
                    '·'
                }
            })
            .collect()
    }
}
