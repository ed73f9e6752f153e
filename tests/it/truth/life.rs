//! Made-up lives: who really was in which meeting, and the script that plays it.
//!
//! Guards: the same seed gives the same lives. Deliberately not here: what may be told of them (`check`).

use std::fmt::Write as _;

use crate::sweep::id;

/// Random numbers that depend on nothing but a seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 0 to below `sides`.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % sides
    }

    pub(super) fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// One stay of one person in one meeting, in seconds after the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stay {
    pub(super) person: usize,
    pub(super) meeting: usize,
    pub(super) joined_s: u64,
    pub(super) left_s: u64,
}

/// The lives of a few people for a few hours.
pub(super) struct Life {
    pub(super) stays: Vec<Stay>,
    steps: Vec<(u64, String)>,
    meetings: usize,
    people: usize,
}

/// Between two stays of one person, and after each join.
const APART_S: u64 = 1_500;

impl Life {
    /// Meetings begin and end between `from_s` and `to_s`.
    pub(super) fn new(dice: &mut Dice, people: usize, meetings: usize, from_s: u64, to_s: u64) -> Self {
        let mut life = Self { stays: Vec::new(), steps: Vec::new(), meetings, people };
        let mut free_from = vec![0; people];
        let mut begins: Vec<u64> = (0..meetings).map(|_| from_s + dice.roll(to_s - from_s - 5_000)).collect();
        begins.sort_unstable();
        for (meeting, begins_s) in begins.into_iter().enumerate() {
            let ends_s = begins_s + APART_S + dice.roll(3_000);
            let mut first = true;
            for (person, free_from) in free_from.iter_mut().enumerate() {
                if *free_from > begins_s || dice.one_in(2) {
                    continue;
                }
                life.goes(dice, person, meeting, (begins_s, ends_s), first);
                first = false;
                *free_from = ends_s + APART_S;
            }
            if first {
                // Nobody came.
                continue;
            }
            life.step(ends_s, format!("do = \"end\", meeting = \"m{meeting}\""));
        }
        life
    }

    /// Somebody is in a meeting, perhaps late, perhaps not to its end, perhaps twice.
    fn goes(
        &mut self,
        dice: &mut Dice,
        person: usize,
        meeting: usize,
        (begins_s, ends_s): (u64, u64),
        first: bool,
    ) {
        let late = if first { 0 } else { dice.roll(240) };
        let joined_s = begins_s + late;
        if !first && dice.one_in(4) {
            self.act(begins_s + late / 2, "call", person, meeting);
            if dice.one_in(3) {
                return self.act(joined_s, "reject", person, meeting);
            }
        }
        self.act(joined_s, "join", person, meeting);
        let leaves = joined_s + APART_S + dice.roll(1_200);
        if leaves + 60 >= ends_s || !dice.one_in(2) {
            return self.stay(person, meeting, joined_s, ends_s);
        }
        self.act(leaves, if dice.one_in(5) { "kick" } else { "leave" }, person, meeting);
        self.stay(person, meeting, joined_s, leaves);
        let again_s = leaves + APART_S;
        if again_s + APART_S < ends_s {
            self.act(again_s, "join", person, meeting);
            self.stay(person, meeting, again_s, ends_s);
        }
    }

    fn act(&mut self, at_s: u64, act: &str, person: usize, meeting: usize) {
        self.step(at_s, format!("do = \"{act}\", who = [\"p{person}\"], meeting = \"m{meeting}\""));
    }

    fn step(&mut self, at_s: u64, text: String) {
        self.steps.push((at_s, text));
    }

    fn stay(&mut self, person: usize, meeting: usize, joined_s: u64, left_s: u64) {
        self.stays.push(Stay { person, meeting, joined_s, left_s });
    }

    /// For the simulator; there is one person more.
    pub(super) fn scenario(&self) -> String {
        let mut text = String::from("[people]\n");
        for person in 0..=self.people {
            writeln!(text, "p{person} = {{ union_id = \"{}\" }}", id(person)).expect("a string takes all");
        }
        text.push_str("[meetings]\n");
        for meeting in 0..self.meetings {
            writeln!(text, "m{meeting} = {{ id = \"{}\" }}", conference_id(meeting))
                .expect("a string takes all");
        }
        let mut steps: Vec<(u64, usize, &str)> = self
            .steps
            .iter()
            .enumerate()
            .map(|(index, (at_s, text))| (*at_s, index, text.as_str()))
            .collect();
        steps.sort_unstable();
        let line = |(at_s, _, text): &(u64, usize, &str)| format!("  {{ at = \"+{at_s}s\", {text} }},\n");
        let steps: String = steps.iter().map(line).collect();
        write!(text, "[script]\nsteps = [\n{steps}]\n").expect("a string takes all");
        text
    }
}

pub(super) fn conference_id(meeting: usize) -> String {
    format!("654058f2411fe90147e6{meeting:04x}")
}
