//! Member lists of meetings: a second source for who is inside, beside the batch calls of sweeps.
//!
//! Guards: only a list that is present, complete and without anything unclear counts; a meeting with less is returned,
//! to be requested in a batch. Not here: the calls (`sweep_run`), what follows from them (`apply_sweep`).

use std::collections::{BTreeMap, VecDeque};

use crate::dingtalk::meetings::{Member, Page, PageToken, Pages};
use crate::ids::ConferenceId;
use crate::presence::attendance::AttendStatus;
use crate::presence::observation::Evidence;

/// A meeting with more pages of members is requested in a batch, which costs less.
const MOST_PAGES: u32 = 2;

/// Statuses by unionId.
pub(super) type MemberStatuses = BTreeMap<String, AttendStatus>;

/// The meetings of one run.
#[derive(Debug, Default)]
pub(super) struct Members {
    asked: VecDeque<Asked>,
    complete: Vec<(ConferenceId, MemberStatuses)>,
}

#[derive(Debug)]
struct Asked {
    meeting: ConferenceId,
    pages: Pages,
    statuses: MemberStatuses,
    /// A user inside has no unionId in the list.
    nameless: bool,
}

impl Members {
    /// Member lists of these meetings.
    pub(super) fn of(meetings: impl IntoIterator<Item = ConferenceId>) -> Self {
        let asked = meetings.into_iter().map(|meeting| Asked {
            meeting,
            pages: Pages::new(MOST_PAGES),
            statuses: MemberStatuses::new(),
            nameless: false,
        });
        Self { asked: asked.collect(), complete: Vec::new() }
    }

    /// The next page.
    pub(super) fn wanted(&self) -> Option<(&ConferenceId, Option<&PageToken>)> {
        let asked = self.asked.front()?;
        Some((&asked.meeting, asked.pages.wanted()?))
    }

    /// Takes a page; returns its meeting if the list cannot be completed.
    pub(super) fn take(&mut self, page: Page<Member>) -> Option<ConferenceId> {
        let asked = self.asked.front_mut()?;
        for member in asked.pages.take(page) {
            // A member without a status is not absent either.
            let status = member.attendance.status.unwrap_or(AttendStatus::Unrecognized(0));
            let Some(union_id) = member.union_id else {
                asked.nameless |= status == AttendStatus::Active && !member.attendance.external;
                continue;
            };
            let seat = asked.statuses.entry(union_id.as_str().to_owned()).or_insert(status);
            // With several devices, one that is inside is enough.
            if status == AttendStatus::Active {
                *seat = status;
            }
        }
        if asked.pages.wanted().is_some() {
            return None;
        }
        let asked = self.asked.pop_front()?;
        let pages = &asked.pages;
        let whole = pages.is_complete() && pages.evidence() == Evidence::Explicit && pages.oddities() == 0;
        if whole && !asked.nameless {
            self.complete.push((asked.meeting, asked.statuses));
            return None;
        }
        Some(asked.meeting)
    }

    /// Gives up the current meeting, which does not list its members.
    pub(super) fn give_up(&mut self) -> Option<ConferenceId> {
        self.asked.pop_front().map(|asked| asked.meeting)
    }

    /// The complete lists.
    pub(super) fn complete(&mut self) -> Vec<(ConferenceId, MemberStatuses)> {
        std::mem::take(&mut self.complete)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UnionId;
    use crate::presence::attendance::Attendance;

    fn meeting(n: u8) -> ConferenceId {
        ConferenceId::parse(&format!("m{n}")).unwrap()
    }

    fn member(union_id: Option<&str>, status: i64) -> Member {
        let attendance = Attendance::without_times(meeting(1), Some(status.into()));
        Member { union_id: union_id.map(|id| UnionId::parse(id).unwrap()), attendance }
    }

    fn page(items: Vec<Member>, next: Option<&str>) -> Page<Member> {
        Page {
            items,
            next: next.map(PageToken::of),
            has_more: None,
            total: None,
            evidence: Evidence::Explicit,
            calls: 1,
            oddities: 0,
        }
    }

    #[test]
    fn pages_are_put_together_and_one_device_inside_is_enough() {
        let mut members = Members::of([meeting(1), meeting(2)]);
        assert_eq!(members.take(page(vec![member(Some("a"), 3), member(Some("b"), 6)], Some("t"))), None);
        assert_eq!(
            members.wanted().map(|(of, after)| (of.clone(), after.is_some())),
            Some((meeting(1), true))
        );
        assert_eq!(members.take(page(vec![member(Some("a"), 6), member(Some("b"), 3)], None)), None);
        assert_eq!(members.take(page(vec![member(Some("c"), 6)], None)), None);
        assert_eq!(members.wanted(), None);
        let complete = members.complete();
        assert_eq!(complete[0].1["a"], AttendStatus::Active);
        assert_eq!(complete[0].1["b"], AttendStatus::Active);
        assert_eq!((&complete[1].0, complete[1].1["c"]), (&meeting(2), AttendStatus::Left));
    }

    #[test]
    fn what_is_not_read_to_its_end_or_odd_is_given_back() {
        let more = |next| page(vec![member(Some("a"), 3)], Some(next));
        let mut cut = Members::of([meeting(1)]);
        assert_eq!(cut.take(more("s")), None);
        assert_eq!(cut.take(more("t")), Some(meeting(1)), "a third page is not asked for");
        for odd in [
            Page { oddities: 1, ..page(vec![member(Some("a"), 3)], None) },
            Page { evidence: Evidence::Weak, ..page(Vec::new(), None) },
            page(vec![member(None, 3)], None),
        ] {
            let mut members = Members::of([meeting(1)]);
            assert_eq!(members.take(odd), Some(meeting(1)));
            assert!(members.complete().is_empty() && members.wanted().is_none());
        }
    }

    #[test]
    fn a_guest_without_a_name_hides_nobody() {
        let mut guest = member(None, 3);
        guest.attendance.external = true;
        let mut members = Members::of([meeting(1)]);
        assert_eq!(members.take(page(vec![guest, member(None, 6)], None)), None);
        assert_eq!(members.complete().len(), 1);
    }

    #[test]
    fn who_refuses_is_given_up() {
        let mut members = Members::of([meeting(1), meeting(2)]);
        assert_eq!(members.give_up(), Some(meeting(1)));
        assert_eq!(members.wanted().map(|(of, _)| of.clone()), Some(meeting(2)));
        assert_eq!((members.give_up(), members.give_up()), (Some(meeting(2)), None));
    }
}
