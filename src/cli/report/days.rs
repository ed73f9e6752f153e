//! One person's day: in a meeting, not in one, not known, not meant to be looked at.
//!
//! Guards: the four never overlap, and a stay that was reported counts even where nobody looked. Deliberately not here:
//! where the stretches come from.

use std::collections::BTreeSet;

use super::spans::Spans;
use crate::time::Timestamp;

/// What is known of somebody.
#[derive(Debug)]
pub(super) struct Person {
    stays: Vec<(String, (i64, i64))>,
    inside: Spans,
    closed: Spans,
    unknown: Spans,
}

/// What is known of one day of somebody's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Day {
    /// In a meeting; in two at once counts once.
    pub(super) inside: Spans,
    /// Nobody meant to look.
    pub(super) closed: Spans,
    /// Nobody could look.
    pub(super) unknown: Spans,
    /// The meetings.
    pub(super) meetings: BTreeSet<String>,
    /// The longest stay, as far as it lies in this day.
    pub(super) longest_ms: i64,
    /// Until when there is anything to know: the day's end, or now.
    end: i64,
}

impl Person {
    /// Stays with their meetings.
    pub(super) fn new(stays: Vec<(String, (i64, i64))>, closed: &Spans, unknown: &Spans) -> Self {
        let inside = Spans::of(stays.iter().map(|(_, span)| *span).collect());
        let unknown = unknown.without(&inside);
        let closed = closed.without(&inside).without(&unknown);
        Self { stays, inside, closed, unknown }
    }

    /// One day's share, as far as it lies in the past.
    pub(super) fn day(&self, (from, to): (Timestamp, Timestamp), now: Timestamp) -> Day {
        let (from, to) = (from.as_ms(), to.min(now).as_ms());
        let touching = self.stays.iter().filter(|(_, span)| span.0 < to && (span.1 > from || span.0 >= from));
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
    /// A character an hour: in a meeting if at all, else what most of the hour is. A day of 23 or 25 hours has as many
    /// characters as any other.
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
