//! The calls of one sweep, one after another.
//!
//! Guards: pages and batches have a bound; what lacks a page, or had anything odd in it, is no sweep; a meeting that does
//! not tell its members is asked for in a batch instead. Deliberately not here: whether the next call may be made
//! (`sweep`), who came of the members (`members`).

use std::collections::{BTreeMap, BTreeSet};

use super::members::{Members, Seated};
use crate::dingtalk::meetings::{
    MEETINGS_A_BATCH, MeetingBatch, Member, OngoingMeeting, Page, PageToken, Pages,
};
use crate::ids::ConferenceId;
use crate::presence::attendance::AttendStatus;
use crate::presence::observation::Evidence;
use crate::presence::sweep_view::{MeetingStatuses, Sweep};
use crate::time::Timestamp;

/// More ongoing meetings than fit on so many pages are not swept.
const MOST_PAGES: u32 = 25;

/// A sweep that is being made.
#[derive(Debug)]
pub(super) struct Pass {
    asked_at: Timestamp,
    /// `None`: only these meetings are asked for.
    pages: Option<Pages>,
    asked: BTreeSet<ConferenceId>,
    /// The meetings whose members are asked for.
    members: Members,
    to_ask: Vec<ConferenceId>,
    meetings: BTreeSet<ConferenceId>,
    seats: BTreeMap<String, MeetingStatuses>,
    calls: u32,
    odd: bool,
}

/// What is to be asked next.
#[derive(Debug)]
pub(super) enum Ask {
    Page(Option<PageToken>),
    Members(ConferenceId, Option<PageToken>),
    Batch(Vec<ConferenceId>),
}

/// What came.
#[derive(Debug)]
pub(super) enum Answer {
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

impl Pass {
    /// Of everything that goes on.
    pub(super) fn whole(now: Timestamp) -> Self {
        let mut pass = Self::again(BTreeSet::new(), now);
        pass.pages = Some(Pages::new(MOST_PAGES));
        pass
    }

    /// Of these meetings once more, as sweeps see them.
    pub(super) fn again(asked: BTreeSet<ConferenceId>, now: Timestamp) -> Self {
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

    /// Of these meetings once more, by their members.
    pub(super) fn of_members(asked: BTreeSet<ConferenceId>, now: Timestamp) -> Self {
        let members = Members::of(asked.iter().cloned());
        Self { members, to_ask: Vec::new(), ..Self::again(asked, now) }
    }

    pub(super) fn asked_at(&self) -> Timestamp {
        self.asked_at
    }

    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// It asks for a few meetings a second time.
    pub(super) fn is_again(&self) -> bool {
        self.pages.is_none()
    }

    /// It has not got to the meetings themselves yet.
    pub(super) fn is_listing(&self) -> bool {
        self.pages.as_ref().is_some_and(|pages| pages.wanted().is_some())
    }

    /// The next call; `None`: there is none.
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

    /// Takes what came of that call; says whether it was the last.
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
                // A list that is only missing is not "none"; what lacks a page need not be asked about.
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
                        // Somebody who is told without a status is not missing either.
                        let status = user.status.unwrap_or(AttendStatus::Unrecognized(0));
                        let seats = self.seats.entry(user.id).or_default();
                        let seat = seats.entry(meeting.conference_id.clone()).or_insert(status);
                        // Several devices: inside is who is inside with one.
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

    /// The call about members that is under way was refused; whether it was one.
    pub(super) fn members_refused(&mut self) -> bool {
        let refused = self.members.give_up();
        let any = refused.is_some();
        self.to_ask.extend(refused);
        any
    }

    /// Who sits where by unionId, of the meetings that told their members.
    pub(super) fn members(&mut self) -> Vec<(ConferenceId, Seated)> {
        self.members.told()
    }

    /// What it came to, but for the members; `None`: it is no sweep.
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
            items: ids.map(|n| OngoingMeeting { conference_id: id(n), started: None }).collect(),
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
        let mut pass = Pass::whole(Timestamp::default());
        assert!(matches!(pass.wanted(), Some(Ask::Page(None))));
        assert!(pass.is_listing());
        assert!(!pass.take(Answer::Page(page(0..25, false))));
        assert!(!pass.is_listing());
        for (size, last) in [(20, false), (5, true)] {
            let Some(Ask::Batch(ids)) = pass.wanted() else { panic!("a batch is due") };
            assert_eq!(ids.len(), size);
            assert_eq!(pass.take(Answer::Batch(batch(&ids))), last);
        }
        assert_eq!(pass.calls(), 3);
        let sweep = pass.sweep(Timestamp::from_ms(9)).unwrap();
        assert_eq!((sweep.meetings.len(), sweep.participants["u"].len(), sweep.requested), (25, 25, None));
    }

    #[test]
    fn no_meetings_are_one_call_and_a_sweep() {
        let mut pass = Pass::whole(Timestamp::default());
        assert!(pass.take(Answer::Page(page(0..0, false))));
        assert!(pass.sweep(Timestamp::default()).unwrap().meetings.is_empty());
    }

    #[test]
    fn what_lacks_a_page_or_a_list_is_none() {
        let missing = Page { evidence: Evidence::Weak, ..page(0..0, false) };
        let odd = Page { oddities: 1, ..page(0..1, false) };
        for page in [page(0..1, true), missing, odd] {
            let mut pass = Pass::whole(Timestamp::default());
            assert!(pass.take(Answer::Page(page)));
            assert_eq!(pass.sweep(Timestamp::default()), None);
        }
    }

    #[test]
    fn a_device_that_left_does_not_hide_one_that_is_inside() {
        let mut pass = Pass::again([id(1)].into(), Timestamp::default());
        let users = [3, 6].map(|status: i64| MeetingUser { id: "u".into(), status: Some(status.into()) });
        let told = MeetingUsers { conference_id: id(1), users: users.to_vec() };
        assert!(pass.take(Answer::Batch(MeetingBatch { meetings: vec![told], ..batch(&[]) })));
        let sweep = pass.sweep(Timestamp::default()).unwrap();
        assert_eq!(sweep.participants["u"][&id(1)], AttendStatus::Active);
        assert_eq!(sweep.requested, Some([id(1)].into()));
    }
}
