//! The meetings of a world at an instant: which are ongoing, who is in each, and how the others ended.
//!
//! Guards: they agree with the participations of the people. A person who left stays a member; a person who was inside at
//! the end left then. Not here: the answers (`meeting_answers`).

use super::script::MeetingRun;
use super::types::{Participation, Person};
use super::world::World;
use crate::time::Timestamp;

/// How many past rounds of a looping world are still known.
const ROUNDS_REMEMBERED: i64 = 24;

/// One run of a meeting at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MeetingView<'a> {
    pub(super) conference_id: String,
    pub(super) title: &'a str,
    /// Hosted by another organisation.
    pub(super) foreign: bool,
    /// When the first person was invited or joined.
    pub(super) opened: Timestamp,
    /// When it ended, if it has.
    pub(super) ended: Option<Timestamp>,
    /// All who were invited, are in it or have left: index of the person, the person and the participation.
    pub(super) members: Vec<(usize, &'a Person, Participation)>,
}

impl World {
    /// The ongoing meetings at `t`, in order of opening.
    pub(super) fn ongoing(&self, t: Timestamp) -> Vec<MeetingView<'_>> {
        let (round, offset_ms) = self.round_at(t);
        let goes_on = |run: &&MeetingRun| {
            run.occurrence.opened_ms <= offset_ms && run.ended_ms.is_none_or(|ended_ms| offset_ms < ended_ms)
        };
        self.runs.iter().filter(goes_on).map(|run| self.view(run, round, t)).collect()
    }

    /// The meeting with this conference id, if it had begun by `t`.
    pub(super) fn meeting(&self, conference_id: &str, t: Timestamp) -> Option<MeetingView<'_>> {
        let newest = self.round_at(t).0;
        (newest.saturating_sub(ROUNDS_REMEMBERED).max(0)..=newest)
            .rev()
            .flat_map(|round| self.runs.iter().map(move |run| (round, run)))
            .filter(|(round, run)| self.instant(*round, run.occurrence.opened_ms) <= t)
            .find(|(round, run)| self.conference_id(run.occurrence, *round) == conference_id)
            .map(|(round, run)| self.view(run, round, t))
    }

    fn view<'a>(&'a self, run: &'a MeetingRun, round: i64, t: Timestamp) -> MeetingView<'a> {
        let meeting = &self.meetings()[run.occurrence.meeting];
        let ended = run.ended_ms.map(|ms| self.instant(round, ms)).filter(|ended| *ended <= t);
        let member = |(person, entry)| (person, &self.people()[person], self.participation(entry, round));
        let members = if ended.is_some() {
            run.entries.iter().map(|(person, entry)| member((*person, entry))).collect()
        } else {
            let offset_ms = self.round_at(t).1;
            let entry = |person: usize| {
                let entries = self.entries(person, offset_ms);
                entries.iter().find(|entry| entry.occurrence == run.occurrence).map(|entry| (person, entry))
            };
            (0..self.people().len()).filter_map(entry).map(member).collect()
        };
        MeetingView {
            conference_id: self.conference_id(run.occurrence, round),
            title: &meeting.name,
            foreign: meeting.foreign,
            opened: self.instant(round, run.occurrence.opened_ms),
            ended,
            members,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::script::{Act, Step, StepKind};
    use super::super::types::Meeting;
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(1_700_000_000_000 + ms)
    }

    /// Ann joins at 10 and leaves at 20; Ben is called at 15 and joins at 30; the meeting ends at 40.
    fn world(period: Option<u64>) -> World {
        let person = |id: &str| Person {
            union_id: id.into(),
            nick: id.into(),
            device: "Win".into(),
            external: false,
            by_phone: false,
        };
        let meetings = vec![Meeting { name: "m".into(), conference_id: None, foreign: true }];
        let does = |at_ms, who, act| Step { at_ms, meeting: 0, what: StepKind::Person(who, act) };
        let steps = [
            does(10, 0, Act::Join(None)),
            does(15, 1, Act::Call),
            does(20, 0, Act::Leave(None)),
            does(30, 1, Act::Join(None)),
            Step { at_ms: 40, meeting: 0, what: StepKind::End },
        ];
        let people = vec![person("ann"), person("ben")];
        World::new(people, meetings, &steps, at(0), period.map(Duration::from_millis)).unwrap()
    }

    fn statuses(view: &MeetingView<'_>) -> Vec<i64> {
        view.members.iter().map(|(_, _, participation)| participation.status).collect()
    }

    #[test]
    fn a_meeting_goes_on_from_the_first_who_comes_to_its_end() {
        let world = world(None);
        assert_eq!(world.ongoing(at(9)), []);
        assert_eq!(statuses(&world.ongoing(at(10))[0]), [3]);
        assert_eq!(statuses(&world.ongoing(at(25))[0]), [6, 2]);
        assert!(world.ongoing(at(39))[0].foreign);
        assert_eq!(world.ongoing(at(40)), []);
    }

    #[test]
    fn one_that_is_over_is_found_by_its_id_with_all_members_outside() {
        let world = world(None);
        let id = world.ongoing(at(10))[0].conference_id.clone();
        assert_eq!(world.meeting(&id, at(9)), None);
        assert_eq!(world.meeting(&id, at(39)).unwrap().ended, None);
        let over = world.meeting(&id, at(1000)).unwrap();
        assert_eq!((over.opened, over.ended), (at(10), Some(at(40))));
        assert_eq!(statuses(&over), [6, 6]);
        let left: Vec<_> = over.members.iter().map(|(_, _, participation)| participation.left).collect();
        assert_eq!(left, [Some(at(20)), Some(at(40))]);
        assert_eq!(world.meeting("another", at(1000)), None);
    }

    #[test]
    fn a_looping_world_remembers_the_rounds_before() {
        let world = world(Some(100));
        let id = world.ongoing(at(115))[0].conference_id.clone();
        assert_eq!(world.meeting(&id, at(100)), None);
        assert_eq!(world.meeting(&id, at(450)).unwrap().ended, Some(at(140)));
        assert_eq!(world.meeting(&id, at(100_000)), None);
        assert_eq!(world.ongoing(at(150)), []);
    }
}
