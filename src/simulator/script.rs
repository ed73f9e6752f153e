//! The steps of a script, and their execution.
//!
//! Guards: a person who is not inside cannot leave, and a person who is inside cannot be called. An invalid step is refused
//! with the reason and changes nothing. Not here: what is true at an instant (`world`).

use std::collections::BTreeMap;

use super::types::{CALLING, Change, INSIDE, INVITED, KICKED, LEFT, Meeting, Person, REJECTED, Role};

/// What a person does, or what is done to the person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Is invited (status 1).
    Invite,
    /// Is being called (status 2).
    Call,
    /// Rejects the call, or does not answer it (status 4).
    Reject,
    /// Joins (status 3). A person who is inside joins with an additional device.
    Join(Option<String>),
    /// Leaves (status 6). With a device, only that device leaves; the last one ends the participation.
    Leave(Option<String>),
    /// Is removed by the host (status 5).
    Kick,
    /// Becomes the host; the previous host becomes an attendee.
    Host,
    /// Becomes a co-host.
    CoHost,
    /// Becomes an attendee.
    Attendee,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// The person with this index acts.
    Person(usize, Act),
    /// The meeting ends.
    End,
}

/// A step of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Milliseconds after the world's origin, or after the start of each round if the world loops.
    pub at_ms: i64,
    /// The index of the meeting.
    pub meeting: usize,
    pub what: StepKind,
}

/// A step that is not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct InvalidStep {
    /// Its index in the script.
    pub step: usize,
    pub why: String,
}

/// Identifies one run of a meeting within a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Occurrence {
    pub(super) meeting: usize,
    pub(super) ordinal: u32,
    pub(super) opened_ms: i64,
}

/// One run of a meeting. If it ended, `entries` holds its participants as the end left them.
#[derive(Clone, Debug)]
pub(super) struct MeetingRun {
    pub(super) occurrence: Occurrence,
    pub(super) ended_ms: Option<i64>,
    pub(super) entries: BTreeMap<usize, ScriptEntry>,
}

/// A participation whose times are offsets from the start of the round.
#[derive(Clone, Debug)]
pub(super) struct ScriptEntry {
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
pub(super) struct ScriptChange {
    pub(super) at_ms: i64,
    pub(super) person: usize,
    pub(super) occurrence: Occurrence,
    pub(super) change: Change,
}

/// The execution of a script over one round.
#[derive(Debug)]
pub(super) struct Playback<'a> {
    people: &'a [Person],
    meetings: &'a [Meeting],
    times_held: Vec<u32>,
    /// The ongoing meetings, with the entries of their participants.
    ongoing: BTreeMap<usize, (Occurrence, BTreeMap<usize, ScriptEntry>)>,
    pub(super) timelines: Vec<Vec<(i64, Vec<ScriptEntry>)>>,
    pub(super) script_changes: Vec<ScriptChange>,
    pub(super) invitations: Vec<(i64, usize, Occurrence)>,
    /// The runs that have ended.
    over: Vec<MeetingRun>,
}

impl<'a> Playback<'a> {
    pub(super) fn new(people: &'a [Person], meetings: &'a [Meeting]) -> Self {
        Self {
            people,
            meetings,
            times_held: vec![0; meetings.len()],
            ongoing: BTreeMap::new(),
            timelines: vec![Vec::new(); people.len()],
            script_changes: Vec::new(),
            invitations: Vec::new(),
            over: Vec::new(),
        }
    }

    pub(super) fn perform(&mut self, step: &Step) -> Result<(), String> {
        let touched = match &step.what {
            StepKind::End => self.end(step.meeting, step.at_ms)?,
            StepKind::Person(person, act) => self.act(step.meeting, *person, act, step.at_ms)?,
        };
        for person in touched {
            self.remember(person, step.at_ms);
        }
        Ok(())
    }

    fn end(&mut self, meeting: usize, at_ms: i64) -> Result<Vec<usize>, String> {
        let Some((occurrence, mut entries)) = self.ongoing.remove(&meeting) else {
            return Err(format!("{} is not ongoing", self.meetings[meeting].name));
        };
        for (&person, entry) in &mut entries {
            if entry.status == INSIDE {
                self.script_changes.push(ScriptChange { at_ms, person, occurrence, change: Change::Ended });
                entry.status = LEFT;
                entry.left = Some(at_ms);
            }
        }
        let touched = entries.keys().copied().collect();
        self.over.push(MeetingRun { occurrence, ended_ms: Some(at_ms), entries });
        Ok(touched)
    }

    fn act(&mut self, meeting: usize, person: usize, act: &Act, at_ms: i64) -> Result<Vec<usize>, String> {
        let (name, who) = (&self.meetings[meeting].name, &self.people[person].nick);
        let inside = self.entry(meeting, person).is_some_and(|entry| entry.status == INSIDE);
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
            Act::Reject => match self.entry(meeting, person).map(|entry| entry.status) {
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

    fn entry(&self, meeting: usize, person: usize) -> Option<&ScriptEntry> {
        self.ongoing.get(&meeting)?.1.get(&person)
    }

    /// The person's entry in the meeting; opens the meeting if it is not ongoing.
    fn entry_for(&mut self, meeting: usize, person: usize, at_ms: i64) -> &mut ScriptEntry {
        let held = &mut self.times_held[meeting];
        let (occurrence, entries) = self.ongoing.entry(meeting).or_insert_with(|| {
            let occurrence = Occurrence { meeting, ordinal: *held, opened_ms: at_ms };
            *held += 1;
            (occurrence, BTreeMap::new())
        });
        entries.entry(person).or_insert_with(|| ScriptEntry {
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
        let entry = self.entry_for(meeting, person, at_ms);
        entry.status = status;
        if status == INVITED {
            let occurrence = entry.occurrence;
            self.invitations.push((at_ms, person, occurrence));
        }
    }

    fn set_role(&mut self, meeting: usize, person: usize, role: Role) {
        if let Some(entry) = self.ongoing.get_mut(&meeting).and_then(|(_, entries)| entries.get_mut(&person))
        {
            entry.role = role;
        }
    }

    fn hand_over(&mut self, meeting: usize, person: usize) -> Vec<usize> {
        let mut touched = vec![person];
        if let Some((_, entries)) = self.ongoing.get_mut(&meeting) {
            for (&other, entry) in entries.iter_mut() {
                if other != person && entry.role == Role::Host {
                    entry.role = Role::Attendee;
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
        let first_in = !self.ongoing.get(&meeting).is_some_and(|(_, entries)| {
            entries.values().any(|entry| entry.role == Role::Host || entry.status == INSIDE)
        });
        let (name, who) = (&self.meetings[meeting].name, &self.people[person].nick);
        if let Some(entry) = self.entry(meeting, person)
            && entry.status == INSIDE
            && entry.devices.contains(&device)
        {
            return Err(format!("{who} is already in {name} then (with {device})"));
        }
        let entry = self.entry_for(meeting, person, at_ms);
        if entry.status == INSIDE {
            entry.devices.push(device);
            return Ok(vec![person]);
        }
        entry.status = INSIDE;
        entry.previously_left = entry.left.take();
        entry.joined = Some(at_ms);
        entry.first_joined.get_or_insert(at_ms);
        entry.devices = vec![device];
        if first_in {
            entry.role = Role::Host;
        }
        let occurrence = entry.occurrence;
        self.script_changes.push(ScriptChange { at_ms, person, occurrence, change: Change::Joined });
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
            let entry = self.entry_for(meeting, person, at_ms);
            let index = entry.devices.iter().position(|d| d == device).ok_or(not_there)?;
            if entry.devices.len() > 1 {
                entry.devices.remove(index);
                return Ok(vec![person]);
            }
        }
        self.go(meeting, person, Change::Left, at_ms);
        Ok(vec![person])
    }

    fn go(&mut self, meeting: usize, person: usize, change: Change, at_ms: i64) {
        let entry = self.entry_for(meeting, person, at_ms);
        entry.status = if change == Change::Kicked { KICKED } else { LEFT };
        entry.left = Some(at_ms);
        // A role ends with leaving: after a rejoin the person is an attendee until a step changes it.
        entry.role = Role::Attendee;
        entry.devices.truncate(1);
        let occurrence = entry.occurrence;
        self.script_changes.push(ScriptChange { at_ms, person, occurrence, change });
    }

    /// Adds the person's present entries to the timeline.
    fn remember(&mut self, person: usize, at_ms: i64) {
        let entries: Vec<ScriptEntry> =
            self.ongoing.values().filter_map(|(_, entries)| entries.get(&person).cloned()).collect();
        let timeline = &mut self.timelines[person];
        if timeline.last().is_some_and(|(from_ms, _)| *from_ms == at_ms) {
            timeline.pop();
        }
        timeline.push((at_ms, entries));
    }

    /// All runs of meetings, including those that are ongoing at the end of the script.
    pub(super) fn runs(&mut self) -> Vec<MeetingRun> {
        let mut runs = std::mem::take(&mut self.over);
        runs.extend(self.ongoing.values().map(|(occurrence, _)| MeetingRun {
            occurrence: *occurrence,
            ended_ms: None,
            entries: BTreeMap::new(),
        }));
        runs.sort_by_key(|run| (run.occurrence.opened_ms, run.occurrence.meeting));
        runs
    }

    /// Ends every meeting at the end of a round.
    pub(super) fn close_round(&mut self, period_ms: i64) {
        let open: Vec<usize> = self.ongoing.keys().copied().collect();
        for meeting in open {
            // The meeting is ongoing, so it can end. No timeline continues past the round.
            let _ = self.end(meeting, period_ms);
        }
    }
}
