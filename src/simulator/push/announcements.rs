//! The events that a world announces: created and closed meetings, and what their members do.
//!
//! Guards: pure. The events of one meeting are numbered in order, both kinds together; between two instants none is missed
//! and none comes twice. Not here: which of them are pushed, and to which client (`queue`).

use super::options::{PushOptions, TickedEvents};
use crate::simulator::json::{Object, array};
use crate::simulator::meeting_answers::MeetingAnswers;
use crate::simulator::options::AnswerOptions;
use crate::simulator::script::Occurrence;
use crate::simulator::types::Change;
use crate::simulator::world::World;
use crate::time::{Timestamp, duration_ms};

pub(in crate::simulator) const MEETING: &str = "meeting_status_change";
pub(in crate::simulator) const MEMBER: &str = "meeting_member_status_change";
pub(in crate::simulator) const SUITE_TICKET: &str = "suite_ticket";

/// An event to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulator) struct Event {
    /// `eventType`.
    pub(in crate::simulator) kind: &'static str,
    /// `eventId`.
    pub(in crate::simulator) id: String,
    /// `eventBornTime`.
    pub(in crate::simulator) born: Timestamp,
    /// The data, as JSON.
    pub(in crate::simulator) data: String,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Created,
    Invited(usize),
    Changed(usize, Change),
    Closed,
}

#[derive(Clone, Copy, Debug)]
struct Announcement {
    at_ms: i64,
    occurrence: Occurrence,
    what: What,
    /// `statusSeqNum`.
    number: i64,
}

/// The events of one round of a world, in order.
#[derive(Clone, Debug, Default)]
pub(in crate::simulator) struct Announcements(Vec<Announcement>);

impl Announcements {
    pub(in crate::simulator) fn of(world: &World) -> Self {
        let mut all = Vec::new();
        let mut add = |at_ms, occurrence, what| {
            all.push(Announcement { at_ms, occurrence, what, number: 0 });
        };
        for run in &world.runs {
            add(run.occurrence.opened_ms, run.occurrence, What::Created);
        }
        for (at_ms, person, occurrence) in &world.invitations {
            add(*at_ms, *occurrence, What::Invited(*person));
        }
        for change in &world.script_changes {
            add(change.at_ms, change.occurrence, What::Changed(change.person, change.change));
        }
        for run in &world.runs {
            if let Some(ended_ms) = run.ended_ms {
                add(ended_ms, run.occurrence, What::Closed);
            }
        }
        // Stable: what happens at one instant keeps the order created, members, closed.
        all.sort_by_key(|one| one.at_ms);
        for index in 0..all.len() {
            let before = all[..index].iter().filter(|one| one.occurrence == all[index].occurrence).count();
            all[index].number = i64::try_from(before).unwrap_or(0) + 1;
        }
        Self(all)
    }

    /// When the next event after `t` is born.
    pub(in crate::simulator) fn next_after(&self, world: &World, t: Timestamp) -> Option<Timestamp> {
        let round = world.round_at(t).0.max(0);
        let rounds = if world.repeats() { (round - 1).max(0)..=round + 1 } else { 0..=0 };
        rounds
            .flat_map(|round| self.0.iter().map(move |one| world.instant(round, one.at_ms)))
            .filter(|at| *at > t)
            .min()
    }

    /// All events after `after` and until `until`, in order.
    pub(in crate::simulator) fn between(
        &self,
        world: &World,
        (after, until): (Timestamp, Timestamp),
        options: &PushOptions,
    ) -> Vec<Event> {
        let first = if world.repeats() { (world.round_at(after).0 - 1).max(0) } else { 0 };
        let mut events = Vec::new();
        for round in first..=world.round_at(until).0.max(0) {
            let is_due = |one: &&Announcement| {
                let at = world.instant(round, one.at_ms);
                at > after && at <= until
            };
            events.extend(self.0.iter().filter(is_due).filter_map(|one| one.event(world, round, options)));
        }
        events
    }
}

impl Announcement {
    /// `None` if the console does not tick it, or if it is about a meeting of another organisation.
    fn event(&self, world: &World, round: i64, options: &PushOptions) -> Option<Event> {
        if world.meetings()[self.occurrence.meeting].foreign && !options.foreign {
            return None;
        }
        let id = world.conference_id(self.occurrence, round);
        let born = world.instant(round, self.at_ms);
        let (kind, data) = match (self.what, options.events) {
            (What::Created | What::Closed, TickedEvents::All | TickedEvents::Meetings) => {
                (MEETING, self.meeting(world, &id, born)?)
            }
            (What::Invited(person), TickedEvents::All | TickedEvents::Members) => {
                (MEMBER, self.member(world, round, person, "user_invited"))
            }
            (What::Changed(person, change), TickedEvents::All | TickedEvents::Members) => {
                let scene = match change {
                    Change::Joined => "user_join",
                    Change::Kicked => "user_kicked",
                    Change::Left | Change::Ended => "user_leave",
                };
                (MEMBER, self.member(world, round, person, scene))
            }
            _ => return None,
        };
        Some(Event { kind, id: format!("{id}-{}", self.number), born, data })
    }

    fn meeting(&self, world: &World, conference_id: &str, born: Timestamp) -> Option<String> {
        // The documented example of a created meeting has the status of an ended one.
        const STATUS: i64 = 1;
        let view = world.meeting(conference_id, born)?;
        let options = AnswerOptions::default();
        let answers = MeetingAnswers { world, now: born, options: &options, content_fault: None };
        let scene =
            if matches!(self.what, What::Created) { "conference_created" } else { "conference_closed" };
        let model = answers.model(&view, STATUS);
        Some(self.with_number(Object::new().raw("openConfModel", &model), scene))
    }

    fn member(&self, world: &World, round: i64, person: usize, scene: &str) -> String {
        let at = world.instant(round, self.at_ms);
        let whose = &world.people()[person];
        let entry = |offset_ms| {
            let entries = world.entries(person, offset_ms);
            entries.iter().find(|entry| entry.occurrence == self.occurrence)
        };
        // A leave takes the time of joining from before it; an ended meeting has no entries any more.
        let joined = entry(self.at_ms).or_else(|| entry(self.at_ms - 1)).and_then(|entry| entry.joined);
        let joined = joined.map_or(at, |ms| world.instant(round, ms));
        let status = match scene {
            "user_join" => 3,
            "user_invited" => 1,
            "user_kicked" => 5,
            _ => 6,
        };
        let model = Object::new()
            .text("userId", if whose.external { "" } else { &whose.union_id })
            .text("conferenceId", &world.conference_id(self.occurrence, round))
            .text("userNick", &whose.nick)
            .number("joinTime", joined.as_ms())
            // The documented example of a join has one too.
            .number("leaveTime", at.as_ms())
            .number("duration", duration_ms(at.since(joined)))
            .number("attendStatus", status)
            .raw("host", "false")
            .raw("coHost", "false")
            .raw("pstnJoin", if whose.by_phone { "true" } else { "false" })
            .text("deviceType", &whose.device)
            .end();
        self.with_number(Object::new().raw("openMemberModels", &array([model])), scene)
    }

    fn with_number(&self, object: Object, scene: &str) -> String {
        object.number("statusSeqNum", self.number).text("changeScene", scene).end()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::simulator::Scenario;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(1_700_000_000_000 + seconds * 1000)
    }

    const SCENARIO: &str = r#"
repeat = "1m"
[people]
ann = { union_id = "u-1", nick = "Ann" }
eve = { union_id = "u-2", nick = "Eve", external = true }
[meetings]
ours = {}
theirs = { foreign = true }
[script]
steps = [
  { at = "+10s", do = "join", who = ["ann"], meeting = "ours" },
  { at = "+12s", do = "invite", who = ["eve"], meeting = "ours" },
  { at = "+15s", do = "join", who = ["eve"], meeting = "theirs" },
  { at = "+20s", do = "leave", who = ["ann"], meeting = "ours" },
  { at = "+30s", do = "end", meeting = "ours" },
]
"#;

    fn world() -> World {
        Scenario::parse(SCENARIO, "s").unwrap().world(at(0)).unwrap()
    }

    fn said(event: &Event) -> (String, i64) {
        let data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
        (data["changeScene"].as_str().unwrap().to_owned(), data["statusSeqNum"].as_i64().unwrap())
    }

    #[test]
    fn a_meeting_is_announced_with_numbers_in_order_and_a_foreign_one_is_not() {
        let (world, options) = (world(), PushOptions::default());
        let events = Announcements::of(&world).between(&world, (at(0), at(59)), &options);
        let said: Vec<_> = events.iter().map(said).collect();
        let wanted = ["conference_created", "user_join", "user_invited", "user_leave", "conference_closed"];
        assert_eq!(said, wanted.into_iter().map(str::to_owned).zip(1..).collect::<Vec<_>>());
        let joined: serde_json::Value = serde_json::from_str(&events[1].data).unwrap();
        assert_eq!(joined["openMemberModels"][0]["userId"], "u-1");
        let invited: serde_json::Value = serde_json::from_str(&events[2].data).unwrap();
        assert_eq!(invited["openMemberModels"][0]["userId"], "", "people of other organisations have none");
        let all = PushOptions { foreign: true, events: TickedEvents::Meetings, ..options };
        assert_eq!(Announcements::of(&world).between(&world, (at(0), at(59)), &all).len(), 3);
    }

    #[test]
    fn slices_of_time_lose_and_double_nothing_over_rounds() {
        let (world, options) = (world(), PushOptions::default());
        let all = Announcements::of(&world);
        let ids = |after, until| -> Vec<String> {
            all.between(&world, (after, until), &options).into_iter().map(|event| event.id).collect()
        };
        let mut sliced = Vec::new();
        let mut now = at(-1);
        while let Some(next) = all.next_after(&world, now).filter(|next| *next <= at(180)) {
            sliced.extend(ids(now, next));
            now = next.plus(Duration::ZERO);
        }
        assert_eq!(sliced, ids(at(-1), at(180)));
        assert_eq!(sliced.len(), 15);
    }
}
