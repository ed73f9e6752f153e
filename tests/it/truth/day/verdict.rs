//! What was told on a generated day, held against what really happened and against what the receiver got.
//!
//! Guards: nothing is invented, told twice or misdated; a stay in which the user was answered is told with its join and
//! its leave; every event is delivered, with one body for each id, in each user's order. Deliberately not here: lives
//! without jumps of the clock, judged to the second (`truth::check`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use presenced::time::Timestamp;
use serde_json::Value;

use super::super::life::{Stay, conference_id};
use super::hook::Arrival;
use crate::house::at;
use crate::sweep::{JOINED, LEFT, id};

/// A poll and the look before it are at most so far apart, outages included.
const REACH_S: u64 = 8 * 3_600;

/// What is known of the truth.
pub(super) struct Truth<'a> {
    pub(super) from: Timestamp,
    pub(super) stays: &'a [Stay],
    pub(super) polled: &'a [(u64, usize)],
    pub(super) skews: &'a [(u64, i64)],
    pub(super) lies: &'a [(u64, u64)],
}

impl Truth<'_> {
    /// Finds every difference between the truth and what was told of it.
    pub(super) fn differences(&self, events: &[Value]) -> Vec<String> {
        let (mut wrong, mut of_visit) = (Vec::new(), BTreeMap::new());
        let (mut joined, mut left) = (vec![0; self.stays.len()], vec![0; self.stays.len()]);
        for event in events {
            let visit = event["data"]["visit"]["id"].as_str().unwrap_or_default();
            match event["type"].as_str() {
                Some(JOINED) => match self.stay_joined(event) {
                    Ok(index) => {
                        joined[index] += 1;
                        of_visit.insert(visit, index);
                    }
                    Err(why) => wrong.push(self.line(why, event)),
                },
                Some(LEFT) => match of_visit.get(visit) {
                    Some(&index) => {
                        left[index] += 1;
                        if !self.is_within(event, &self.stays[index], self.stays[index].left_s) {
                            wrong.push(
                                self.line(&format!("left at another time: {:?}", self.stays[index]), event),
                            );
                        }
                    }
                    None => wrong.push(self.line("left without having come", event)),
                },
                _ => {}
            }
        }
        for (index, stay) in self.stays.iter().enumerate() {
            let counts = (joined[index], left[index]);
            let expected = if self.is_doubtful(stay) {
                // An answer that shows nobody ends a stay, which begins again with the next one.
                joined[index] == left[index] && (joined[index] > 0 || !self.was_seen(stay))
            } else {
                counts == (1, 1) || (counts == (0, 0) && !self.was_seen(stay))
            };
            if !expected {
                wrong.push(format!("{stay:?} was told {counts:?} times, not once"));
            }
        }
        wrong
    }

    fn stay_joined(&self, event: &Value) -> Result<usize, &'static str> {
        let of = |stay: &&Stay| {
            event["subject"] == format!("default/{}", id(stay.person)).as_str()
                && event["data"]["meeting"]["conference_id"] == conference_id(stay.meeting).as_str()
        };
        let stays: Vec<&Stay> = self.stays.iter().filter(of).collect();
        if stays.is_empty() {
            return Err("nobody came");
        }
        let then = stays.iter().find(|stay| self.is_within(event, stay, stay.joined_s));
        let then = then.or_else(|| stays.iter().find(|stay| self.is_doubtful(stay)));
        let then = then.ok_or("joined at another time")?;
        Ok(self.stays.iter().position(|stay| stay == *then).expect("one of them"))
    }

    /// Whether an instant lies between the bounds it was told with, by any clock that was in force around it.
    fn is_within(&self, event: &Value, stay: &Stay, truth_s: u64) -> bool {
        if self.is_doubtful(stay) {
            return true;
        }
        let (from_s, to_s) = (stay.joined_s.saturating_sub(REACH_S), stay.left_s + REACH_S);
        let ends = self.skews.iter().skip(1).map(|(at_s, _)| *at_s).chain([u64::MAX]);
        let in_force =
            self.skews.iter().zip(ends).filter(|((at_s, _), end_s)| *at_s <= to_s && *end_s >= from_s);
        let skews: Vec<i64> = in_force.map(|((_, ms), _)| *ms).chain([0]).collect();
        let truth = self.from.plus(Duration::from_secs(truth_s)).as_ms();
        let (least, most) = (skews.iter().min(), skews.iter().max());
        let bound = |name: &str| event["data"]["timing"][name].as_str().map(|text| at(text).as_ms());
        bound("earliest").is_some_and(|earliest| earliest <= truth + most.copied().unwrap_or(0))
            && bound("latest").is_some_and(|latest| truth + least.copied().unwrap_or(0) <= latest)
    }

    /// Whether an answer that showed nobody may have come during the stay.
    fn is_doubtful(&self, stay: &Stay) -> bool {
        self.lies.iter().any(|(from_s, to_s)| *from_s <= stay.left_s + REACH_S && stay.joined_s <= *to_s)
    }

    fn was_seen(&self, stay: &Stay) -> bool {
        let inside = |(at_s, user): &&(u64, usize)| {
            *user == stay.person && stay.joined_s < *at_s && *at_s < stay.left_s
        };
        self.polled.iter().any(|poll| inside(&poll))
    }

    fn line(&self, what: &str, event: &Value) -> String {
        let timing = &event["data"]["timing"];
        let since =
            |name: &str| timing[name].as_str().map(|text| (at(text).as_ms() - self.from.as_ms()) / 1_000);
        format!(
            "{what}: {} of {} in {} between {:?} and {:?}, observed {:?}, {} {}",
            event["type"],
            event["subject"],
            event["data"]["meeting"]["conference_id"],
            since("earliest"),
            since("latest"),
            since("observed_at"),
            timing["basis"],
            event["data"]["visit"]["left_reason"],
        )
    }
}

/// Finds every difference between the history and what the receiver got.
pub(super) fn undelivered(events: &[Value], arrivals: &[Arrival]) -> Vec<String> {
    let mut wrong = Vec::new();
    let told: HashMap<&str, (&str, &str)> = events
        .iter()
        .filter_map(|event| {
            let text = |name: &str| event[name].as_str();
            Some((text("id")?, (text("sequence")?, text("subject").unwrap_or_default())))
        })
        .collect();
    let (mut bodies, mut newest) = (HashMap::new(), HashMap::new());
    for Arrival { id, body, .. } in arrivals {
        if let Some(before) = bodies.insert(id, body) {
            if before != body {
                wrong.push(format!("one id, two bodies: {id}"));
            }
            continue;
        }
        let Some((sequence, subject)) = told.get(id.as_str()) else {
            wrong.push(format!("sent but not in the history: {id}"));
            continue;
        };
        if newest.insert(subject, sequence).is_some_and(|before| before >= sequence) {
            wrong.push(format!("out of order: {id} of {subject}"));
        }
    }
    let accepted: HashSet<&str> =
        arrivals.iter().filter(|one| one.accepted).map(|one| one.id.as_str()).collect();
    wrong.extend(told.keys().filter(|id| !accepted.contains(**id)).map(|id| format!("not delivered: {id}")));
    wrong
}
