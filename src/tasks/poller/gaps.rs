//! Time in which an organisation was not polled, and the answers that wait until it is reported.
//!
//! Guards: after an outage the gap is emitted before anything that a later answer changes. Not here: emitting it
//! (`alerting`), gaps of single users (`user_gaps`).

use std::time::Duration;

use super::report::PollNow;
use super::roster::UserKey;
use crate::dingtalk::client::Answer;
use crate::time::Timestamp;

/// Number of remembered outages; older ones are merged.
const REMEMBERED_OUTAGES: usize = 8;
/// Number of covered intervals that are remembered; a gap is rarely older.
const REMEMBERED: usize = 8;
/// A pause is extended every second; after a longer interruption it is another pause.
const SAME_PAUSE: Duration = Duration::from_secs(30);

/// A good answer that waits until the gap before it is emitted.
#[derive(Debug)]
pub(super) struct HeldAnswer {
    pub(super) user: UserKey,
    pub(super) manual: Option<PollNow>,
    pub(super) answer: Answer,
}

/// The gaps of an organisation.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// An outage is over and its gap is not emitted yet: answers since then wait.
    pending: bool,
    held: Vec<HeldAnswer>,
    /// Recent outages, for users who were not polled since.
    outages: Vec<(Timestamp, Timestamp)>,
    /// Recent intervals without polls that are in the history already, for all users.
    covered: Vec<(Timestamp, Timestamp)>,
}

impl Gaps {
    /// Whether a gap is not emitted yet.
    pub(super) fn is_pending(&self) -> bool {
        self.pending
    }

    /// An outage is over; its gap is about to be emitted.
    pub(super) fn begin(&mut self, from: Timestamp, to: Timestamp) {
        self.pending = true;
        self.outages.push((from, to));
        if self.outages.len() > REMEMBERED_OUTAGES {
            let (first, _) = self.outages.remove(0);
            self.outages[0].0 = first.min(self.outages[0].0);
        }
        self.cover(from, to);
    }

    /// Keeps an answer until the gap is emitted; returns it if there is none.
    pub(super) fn hold(&mut self, answer: HeldAnswer) -> Option<HeldAnswer> {
        if !self.pending {
            return Some(answer);
        }
        self.held.push(answer);
        None
    }

    /// The gap is emitted: the answers that waited for it.
    pub(super) fn release(&mut self) -> Vec<HeldAnswer> {
        self.pending = false;
        std::mem::take(&mut self.held)
    }

    /// The outages that ended after then.
    pub(super) fn outages_since(&self, then: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        self.outages.iter().copied().filter(move |(_, to)| *to > then)
    }

    /// Marks an interval as recorded for all users of the organisation.
    pub(super) fn cover(&mut self, from: Timestamp, to: Timestamp) {
        self.covered.push((from, to));
        if self.covered.len() > REMEMBERED {
            self.covered.remove(0);
        }
    }

    /// Extends a pause that another part records when it ends.
    pub(super) fn cover_on(&mut self, now: Timestamp) {
        match self.covered.last_mut() {
            Some((_, to)) if now.since(*to) <= SAME_PAUSE => *to = now.max(*to),
            _ => self.cover(now, now),
        }
    }

    /// How much of `[from, to)` is covered.
    pub(super) fn covered_between(&self, from: Timestamp, to: Timestamp) -> Duration {
        self.covered.iter().map(|&(begin, end)| end.min(to).since(begin.max(from))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(seconds * 1000)
    }

    #[test]
    fn old_outages_are_merged_and_none_is_forgotten() {
        let mut gaps = Gaps::default();
        for n in 0..12 {
            gaps.begin(at(n * 100), at(n * 100 + 50));
        }
        assert!(gaps.is_pending());
        let outages: Vec<_> = gaps.outages_since(at(0)).collect();
        assert_eq!((outages.len(), outages[0].0), (8, at(0)));
        assert_eq!(gaps.outages_since(at(1_060)).count(), 1);
        assert!(gaps.release().is_empty() && !gaps.is_pending());
    }

    #[test]
    fn a_pause_is_one_interval_while_it_goes_on() {
        let mut gaps = Gaps::default();
        for now in [100, 110, 130] {
            gaps.cover_on(at(now));
        }
        gaps.cover(at(200), at(250));
        assert_eq!(gaps.covered_between(at(0), at(1_000)), Duration::from_secs(80));
        assert_eq!(gaps.covered_between(at(120), at(210)), Duration::from_secs(20));
    }
}
