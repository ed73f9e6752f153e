//! Open time of a stretch of the calendar, laid out once so that questions about it are cheap.
//!
//! Guards: answers are those of [`OpenTime`]; only faster. Deliberately not here: what a window is (`policy::window`).

use crate::policy::window::OpenTime;
use crate::time::Timestamp;

/// The open stretches of `[from, to)`.
#[derive(Clone, Debug)]
pub struct Hours {
    spans: Vec<(i64, i64)>,
    /// Open ms before each span.
    before: Vec<i64>,
}

impl Hours {
    /// Lays out `[from, to)`.
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

    /// The open stretches, in order, in ms.
    pub fn spans(&self) -> &[(i64, i64)] {
        &self.spans
    }

    /// The open stretch that holds `at`.
    pub fn span_at(&self, at: i64) -> Option<(i64, i64)> {
        let after = self.spans.partition_point(|(start, _)| *start <= at);
        after.checked_sub(1).map(|index| self.spans[index]).filter(|(_, end)| at < *end)
    }

    /// When it is open next: `at` itself, or the next opening.
    pub fn open_from(&self, at: i64) -> Option<i64> {
        let index = self.spans.partition_point(|(_, end)| *end <= at);
        self.spans.get(index).map(|(start, _)| (*start).max(at))
    }

    /// Open ms in `[from, to)`.
    pub fn open_ms(&self, from: i64, to: i64) -> i64 {
        (self.until(to) - self.until(from)).max(0)
    }

    /// When `open_ms` of open time have passed after `at`; `None`: beyond what is laid out.
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
