//! Meetings that are asked for their members: who sits in them, as another call than the one of sweeps says.
//!
//! Guards: only a list that was there, was read to its end and had nothing odd in it says anything; a meeting that told
//! less is given back, to be asked for in a batch. Deliberately not here: the calls, what follows from them (`heed`).

use std::collections::{BTreeMap, VecDeque};

use crate::dingtalk::meetings::{Member, Page, PageToken, Pages};
use crate::ids::ConferenceId;
use crate::presence::attendance::AttendStatus;
use crate::presence::observation::Evidence;

/// A meeting with more members than fit on so many pages is asked for in a batch: it costs less.
const MOST_PAGES: u32 = 2;

/// Statuses by unionId.
pub(super) type Seated = BTreeMap<String, AttendStatus>;

/// The meetings of one pass.
#[derive(Debug, Default)]
pub(super) struct Members {
    asked: VecDeque<Asked>,
    told: Vec<(ConferenceId, Seated)>,
}

#[derive(Debug)]
struct Asked {
    meeting: ConferenceId,
    pages: Pages,
    seated: Seated,
    /// Somebody inside is not named.
    nameless: bool,
}

impl Members {
    /// Of these meetings.
    pub(super) fn of(meetings: impl IntoIterator<Item = ConferenceId>) -> Self {
        let asked = meetings.into_iter().map(|meeting| Asked {
            meeting,
            pages: Pages::new(MOST_PAGES),
            seated: Seated::new(),
            nameless: false,
        });
        Self { asked: asked.collect(), told: Vec::new() }
    }

    /// The page to be asked for next.
    pub(super) fn wanted(&self) -> Option<(&ConferenceId, Option<&PageToken>)> {
        let asked = self.asked.front()?;
        Some((&asked.meeting, asked.pages.wanted()?))
    }

    /// Takes that page; gives back its meeting if it cannot be read to its end.
    pub(super) fn take(&mut self, page: Page<Member>) -> Option<ConferenceId> {
        let asked = self.asked.front_mut()?;
        for member in asked.pages.take(page) {
            // Somebody who is told without a status is not missing either.
            let status = member.attendance.status.unwrap_or(AttendStatus::Unrecognized(0));
            let Some(union_id) = member.union_id else {
                asked.nameless |= status == AttendStatus::Active && !member.attendance.external;
                continue;
            };
            let seat = asked.seated.entry(union_id.as_str().to_owned()).or_insert(status);
            // Several devices: inside is who is inside with one.
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
            self.told.push((asked.meeting, asked.seated));
            return None;
        }
        Some(asked.meeting)
    }

    /// The meeting that is asked for does not tell its members.
    pub(super) fn give_up(&mut self) -> Option<ConferenceId> {
        self.asked.pop_front().map(|asked| asked.meeting)
    }

    /// Who sits where.
    pub(super) fn told(&mut self) -> Vec<(ConferenceId, Seated)> {
        std::mem::take(&mut self.told)
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
        let told = members.told();
        assert_eq!(told[0].1["a"], AttendStatus::Active);
        assert_eq!(told[0].1["b"], AttendStatus::Active);
        assert_eq!((&told[1].0, told[1].1["c"]), (&meeting(2), AttendStatus::Left));
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
            assert!(members.told().is_empty() && members.wanted().is_none());
        }
    }

    #[test]
    fn a_guest_without_a_name_hides_nobody() {
        let mut guest = member(None, 3);
        guest.attendance.external = true;
        let mut members = Members::of([meeting(1)]);
        assert_eq!(members.take(page(vec![guest, member(None, 6)], None)), None);
        assert_eq!(members.told().len(), 1);
    }

    #[test]
    fn who_refuses_is_given_up() {
        let mut members = Members::of([meeting(1), meeting(2)]);
        assert_eq!(members.give_up(), Some(meeting(1)));
        assert_eq!(members.wanted().map(|(of, _)| of.clone()), Some(meeting(2)));
        assert_eq!((members.give_up(), members.give_up()), (Some(meeting(2)), None));
    }
}
