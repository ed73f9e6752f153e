//! A scenario: people, meetings and a script, with options, limits, apps and faults, from a TOML file.
//!
//! Guards: every existing scenario can be played. All problems of a file are reported at once, each with its line. Not here:
//! reading the file (`reader`), what the script makes true (`world`).
//!
//! ```toml
//! starts = "08:55"                 # the time of day at the start
//! repeat = "9h"                    # without it the script is played once
//! [people]
//! ann = { union_id = "u-1", nick = "Ann", device = "Mac" }
//! [meetings]
//! standup = {}
//! [script]
//! steps = [
//!   { at = "09:00", do = "join", who = ["ann"], meeting = "standup" },
//!   { at = "+20m",  do = "end", meeting = "standup" },
//! ]
//! ```

use std::fmt;
use std::time::Duration;

use chrono::{NaiveTime, TimeZone as _};
use serde::Deserialize;

use super::counters::Limits;
use super::faults::Fault;
use super::options::AnswerOptions;
use super::push::options::PushOptions;
use super::script::{Act, Step, StepKind};
use super::types::{Meeting, Person};
use super::world::World;
use crate::time::{Timestamp, duration_ms};

/// Everything that a simulator needs.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// A one-line description.
    pub title: String,
    /// How answers represent the truth.
    pub options: AnswerOptions,
    /// The push gateway.
    pub push: PushOptions,
    /// The limits of each app.
    pub limits: Limits,
    /// The known apps; if empty, any key and secret are accepted.
    pub apps: Vec<App>,
    pub faults: Vec<Fault>,
    /// When the scenario began, if not with the simulator. It continues the same world after a restart.
    pub began: Option<Timestamp>,
    pub(super) people: Vec<Person>,
    pub(super) meetings: Vec<Meeting>,
    pub(super) steps: Vec<Step>,
    pub(super) period: Option<Duration>,
    pub(super) midnight_in: Option<chrono_tz::Tz>,
}

/// An app that may make calls.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// `appKey`, `suiteKey` or `client_id`.
    pub key: String,
    /// The secret for the key; made up, so not confidential.
    pub secret: String,
    /// The only organisation of the app; `None` means any.
    pub corp_id: Option<String>,
    /// The only valid suite ticket; `None` means any.
    pub suite_ticket: Option<String>,
    /// Whether it may read meetings.
    #[serde(default = "yes")]
    pub may_read_meetings: bool,
    /// Whether its IP address is allowed.
    #[serde(default = "yes")]
    pub address_allowed: bool,
}

fn yes() -> bool {
    true
}

/// All problems of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// Each problem with its line, counted from 1.
    pub problems: Vec<(usize, String)>,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, problem)) in self.problems.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{line}: {problem}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioError {}

/// What all people of a crowd do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowd {
    /// No one is in a meeting.
    Idle,
    /// All are in meetings of ten, all the time.
    Inside,
    /// Each joins and leaves once per period, spread evenly over it.
    Toggling(Duration),
}

impl Scenario {
    /// Many people who do the same, for measurements; see [`Scenario::crowd_member`]. No limits apply.
    pub fn crowd(people: usize, crowd: Crowd) -> Self {
        const TABLE: usize = 10;
        let member = |index| Person {
            union_id: Self::crowd_member(index),
            nick: format!("Person {index}"),
            device: "Win".into(),
            external: false,
            by_phone: false,
        };
        let meeting = |index| Meeting { name: format!("table {index}"), conference_id: None, foreign: false };
        let period = match crowd {
            Crowd::Toggling(period) => Some(period),
            Crowd::Idle | Crowd::Inside => None,
        };
        let half_ms = period.map_or(0, |period| duration_ms(period) / 2);
        let mut steps = Vec::new();
        for index in 0..people {
            let share = i64::try_from(index).unwrap_or(0) * half_ms / i64::try_from(people).unwrap_or(1);
            let mut step = |at_ms, act| {
                steps.push(Step { at_ms, meeting: index / TABLE, what: StepKind::Person(index, act) });
            };
            if crowd != Crowd::Idle {
                step(share, Act::Join(None));
            }
            if period.is_some() {
                step(share + half_ms, Act::Leave(None));
            }
        }
        Self {
            title: format!("{people} people"),
            options: AnswerOptions::default(),
            push: PushOptions::default(),
            limits: Limits { per_second: 0, ..Limits::default() },
            apps: Vec::new(),
            faults: Vec::new(),
            began: None,
            people: (0..people).map(member).collect(),
            meetings: (0..people.div_ceil(TABLE)).map(meeting).collect(),
            steps,
            period,
            midnight_in: None,
        }
    }

    /// The unionId of a person in a crowd.
    pub fn crowd_member(index: usize) -> String {
        format!("crowd{index:07}iEiE")
    }

    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// The length of a round; `None` if the script is played once.
    pub fn period(&self) -> Option<Duration> {
        self.period
    }

    /// The world when the simulator starts `now`. If the scenario `began` earlier, the world did too; if it is bound to the time
    /// of day, the world started at the last midnight.
    pub fn world(&self, now: Timestamp) -> Result<World, ScenarioError> {
        let starts = self.midnight_in.map_or(now, |zone| last_midnight(now, zone));
        let origin = self.began.unwrap_or(starts);
        World::new(self.people.clone(), self.meetings.clone(), &self.steps, origin, self.period).map_err(
            |invalid| ScenarioError {
                file: self.title.clone(),
                problems: invalid.into_iter().map(|i| (i.step, i.why)).collect(),
            },
        )
    }
}

fn last_midnight(now: Timestamp, zone: chrono_tz::Tz) -> Timestamp {
    let local = chrono::DateTime::from_timestamp_millis(now.as_ms()).unwrap_or_default().with_timezone(&zone);
    let midnight = zone.from_local_datetime(&local.date_naive().and_time(NaiveTime::MIN)).earliest();
    midnight.map_or(now, |midnight| Timestamp::from_ms(midnight.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_ships_can_be_played_and_moves() {
        let start = Timestamp::from_ms(1_700_000_000_000);
        for name in Scenario::built_in_names() {
            let scenario = Scenario::built_in(name).unwrap().unwrap();
            let world = scenario.world(start).unwrap();
            let changes =
                world.changes(start.minus(Duration::from_secs(1)), start.plus(Duration::from_hours(9)));
            assert!(changes.len() >= 6, "{name} has only {} changes", changes.len());
        }
    }

    #[test]
    fn the_documents_own_person_is_in_every_one() {
        for name in Scenario::built_in_names() {
            let scenario = Scenario::built_in(name).unwrap().unwrap();
            assert!(
                scenario.people().iter().any(|p| p.union_id == "2iPOLbpUNMLzB5LuwggiiqiPwiEiE"),
                "{name}"
            );
        }
    }

    #[test]
    fn the_demo_has_three_joins_and_a_leave_in_its_first_ten_minutes_and_ends_with_people_inside() {
        use super::super::types::Change;
        let start = Timestamp::from_ms(1_700_000_000_000);
        let minute = |minutes| start.plus(Duration::from_mins(minutes));
        let world = Scenario::built_in("demo").unwrap().unwrap().world(start).unwrap();
        // The remaining two minutes are for the reader of the demo.
        let early = world.changes(minute(0).minus(Duration::from_secs(1)), minute(8));
        assert!(early.iter().filter(|c| c.change == Change::Joined).count() >= 3);
        assert!(early.iter().filter(|c| c.change == Change::Left).count() >= 1);
        let all = world.changes(minute(0).minus(Duration::from_secs(1)), minute(60));
        assert!(all.iter().any(|c| c.change == Change::Kicked));
        assert!(!world.inside(minute(60)).is_empty());
    }

    #[test]
    fn one_that_began_before_goes_on() {
        let start = Timestamp::from_ms(1_700_000_000_000);
        let mut scenario = Scenario::built_in("demo").unwrap().unwrap();
        let later = start.plus(Duration::from_mins(5));
        let inside = scenario.world(start).unwrap().inside(later);
        scenario.began = Some(start);
        assert_eq!(scenario.world(later).unwrap().inside(later), inside);
        assert!(!inside.is_empty());
    }

    #[test]
    fn a_crowd_does_the_same() {
        let start = Timestamp::from_ms(0);
        let inside = |crowd, seconds| {
            let world = Scenario::crowd(25, crowd).world(start).unwrap();
            world.inside(start.plus(Duration::from_secs(seconds))).len()
        };
        assert_eq!(inside(Crowd::Idle, 5), 0);
        assert_eq!(inside(Crowd::Inside, 5), 25);
        let toggling = Crowd::Toggling(Duration::from_secs(100));
        assert_eq!((inside(toggling, 49), inside(toggling, 99)), (25, 0));
    }
}
