//! Reads a scenario from TOML.
//!
//! Guards: all problems of a file are reported at once, each with its line. Unknown keys are refused. Not here: what a
//! scenario is (`scenario`).

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::NaiveTime;
use serde::Deserialize;
use toml::Spanned;

use self::text::{Action, Anchor, FaultText, File, PersonText, StepText};
use super::faults::Fault;
use super::options::AnswerOptions;
use super::push::options::PushOptions;
use super::scenario::{Scenario, ScenarioError};
use super::script::{Act, Step, StepKind};
use super::types::{Meeting, Person};
use super::world::World;
use crate::time::{Timestamp, duration_ms};

mod text;

const DAY: Duration = Duration::from_hours(24);

/// The built-in scenarios by name. The first is the default.
const BUILT_IN: [(&str, &str); 5] = [
    ("working-day", include_str!("../../scenarios/working-day.toml")),
    ("demo", include_str!("../../scenarios/demo.toml")),
    ("calls", include_str!("../../scenarios/calls.toml")),
    ("two-devices", include_str!("../../scenarios/two-devices.toml")),
    ("chaos", include_str!("../../scenarios/chaos.toml")),
];

impl Scenario {
    /// Reads a scenario. Errors use `file` as the file's name.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioError> {
        Reader::new(text, file).scenario()
    }

    pub fn built_in(name: &str) -> Option<Result<Self, ScenarioError>> {
        let (name, text) = BUILT_IN.iter().find(|(built_in, _)| *built_in == name)?;
        Some(Self::parse(text, &format!("scenarios/{name}.toml")))
    }

    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }
}

/// Reads faults (`[[fault]]`) without a scenario; `world` has the people.
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

/// Reads answer options without a scenario.
pub(super) fn parse_options(text: &str) -> Result<AnswerOptions, ScenarioError> {
    Reader::new(text, "knobs").read()
}

/// Reads the settings of the push gateway without a scenario.
pub(super) fn parse_push(text: &str) -> Result<PushOptions, ScenarioError> {
    Reader::new(text, "push").read()
}

/// Reads a text and collects its problems.
pub(super) struct Reader<'a> {
    text: &'a str,
    file: &'a str,
    problems: Vec<(usize, String)>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, file: &'a str) -> Self {
        Self { text, file, problems: Vec::new() }
    }

    fn read<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, ScenarioError> {
        toml::from_str(self.text).map_err(|error| {
            let line = self.line(error.span().map_or(0, |span| span.start));
            let message = error.message().trim().replace('\n', ": ");
            ScenarioError { file: self.file.to_owned(), problems: vec![(line, message)] }
        })
    }

    pub(super) fn scenario(mut self) -> Result<Scenario, ScenarioError> {
        let file: File = self.read()?;
        let (origin, period, zone) = self.times(&file);
        let (keys, people) = self.people(file.people);
        let names: Vec<String> = file.meetings.keys().cloned().collect();
        let meetings: Vec<Meeting> = file
            .meetings
            .into_iter()
            .map(|(name, meeting)| Meeting { name, conference_id: meeting.id, foreign: meeting.foreign })
            .collect();
        let (steps, lines) = self.steps(file.script.steps, &keys, &names, origin);
        if let Err(invalid) =
            World::new(people.clone(), meetings.clone(), &steps, Timestamp::from_ms(0), period)
        {
            let problems = invalid.into_iter().map(|i| (lines[i.step], i.why));
            self.problems.extend(problems);
        }
        let union_ids =
            keys.iter().map(|(key, &index)| (key.clone(), people[index].union_id.clone())).collect();
        let faults = self.faults(file.fault, &union_ids, Some(origin));
        let title = file.title.unwrap_or_else(|| self.file.to_owned());
        self.done(Scenario {
            title,
            options: file.options,
            push: file.push,
            limits: file.limits,
            apps: file.app,
            faults,
            began: None,
            people,
            meetings,
            steps,
            period,
            midnight_in: zone.filter(|_| file.anchor == Anchor::Midnight),
        })
    }

    /// The time of day at the start, the length of a round, and the time zone.
    fn times(&mut self, file: &File) -> (Duration, Option<Duration>, Option<chrono_tz::Tz>) {
        let starts = file.starts.as_ref().and_then(|starts| self.parse_or_note(starts, clock_time));
        let repeat = file.repeat.as_ref().and_then(|repeat| self.parse_or_note(repeat, span));
        let zone = match &file.time_zone {
            Some(zone) => self.parse_or_note(zone, |text| {
                text.parse().map_err(|_| format!("there is no time zone `{text}`"))
            }),
            None => Some(chrono_tz::Asia::Shanghai),
        };
        match file.anchor {
            Anchor::Midnight => (Duration::ZERO, repeat.or(Some(DAY)), zone),
            Anchor::Now => (starts.unwrap_or_default(), repeat, zone),
        }
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

    /// The parsed value, or `None` after its problem is recorded.
    fn parse_or_note<T>(
        &mut self,
        text: &Spanned<String>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        read(text.get_ref()).map_err(|why| self.problem(text.span().start, why)).ok()
    }

    fn people(
        &mut self,
        texts: BTreeMap<String, Spanned<PersonText>>,
    ) -> (BTreeMap<String, usize>, Vec<Person>) {
        let mut keys = BTreeMap::new();
        let mut people: Vec<Person> = Vec::new();
        let mut texts: Vec<_> = texts.into_iter().collect();
        // People keep the order of the file.
        texts.sort_by_key(|(_, text)| text.span().start);
        for (key, text) in texts {
            let at = text.span().start;
            let text = text.into_inner();
            if text.union_id.is_empty() {
                self.problem(at, format!("{key} has an empty union_id"));
            }
            if people.iter().any(|person| person.union_id == text.union_id) {
                self.problem(at, format!("{key} has the union_id of another person"));
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

    /// The script with one step per person, and the line of each step.
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
            if text.device.is_some() && !matches!(text.what, Action::Join | Action::Leave) {
                self.problem(at, "only a join or a leave has a device");
            }
            if text.who.is_empty() != (text.what == Action::End) {
                self.problem(at, "every step but `end` says `who`, and `end` does not");
            }
            if text.what == Action::End {
                steps.push(Step { at_ms, meeting, what: StepKind::End });
                lines.push(line);
            }
            for key in &text.who {
                match keys.get(key) {
                    None => self.problem(at, format!("there is no `{key}` in [people]")),
                    Some(&person) => {
                        if let Some(act) = act(text.what, text.device.clone()) {
                            steps.push(Step { at_ms, meeting, what: StepKind::Person(person, act) });
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
        // A unionId is accepted as well as the name in the scenario.
        let union_id = people.get(&key).or_else(|| people.values().find(|id| **id == key));
        who.push(union_id.ok_or_else(|| format!("there is no person `{key}`"))?.clone());
    }
    if text.status.is_some_and(|status| !(200..=599).contains(&status)) {
        return Err("`status` is a status of an answer, 200 to 599".into());
    }
    Ok(Fault {
        kind: text.kind,
        on: text.on.unwrap_or(text.kind.usual_target()),
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

fn act(what: Action, device: Option<String>) -> Option<Act> {
    Some(match what {
        Action::Invite => Act::Invite,
        Action::Call => Act::Call,
        Action::Reject => Act::Reject,
        Action::Join => Act::Join(device),
        Action::Leave => Act::Leave(device),
        Action::Kick => Act::Kick,
        Action::Host => Act::Host,
        Action::CoHost => Act::CoHost,
        Action::Attendee => Act::Attendee,
        Action::End => return None,
    })
}

/// `+10m` after the start, or a time of day: `09:00`, `09:00:30`.
fn offset_ms(text: &str, origin: Duration) -> Result<i64, String> {
    if let Some(after) = text.strip_prefix('+') {
        return span(after).map(duration_ms);
    }
    let time = clock_time(text)?;
    // A time before the start belongs to the next day.
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
    use crate::simulator::counters::Limits;

    const HEAD: &str = "starts = \"08:55\"\n[people]\nann = { union_id = \"u-1\" }\nbob = { union_id = \"u-2\" }\n[meetings]\nm = {}\n";

    fn scenario(rest: &str) -> Result<Scenario, ScenarioError> {
        Scenario::parse(&format!("{HEAD}{rest}"), "s.toml")
    }

    #[test]
    fn the_readme_names_every_fault_and_every_option() {
        let readme = include_str!("../../scenarios/README.md");
        // The reader's error lists every known word.
        for (text, at_least) in [
            ("[[fault]]\nkind = \"?\"\n", 20),
            ("[knobs]\nno_such_option = 1\n", 15),
            ("[push]\nno_such_option = 1\n", 8),
            ("[push]\nevents = \"?\"\n", 4),
            ("[push]\ntickets = \"?\"\n", 2),
            ("[[fault]]\nkind = \"lost\"\non = \"?\"\n", 10),
            ("[script]\nsteps = [{ at = \"+1s\", do = \"?\", meeting = \"m\" }]\n", 10),
        ] {
            let error = scenario(text).unwrap_err().to_string();
            let words: Vec<&str> = error.split('`').skip(1).step_by(2).skip(1).collect();
            assert!(words.len() >= at_least, "{error}");
            for word in words {
                assert!(readme.contains(&format!("`{word}`")), "{word} is not in scenarios/README.md");
            }
        }
    }

    #[test]
    fn the_readmes_example_can_be_played() {
        let readme = include_str!("../../scenarios/README.md");
        let example = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        assert_eq!(Scenario::parse(example, "README.md").unwrap().people().len(), 1);
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
    fn every_problem_has_its_line() {
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
            "s.toml:10: there is no `cid` in [people]\n\
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
    fn options_limits_apps_and_faults_are_read() {
        let scenario = scenario(
            "[knobs]\nmap_key = \"key\"\nattend_status = \"99\"\nlag = \"5s\"\n[limits]\nper_second = 3\n\
             [[app]]\nkey = \"k\"\nsecret = \"s\"\n\
             [[fault]]\nkind = \"busy\"\nwho = [\"ann\", \"u-2\"]\nfrom = \"09:00\"\nuntil = \"+10m\"\nretry_after = \"7s\"\n",
        )
        .unwrap();
        assert_eq!(scenario.options.lag.0, Duration::from_secs(5));
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
}
