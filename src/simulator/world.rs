//! People, meetings and a script: who is where at any instant, worked out once and then only looked up.
//!
//! Guards: it is pure (the instant is an argument, nothing is random) and the script makes sense: nobody leaves
//! who is not inside, nobody is called who is already there. Joins and leaves of one person in one meeting
//! alternate. Deliberately not here: how the truth is told (`knobs`, `record`), files (`scenario`).

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use super::spread;
use crate::time::{Timestamp, duration_ms};

/// Somebody who can be in meetings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// DingTalk's name for them.
    pub union_id: String,
    /// What others see.
    pub nick: String,
    /// What they join with when a step does not say.
    pub device: String,
    /// Of another organisation.
    pub external: bool,
    /// Joins by telephone.
    pub by_phone: bool,
}

/// A meeting that can take place, also several times: each time has its own conference id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Its name in the script.
    pub name: String,
    /// The conference id of its first time; the others are made.
    pub conference_id: Option<String>,
}

/// What somebody does, or has done to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Is put on the list of invited people (status 1).
    Invite,
    /// Is being called (status 2).
    Call,
    /// Rejects the call, or does not take it (status 4).
    Reject,
    /// Comes in (status 3). While inside, with another device: that one as well.
    Join(Option<String>),
    /// Goes (status 6). With a device: only that one, and the person goes with the last.
    Leave(Option<String>),
    /// Is removed by the host (status 5).
    Kick,
    /// Becomes the host; who was it becomes an attendee.
    Host,
    /// Becomes a co-host.
    CoHost,
    /// Becomes an attendee.
    Attendee,
}

/// What happens in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The person with this index acts.
    Does(usize, Act),
    /// The meeting ends for everybody.
    Ends,
}

/// One line of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, in milliseconds after the world's origin (of each round, when it loops).
    pub at_ms: i64,
    /// The index of the meeting.
    pub meeting: usize,
    /// What.
    pub what: Happening,
}

/// A step that cannot happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Impossible {
    /// Its index in the script as given.
    pub step: usize,
    /// Why not.
    pub why: String,
}

/// A role, as the wire's two booleans say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Neither.
    #[default]
    Attendee,
    /// `coHost`.
    CoHost,
    /// `host`.
    Host,
}

/// What is true about one person in one meeting at an instant. Times are instants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The meeting.
    pub conference_id: String,
    /// `attendStatus`, 1 to 6.
    pub status: i64,
    /// The latest join.
    pub joined: Option<Timestamp>,
    /// The first join of this meeting.
    pub first_joined: Option<Timestamp>,
    /// When they left, if they are not inside.
    pub left: Option<Timestamp>,
    /// When they had left before they came back.
    pub previously_left: Option<Timestamp>,
    /// Their role.
    pub role: Role,
    /// The devices, in the order of joining; when they are not inside, the last one.
    pub devices: Vec<String>,
}

impl Seat {
    /// Whether they are in the meeting.
    pub fn is_inside(&self) -> bool {
        self.status == INSIDE
    }
}

/// Why and how presence changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// Came in.
    Joined,
    /// Left.
    Left,
    /// Was removed.
    Kicked,
    /// Was inside when the meeting ended.
    Ended,
}

/// A join or a leave that really happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrueChange {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub union_id: String,
    /// Where.
    pub conference_id: String,
    /// What.
    pub change: Change,
}

const INVITED: i64 = 1;
const CALLING: i64 = 2;
const INSIDE: i64 = 3;
const REJECTED: i64 = 4;
const KICKED: i64 = 5;
const LEFT: i64 = 6;

/// One time a meeting takes place, inside one round: (meeting, how manieth time, opened at).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Occurrence {
    meeting: usize,
    ordinal: u32,
    opened_ms: i64,
}

/// A seat with times relative to the round's origin.
#[derive(Clone, Debug)]
struct Place {
    occurrence: Occurrence,
    status: i64,
    joined: Option<i64>,
    first_joined: Option<i64>,
    left: Option<i64>,
    previously_left: Option<i64>,
    role: Role,
    devices: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct Moment {
    at_ms: i64,
    person: usize,
    occurrence: Occurrence,
    change: Change,
}

/// The whole of it. Cheap to ask, never changes.
#[derive(Clone, Debug)]
pub struct World {
    origin: Timestamp,
    period_ms: Option<i64>,
    people: Vec<Person>,
    meetings: Vec<Meeting>,
    by_union_id: HashMap<String, usize>,
    /// For each person, from which instant on they have which seats; ascending.
    timelines: Vec<Vec<(i64, Vec<Place>)>>,
    moments: Vec<Moment>,
}

impl World {
    /// A world whose script starts at `origin` and, with a `period`, starts anew after each one. Every step that
    /// cannot happen is named. Steps at the same instant happen in the order given.
    pub fn new(
        people: Vec<Person>,
        meetings: Vec<Meeting>,
        steps: &[Step],
        origin: Timestamp,
        period: Option<Duration>,
    ) -> Result<Self, Vec<Impossible>> {
        let period_ms = period.map(|period| duration_ms(period).max(1));
        let mut play = Play::new(&people, &meetings);
        let mut order: Vec<usize> = (0..steps.len()).collect();
        order.sort_by_key(|&index| steps[index].at_ms);
        let mut impossible = Vec::new();
        for index in order {
            let step = &steps[index];
            let possible = match period_ms {
                _ if step.at_ms < 0 => Err("is before the scenario starts".to_owned()),
                Some(period_ms) if step.at_ms >= period_ms => {
                    Err("is after the end of the round (see `repeat`)".to_owned())
                }
                _ => play.perform(step),
            };
            if let Err(why) = possible {
                impossible.push(Impossible { step: index, why });
            }
        }
        if !impossible.is_empty() {
            impossible.sort_by_key(|i| i.step);
            return Err(impossible);
        }
        if let Some(period_ms) = period_ms {
            play.close_round(period_ms);
        }
        let Play { timelines, moments, .. } = play;
        let by_union_id =
            people.iter().enumerate().map(|(index, person)| (person.union_id.clone(), index)).collect();
        Ok(Self { origin, period_ms, people, meetings, by_union_id, timelines, moments })
    }

    /// Everybody, in the order given.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// The meetings, in the order given.
    pub fn meetings(&self) -> &[Meeting] {
        &self.meetings
    }

    /// When the script starts.
    pub fn origin(&self) -> Timestamp {
        self.origin
    }

    /// How long after the start of its round `t` is, in milliseconds; negative before the origin.
    pub fn offset_ms(&self, t: Timestamp) -> i64 {
        self.round_at(t).1
    }

    /// The person with this unionId and every seat they have at `t`: one for each meeting that goes on and that they
    /// were invited to, are in or have left. `None`: nobody has this unionId.
    pub fn seats(&self, union_id: &str, t: Timestamp) -> Option<(&Person, Vec<Seat>)> {
        let person = *self.by_union_id.get(union_id)?;
        let (round, offset_ms) = self.round_at(t);
        let timeline = &self.timelines[person];
        let known = timeline.partition_point(|(from_ms, _)| *from_ms <= offset_ms);
        let places = known.checked_sub(1).map_or(&[][..], |index| &timeline[index].1);
        Some((&self.people[person], places.iter().map(|place| self.seat(place, round)).collect()))
    }

    /// Who is in which meetings at `t`, by unionId; people who are in none are left out.
    pub fn inside(&self, t: Timestamp) -> BTreeMap<String, Vec<String>> {
        let mut inside = BTreeMap::new();
        for person in &self.people {
            let Some((_, seats)) = self.seats(&person.union_id, t) else { continue };
            let conferences: Vec<String> =
                seats.into_iter().filter(Seat::is_inside).map(|seat| seat.conference_id).collect();
            if !conferences.is_empty() {
                inside.insert(person.union_id.clone(), conferences);
            }
        }
        inside
    }

    /// Every join and leave after `after` and until `until`, in order of time.
    pub fn changes(&self, after: Timestamp, until: Timestamp) -> Vec<TrueChange> {
        let first = self.round_at(after).0;
        // The end of a round belongs to it, and is the same instant as the start of the next one.
        let first = if self.period_ms.is_some() { (first - 1).max(0) } else { 0 };
        let last = self.round_at(until).0.max(0);
        let mut changes = Vec::new();
        for round in first..=last {
            changes.extend(self.moments.iter().filter_map(|moment| {
                let at = self.instant(round, moment.at_ms);
                (at > after && at <= until).then(|| TrueChange {
                    at,
                    union_id: self.people[moment.person].union_id.clone(),
                    conference_id: self.conference_id(moment.occurrence, round),
                    change: moment.change,
                })
            }));
        }
        changes
    }

    fn round_at(&self, t: Timestamp) -> (i64, i64) {
        let since = t.as_ms().saturating_sub(self.origin.as_ms());
        match self.period_ms {
            Some(period_ms) if since >= 0 => (since / period_ms, since % period_ms),
            _ => (0, since),
        }
    }

    fn instant(&self, round: i64, offset_ms: i64) -> Timestamp {
        Timestamp::from_ms(self.origin.as_ms() + round * self.period_ms.unwrap_or(0) + offset_ms)
    }

    fn seat(&self, place: &Place, round: i64) -> Seat {
        let instant = |offset: Option<i64>| offset.map(|ms| self.instant(round, ms));
        Seat {
            conference_id: self.conference_id(place.occurrence, round),
            status: place.status,
            joined: instant(place.joined),
            first_joined: instant(place.first_joined),
            left: instant(place.left),
            previously_left: instant(place.previously_left),
            role: place.role,
            devices: place.devices.clone(),
        }
    }

    /// 24 hex digits as the documented ids have: the second of creation, then what looks random.
    fn conference_id(&self, occurrence: Occurrence, round: i64) -> String {
        let meeting = &self.meetings[occurrence.meeting];
        if let (Some(id), 0, 0) = (&meeting.conference_id, occurrence.ordinal, round) {
            return id.clone();
        }
        let opened = self.instant(round, occurrence.opened_ms).as_ms();
        let noise =
            spread(&[meeting.name.as_bytes(), &occurrence.ordinal.to_be_bytes(), &opened.to_be_bytes()]);
        let mut id = String::with_capacity(24);
        // Writing to a String cannot fail; the id is cut from the low 32 bits of the seconds, as an ObjectId is.
        let _ = write!(id, "{:08x}{noise:016x}", (opened / 1000) & 0xffff_ffff);
        id
    }
}

/// The script while it is being played through once.
#[derive(Debug)]
struct Play<'a> {
    people: &'a [Person],
    meetings: &'a [Meeting],
    times_held: Vec<u32>,
    /// The meetings that go on, with everybody's place in them.
    ongoing: BTreeMap<usize, (Occurrence, BTreeMap<usize, Place>)>,
    timelines: Vec<Vec<(i64, Vec<Place>)>>,
    moments: Vec<Moment>,
}

impl<'a> Play<'a> {
    fn new(people: &'a [Person], meetings: &'a [Meeting]) -> Self {
        Self {
            people,
            meetings,
            times_held: vec![0; meetings.len()],
            ongoing: BTreeMap::new(),
            timelines: vec![Vec::new(); people.len()],
            moments: Vec::new(),
        }
    }

    fn perform(&mut self, step: &Step) -> Result<(), String> {
        let touched = match &step.what {
            Happening::Ends => self.end(step.meeting, step.at_ms)?,
            Happening::Does(person, act) => self.act(step.meeting, *person, act, step.at_ms)?,
        };
        for person in touched {
            self.remember(person, step.at_ms);
        }
        Ok(())
    }

    fn end(&mut self, meeting: usize, at_ms: i64) -> Result<Vec<usize>, String> {
        let Some((occurrence, places)) = self.ongoing.remove(&meeting) else {
            return Err(format!("{} does not go on", self.meetings[meeting].name));
        };
        for (&person, place) in &places {
            if place.status == INSIDE {
                self.moments.push(Moment { at_ms, person, occurrence, change: Change::Ended });
            }
        }
        Ok(places.into_keys().collect())
    }

    fn act(&mut self, meeting: usize, person: usize, act: &Act, at_ms: i64) -> Result<Vec<usize>, String> {
        let (name, who) = (&self.meetings[meeting].name, &self.people[person].nick);
        let inside = self.place(meeting, person).is_some_and(|place| place.status == INSIDE);
        let needs_inside = matches!(act, Act::Leave(_) | Act::Kick | Act::Host | Act::CoHost | Act::Attendee);
        if needs_inside && !inside {
            return Err(format!("{who} is not in {name} then"));
        }
        if inside && matches!(act, Act::Invite | Act::Call | Act::Reject) {
            return Err(format!("{who} is already in {name} then"));
        }
        match act {
            Act::Invite => self.pend(meeting, person, INVITED, at_ms),
            Act::Call => self.pend(meeting, person, CALLING, at_ms),
            Act::Reject => match self.place(meeting, person).map(|place| place.status) {
                Some(INVITED | CALLING) => self.pend(meeting, person, REJECTED, at_ms),
                _ => return Err(format!("{who} is not being called to {name} then")),
            },
            Act::Join(device) => return self.join(meeting, person, device.as_deref(), at_ms),
            Act::Leave(device) => return self.leave(meeting, person, device.as_deref(), at_ms),
            Act::Kick => self.go(meeting, person, Change::Kicked, at_ms),
            Act::Host => return Ok(self.hand_over(meeting, person)),
            Act::CoHost => self.set_role(meeting, person, Role::CoHost),
            Act::Attendee => self.set_role(meeting, person, Role::Attendee),
        }
        Ok(vec![person])
    }

    fn place(&self, meeting: usize, person: usize) -> Option<&Place> {
        self.ongoing.get(&meeting)?.1.get(&person)
    }

    /// The person's place in the meeting, which is opened if it does not go on.
    fn take_place(&mut self, meeting: usize, person: usize, at_ms: i64) -> &mut Place {
        let held = &mut self.times_held[meeting];
        let (occurrence, places) = self.ongoing.entry(meeting).or_insert_with(|| {
            let occurrence = Occurrence { meeting, ordinal: *held, opened_ms: at_ms };
            *held += 1;
            (occurrence, BTreeMap::new())
        });
        places.entry(person).or_insert_with(|| Place {
            occurrence: *occurrence,
            status: INVITED,
            joined: None,
            first_joined: None,
            left: None,
            previously_left: None,
            role: Role::Attendee,
            devices: Vec::new(),
        })
    }

    fn pend(&mut self, meeting: usize, person: usize, status: i64, at_ms: i64) {
        self.take_place(meeting, person, at_ms).status = status;
    }

    fn set_role(&mut self, meeting: usize, person: usize, role: Role) {
        if let Some(place) = self.ongoing.get_mut(&meeting).and_then(|(_, places)| places.get_mut(&person)) {
            place.role = role;
        }
    }

    fn hand_over(&mut self, meeting: usize, person: usize) -> Vec<usize> {
        let mut touched = vec![person];
        if let Some((_, places)) = self.ongoing.get_mut(&meeting) {
            for (&other, place) in places.iter_mut() {
                if other != person && place.role == Role::Host {
                    place.role = Role::Attendee;
                    touched.push(other);
                }
            }
        }
        self.set_role(meeting, person, Role::Host);
        touched
    }

    fn join(
        &mut self,
        meeting: usize,
        person: usize,
        device: Option<&str>,
        at_ms: i64,
    ) -> Result<Vec<usize>, String> {
        let device = device.unwrap_or(&self.people[person].device).to_owned();
        let first_in = !self.ongoing.get(&meeting).is_some_and(|(_, places)| {
            places.values().any(|place| place.role == Role::Host || place.status == INSIDE)
        });
        let (name, who) = (&self.meetings[meeting].name, &self.people[person].nick);
        if let Some(place) = self.place(meeting, person)
            && place.status == INSIDE
            && place.devices.contains(&device)
        {
            return Err(format!("{who} is already in {name} then (with {device})"));
        }
        let place = self.take_place(meeting, person, at_ms);
        if place.status == INSIDE {
            place.devices.push(device);
            return Ok(vec![person]);
        }
        place.status = INSIDE;
        place.previously_left = place.left.take();
        place.joined = Some(at_ms);
        place.first_joined.get_or_insert(at_ms);
        place.devices = vec![device];
        if first_in {
            place.role = Role::Host;
        }
        let occurrence = place.occurrence;
        self.moments.push(Moment { at_ms, person, occurrence, change: Change::Joined });
        Ok(vec![person])
    }

    fn leave(
        &mut self,
        meeting: usize,
        person: usize,
        device: Option<&str>,
        at_ms: i64,
    ) -> Result<Vec<usize>, String> {
        if let Some(device) = device {
            let (name, who) = (&self.meetings[meeting].name, &self.people[person].nick);
            let not_there = format!("{who} is not in {name} with {device} then");
            let place = self.take_place(meeting, person, at_ms);
            let index = place.devices.iter().position(|d| d == device).ok_or(not_there)?;
            if place.devices.len() > 1 {
                place.devices.remove(index);
                return Ok(vec![person]);
            }
        }
        self.go(meeting, person, Change::Left, at_ms);
        Ok(vec![person])
    }

    fn go(&mut self, meeting: usize, person: usize, change: Change, at_ms: i64) {
        let place = self.take_place(meeting, person, at_ms);
        place.status = if change == Change::Kicked { KICKED } else { LEFT };
        place.left = Some(at_ms);
        // A role is not kept outside; whoever comes back is an attendee until somebody says otherwise.
        place.role = Role::Attendee;
        place.devices.truncate(1);
        let occurrence = place.occurrence;
        self.moments.push(Moment { at_ms, person, occurrence, change });
    }

    /// What holds for this person from now on.
    fn remember(&mut self, person: usize, at_ms: i64) {
        let places: Vec<Place> =
            self.ongoing.values().filter_map(|(_, places)| places.get(&person).cloned()).collect();
        let timeline = &mut self.timelines[person];
        if timeline.last().is_some_and(|(from_ms, _)| *from_ms == at_ms) {
            timeline.pop();
        }
        timeline.push((at_ms, places));
    }

    /// A round's end is the end of every meeting in it.
    fn close_round(&mut self, period_ms: i64) {
        let open: Vec<usize> = self.ongoing.keys().copied().collect();
        for meeting in open {
            // It goes on, so it can end; who was in it needs no timeline past the round.
            let _ = self.end(meeting, period_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn person(union_id: &str) -> Person {
        Person {
            union_id: union_id.into(),
            nick: union_id.to_uppercase(),
            device: "Mac".into(),
            external: false,
            by_phone: false,
        }
    }

    fn meeting(name: &str) -> Meeting {
        Meeting { name: name.into(), conference_id: None }
    }

    fn does(at_ms: i64, who: usize, act: Act) -> Step {
        Step { at_ms, meeting: 0, what: Happening::Does(who, act) }
    }

    fn world(steps: &[Step], period: Option<u64>) -> Result<World, Vec<Impossible>> {
        let people = vec![person("a"), person("b"), person("c")];
        let meetings = vec![meeting("one"), meeting("two")];
        World::new(people, meetings, steps, at(0), period.map(Duration::from_millis))
    }

    const EPOCH_MS: i64 = 1_700_000_000_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(EPOCH_MS + ms)
    }

    fn status(world: &World, who: &str, ms: i64) -> Option<i64> {
        world.seats(who, at(ms)).unwrap().1.first().map(|seat| seat.status)
    }

    #[test]
    fn a_life_in_one_meeting() {
        let world = world(
            &[
                does(10, 0, Act::Invite),
                does(20, 0, Act::Call),
                does(30, 0, Act::Join(None)),
                does(40, 0, Act::Leave(None)),
                does(50, 0, Act::Join(Some("iOS".into()))),
                does(60, 0, Act::Kick),
                Step { at_ms: 70, meeting: 0, what: Happening::Ends },
            ],
            None,
        )
        .unwrap();
        let seen: Vec<_> = (0..=7).map(|i| status(&world, "a", i * 10)).collect();
        assert_eq!(seen, [None, Some(1), Some(2), Some(3), Some(6), Some(3), Some(5), None]);
        let (_, seats) = world.seats("a", at(55)).unwrap();
        let seat = &seats[0];
        assert_eq!((seat.joined, seat.first_joined), (Some(at(50)), Some(at(30))));
        assert_eq!((seat.left, seat.previously_left), (None, Some(at(40))));
        assert_eq!(seat.devices, ["iOS"]);
        assert_eq!(seat.conference_id.len(), 24);
    }

    #[test]
    fn nobody_has_an_unknown_union_id_and_nothing_is_true_before_the_start() {
        let world = world(&[does(0, 0, Act::Join(None))], None).unwrap();
        assert!(world.seats("nobody", at(0)).is_none());
        assert_eq!(status(&world, "a", -1), None);
        assert_eq!(status(&world, "a", 0), Some(3));
    }

    #[test]
    fn the_first_in_is_host_until_it_is_handed_over() {
        let steps = [does(0, 0, Act::Join(None)), does(1, 1, Act::Join(None)), does(2, 1, Act::Host)];
        let world = world(&steps, None).unwrap();
        let role = |who: &str, ms| world.seats(who, at(ms)).unwrap().1[0].role;
        assert_eq!((role("a", 1), role("b", 1)), (Role::Host, Role::Attendee));
        assert_eq!((role("a", 2), role("b", 2)), (Role::Attendee, Role::Host));
    }

    #[test]
    fn two_devices_are_one_presence() {
        let steps = [
            does(0, 0, Act::Join(None)),
            does(1, 0, Act::Join(Some("iOS".into()))),
            does(2, 0, Act::Leave(Some("Mac".into()))),
            does(3, 0, Act::Leave(Some("iOS".into()))),
        ];
        let world = world(&steps, None).unwrap();
        let changes: Vec<_> =
            world.changes(at(-1), at(9)).into_iter().map(|c| (c.at.as_ms() - EPOCH_MS, c.change)).collect();
        assert_eq!(changes, [(0, Change::Joined), (3, Change::Left)]);
    }

    #[test]
    fn every_impossible_step_is_named() {
        let steps = [
            does(0, 0, Act::Leave(None)),
            does(1, 0, Act::Join(None)),
            does(2, 0, Act::Join(None)),
            does(3, 1, Act::Reject),
            Step { at_ms: 4, meeting: 1, what: Happening::Ends },
            does(-1, 1, Act::Invite),
        ];
        let impossible = world(&steps, None).unwrap_err();
        assert_eq!(impossible.iter().map(|i| i.step).collect::<Vec<_>>(), [0, 2, 3, 4, 5]);
        assert_eq!(impossible[0].why, "A is not in one then");
    }

    #[test]
    fn a_looping_world_starts_anew_with_new_conference_ids() {
        let world = world(&[does(10, 0, Act::Join(None))], Some(100)).unwrap();
        let id = |ms| world.seats("a", at(ms)).unwrap().1.first().map(|seat| seat.conference_id.clone());
        assert_eq!(id(5), None);
        assert!(id(50).is_some());
        assert_eq!(id(105), None);
        assert_ne!(id(50), id(150));
        let changes: Vec<_> =
            world.changes(at(0), at(200)).iter().map(|c| (c.at.as_ms() - EPOCH_MS, c.change)).collect();
        let both = [Change::Joined, Change::Ended];
        assert_eq!(changes, [(10, both[0]), (100, both[1]), (110, both[0]), (200, both[1])]);
    }

    /// Any script, played leniently: what cannot happen is left out until all of it can.
    fn possible_script() -> impl Strategy<Value = (Vec<Step>, Option<u64>)> {
        let act = prop_oneof![
            Just(Act::Invite),
            Just(Act::Call),
            Just(Act::Reject),
            Just(Act::Join(None)),
            Just(Act::Join(Some("iOS".to_owned()))),
            Just(Act::Leave(None)),
            Just(Act::Leave(Some("iOS".to_owned()))),
            Just(Act::Kick),
            Just(Act::Host),
            Just(Act::CoHost),
        ];
        let what = prop_oneof![8 => (0_usize..3, act).prop_map(|(who, act)| Happening::Does(who, act)), 1 => Just(Happening::Ends)];
        let step =
            (0_i64..40, 0_usize..2, what).prop_map(|(at_ms, meeting, what)| Step { at_ms, meeting, what });
        (prop::collection::vec(step, 0..40), prop::option::of(40_u64..60)).prop_map(|(mut steps, period)| {
            while let Err(impossible) = world(&steps, period) {
                steps.remove(impossible[0].step);
            }
            (steps, period)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn joins_and_leaves_alternate((steps, period) in possible_script()) {
            let world = world(&steps, period).unwrap();
            let mut inside: BTreeMap<(String, String), bool> = BTreeMap::new();
            let mut before = at(-1);
            for change in world.changes(at(-1), at(200)) {
                prop_assert!(change.at >= before);
                before = change.at;
                let was = inside.entry((change.union_id, change.conference_id)).or_default();
                prop_assert_eq!(*was, change.change != Change::Joined);
                *was = !*was;
            }
        }

        #[test]
        fn the_changes_lead_to_who_is_inside((steps, period) in possible_script(), ms in 0_i64..180) {
            let world = world(&steps, period).unwrap();
            let mut inside: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for change in world.changes(at(-1), at(ms)) {
                let conferences = inside.entry(change.union_id.clone()).or_default();
                conferences.retain(|id| *id != change.conference_id);
                if change.change == Change::Joined {
                    conferences.push(change.conference_id);
                }
            }
            inside.retain(|_, conferences| !conferences.is_empty());
            let mut truth = world.inside(at(ms));
            for conferences in inside.values_mut().chain(truth.values_mut()) {
                conferences.sort();
            }
            prop_assert_eq!(inside, truth);
        }

        #[test]
        fn slices_of_time_lose_and_double_nothing((steps, period) in possible_script(), cut in 0_i64..180) {
            let world = world(&steps, period).unwrap();
            let mut sliced = world.changes(at(-1), at(cut));
            sliced.extend(world.changes(at(cut), at(180)));
            prop_assert_eq!(sliced, world.changes(at(-1), at(180)));
        }
    }
}
