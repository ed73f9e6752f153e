//! The script of a world: its steps, and the playing of them through once.
//!
//! Guards: the script makes sense: nobody leaves who is not inside, nobody is called who is already there; what
//! cannot happen is refused with the reason and changes nothing. Deliberately not here: what is true at an instant
//! (`world`).

use std::collections::BTreeMap;

use super::facts::{CALLING, Change, INSIDE, INVITED, KICKED, LEFT, Meeting, Person, REJECTED, Role};

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

/// One time a meeting takes place, inside one round: (meeting, how manieth time, opened at).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occurrence {
    pub(super) meeting: usize,
    pub(super) ordinal: u32,
    pub(super) opened_ms: i64,
}

/// One time a meeting took place, to its end if it has one: then with everybody's place as the end left it.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) occurrence: Occurrence,
    pub(super) ended_ms: Option<i64>,
    pub(super) places: BTreeMap<usize, Place>,
}

/// A seat with times relative to the round's origin.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) occurrence: Occurrence,
    pub(super) status: i64,
    pub(super) joined: Option<i64>,
    pub(super) first_joined: Option<i64>,
    pub(super) left: Option<i64>,
    pub(super) previously_left: Option<i64>,
    pub(super) role: Role,
    pub(super) devices: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at_ms: i64,
    pub(super) person: usize,
    pub(super) occurrence: Occurrence,
    pub(super) change: Change,
}

/// The script while it is being played through once.
#[derive(Debug)]
pub(super) struct Play<'a> {
    people: &'a [Person],
    meetings: &'a [Meeting],
    times_held: Vec<u32>,
    /// The meetings that go on, with everybody's place in them.
    ongoing: BTreeMap<usize, (Occurrence, BTreeMap<usize, Place>)>,
    pub(super) timelines: Vec<Vec<(i64, Vec<Place>)>>,
    pub(super) moments: Vec<Moment>,
    /// The meetings that are over.
    over: Vec<Hold>,
}

impl<'a> Play<'a> {
    pub(super) fn new(people: &'a [Person], meetings: &'a [Meeting]) -> Self {
        Self {
            people,
            meetings,
            times_held: vec![0; meetings.len()],
            ongoing: BTreeMap::new(),
            timelines: vec![Vec::new(); people.len()],
            moments: Vec::new(),
            over: Vec::new(),
        }
    }

    pub(super) fn perform(&mut self, step: &Step) -> Result<(), String> {
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
        let Some((occurrence, mut places)) = self.ongoing.remove(&meeting) else {
            return Err(format!("{} does not go on", self.meetings[meeting].name));
        };
        for (&person, place) in &mut places {
            if place.status == INSIDE {
                self.moments.push(Moment { at_ms, person, occurrence, change: Change::Ended });
                place.status = LEFT;
                place.left = Some(at_ms);
            }
        }
        let touched = places.keys().copied().collect();
        self.over.push(Hold { occurrence, ended_ms: Some(at_ms), places });
        Ok(touched)
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

    /// Every time a meeting took place, those included that go on at the end of the script.
    pub(super) fn holds(&mut self) -> Vec<Hold> {
        let mut holds = std::mem::take(&mut self.over);
        holds.extend(self.ongoing.values().map(|(occurrence, _)| Hold {
            occurrence: *occurrence,
            ended_ms: None,
            places: BTreeMap::new(),
        }));
        holds.sort_by_key(|hold| (hold.occurrence.opened_ms, hold.occurrence.meeting));
        holds
    }

    /// A round's end is the end of every meeting in it.
    pub(super) fn close_round(&mut self, period_ms: i64) {
        let open: Vec<usize> = self.ongoing.keys().copied().collect();
        for meeting in open {
            // It goes on, so it can end; who was in it needs no timeline past the round.
            let _ = self.end(meeting, period_ms);
        }
    }
}
