//! The meetings themselves: which go on at an instant, who is in each, and how those ended that are over.
//!
//! Guards: it is the same truth that people's seats are made of; somebody who left stays a member, and whoever was
//! inside at the end left then. Deliberately not here: how it is told (`meetings`).

use super::facts::{Person, Seat};
use super::script::Hold;
use super::world::World;
use crate::time::Timestamp;

/// Of a looping world, meetings of so many rounds back are still known.
const ROUNDS_REMEMBERED: i64 = 24;

/// One time a meeting takes place, as it is at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held<'a> {
    /// Its conference id.
    pub(super) conference_id: String,
    /// What it is called.
    pub(super) title: &'a str,
    /// Another organisation hosts it.
    pub(super) foreign: bool,
    /// When somebody was first invited or came.
    pub(super) opened: Timestamp,
    /// When it ended, if it has.
    pub(super) ended: Option<Timestamp>,
    /// Everybody who was invited, is in it or was: their index among the people, and their seat.
    pub(super) members: Vec<(usize, &'a Person, Seat)>,
}

impl World {
    /// The meetings that go on at `t`, in order of opening.
    pub(super) fn ongoing(&self, t: Timestamp) -> Vec<Held<'_>> {
        let (round, offset_ms) = self.round_at(t);
        let goes_on = |hold: &&Hold| {
            hold.occurrence.opened_ms <= offset_ms
                && hold.ended_ms.is_none_or(|ended_ms| offset_ms < ended_ms)
        };
        self.holds.iter().filter(goes_on).map(|hold| self.held(hold, round, t)).collect()
    }

    /// The meeting with this id, if it had begun by `t`.
    pub(super) fn meeting(&self, conference_id: &str, t: Timestamp) -> Option<Held<'_>> {
        let newest = self.round_at(t).0;
        (newest.saturating_sub(ROUNDS_REMEMBERED).max(0)..=newest)
            .rev()
            .flat_map(|round| self.holds.iter().map(move |hold| (round, hold)))
            .filter(|(round, hold)| self.instant(*round, hold.occurrence.opened_ms) <= t)
            .find(|(round, hold)| self.conference_id(hold.occurrence, *round) == conference_id)
            .map(|(round, hold)| self.held(hold, round, t))
    }

    fn held<'a>(&'a self, hold: &'a Hold, round: i64, t: Timestamp) -> Held<'a> {
        let meeting = &self.meetings()[hold.occurrence.meeting];
        let ended = hold.ended_ms.map(|ms| self.instant(round, ms)).filter(|ended| *ended <= t);
        let member = |(person, place)| (person, &self.people()[person], self.seat(place, round));
        let members = if ended.is_some() {
            hold.places.iter().map(|(person, place)| member((*person, place))).collect()
        } else {
            let offset_ms = self.round_at(t).1;
            let place = |person: usize| {
                let places = self.places(person, offset_ms);
                places.iter().find(|place| place.occurrence == hold.occurrence).map(|place| (person, place))
            };
            (0..self.people().len()).filter_map(place).map(member).collect()
        };
        Held {
            conference_id: self.conference_id(hold.occurrence, round),
            title: &meeting.name,
            foreign: meeting.foreign,
            opened: self.instant(round, hold.occurrence.opened_ms),
            ended,
            members,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::facts::Meeting;
    use super::super::script::{Act, Happening, Step};
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(1_700_000_000_000 + ms)
    }

    /// Ann comes at 10 and goes at 20, Ben is called at 15 and comes at 30; the meeting ends at 40.
    fn world(period: Option<u64>) -> World {
        let person = |id: &str| Person {
            union_id: id.into(),
            nick: id.into(),
            device: "Win".into(),
            external: false,
            by_phone: false,
        };
        let meetings = vec![Meeting { name: "m".into(), conference_id: None, foreign: true }];
        let does = |at_ms, who, act| Step { at_ms, meeting: 0, what: Happening::Does(who, act) };
        let steps = [
            does(10, 0, Act::Join(None)),
            does(15, 1, Act::Call),
            does(20, 0, Act::Leave(None)),
            does(30, 1, Act::Join(None)),
            Step { at_ms: 40, meeting: 0, what: Happening::Ends },
        ];
        let people = vec![person("ann"), person("ben")];
        World::new(people, meetings, &steps, at(0), period.map(Duration::from_millis)).unwrap()
    }

    fn statuses(held: &Held<'_>) -> Vec<i64> {
        held.members.iter().map(|(_, _, seat)| seat.status).collect()
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
    fn one_that_is_over_is_found_by_its_id_with_everybody_outside() {
        let world = world(None);
        let id = world.ongoing(at(10))[0].conference_id.clone();
        assert_eq!(world.meeting(&id, at(9)), None);
        assert_eq!(world.meeting(&id, at(39)).unwrap().ended, None);
        let over = world.meeting(&id, at(1000)).unwrap();
        assert_eq!((over.opened, over.ended), (at(10), Some(at(40))));
        assert_eq!(statuses(&over), [6, 6]);
        let left: Vec<_> = over.members.iter().map(|(_, _, seat)| seat.left).collect();
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
