//! A scenario: people, meetings and a script from a TOML file, with the knobs, limits, apps and faults that go with it.
//!
//! Guards: a scenario that exists can be played; everything wrong with a file is said at once, each with its line.
//! Deliberately not here: what the script makes true (`world`).
//!
//! ```toml
//! starts = "08:55"                 # what the clock on the wall shows when it starts
//! repeat = "9h"                    # without it, it is played once
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

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{NaiveTime, TimeZone as _};
use serde::Deserialize;
use toml::Spanned;

use super::faults::{Fault, FaultKind, On};
use super::knobs::Knobs;
use super::ledger::Limits;
use super::world::{Act, Happening, Meeting, Person, Step, World};
use crate::time::{Timestamp, duration_ms};

/// The scenarios that come with the program, by name. The first is the one without a choice.
const BUILT_IN: [(&str, &str); 5] = [
    ("working-day", include_str!("../../scenarios/working-day.toml")),
    ("demo", include_str!("../../scenarios/demo.toml")),
    ("calls", include_str!("../../scenarios/calls.toml")),
    ("two-devices", include_str!("../../scenarios/two-devices.toml")),
    ("chaos", include_str!("../../scenarios/chaos.toml")),
];

const DAY: Duration = Duration::from_hours(24);

/// Everything a simulator needs to know.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// One line about it.
    pub title: String,
    /// How the truth is told.
    pub knobs: Knobs,
    /// What an app may do.
    pub limits: Limits,
    /// The apps that exist; none = any key and secret will do.
    pub apps: Vec<App>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    people: Vec<Person>,
    meetings: Vec<Meeting>,
    steps: Vec<Step>,
    period: Option<Duration>,
    midnight_in: Option<chrono_tz::Tz>,
}

/// An app that may ask.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// `appKey`, `suiteKey` or `client_id`.
    pub key: String,
    /// What goes with it. A made-up one: it is no secret.
    pub secret: String,
    /// The only organisation it is for; none = any.
    pub corp_id: Option<String>,
    /// The only suite ticket that is good; none = any.
    pub suite_ticket: Option<String>,
    /// Whether it may read meetings.
    #[serde(default = "yes")]
    pub may_read_meetings: bool,
    /// Whether it may come from where it comes from.
    #[serde(default = "yes")]
    pub address_allowed: bool,
}

fn yes() -> bool {
    true
}

/// Everything that is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The file, as the caller calls it.
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

/// What a crowd does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowd {
    /// Nobody is in a meeting.
    Idle,
    /// Everybody is, in meetings of ten, all the time.
    Inside,
    /// Everybody joins and leaves once in each period, spread evenly over it.
    Toggling(Duration),
}

impl Scenario {
    /// Reads one. `file` is what errors call it.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioError> {
        Reader::new(text, file).scenario()
    }

    /// One of those that come with the program.
    pub fn built_in(name: &str) -> Option<Result<Self, ScenarioError>> {
        let (name, text) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name)?;
        Some(Self::parse(text, &format!("scenarios/{name}.toml")))
    }

    /// The names that [`Scenario::built_in`] knows.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Many people who do the same, for measurements; see [`Scenario::crowd_member`]. No limits are set.
    pub fn crowd(people: usize, crowd: Crowd) -> Self {
        const TABLE: usize = 10;
        let member = |index| Person {
            union_id: Self::crowd_member(index),
            nick: format!("Person {index}"),
            device: "Win".into(),
            external: false,
            by_phone: false,
        };
        let meeting = |index| Meeting { name: format!("table {index}"), conference_id: None };
        let period = match crowd {
            Crowd::Toggling(period) => Some(period),
            Crowd::Idle | Crowd::Inside => None,
        };
        let half_ms = period.map_or(0, |period| duration_ms(period) / 2);
        let mut steps = Vec::new();
        for index in 0..people {
            let share = i64::try_from(index).unwrap_or(0) * half_ms / i64::try_from(people).unwrap_or(1);
            let mut step = |at_ms, act| {
                steps.push(Step { at_ms, meeting: index / TABLE, what: Happening::Does(index, act) });
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
            knobs: Knobs::default(),
            limits: Limits { per_second: 0, ..Limits::default() },
            apps: Vec::new(),
            faults: Vec::new(),
            people: (0..people).map(member).collect(),
            meetings: (0..people.div_ceil(TABLE)).map(meeting).collect(),
            steps,
            period,
            midnight_in: None,
        }
    }

    /// The unionId of somebody in a crowd.
    pub fn crowd_member(index: usize) -> String {
        format!("crowd{index:07}iEiE")
    }

    /// Everybody in it.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// How long a round is; none = it is played once.
    pub fn period(&self) -> Option<Duration> {
        self.period
    }

    /// Its world when it starts `now`; one bound to the time of day has started at the last midnight.
    pub fn world(&self, now: Timestamp) -> Result<World, ScenarioError> {
        let origin = self.midnight_in.map_or(now, |zone| last_midnight(now, zone));
        World::new(self.people.clone(), self.meetings.clone(), &self.steps, origin, self.period).map_err(
            |impossible| ScenarioError {
                file: self.title.clone(),
                problems: impossible.into_iter().map(|i| (i.step, i.why)).collect(),
            },
        )
    }
}

fn last_midnight(now: Timestamp, zone: chrono_tz::Tz) -> Timestamp {
    let local = chrono::DateTime::from_timestamp_millis(now.as_ms()).unwrap_or_default().with_timezone(&zone);
    let midnight = zone.from_local_datetime(&local.date_naive().and_time(NaiveTime::MIN)).earliest();
    midnight.map_or(now, |midnight| Timestamp::from_ms(midnight.timestamp_millis()))
}

/// Reads faults (`[[fault]]`) on their own; `world` knows the people.
pub(super) fn parse_faults(text: &str, world: &World) -> Result<Vec<Fault>, ScenarioError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Faults {
        fault: Vec<Spanned<FaultText>>,
    }
    let mut reader = Reader::new(text, "faults");
    let faults: Faults = reader.read()?;
    let people = world.people().iter().map(|p| (p.union_id.clone(), p.union_id.clone())).collect();
    let faults = reader.faults(faults.fault, &people, None);
    reader.done(faults)
}

/// Reads knobs on their own.
pub(super) fn parse_knobs(text: &str) -> Result<Knobs, ScenarioError> {
    Reader::new(text, "knobs").read()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: Option<String>,
    starts: Option<Spanned<String>>,
    repeat: Option<Spanned<String>>,
    #[serde(default)]
    anchor: Anchor,
    time_zone: Option<Spanned<String>>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    knobs: Knobs,
    #[serde(default)]
    app: Vec<App>,
    people: BTreeMap<String, Spanned<PersonText>>,
    #[serde(default)]
    meetings: BTreeMap<String, MeetingText>,
    #[serde(default)]
    script: Script,
    #[serde(default)]
    fault: Vec<Spanned<FaultText>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Anchor {
    /// It starts when the simulator starts.
    #[default]
    Now,
    /// It started at the last midnight, and its times are the day's.
    Midnight,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonText {
    union_id: String,
    nick: Option<String>,
    device: Option<String>,
    #[serde(default)]
    external: bool,
    #[serde(default)]
    by_phone: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MeetingText {
    id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    steps: Vec<Spanned<StepText>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepText {
    at: String,
    #[serde(rename = "do")]
    what: Do,
    #[serde(default)]
    who: Vec<String>,
    meeting: String,
    device: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Do {
    Invite,
    Call,
    Reject,
    Join,
    Leave,
    Kick,
    Host,
    CoHost,
    Attendee,
    End,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultText {
    kind: FaultKind,
    #[serde(default)]
    on: On,
    #[serde(default)]
    who: Vec<String>,
    from: Option<String>,
    until: Option<String>,
    times: Option<u64>,
    every: Option<u64>,
    status: Option<u16>,
    code: Option<String>,
    retry_after: Option<String>,
    pause: Option<String>,
}

/// Reads a text and collects what is wrong with it.
struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    problems: Vec<(usize, String)>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, file: &'a str) -> Self {
        Self { text, file, problems: Vec::new() }
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, ScenarioError> {
        toml::from_str(self.text).map_err(|error| {
            let line = self.line(error.span().map_or(0, |span| span.start));
            let message = error.message().trim().replace('\n', ": ");
            ScenarioError { file: self.file.to_owned(), problems: vec![(line, message)] }
        })
    }

    fn scenario(mut self) -> Result<Scenario, ScenarioError> {
        let file: File = self.read()?;
        let starts = match &file.starts {
            Some(starts) => self.told(starts, clock_time).unwrap_or_default(),
            None => Duration::ZERO,
        };
        let mut period = match &file.repeat {
            Some(repeat) => self.told(repeat, span),
            None => None,
        };
        let zone = match &file.time_zone {
            Some(zone) => {
                self.told(zone, |text| text.parse().map_err(|_| format!("there is no time zone `{text}`")))
            }
            None => Some(chrono_tz::Asia::Shanghai),
        };
        if file.anchor == Anchor::Midnight && period.is_none() {
            period = Some(DAY);
        }
        let origin = if file.anchor == Anchor::Midnight { Duration::ZERO } else { starts };
        let (keys, people) = self.people(file.people);
        let names: Vec<String> = file.meetings.keys().cloned().collect();
        let meetings: Vec<Meeting> = file
            .meetings
            .into_iter()
            .map(|(name, meeting)| Meeting { name, conference_id: meeting.id })
            .collect();
        let (steps, lines) = self.steps(file.script.steps, &keys, &names, origin);
        if let Err(impossible) =
            World::new(people.clone(), meetings.clone(), &steps, Timestamp::from_ms(0), period)
        {
            let problems = impossible.into_iter().map(|i| (lines[i.step], i.why));
            self.problems.extend(problems);
        }
        let union_ids =
            keys.iter().map(|(key, &index)| (key.clone(), people[index].union_id.clone())).collect();
        let faults = self.faults(file.fault, &union_ids, Some(origin));
        let title = file.title.unwrap_or_else(|| self.file.to_owned());
        self.done(Scenario {
            title,
            knobs: file.knobs,
            limits: file.limits,
            apps: file.app,
            faults,
            people,
            meetings,
            steps,
            period,
            midnight_in: zone.filter(|_| file.anchor == Anchor::Midnight),
        })
    }

    fn done<T>(mut self, value: T) -> Result<T, ScenarioError> {
        if self.problems.is_empty() {
            return Ok(value);
        }
        self.problems.sort();
        Err(ScenarioError { file: self.file.to_owned(), problems: self.problems })
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    fn problem(&mut self, offset: usize, message: impl Into<String>) {
        self.problems.push((self.line(offset), message.into()));
    }

    /// The value in this place, or its problem noted.
    fn told<T>(&mut self, text: &Spanned<String>, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        read(text.get_ref()).map_err(|why| self.problem(text.span().start, why)).ok()
    }

    fn people(
        &mut self,
        texts: BTreeMap<String, Spanned<PersonText>>,
    ) -> (BTreeMap<String, usize>, Vec<Person>) {
        let mut keys = BTreeMap::new();
        let mut people: Vec<Person> = Vec::new();
        let mut texts: Vec<_> = texts.into_iter().collect();
        // People come in the order of the file.
        texts.sort_by_key(|(_, text)| text.span().start);
        for (key, text) in texts {
            let at = text.span().start;
            let text = text.into_inner();
            if text.union_id.is_empty() {
                self.problem(at, format!("{key} has an empty union_id"));
            }
            if people.iter().any(|person| person.union_id == text.union_id) {
                self.problem(at, format!("{key} has the union_id of somebody else"));
            }
            people.push(Person {
                union_id: text.union_id,
                nick: text.nick.unwrap_or_else(|| key.clone()),
                device: text.device.unwrap_or_else(|| "Win".into()),
                external: text.external,
                by_phone: text.by_phone,
            });
            keys.insert(key, people.len() - 1);
        }
        (keys, people)
    }

    /// The script, one step for each person, and the line each one is from.
    fn steps(
        &mut self,
        texts: Vec<Spanned<StepText>>,
        keys: &BTreeMap<String, usize>,
        meetings: &[String],
        origin: Duration,
    ) -> (Vec<Step>, Vec<usize>) {
        let (mut steps, mut lines) = (Vec::new(), Vec::new());
        for text in texts {
            let at = text.span().start;
            let line = self.line(at);
            let text = text.into_inner();
            let Some(meeting) = meetings.iter().position(|name| *name == text.meeting) else {
                self.problem(at, format!("there is no meeting `{}` in [meetings]", text.meeting));
                continue;
            };
            let at_ms = match offset_ms(&text.at, origin) {
                Ok(at_ms) => at_ms,
                Err(why) => {
                    self.problem(at, why);
                    continue;
                }
            };
            if text.device.is_some() && !matches!(text.what, Do::Join | Do::Leave) {
                self.problem(at, "only a join or a leave has a device");
            }
            if text.who.is_empty() != (text.what == Do::End) {
                self.problem(at, "every step but `end` says `who`, and `end` does not");
            }
            if text.what == Do::End {
                steps.push(Step { at_ms, meeting, what: Happening::Ends });
                lines.push(line);
            }
            for key in &text.who {
                match keys.get(key) {
                    None => self.problem(at, format!("there is nobody called `{key}` in [people]")),
                    Some(&person) => {
                        if let Some(act) = act(text.what, text.device.clone()) {
                            steps.push(Step { at_ms, meeting, what: Happening::Does(person, act) });
                            lines.push(line);
                        }
                    }
                }
            }
        }
        (steps, lines)
    }

    fn faults(
        &mut self,
        texts: Vec<Spanned<FaultText>>,
        people: &BTreeMap<String, String>,
        origin: Option<Duration>,
    ) -> Vec<Fault> {
        let mut faults = Vec::new();
        for text in texts {
            let at = text.span().start;
            match fault(text.into_inner(), people, origin.unwrap_or_default()) {
                Ok(fault) => faults.push(fault),
                Err(why) => self.problem(at, why),
            }
        }
        faults
    }
}

fn fault(text: FaultText, people: &BTreeMap<String, String>, origin: Duration) -> Result<Fault, String> {
    let offset = |at: Option<String>| at.map(|at| offset_ms(&at, origin)).transpose();
    let wait = |text: Option<String>| text.map(|text| span(&text)).transpose();
    let mut who = Vec::new();
    for key in text.who {
        // A unionId will do as well as the name in the scenario.
        let union_id = people.get(&key).or_else(|| people.values().find(|id| **id == key));
        who.push(union_id.ok_or_else(|| format!("there is nobody called `{key}`"))?.clone());
    }
    if text.status.is_some_and(|status| !(200..=599).contains(&status)) {
        return Err("`status` is a status of an answer, 200 to 599".into());
    }
    Ok(Fault {
        kind: text.kind,
        on: text.on,
        who,
        from_ms: offset(text.from)?,
        until_ms: offset(text.until)?,
        times: text.times,
        every: text.every.unwrap_or(1),
        status: text.status,
        code: text.code,
        retry_after: wait(text.retry_after)?,
        pause: wait(text.pause)?,
    })
}

fn act(what: Do, device: Option<String>) -> Option<Act> {
    Some(match what {
        Do::Invite => Act::Invite,
        Do::Call => Act::Call,
        Do::Reject => Act::Reject,
        Do::Join => Act::Join(device),
        Do::Leave => Act::Leave(device),
        Do::Kick => Act::Kick,
        Do::Host => Act::Host,
        Do::CoHost => Act::CoHost,
        Do::Attendee => Act::Attendee,
        Do::End => return None,
    })
}

/// `+10m` after the start, or the time on the wall, `09:00` or `09:00:30`.
fn offset_ms(text: &str, origin: Duration) -> Result<i64, String> {
    if let Some(after) = text.strip_prefix('+') {
        return span(after).map(duration_ms);
    }
    let time = clock_time(text)?;
    // A time before the start is the next day's.
    let after = if time >= origin { time } else { time + DAY };
    Ok(duration_ms(after.saturating_sub(origin)))
}

fn clock_time(text: &str) -> Result<Duration, String> {
    let read =
        NaiveTime::parse_from_str(text, "%H:%M").or_else(|_| NaiveTime::parse_from_str(text, "%H:%M:%S"));
    let time = read.map_err(|_| format!("`{text}` is no time: write `09:00`, `09:00:30` or `+10m`"))?;
    Ok((time - NaiveTime::MIN).to_std().unwrap_or_default())
}

fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|why| format!("`{text}` is no duration ({why}): write `90s` or `10m`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "starts = \"08:55\"\n[people]\nann = { union_id = \"u-1\" }\nbob = { union_id = \"u-2\" }\n[meetings]\nm = {}\n";

    fn scenario(rest: &str) -> Result<Scenario, ScenarioError> {
        Scenario::parse(&format!("{HEAD}{rest}"), "s.toml")
    }

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
        use super::super::world::Change;
        let start = Timestamp::from_ms(1_700_000_000_000);
        let minute = |minutes| start.plus(Duration::from_mins(minutes));
        let world = Scenario::built_in("demo").unwrap().unwrap().world(start).unwrap();
        // Two minutes are left for somebody to look.
        let early = world.changes(minute(0).minus(Duration::from_secs(1)), minute(8));
        assert!(early.iter().filter(|c| c.change == Change::Joined).count() >= 3);
        assert!(early.iter().filter(|c| c.change == Change::Left).count() >= 1);
        let all = world.changes(minute(0).minus(Duration::from_secs(1)), minute(60));
        assert!(all.iter().any(|c| c.change == Change::Kicked));
        assert!(!world.inside(minute(60)).is_empty());
    }

    #[test]
    fn times_are_after_the_start_or_on_the_wall() {
        let origin = Duration::from_mins(8 * 60 + 55);
        assert_eq!(offset_ms("+90s", origin), Ok(90_000));
        assert_eq!(offset_ms("09:00", origin), Ok(300_000));
        assert_eq!(offset_ms("09:00:30", origin), Ok(330_000));
        assert_eq!(offset_ms("00:55", origin), Ok(16 * 3_600_000));
        assert!(offset_ms("9 o'clock", origin).unwrap_err().contains("is no time"));
    }

    #[test]
    fn every_problem_is_said_with_its_line() {
        let error = scenario(
            "[script]\nsteps = [\n\
             { at = \"09:00\", do = \"join\", who = [\"ann\"], meeting = \"m\" },\n\
             { at = \"09:01\", do = \"join\", who = [\"cid\"], meeting = \"m\" },\n\
             { at = \"9.02\", do = \"join\", who = [\"bob\"], meeting = \"m\" },\n\
             { at = \"09:03\", do = \"leave\", who = [\"bob\"], meeting = \"m\" },\n\
             { at = \"09:04\", do = \"end\", meeting = \"x\" },\n]\n",
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "s.toml:10: there is nobody called `cid` in [people]\n\
             s.toml:11: `9.02` is no time: write `09:00`, `09:00:30` or `+10m`\n\
             s.toml:12: bob is not in m then\n\
             s.toml:13: there is no meeting `x` in [meetings]"
        );
    }

    #[test]
    fn an_unknown_key_and_bad_toml_have_their_line_too() {
        let error = scenario("[knobs]\nmap_keys = \"key\"\n").unwrap_err();
        assert_eq!(error.problems[0].0, 8);
        assert!(error.problems[0].1.contains("map_keys"), "{error}");
        assert_eq!(scenario("[script\n").unwrap_err().problems[0].0, 7);
    }

    #[test]
    fn knobs_limits_apps_and_faults_are_read() {
        let scenario = scenario(
            "[knobs]\nmap_key = \"key\"\nattend_status = \"99\"\nlag = \"5s\"\n[limits]\nper_second = 3\n\
             [[app]]\nkey = \"k\"\nsecret = \"s\"\n\
             [[fault]]\nkind = \"busy\"\nwho = [\"ann\", \"u-2\"]\nfrom = \"09:00\"\nuntil = \"+10m\"\nretry_after = \"7s\"\n",
        )
        .unwrap();
        assert_eq!(scenario.knobs.lag.0, Duration::from_secs(5));
        assert_eq!(scenario.limits, Limits { per_second: 3, ..Limits::default() });
        assert!(scenario.apps[0].may_read_meetings);
        let fault = &scenario.faults[0];
        assert_eq!(fault.who, ["u-1", "u-2"]);
        assert_eq!((fault.from_ms, fault.until_ms), (Some(300_000), Some(600_000)));
    }

    #[test]
    fn a_scenario_bound_to_the_day_started_at_midnight() {
        let text = HEAD.replace("starts = \"08:55\"", "anchor = \"midnight\"\ntime_zone = \"Asia/Shanghai\"");
        let scenario = Scenario::parse(&text, "s.toml").unwrap();
        // 2023-11-07T08:54:55.876Z is 16:54 in Shanghai.
        let world = scenario.world(Timestamp::from_ms(1_699_347_295_876)).unwrap();
        assert_eq!(world.origin().rfc3339(), "2023-11-06T16:00:00.000Z");
        assert_eq!(scenario.period(), Some(DAY));
    }

    #[test]
    fn a_crowd_does_as_it_is_told() {
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
