//! The calls of one sweep, one after another.
//!
//! Guards: pages and batches have a bound; a sweep that lacks a page or contains anything unclear is discarded; a
//! meeting that does not list its members is requested in a batch instead. Not here: whether the next call may be made
//! (`sweep`), evaluating member lists (`members`).

use std::collections::{BTreeMap, BTreeSet};

use super::members::{MemberStatuses, Members};
use crate::dingtalk::meetings::{
    MEETINGS_A_BATCH, MeetingBatch, Member, OngoingMeeting, Page, PageToken, Pages,
};
use crate::ids::ConferenceId;
use crate::presence::attendance::AttendStatus;
use crate::presence::observation::Evidence;
use crate::presence::sweep_view::{MeetingStatuses, Sweep};
use crate::time::Timestamp;

/// An organisation with more pages of ongoing meetings is not swept.
const MOST_PAGES: u32 = 25;

/// A sweep in progress.
#[derive(Debug)]
pub(super) struct SweepRun {
    asked_at: Timestamp,
    /// `None`: only given meetings are requested.
    pages: Option<Pages>,
    asked: BTreeSet<ConferenceId>,
    /// The meetings whose members are requested.
    members: Members,
    to_ask: Vec<ConferenceId>,
    meetings: BTreeSet<ConferenceId>,
    seats: BTreeMap<String, MeetingStatuses>,
    calls: u32,
    odd: bool,
}

/// The next call.
#[derive(Debug)]
pub(in crate::tasks::poller) enum Ask {
    Page(Option<PageToken>),
    Members(ConferenceId, Option<PageToken>),
    Batch(Vec<ConferenceId>),
}

/// The answer of a call.
#[derive(Debug)]
pub(in crate::tasks::poller) enum Answer {
    Page(Page<OngoingMeeting>),
    Members(Page<Member>),
    Batch(MeetingBatch),
}

impl Answer {
    pub(super) fn calls(&self) -> u32 {
        match self {
            Self::Page(page) => page.calls,
            Self::Members(page) => page.calls,
            Self::Batch(batch) => batch.calls,
        }
    }
}

impl SweepRun {
    /// A sweep of all ongoing meetings.
    pub(super) fn whole(now: Timestamp) -> Self {
        let mut run = Self::recheck(BTreeSet::new(), now);
        run.pages = Some(Pages::new(MOST_PAGES));
        run
    }

    /// A recheck of these meetings by batch calls.
    pub(super) fn recheck(asked: BTreeSet<ConferenceId>, now: Timestamp) -> Self {
        Self {
            asked_at: now,
            pages: None,
            members: Members::default(),
            to_ask: asked.iter().cloned().collect(),
            asked,
            meetings: BTreeSet::new(),
            seats: BTreeMap::new(),
            calls: 0,
            odd: false,
        }
    }

    /// A recheck of these meetings by member lists.
    pub(super) fn of_members(asked: BTreeSet<ConferenceId>, now: Timestamp) -> Self {
        let members = Members::of(asked.iter().cloned());
        Self { members, to_ask: Vec::new(), ..Self::recheck(asked, now) }
    }

    pub(super) fn asked_at(&self) -> Timestamp {
        self.asked_at
    }

    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// Whether it is a recheck.
    pub(super) fn is_recheck(&self) -> bool {
        self.pages.is_none()
    }

    /// Whether it still lists the ongoing meetings.
    pub(super) fn is_listing(&self) -> bool {
        self.pages.as_ref().is_some_and(|pages| pages.wanted().is_some())
    }

    /// The next call; `None`: all are made.
    pub(super) fn wanted(&self) -> Option<Ask> {
        if let Some(after) = self.pages.as_ref().and_then(Pages::wanted) {
            return Some(Ask::Page(after.cloned()));
        }
        if let Some((meeting, after)) = self.members.wanted() {
            return Some(Ask::Members(meeting.clone(), after.cloned()));
        }
        let some = &self.to_ask[..self.to_ask.len().min(MEETINGS_A_BATCH)];
        (!some.is_empty()).then(|| Ask::Batch(some.to_vec()))
    }

    /// Takes an answer; returns whether it was the last.
    pub(super) fn take(&mut self, answer: Answer) -> bool {
        self.calls += answer.calls();
        match answer {
            Answer::Page(page) => {
                let Some(pages) = &mut self.pages else { return true };
                for meeting in pages.take(page) {
                    if !self.to_ask.contains(&meeting.conference_id) {
                        self.to_ask.push(meeting.conference_id);
                    }
                }
                // A missing list does not mean "no meetings"; without all pages the batches are not requested.
                let weak = pages.evidence() == Evidence::Weak;
                self.odd |= weak || pages.oddities() > 0;
                let cut = pages.wanted().is_none() && !pages.is_complete();
                if cut || self.odd {
                    self.odd = true;
                    return true;
                }
            }
            Answer::Members(page) => self.to_ask.extend(self.members.take(page)),
            Answer::Batch(batch) => {
                self.odd |= batch.oddities > 0;
                self.to_ask.drain(..self.to_ask.len().min(MEETINGS_A_BATCH));
                for meeting in batch.meetings {
                    for user in meeting.users {
                        // A user without a status is not absent either.
                        let status = user.status.unwrap_or(AttendStatus::Unrecognized(0));
                        let seats = self.seats.entry(user.id).or_default();
                        let seat = seats.entry(meeting.conference_id.clone()).or_insert(status);
                        // With several devices, one that is inside is enough.
                        if status == AttendStatus::Active {
                            *seat = status;
                        }
                    }
                    self.meetings.insert(meeting.conference_id);
                }
            }
        }
        self.wanted().is_none()
    }

    /// Moves the meeting whose member list was refused to the batches; returns whether there was one.
    pub(super) fn members_refused(&mut self) -> bool {
        let refused = self.members.give_up();
        let any = refused.is_some();
        self.to_ask.extend(refused);
        any
    }

    /// Statuses by unionId, for the meetings with a member list.
    pub(super) fn members(&mut self) -> Vec<(ConferenceId, MemberStatuses)> {
        self.members.complete()
    }

    /// The result without member lists; `None`: the sweep is discarded.
    pub(super) fn sweep(self, now: Timestamp) -> Option<Sweep> {
        let asked = self.pages.is_none().then_some(self.asked);
        let (meetings, seats) = (self.meetings, self.seats);
        (!self.odd).then_some(Sweep {
            started_at: self.asked_at,
            observed_at: now,
            requested: asked,
            meetings,
            participants: seats,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dingtalk::meetings::{MeetingUser, MeetingUsers};

    fn id(n: usize) -> ConferenceId {
        ConferenceId::parse(&format!("c{n:03}")).unwrap()
    }

    fn page(ids: std::ops::Range<usize>, has_more: bool) -> Page<OngoingMeeting> {
        Page {
            items: ids
                .map(|n| OngoingMeeting { conference_id: id(n), started: None, title: None, creator: None })
                .collect(),
            next: None,
            has_more: Some(has_more),
            total: None,
            evidence: Evidence::Explicit,
            calls: 1,
            oddities: 0,
        }
    }

    fn batch(ids: &[ConferenceId]) -> MeetingBatch {
        let users = |status: i64| vec![MeetingUser { id: "u".into(), status: Some(status.into()) }];
        let meeting = |id: &ConferenceId| MeetingUsers { conference_id: id.clone(), users: users(3) };
        let meetings = ids.iter().map(meeting).collect();
        MeetingBatch { observed_at: Timestamp::default(), meetings, calls: 1, oddities: 0 }
    }

    #[test]
    fn pages_come_first_and_then_batches_of_twenty() {
        let mut run = SweepRun::whole(Timestamp::default());
        assert!(matches!(run.wanted(), Some(Ask::Page(None))));
        assert!(run.is_listing());
        assert!(!run.take(Answer::Page(page(0..25, false))));
        assert!(!run.is_listing());
        for (size, last) in [(20, false), (5, true)] {
            let Some(Ask::Batch(ids)) = run.wanted() else { panic!("a batch is due") };
            assert_eq!(ids.len(), size);
            assert_eq!(run.take(Answer::Batch(batch(&ids))), last);
        }
        assert_eq!(run.calls(), 3);
        let sweep = run.sweep(Timestamp::from_ms(9)).unwrap();
        assert_eq!((sweep.meetings.len(), sweep.participants["u"].len(), sweep.requested), (25, 25, None));
    }

    #[test]
    fn no_meetings_are_one_call_and_a_sweep() {
        let mut run = SweepRun::whole(Timestamp::default());
        assert!(run.take(Answer::Page(page(0..0, false))));
        assert!(run.sweep(Timestamp::default()).unwrap().meetings.is_empty());
    }

    #[test]
    fn what_lacks_a_page_or_a_list_is_none() {
        let missing = Page { evidence: Evidence::Weak, ..page(0..0, false) };
        let odd = Page { oddities: 1, ..page(0..1, false) };
        for page in [page(0..1, true), missing, odd] {
            let mut run = SweepRun::whole(Timestamp::default());
            assert!(run.take(Answer::Page(page)));
            assert_eq!(run.sweep(Timestamp::default()), None);
        }
    }

    #[test]
    fn a_device_that_left_does_not_hide_one_that_is_inside() {
        let mut run = SweepRun::recheck([id(1)].into(), Timestamp::default());
        let users = [3, 6].map(|status: i64| MeetingUser { id: "u".into(), status: Some(status.into()) });
        let complete = MeetingUsers { conference_id: id(1), users: users.to_vec() };
        assert!(run.take(Answer::Batch(MeetingBatch { meetings: vec![complete], ..batch(&[]) })));
        let sweep = run.sweep(Timestamp::default()).unwrap();
        assert_eq!(sweep.participants["u"][&id(1)], AttendStatus::Active);
        assert_eq!(sweep.requested, Some([id(1)].into()));
    }
}
