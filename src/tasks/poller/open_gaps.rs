//! The gaps that go on, of all organisations, as the history has them.
//!
//! Guards: only changes are written, one write at a time; an episode keeps its beginning, whatever reasons follow in it.
//! Not here: which gaps go on (`reasons`).

use std::collections::BTreeMap;

use super::reported::OpenRow;
use crate::store::open_gaps::{OpenGap, OpenGaps, Whose};
use crate::time::Timestamp;

/// What is stored, and whether something is being written.
#[derive(Debug, Default)]
pub(super) struct OpenGapRows {
    /// `None`: as an earlier daemon left them.
    stored: Option<BTreeMap<Whose, OpenGap>>,
    writing: bool,
    /// Something was reported while a write was under way.
    outdated: bool,
}

/// A write, and what is stored after it.
#[derive(Debug)]
pub(super) struct OpenGapWrite {
    pub(super) gaps: OpenGaps,
    pub(super) rows: BTreeMap<Whose, OpenGap>,
}

impl OpenGapRows {
    /// What is to be written so that these gaps are stored, if anything is and no write is under way.
    pub(super) fn begin(
        &mut self,
        gaps: impl Iterator<Item = (Whose, OpenRow)>,
        now: Timestamp,
    ) -> Option<OpenGapWrite> {
        self.outdated = self.writing;
        if self.writing {
            return None;
        }
        let stored = self.stored.as_ref();
        let begins = |(whose, (seen, because)): (Whose, OpenRow)| {
            let before = stored.and_then(|stored| stored.get(&whose)).map(|open| open.from);
            let from = before.into_iter().chain(seen).min().unwrap_or(now).min(now);
            (whose, OpenGap { from, because })
        };
        let rows: BTreeMap<Whose, OpenGap> = gaps.map(begins).collect();
        if stored == Some(&rows) {
            return None;
        }
        let is_new = |(whose, open): &(&Whose, &OpenGap)| {
            stored.is_none_or(|stored| stored.get(*whose) != Some(*open))
        };
        let ended = stored.into_iter().flat_map(BTreeMap::keys).filter(|&whose| !rows.contains_key(whose));
        let gaps = OpenGaps {
            reset: stored.is_none(),
            ended: ended.cloned().collect(),
            begun: rows.iter().filter(is_new).map(|(whose, open)| (whose.clone(), *open)).collect(),
        };
        self.writing = true;
        Some(OpenGapWrite { gaps, rows })
    }

    /// Whether there may be something to write although nothing was reported since.
    pub(super) fn is_outdated(&self) -> bool {
        self.outdated && !self.writing
    }

    /// A write has ended; `None`: it failed, and what differs is written again.
    pub(super) fn finish(&mut self, rows: Option<BTreeMap<Whose, OpenGap>>) {
        self.writing = false;
        self.stored = rows.or_else(|| self.stored.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::OrgName;
    use crate::store::gaps::{Because, Why};

    const NOW: Timestamp = Timestamp::from_ms(100_000);

    fn gap(person: Option<i64>, seen: i64, why: Why) -> (Whose, OpenRow) {
        let because = Because { why, error: None };
        ((OrgName::default_name(), person), (Some(Timestamp::from_ms(seen)), because))
    }

    #[test]
    fn only_changes_are_written_and_the_first_write_replaces_what_an_earlier_daemon_left() {
        let mut stored = OpenGapRows::default();
        let first = stored.begin([gap(None, 50, Why::Budget)].into_iter(), NOW).unwrap();
        assert!(first.gaps.reset && first.gaps.begun.len() == 1);
        assert!(stored.begin(std::iter::empty(), NOW).is_none(), "a write is under way");
        stored.finish(Some(first.rows));
        assert!(stored.begin([gap(None, 50, Why::Budget)].into_iter(), NOW).is_none(), "the same");
        let over = stored.begin(std::iter::empty(), NOW).unwrap().gaps;
        assert_eq!((over.reset, over.begun.len(), over.ended.len()), (false, 0, 1));
    }

    #[test]
    fn another_reason_keeps_the_beginning() {
        let mut stored = OpenGapRows::default();
        let first = stored.begin([gap(Some(7), 50, Why::Failed)].into_iter(), NOW).unwrap();
        stored.finish(Some(first.rows));
        let next = stored.begin([gap(Some(7), 90, Why::Late)].into_iter(), NOW).unwrap();
        let open = next.rows.values().next().unwrap();
        assert_eq!((open.from, open.because.why), (Timestamp::from_ms(50), Why::Late));
    }

    #[test]
    fn a_failed_write_is_repeated() {
        let mut stored = OpenGapRows::default();
        assert!(stored.begin([gap(None, 50, Why::Auth)].into_iter(), NOW).is_some());
        stored.finish(None);
        let again = stored.begin([gap(None, 50, Why::Auth)].into_iter(), NOW).unwrap();
        assert!(again.gaps.reset);
    }
}
