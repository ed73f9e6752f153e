//! The world of a scenario: computes once, from people, meetings and script, who is where at each instant.
//!
//! Guards: it is pure: the instant is an argument and nothing is random. Joins and leaves of one person in one meeting
//! alternate. Not here: the effect of a step (`script`), the shared types (`types`), the form of answers (`options`,
//! `record`), files (`scenario`).

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use super::hash::stable_hash;
use super::script::{InvalidStep, MeetingRun, Occurrence, Playback, ScriptChange, ScriptEntry, Step};
use super::types::{Meeting, Participation, Person, TrueChange};
use crate::time::{Timestamp, duration_ms};

/// A computed world. Queries are cheap, and it never changes.
#[derive(Clone, Debug)]
pub struct World {
    origin: Timestamp,
    period_ms: Option<i64>,
    people: Vec<Person>,
    meetings: Vec<Meeting>,
    by_union_id: HashMap<String, usize>,
    /// For each person: the participations from each offset on, ascending.
    timelines: Vec<Vec<(i64, Vec<ScriptEntry>)>>,
    pub(super) script_changes: Vec<ScriptChange>,
    /// Who was invited when, within a round.
    pub(super) invitations: Vec<(i64, usize, Occurrence)>,
    /// The runs of all meetings within a round, in order of opening.
    pub(super) runs: Vec<MeetingRun>,
}

impl World {
    /// A world whose script starts at `origin` and, with a `period`, repeats after it. Steps at the same instant happen in the
    /// order given. The error lists every invalid step.
    pub fn new(
        people: Vec<Person>,
        meetings: Vec<Meeting>,
        steps: &[Step],
        origin: Timestamp,
        period: Option<Duration>,
    ) -> Result<Self, Vec<InvalidStep>> {
        let period_ms = period.map(|period| duration_ms(period).max(1));
        let mut play = Playback::new(&people, &meetings);
        let mut order: Vec<usize> = (0..steps.len()).collect();
        order.sort_by_key(|&index| steps[index].at_ms);
        let mut invalid = Vec::new();
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
                invalid.push(InvalidStep { step: index, why });
            }
        }
        if !invalid.is_empty() {
            invalid.sort_by_key(|i| i.step);
            return Err(invalid);
        }
        if let Some(period_ms) = period_ms {
            play.close_round(period_ms);
        }
        let runs = play.runs();
        let Playback { timelines, script_changes, invitations, .. } = play;
        let by_union_id =
            people.iter().enumerate().map(|(index, person)| (person.union_id.clone(), index)).collect();
        Ok(Self {
            origin,
            period_ms,
            people,
            meetings,
            by_union_id,
            timelines,
            script_changes,
            invitations,
            runs,
        })
    }

    /// All people, in the order given.
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

    pub(super) fn repeats(&self) -> bool {
        self.period_ms.is_some()
    }

    /// The offset of `t` from the start of its round, in milliseconds; negative before the origin.
    pub fn offset_ms(&self, t: Timestamp) -> i64 {
        self.round_at(t).1
    }

    /// The person with this unionId and all participations at `t`, one for each ongoing meeting that the person was invited to,
    /// is in or has left. `None` if the unionId is unknown.
    pub fn participations(&self, union_id: &str, t: Timestamp) -> Option<(&Person, Vec<Participation>)> {
        let person = *self.by_union_id.get(union_id)?;
        let (round, offset_ms) = self.round_at(t);
        let entries = self.entries(person, offset_ms);
        Some((&self.people[person], entries.iter().map(|entry| self.participation(entry, round)).collect()))
    }

    /// The script entries of a person at an offset from the start of a round.
    pub(super) fn entries(&self, person: usize, offset_ms: i64) -> &[ScriptEntry] {
        let timeline = &self.timelines[person];
        let known = timeline.partition_point(|(from_ms, _)| *from_ms <= offset_ms);
        known.checked_sub(1).map_or(&[][..], |index| &timeline[index].1)
    }

    /// The people who are inside at `t`, by unionId, with the conference ids.
    pub fn inside(&self, t: Timestamp) -> BTreeMap<String, Vec<String>> {
        let mut inside = BTreeMap::new();
        for person in &self.people {
            let Some((_, participations)) = self.participations(&person.union_id, t) else { continue };
            let conferences: Vec<String> = participations
                .into_iter()
                .filter(Participation::is_inside)
                .map(|participation| participation.conference_id)
                .collect();
            if !conferences.is_empty() {
                inside.insert(person.union_id.clone(), conferences);
            }
        }
        inside
    }

    /// All joins and leaves after `after` and until `until`, in order of time.
    pub fn changes(&self, after: Timestamp, until: Timestamp) -> Vec<TrueChange> {
        let first = self.round_at(after).0;
        // The end of a round belongs to it, and is also the start of the next round.
        let first = if self.period_ms.is_some() { (first - 1).max(0) } else { 0 };
        let last = self.round_at(until).0.max(0);
        let mut changes = Vec::new();
        for round in first..=last {
            changes.extend(self.script_changes.iter().filter_map(|change| {
                let at = self.instant(round, change.at_ms);
                (at > after && at <= until).then(|| TrueChange {
                    at,
                    union_id: self.people[change.person].union_id.clone(),
                    conference_id: self.conference_id(change.occurrence, round),
                    change: change.change,
                })
            }));
        }
        changes
    }

    pub(super) fn round_at(&self, t: Timestamp) -> (i64, i64) {
        let since = t.as_ms().saturating_sub(self.origin.as_ms());
        match self.period_ms {
            Some(period_ms) if since >= 0 => (since / period_ms, since % period_ms),
            _ => (0, since),
        }
    }

    pub(super) fn instant(&self, round: i64, offset_ms: i64) -> Timestamp {
        Timestamp::from_ms(self.origin.as_ms() + round * self.period_ms.unwrap_or(0) + offset_ms)
    }

    pub(super) fn participation(&self, entry: &ScriptEntry, round: i64) -> Participation {
        let instant = |offset: Option<i64>| offset.map(|ms| self.instant(round, ms));
        Participation {
            conference_id: self.conference_id(entry.occurrence, round),
            status: entry.status,
            joined: instant(entry.joined),
            first_joined: instant(entry.first_joined),
            left: instant(entry.left),
            previously_left: instant(entry.previously_left),
            role: entry.role,
            devices: entry.devices.clone(),
        }
    }

    /// 24 hex digits, as documented ids have: the second of creation, then a hash.
    pub(super) fn conference_id(&self, occurrence: Occurrence, round: i64) -> String {
        let meeting = &self.meetings[occurrence.meeting];
        if let (Some(id), 0, 0) = (&meeting.conference_id, occurrence.ordinal, round) {
            return id.clone();
        }
        let opened = self.instant(round, occurrence.opened_ms).as_ms();
        let noise =
            stable_hash(&[meeting.name.as_bytes(), &occurrence.ordinal.to_be_bytes(), &opened.to_be_bytes()]);
        let mut id = String::with_capacity(24);
        // Writing to a String cannot fail. The id starts with the low 32 bits of the seconds, as an ObjectId does.
        let _ = write!(id, "{:08x}{noise:016x}", (opened / 1000) & 0xffff_ffff);
        id
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::script::{Act, StepKind};
    use super::super::types::{Change, Role};
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
        Meeting { name: name.into(), conference_id: None, foreign: false }
    }

    fn does(at_ms: i64, who: usize, act: Act) -> Step {
        Step { at_ms, meeting: 0, what: StepKind::Person(who, act) }
    }

    fn world(steps: &[Step], period: Option<u64>) -> Result<World, Vec<InvalidStep>> {
        let people = vec![person("a"), person("b"), person("c")];
        let meetings = vec![meeting("one"), meeting("two")];
        World::new(people, meetings, steps, at(0), period.map(Duration::from_millis))
    }

    const EPOCH_MS: i64 = 1_700_000_000_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(EPOCH_MS + ms)
    }

    fn status(world: &World, who: &str, ms: i64) -> Option<i64> {
        world.participations(who, at(ms)).unwrap().1.first().map(|participation| participation.status)
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
                Step { at_ms: 70, meeting: 0, what: StepKind::End },
            ],
            None,
        )
        .unwrap();
        let seen: Vec<_> = (0..=7).map(|i| status(&world, "a", i * 10)).collect();
        assert_eq!(seen, [None, Some(1), Some(2), Some(3), Some(6), Some(3), Some(5), None]);
        let (_, participations) = world.participations("a", at(55)).unwrap();
        let participation = &participations[0];
        assert_eq!((participation.joined, participation.first_joined), (Some(at(50)), Some(at(30))));
        assert_eq!((participation.left, participation.previously_left), (None, Some(at(40))));
        assert_eq!(participation.devices, ["iOS"]);
        assert_eq!(participation.conference_id.len(), 24);
    }

    #[test]
    fn an_unknown_union_id_has_no_person_and_nothing_is_true_before_the_start() {
        let world = world(&[does(0, 0, Act::Join(None))], None).unwrap();
        assert!(world.participations("unknown", at(0)).is_none());
        assert_eq!(status(&world, "a", -1), None);
        assert_eq!(status(&world, "a", 0), Some(3));
    }

    #[test]
    fn the_first_in_is_host_until_it_is_handed_over() {
        let steps = [does(0, 0, Act::Join(None)), does(1, 1, Act::Join(None)), does(2, 1, Act::Host)];
        let world = world(&steps, None).unwrap();
        let role = |who: &str, ms| world.participations(who, at(ms)).unwrap().1[0].role;
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
            Step { at_ms: 4, meeting: 1, what: StepKind::End },
            does(-1, 1, Act::Invite),
        ];
        let invalid = world(&steps, None).unwrap_err();
        assert_eq!(invalid.iter().map(|i| i.step).collect::<Vec<_>>(), [0, 2, 3, 4, 5]);
        assert_eq!(invalid[0].why, "A is not in one then");
    }

    #[test]
    fn a_looping_world_repeats_with_new_conference_ids() {
        let world = world(&[does(10, 0, Act::Join(None))], Some(100)).unwrap();
        let id = |ms| {
            world
                .participations("a", at(ms))
                .unwrap()
                .1
                .first()
                .map(|participation| participation.conference_id.clone())
        };
        assert_eq!(id(5), None);
        assert!(id(50).is_some());
        assert_eq!(id(105), None);
        assert_ne!(id(50), id(150));
        let changes: Vec<_> =
            world.changes(at(0), at(200)).iter().map(|c| (c.at.as_ms() - EPOCH_MS, c.change)).collect();
        let both = [Change::Joined, Change::Ended];
        assert_eq!(changes, [(10, both[0]), (100, both[1]), (110, both[0]), (200, both[1])]);
    }

    /// Any script without its invalid steps. Those change nothing, so the remaining steps are valid.
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
        let what = prop_oneof![8 => (0_usize..3, act).prop_map(|(who, act)| StepKind::Person(who, act)), 1 => Just(StepKind::End)];
        let step =
            (0_i64..40, 0_usize..2, what).prop_map(|(at_ms, meeting, what)| Step { at_ms, meeting, what });
        (prop::collection::vec(step, 0..40), prop::option::of(40_u64..60)).prop_map(|(mut steps, period)| {
            for invalid in world(&steps, period).err().unwrap_or_default().iter().rev() {
                steps.remove(invalid.step);
            }
            (steps, period)
        })
    }

    proptest! {
        #![proptest_config(crate::testing::cases())]

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
