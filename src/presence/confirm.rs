//! A vanished entry, and what the meeting itself says about it: how the stay ended, and when.
//!
//! Guards: a word of the meeting only explains an absence that a look saw; it never ends a stay that looks still see,
//! opens one, or overrules an end that upstream has told. Pure. Deliberately not here: asking the meeting (`dingtalk`,
//! `tasks`), whether it may be asked (`policy::confirm`).

use std::time::Duration;

use super::attendance::{AttendStatus, Attendance};
use super::belief::{Belief, Closed, Known, Open, Presence, Stage};
use super::data::Flag;
use super::diff::{Outcome, presence_of, told};
use super::ending::better_end;
use super::event::Card;
use super::stay::{Look, Step, outside};
use super::tell::{About, Fact};
use super::visit::{Basis, End, LeftReason, Visit};
use crate::ids::{ConferenceId, VisitId};
use crate::time::Timestamp;

/// A leave so shortly before the meeting's end, or an end so shortly after the look that missed the entry, is the end's:
/// people are taken out one by one, and our clock is not DingTalk's.
const END_MARGIN: Duration = Duration::from_secs(2);

/// What a meeting said about one person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Testimony {
    /// When the answer had arrived.
    pub at: Timestamp,
    /// Whether the meeting is over.
    pub over: Over,
    /// The person's record among its members, if they have one.
    pub record: Option<Attendance>,
}

/// Whether a meeting is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It goes on.
    No,
    /// It is over, since then if that is told.
    Yes(Option<Timestamp>),
}

/// A stay whose entry vanished and whose end nobody has told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vanished {
    /// The meeting.
    pub conference_id: ConferenceId,
    /// The stay.
    pub visit: VisitId,
    /// The first look that missed it.
    pub since: Timestamp,
}

impl Belief {
    /// The stays whose entry vanished, told as ended or not yet, and whose end nobody has told.
    pub fn vanished(&self) -> impl Iterator<Item = Vanished> {
        self.conferences.iter().filter_map(|known| {
            let stay = Stay::of(known)?;
            Some(Vanished {
                conference_id: known.conference_id.clone(),
                visit: stay.visit.id.clone(),
                since: stay.missed_at,
            })
        })
    }
}

/// What follows from the meeting's word; `None`: nothing, the absence stays as it is.
pub fn confirm(
    belief: &Belief,
    conference_id: &ConferenceId,
    word: &Testimony,
    card: &Card,
    source: &str,
) -> Option<Outcome> {
    let mut next = belief.clone();
    let known = next.conferences.iter_mut().find(|known| known.conference_id == *conference_id)?;
    let now = belief.last_look.map_or(word.at, |last| last.max(word.at));
    let finding = Stay::of(known)?.judged_by(word, now)?;
    let look = Look {
        now,
        previous: belief.last_look,
        silent: false,
        blind: None,
        swept: false,
        weak: false,
        misses_needed: 1,
        card,
    };
    let mut step = Step::default();
    let status = word.record.as_ref().and_then(|record| record.status);
    known.stage = match std::mem::take(&mut known.stage) {
        Stage::Inside(open) => leave(known, *open, finding, status, &mut step),
        Stage::Outside(Some(closed)) => {
            better_end(known, closed, finding.end, (status, finding.flags), &look, &mut step)
        }
        // `Stay::of` gave one of the two above.
        stage => stage,
    };
    // An unknown presence is for looks to end: the meeting spoke of one stay only.
    if belief.presence != Presence::Unknown {
        next.presence = presence_of(belief.presence, &next);
    }
    let events = told(belief, &mut next, &look, step.facts, source);
    Some(Outcome { belief: next, events, visits: step.visits, confirm: false })
}

/// A stay whose end is open to the meeting's word.
#[derive(Clone, Copy, Debug)]
struct Stay<'a> {
    visit: &'a Visit,
    /// The last look that saw them inside.
    seen_at: Timestamp,
    /// The first look that missed them.
    missed_at: Timestamp,
    /// A `leaveTime` of an earlier stay.
    stale_leave: Option<Timestamp>,
    /// Nobody looked for a while in between: only a told time is better than what is believed.
    hidden: bool,
}

/// An end by the meeting's word.
#[derive(Clone, Copy, Debug)]
struct Finding {
    end: End,
    flags: &'static [Flag],
}

impl<'a> Stay<'a> {
    fn of(known: &'a Known) -> Option<Self> {
        match &known.stage {
            Stage::Inside(open) => {
                let Open { visit, seen_at, missed_at, stale_leave, hidden, .. } = &**open;
                let (seen_at, stale_leave, hidden) = (*seen_at, *stale_leave, *hidden);
                Some(Self { visit, seen_at, missed_at: (*missed_at)?, stale_leave, hidden })
            }
            Stage::Outside(Some(closed)) => {
                let Closed { visit, leave_time, .. } = &**closed;
                let end = visit.end?;
                let hidden = end.reason == LeftReason::Unobserved;
                let open_to_word = end.reason == LeftReason::Vanished || hidden;
                let stay = Self {
                    visit,
                    seen_at: end.earliest,
                    missed_at: end.latest,
                    stale_leave: *leave_time,
                    hidden,
                };
                open_to_word.then_some(stay)
            }
            Stage::Nothing | Stage::Pending | Stage::Outside(None) => None,
        }
    }

    fn judged_by(self, word: &Testimony, now: Timestamp) -> Option<Finding> {
        let fits = |at: &Timestamp| self.visit.joined <= *at && *at <= now;
        // A later join is that of a stay nobody saw: what the record says is not about this one.
        let record = word.record.as_ref().filter(|record| {
            record.joined.is_none_or(|joined| joined <= self.seen_at.max(self.visit.joined))
        });
        let reason = match record.and_then(|record| record.status) {
            Some(AttendStatus::Removed) => Some(LeftReason::Removed),
            Some(AttendStatus::Left) => Some(LeftReason::Left),
            _ => None,
        };
        let told = record.filter(|_| reason.is_some()).and_then(|record| record.left);
        let left = told.filter(fits).filter(|at| self.stale_leave != Some(*at));
        let until_the_end = match word.over {
            Over::No => None,
            Over::Yes(ended) => {
                let ended = ended.filter(fits);
                // Somebody without a record vanished because the meeting did, if it ended by then.
                let by_then = |end: Timestamp| end <= self.missed_at.plus(END_MARGIN);
                let to_the_end = match (reason, left, ended) {
                    (Some(LeftReason::Removed), _, _) => false,
                    (_, Some(left), Some(end)) => left.plus(END_MARGIN) >= end,
                    (_, Some(_), None) => false,
                    (_, None, Some(end)) => by_then(end),
                    (_, None, None) => true,
                };
                to_the_end.then_some(ended)
            }
        };
        let (reason, at, flags): (_, _, &'static [Flag]) = match (until_the_end, reason, left) {
            (Some(ended), _, _) => (LeftReason::MeetingEnded, ended, &[]),
            (None, Some(reason), Some(left)) => (reason, Some(left), &[]),
            (None, Some(reason), None) if told.is_some() => (reason, None, &[Flag::LeaveTimeImplausible]),
            (None, Some(reason), None) => (reason, None, &[Flag::LeaveTimeMissing]),
            (None, None, _) => return None,
        };
        let end = match at {
            Some(at) => End { at, reason, basis: Basis::Reported, earliest: at, latest: at },
            None if self.hidden => return None,
            None => {
                let at = self.missed_at.max(self.visit.joined);
                let earliest = self.seen_at.max(self.visit.joined).min(at);
                End { at, reason, basis: Basis::Inferred, earliest, latest: at }
            }
        };
        Some(Finding { end, flags })
    }
}

/// The end of a stay that was not told yet.
fn leave(
    known: &mut Known,
    open: Open,
    finding: Finding,
    status: Option<AttendStatus>,
    step: &mut Step,
) -> Stage {
    let Finding { end, flags } = finding;
    let mut visit = open.visit.clone();
    visit.end = Some(end);
    known.ended = Some(end.at);
    let about = About::visit(&visit, status, known.status);
    step.facts.push(Fact { late: open.hidden, ..Fact::left(end, about, flags.to_vec()) });
    step.note(&visit);
    known.status = status.or(known.status);
    outside(known, open, visit, None)
}
