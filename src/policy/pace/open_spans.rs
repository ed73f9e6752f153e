//! Open time of a part of the calendar, computed once so that queries are cheap.
//!
//! Guards: the answers equal those of [`OpenTime`], only faster. Not here: windows themselves (`policy::window`).

use crate::policy::window::OpenTime;
use crate::time::Timestamp;

/// The open spans of `[from, to)`.
#[derive(Clone, Debug)]
pub struct OpenSpans {
    spans: Vec<(i64, i64)>,
    /// Open ms before each span.
    before: Vec<i64>,
}

impl OpenSpans {
    /// Computes the spans of `[from, to)`.
    pub fn of(open: &OpenTime, from: Timestamp, to: Timestamp) -> Self {
        let (mut spans, mut at, mut is_open) = (Vec::new(), from, open.open_at(from));
        while at < to {
            let next = open.next_change(at).map_or(to, |change| change.min(to));
            if is_open {
                spans.push((at.as_ms(), next.as_ms()));
            }
            is_open = !is_open;
            at = next;
        }
        let mut sum = 0;
        let before = spans
            .iter()
            .map(|(start, end)| {
                let so_far = sum;
                sum += end - start;
                so_far
            })
            .collect();
        Self { spans, before }
    }

    /// The open spans, in order, in ms.
    pub fn spans(&self) -> &[(i64, i64)] {
        &self.spans
    }

    /// The open span that contains `at`.
    pub fn span_at(&self, at: i64) -> Option<(i64, i64)> {
        let after = self.spans.partition_point(|(start, _)| *start <= at);
        after.checked_sub(1).map(|index| self.spans[index]).filter(|(_, end)| at < *end)
    }

    /// The next open instant: `at` itself, or the next opening.
    pub fn open_from(&self, at: i64) -> Option<i64> {
        let index = self.spans.partition_point(|(_, end)| *end <= at);
        self.spans.get(index).map(|(start, _)| (*start).max(at))
    }

    /// Open ms in `[from, to)`.
    pub fn open_ms(&self, from: i64, to: i64) -> i64 {
        (self.until(to) - self.until(from)).max(0)
    }

    /// The instant at which `open_ms` of open time have passed after `at`; `None`: beyond the computed part.
    pub fn after(&self, at: i64, open_ms: i64) -> Option<i64> {
        let wanted = self.until(at) + open_ms;
        let index = self.before.partition_point(|before| *before <= wanted).checked_sub(1)?;
        let when = self.spans[index].0 + wanted - self.before[index];
        (when < self.spans[index].1).then_some(when)
    }

    /// Open ms before `at`.
    fn until(&self, at: i64) -> i64 {
        let after = self.spans.partition_point(|(start, _)| *start <= at);
        after.checked_sub(1).map_or(0, |index| {
            let (start, end) = self.spans[index];
            self.before[index] + at.min(end) - start
        })
    }
}
