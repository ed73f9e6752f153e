//! Sweeps in the poller: what trusted ones tell, refusals, the month's calls, what is kept over a restart.
//!
//! Guards: what a sweep alone saw is told as seen by it, and mended by the next look; without trust nothing is told.
//! Deliberately not here: sweeps that lie (`sweep_lies`), whose ids stand in them (`sweep_ids`), each rule
//! (`presence::sweep`, `policy::sweep`), what sweeping is worth (`policy::replay`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::fmt::Write as _;
use std::time::Duration;

use presenced::clock::Clock as _;
use presenced::simulator::faults::FaultTarget;
use presenced::simulator::options::EndedInBatch;
use presenced::simulator::{AnswerOptions, Fault, FaultKind, Running, Scenario, api};
use presenced::store::history::EventQuery;
use presenced::store::sweep_state::SweepRow;
use presenced::telemetry::health::{SweepState, Sweeps};
use serde_json::Value;

use crate::house::at;
use crate::poller_harness::{Office, Polling};

pub(crate) const FROM: &str = "2026-11-23T02:00:00Z";
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const STEP: Duration = Duration::from_secs(15);
pub(crate) const PEOPLE: usize = 12;
/// Inside from the beginning to the end; the others come and go as a test says.
pub(crate) const SITTING: usize = 8;
pub(crate) const LEFT: &str = "meeting.participant_left";
pub(crate) const JOINED: &str = "meeting.participant_joined";
pub(crate) const CORRECTED: &str = "meeting.participant_corrected";

pub(crate) fn id(index: usize) -> String {
    format!("member{index:02}iEiE")
}

pub(crate) fn users(people: usize) -> String {
    let user = |index| format!("[[user]]\nunion_id = \"{}\"\n", id(index));
    (0..people).map(user).collect::<Vec<_>>().concat()
}

/// Its text.
pub(crate) fn scene(steps: &str) -> String {
    let mut text = String::from("[people]\n");
    for index in 0..PEOPLE {
        writeln!(text, "p{index} = {{ union_id = \"{}\" }}", id(index)).unwrap();
    }
    let sitting: Vec<String> = (0..SITTING).map(|index| format!("\"p{index}\"")).collect();
    let join = format!("{{ at = \"+0s\", do = \"join\", who = [{}], meeting = \"m\" }}", sitting.join(", "));
    write!(
        text,
        "[meetings]\nm = {{ id = \"654058f2411fe90147e68780\" }}\n[script]\nsteps = [{join}, {steps}]\n"
    )
    .unwrap();
    text
}

/// Looks are so rare that only sweeps see anything in time.
pub(crate) fn config(sweep: &str, people: usize) -> String {
    let users = users(people);
    format!(
        "calls_per_month = 50000\n[poll]\ninterval = \"6h\"\nmin_interval = \"10s\"\nsweep = {sweep:?}\n{users}"
    )
}

/// A poller and whoever watches it.
pub(crate) struct Desk {
    pub(crate) office: Office,
    pub(crate) polling: Polling,
}

impl Desk {
    pub(crate) async fn open(steps: &str, sweep: &str) -> Self {
        Self::open_with(steps, sweep, |_| ()).await
    }

    /// `before`: what is different about DingTalk from the beginning.
    pub(crate) async fn open_with(steps: &str, sweep: &str, before: impl FnOnce(&Running)) -> Self {
        Self::open_on(&scene(steps), &config(sweep, PEOPLE), before).await
    }

    pub(crate) async fn open_on(scene: &str, config: &str, before: impl FnOnce(&Running)) -> Self {
        let scenario = Scenario::parse(scene, "scene").unwrap();
        let office = Office::open(FROM, scenario, config).await;
        before(&office.dingtalk);
        let polling = office.start().await;
        Self { office, polling }
    }

    /// The same, `minutes` after the beginning: by then sweeps are trusted if they are ever to be.
    pub(crate) async fn open_at(steps: &str, minutes: u32) -> Self {
        let desk = Self::open(steps, "2m").await;
        desk.until(minutes).await;
        desk
    }

    pub(crate) async fn until(&self, minutes: u32) {
        self.office.pass_until(&self.polling, at(FROM).plus(MINUTE * minutes), STEP).await;
    }

    /// The process ends in order and another begins, `pause` later.
    pub(crate) async fn restart(self, pause: Duration) -> Self {
        let Self { office, polling } = self;
        polling.end().await;
        office.clock.set(office.clock.now().plus(pause));
        let polling = office.start().await;
        Self { office, polling }
    }

    pub(crate) async fn look(&self, person: usize) {
        self.polling.looks.poll(id(person), false).await.unwrap();
        self.polling.settled().await;
    }

    pub(crate) async fn events(&self, event_type: &str) -> Vec<Value> {
        let query = EventQuery {
            after: Some(0),
            event_type: Some(event_type.into()),
            limit: 1000,
            ..EventQuery::default()
        };
        let rows = self.office.store.history().events(&query).await.unwrap();
        rows.iter().map(|row| serde_json::from_str(&row.body).unwrap()).collect()
    }

    pub(crate) async fn of(&self, event_type: &str, person: usize) -> Vec<Value> {
        let subject = format!("default/{}", id(person));
        let mut events = self.events(event_type).await;
        events.retain(|event| event["subject"] == subject.as_str());
        events
    }

    /// Joins and leaves told, of everybody.
    pub(crate) async fn told(&self) -> (usize, usize) {
        (self.events(JOINED).await.len(), self.events(LEFT).await.len())
    }

    pub(crate) fn sweeps(&self) -> u64 {
        self.office.dingtalk.counts().calls_to(api::ORG_MEETINGS)
    }

    /// What the daemon says about them.
    pub(crate) fn standing(&self) -> Sweeps {
        self.polling.health.sweeps().remove(0).1
    }

    /// What is kept of them.
    pub(crate) async fn kept(&self) -> SweepRow {
        self.office.store.history().sweep_states().await.unwrap().remove(0)
    }
}

pub(crate) fn by_sweep(event: &Value) -> bool {
    event["data"]["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag == "by_sweep"))
}

/// Members that are refused are asked for in a batch, and after three refusals in a row not at all; sweeps go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_that_does_not_tell_its_members_is_asked_for_in_a_batch() {
    let pair = |at: u32, act: &str| {
        format!("{{ at = \"+{at}s\", do = \"{act}\", who = [\"p8\", \"p9\"], meeting = \"m\" }},")
    };
    let steps: String =
        (0..5).map(|round| pair(1175 + 1200 * round, "join") + &pair(1775 + 1200 * round, "leave")).collect();
    let desk = Desk::open_with(&steps, "2m", |dingtalk| {
        dingtalk.add_fault(Fault::new(FaultKind::Permission).on(FaultTarget::MeetingMembers));
    })
    .await;
    desk.until(120).await;
    assert_eq!(desk.told().await, (SITTING + 10, 10));
    let members = desk.office.dingtalk.counts().calls_to(api::MEETING_MEMBERS);
    assert_eq!(members, 3, "whoever refuses three times is not asked again");
    assert_eq!(desk.standing().state, SweepState::Trusted);
    assert!(by_sweep(&desk.of(JOINED, 8).await[4]));
    desk.polling.end().await;
}

/// A batch that is refused because of a meeting that is over is no failed sweep: the next one says who left.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_refused_for_a_meeting_that_is_over_costs_no_trust() {
    let steps = r#"
      { at = "+1175s", do = "join", who = ["p8", "p9"], meeting = "n" },
      { at = "+2390s", do = "end", meeting = "n" },
    "#;
    let scene = scene(steps).replace("[script]", "n = {}\n[script]");
    let refused = AnswerOptions { ended_in_batch: EndedInBatch::Refused, ..AnswerOptions::default() };
    let desk = Desk::open_on(&scene, &config("2m", PEOPLE), |dingtalk| dingtalk.set_options(refused)).await;
    // Sweeps at 40 and 42 do not show it.
    desk.until(43).await;
    assert_eq!(desk.told().await, (SITTING + 2, 2));
    let left = desk.of(LEFT, 8).await;
    assert!(by_sweep(&left[0]), "{:#}", left[0]);
    assert_eq!(desk.standing().state, SweepState::Trusted);
    desk.polling.end().await;
}

const TWO_COME_AND_GO: &str = r#"
  { at = "+1175s", do = "join", who = ["p8", "p9"], meeting = "m" },
  { at = "+2365s", do = "leave", who = ["p8", "p9"], meeting = "m" },
"#;
const COME: Duration = Duration::from_secs(1175);
const GO: Duration = Duration::from_secs(2365);

#[tokio::test(flavor = "multi_thread")]
async fn trusted_sweeps_tell_joins_and_leaves_and_a_look_tells_their_times() {
    let desk = Desk::open_at(TWO_COME_AND_GO, 19).await;
    assert_eq!(desk.told().await, (SITTING, 0));
    let standing = desk.standing();
    assert_eq!((standing.state, standing.ids), (SweepState::Trusted, Some("union_id")));
    desk.until(25).await;
    let joined = desk.of(JOINED, 8).await;
    assert_eq!(joined.len(), 1);
    assert!(by_sweep(&joined[0]), "{:#}", joined[0]);
    assert_eq!(joined[0]["data"]["timing"]["basis"], "observed");
    desk.look(8).await;
    let corrected = desk.of(CORRECTED, 8).await;
    assert_eq!(corrected[0]["data"]["supersedes"], joined[0]["id"]);
    assert_eq!(corrected[0]["time"], at(FROM).plus(COME).rfc3339().as_str());

    desk.until(47).await;
    assert_eq!(desk.told().await, (SITTING + 2, 2));
    let left = desk.of(LEFT, 9).await;
    assert!(by_sweep(&left[0]), "{:#}", left[0]);
    assert_eq!(left[0]["data"]["timing"]["basis"], "observed");
    desk.look(9).await;
    let corrected = desk.of(CORRECTED, 9).await;
    let times: Vec<&str> = corrected.iter().map(|event| event["time"].as_str().unwrap()).collect();
    let truth = [COME, GO].map(|after| at(FROM).plus(after).rfc3339());
    assert_eq!(times, truth);
    let standing = desk.standing();
    let counts = desk.office.dingtalk.counts();
    assert_eq!(counts.calls_to(api::MEETING_MEMBERS), 1, "two came at once: its members say so too");
    let paths = [api::ORG_MEETINGS, api::MEETING_QUERY, api::MEETING_MEMBERS];
    assert_eq!(standing.calls, paths.map(|path| counts.calls_to(path)).iter().sum::<u64>());
    assert!(standing.last.is_some_and(|last| desk.office.clock.now().since(last) <= 2 * MINUTE));
    desk.polling.end().await;
    let used = desk.office.usage("2026-11").await.used;
    assert_eq!(used, desk.office.dingtalk.counts().charged, "every call is charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_trust_a_sweep_only_schedules_polls() {
    let desk = Desk::open(r#"{ at = "+3m", do = "join", who = ["p8", "p9"], meeting = "m" },"#, "2m").await;
    desk.until(8).await;
    for person in [8, 9] {
        let joined = desk.of(JOINED, person).await;
        assert_eq!(joined.len(), 1, "looked at long before their turn");
        assert!(!by_sweep(&joined[0]));
        assert_eq!(joined[0]["time"], at(FROM).plus(3 * MINUTE).rfc3339().as_str());
    }
    desk.polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_really_all_leave_at_once_are_believed_after_one_look() {
    let desk = Desk::open_at(r#"{ at = "+20m", do = "end", meeting = "m" },"#, 19).await;
    let looks = desk.office.calls();
    desk.until(26).await;
    let left = desk.events(LEFT).await;
    assert_eq!(left.len(), SITTING);
    assert!(left.iter().filter(|event| by_sweep(event)).count() >= SITTING - 3, "{left:#?}");
    assert!(desk.office.calls() <= looks + 4, "not everybody was looked at");
    desk.polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_by_permission_there_are_no_more_sweeps_and_looks_go_on() {
    for refused in [FaultTarget::OrgMeetings, FaultTarget::MeetingQuery] {
        let fault = Fault::new(FaultKind::Permission).on(refused);
        let desk = Desk::open_with("", "2m", |dingtalk| dingtalk.add_fault(fault)).await;
        desk.until(20).await;
        assert_eq!(desk.sweeps(), 1, "asked once");
        assert_eq!(desk.told().await.0, SITTING);
        let standing = desk.standing();
        assert_eq!(standing.state, SweepState::Refused);
        assert!(standing.why.is_some_and(|why| !why.is_empty()));
        let looks = desk.office.calls();
        desk.look(0).await;
        assert_eq!(desk.office.calls(), looks + 1);
        assert!(desk.events("system.alert").await.is_empty());
        let desk = desk.restart(MINUTE).await;
        desk.until(30).await;
        assert_eq!(desk.sweeps(), 2, "a restart is how one tries again");
        desk.polling.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn off_is_off() {
    let desk = Desk::open("", "off").await;
    desk.until(30).await;
    assert_eq!(desk.sweeps(), 0);
    assert_eq!(desk.standing().state, SweepState::Off);
    desk.polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_trust_and_what_sweeps_cost() {
    let steps = r#"
      { at = "+29m", do = "join", who = ["p8", "p9"], meeting = "m" },
      { at = "+40m", do = "leave", who = ["p8", "p9"], meeting = "m" },
    "#;
    let desk = Desk::open_at(steps, 15).await;
    assert_eq!(desk.standing().state, SweepState::Trusted);
    let calls = desk.standing().calls;
    let desk = desk.restart(MINUTE).await;
    assert_eq!(desk.standing().state, SweepState::Trusted, "at once");
    desk.until(35).await;
    let joined = desk.of(JOINED, 8).await;
    assert!(joined.len() == 1 && !by_sweep(&joined[0]), "after the time without looks a look comes first");
    desk.until(46).await;
    // Of those it knows to be inside, who were looked at since, both are gone: one is looked at first.
    let left = desk.of(LEFT, 9).await;
    assert!(left.len() == 1 && by_sweep(&left[0]), "{left:#?}");
    assert!(desk.standing().calls > calls);
    let counts = desk.office.dingtalk.counts();
    let swept = counts.calls_to(api::ORG_MEETINGS) + counts.calls_to(api::MEETING_QUERY);
    assert_eq!(desk.standing().calls, swept);
    desk.polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_a_contradiction() {
    let desk = Desk::open_at("", 19).await;
    assert_eq!((desk.standing().state, desk.standing().needed), (SweepState::Trusted, 10));
    // The next sweep has nobody, and a look right after it sees somebody.
    let before = desk.sweeps();
    desk.office.dingtalk.add_fault(Fault::new(FaultKind::NobodyInside).on(FaultTarget::Meetings).times(2));
    desk.until(22).await;
    assert!(desk.sweeps() > before);
    let standing = desk.standing();
    assert_eq!((standing.state, standing.needed), (SweepState::Learning, 20));
    assert_eq!(desk.kept().await.needed, 20, "written at once");
    let desk = desk.restart(MINUTE).await;
    let standing = desk.standing();
    assert_eq!((standing.state, standing.needed), (SweepState::Learning, 20));
    assert_eq!(desk.told().await, (SITTING, 0));
    desk.polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_week_without_sweeps_trust_must_be_earned_again() {
    let day = Duration::from_hours(24);
    for (days, state) in [(6, SweepState::Trusted), (8, SweepState::Learning)] {
        let desk = Desk::open_at("", 15).await;
        let desk = desk.restart(days * day).await;
        assert_eq!(desk.standing().state, state, "{days} days");
        assert_eq!(desk.standing().ids, Some("union_id"));
        desk.polling.end().await;
    }
}

/// Everybody paced in office hours, sweeps as it seems best.
fn paced(calls_per_month: u32) -> String {
    let users = users(PEOPLE);
    format!(
        "calls_per_month = {calls_per_month}\n[poll]\nsweep = \"auto\"\n\
         [[window]]\ndays = [\"mon-fri\"]\nfrom = \"08:30\"\nto = \"19:30\"\n{users}"
    )
}

/// Paced people in office hours: `auto` probes, trusts, and sweeps by its plan, within the month's calls.
#[tokio::test(flavor = "multi_thread")]
async fn auto_earns_trust_by_itself_and_keeps_to_hours_and_calls() {
    let steps = r#"
      { at = "+4h", do = "join", who = ["p8", "p9"], meeting = "m" },
      { at = "+6h", do = "leave", who = ["p8", "p9"], meeting = "m" },
    "#;
    let desk = Desk::open_on(&scene(steps), &paced(1_200), |_| ()).await;
    desk.office.pass_until(&desk.polling, at("2026-11-23T11:00:00Z"), MINUTE).await;
    let sweeps = desk.sweeps();
    assert!(sweeps >= 4, "{sweeps} sweeps on the first day");
    desk.office.pass_until(&desk.polling, at("2026-11-24T00:30:00Z"), MINUTE).await;
    assert!(desk.sweeps() <= sweeps + 6, "none at night: {sweeps}, {}", desk.sweeps());
    desk.office.pass_until(&desk.polling, at("2026-11-30T15:59:00Z"), MINUTE).await;
    let charged = desk.office.dingtalk.counts().charged;
    assert!(charged <= 1200, "{charged}");
    assert!(desk.sweeps() > 3 * sweeps, "{} sweeps in six days, {charged} calls", desk.sweeps());
    assert_eq!(desk.told().await, (SITTING + 2, 2));
    let now = desk.office.clock.now();
    assert!(now > at(FROM));
    desk.polling.end().await;
    assert_eq!(desk.office.usage("2026-11").await.used, charged);
}

/// Paced beside sweeps that are believed: nobody else would notice that they leave.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_found_in_a_foreign_meeting_is_followed_until_they_leave() {
    let steps = r#"
      { at = "+26h", do = "join", who = ["p8"], meeting = "x" },
      { at = "+27h", do = "leave", who = ["p8"], meeting = "x" },
    "#;
    let scene = scene(steps).replace("[script]", "x = { foreign = true }\n[script]");
    let desk = Desk::open_on(&scene, &paced(3_000), |_| ()).await;
    let hour = 60 * MINUTE;
    desk.office.pass_until(&desk.polling, at(FROM).plus(26 * hour + 5 * MINUTE), MINUTE).await;
    assert_eq!(desk.standing().state, SweepState::Trusted);
    desk.look(8).await;
    assert_eq!(desk.of(JOINED, 8).await.len(), 1);
    desk.office.pass_until(&desk.polling, at(FROM).plus(28 * hour), MINUTE).await;
    let left = desk.of(LEFT, 8).await;
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!(left[0]["time"], at(FROM).plus(27 * hour).rfc3339().as_str());
    assert!(!by_sweep(&left[0]));
    desk.polling.end().await;
}
