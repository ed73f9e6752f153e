//! What was told, held against what really happened.
//!
//! Guards: every join and every leave told was real and lies between the bounds it was told with; none is told twice;
//! every stay that is long enough is told. Deliberately not here: making either (`life`, `truth`).

use std::collections::BTreeMap;
use std::time::Duration;

use presenced::time::Timestamp;
use serde_json::Value;

use super::life::{Stay, conference_id};
use crate::house::at;
use crate::sweep::{CORRECTED, JOINED, LEFT, by_sweep, id};

/// Finds every difference; nothing: all is well.
pub(super) fn differences(events: &[Value], stays: &[Stay], from: Timestamp, long_s: u64) -> Vec<String> {
    let mut told = Told {
        stays,
        from,
        of_visit: BTreeMap::new(),
        joined: vec![0; stays.len()],
        left: vec![0; stays.len()],
        wrong: Vec::new(),
    };
    for event in events {
        match event["type"].as_str() {
            Some(JOINED) => told.join(event),
            Some(LEFT) => told.leave(event),
            Some(CORRECTED) => told.correct(event),
            _ => (),
        }
    }
    told.missing(long_s);
    told.wrong
}

struct Told<'a> {
    stays: &'a [Stay],
    from: Timestamp,
    /// The stay that a visit is of.
    of_visit: BTreeMap<String, usize>,
    joined: Vec<u32>,
    left: Vec<u32>,
    wrong: Vec<String>,
}

impl Told<'_> {
    fn join(&mut self, event: &Value) {
        let stays = self.stays;
        let of = stays.iter().enumerate().find(|(_, stay)| {
            is_of(event, stay) && within(event, self.from.plus(Duration::from_secs(stay.joined_s)))
        });
        let Some((index, _)) = of else { return self.note("nobody came", event) };
        self.joined[index] += 1;
        if self.joined[index] > 1 {
            self.note("told twice", event);
        }
        self.of_visit.insert(text(&event["data"]["visit"]["id"]), index);
    }

    fn leave(&mut self, event: &Value) {
        let Some(index) = self.of_visit.get(&text(&event["data"]["visit"]["id"])).copied() else {
            return self.note("left without having come", event);
        };
        let stay = &self.stays[index];
        if !within(event, self.from.plus(Duration::from_secs(stay.left_s))) {
            self.note(&format!("did not leave then, but {stay:?}"), event);
        }
        self.left[index] += 1;
        if self.left[index] > 1 {
            self.note("left twice", event);
        }
    }

    /// What is corrected is the truth to the second.
    fn correct(&mut self, event: &Value) {
        let Some(index) = self.of_visit.get(&text(&event["data"]["visit"]["id"])).copied() else {
            return self.note("corrected without having come", event);
        };
        let stay = &self.stays[index];
        let changes = &event["data"]["changes"];
        for (field, truth_s) in [("joined_at", stay.joined_s), ("left_at", stay.left_s)] {
            let Some(to) = changes[field]["to"].as_str() else { continue };
            if at(to) != self.from.plus(Duration::from_secs(truth_s)) {
                self.note(&format!("corrected to something else than {stay:?}"), event);
            }
        }
    }

    fn missing(&mut self, long_s: u64) {
        for (index, stay) in self.stays.iter().enumerate() {
            let long = stay.left_s - stay.joined_s >= long_s;
            if long && (self.joined[index], self.left[index]) != (1, 1) {
                let counts = (self.joined[index], self.left[index]);
                self.wrong.push(format!("{stay:?} was told {counts:?} times, not once"));
            }
        }
    }

    fn note(&mut self, what: &str, event: &Value) {
        let since = |field: &Value| field.as_str().map(|time| at(time).since(self.from).as_secs());
        let timing = &event["data"]["timing"];
        let between = (since(&timing["earliest"]), since(&timing["latest"]));
        self.wrong.push(format!(
            "{what}: {} of {} in {} between {between:?}, observed {:?}, {} {} {}",
            event["type"],
            event["subject"],
            event["data"]["meeting"]["conference_id"],
            since(&timing["observed_at"]),
            timing["basis"],
            event["data"]["visit"]["left_reason"],
            event["data"]["flags"],
        ));
    }
}

fn is_of(event: &Value, stay: &Stay) -> bool {
    event["subject"] == format!("default/{}", id(stay.person)).as_str()
        && event["data"]["meeting"]["conference_id"] == conference_id(stay.meeting).as_str()
}

/// A sweep that showed nobody, wrongly, at an instant when nobody was believed inside, bounds the joins after it.
const AFTER_A_LIE: Duration = Duration::from_mins(6);

fn within(event: &Value, truth: Timestamp) -> bool {
    let bound = |name: &str| event["data"]["timing"][name].as_str().map(at);
    let slack = if by_sweep(event) { AFTER_A_LIE } else { Duration::ZERO };
    bound("earliest").is_some_and(|earliest| earliest.minus(slack) <= truth)
        && bound("latest").is_some_and(|latest| truth <= latest)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
