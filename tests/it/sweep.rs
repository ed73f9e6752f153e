//! Sweeps in the poller: what trusted ones tell, what lies of theirs do not, refusals, the month's calls.
//!
//! Guards: a sweep that lies never makes a join or a leave that was none, nor loses one. Deliberately not here: each rule
//! (`presence::sweep`, `policy::sweep`), what sweeping is worth (`policy::replay`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::fmt::Write as _;
use std::time::Duration;

use presenced::clock::Clock as _;
use presenced::simulator::faults::On;
use presenced::simulator::knobs::{BatchUser, Lag};
use presenced::simulator::{Fault, FaultKind, Knobs, Running, Scenario, api};
use presenced::store::history::EventQuery;
use serde_json::Value;

use crate::house::at;
use crate::poller_harness::{Office, Polling};

const FROM: &str = "2026-11-23T02:00:00Z";
const MINUTE: Duration = Duration::from_mins(1);
const STEP: Duration = Duration::from_secs(10);
const PEOPLE: usize = 12;
/// Inside from the beginning to the end; the others come and go as a test says.
const SITTING: usize = 8;
const LEFT: &str = "meeting.participant_left";
const JOINED: &str = "meeting.participant_joined";
const CORRECTED: &str = "meeting.participant_corrected";

fn id(index: usize) -> String {
    format!("member{index:02}iEiE")
}

fn users(people: usize) -> String {
    let user = |index| format!("[[user]]\nunion_id = \"{}\"\n", id(index));
    (0..people).map(user).collect::<Vec<_>>().concat()
}

fn scene(steps: &str) -> Scenario {
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
    Scenario::parse(&text, "scene").unwrap()
}

/// Looks are so rare that only sweeps see anything in time.
fn config(sweep: &str, people: usize) -> String {
    let users = users(people);
    format!(
        "calls_per_month = 50000\n[poll]\ninterval = \"6h\"\nmin_interval = \"10s\"\nsweep = {sweep:?}\n{users}"
    )
}

struct Desk {
    office: Office,
    polling: Polling,
}

impl Desk {
    async fn open(steps: &str, sweep: &str) -> Self {
        Self::open_with(steps, sweep, |_| ()).await
    }

    /// `before`: what is different about DingTalk from the beginning.
    async fn open_with(steps: &str, sweep: &str, before: impl FnOnce(&Running)) -> Self {
        let office = Office::open(FROM, scene(steps), &config(sweep, PEOPLE)).await;
        before(&office.dingtalk);
        let polling = office.start().await;
        Self { office, polling }
    }

    /// The same, `minutes` after the beginning: by then sweeps are trusted if they are ever to be.
    async fn open_at(steps: &str, minutes: u32) -> Self {
        let desk = Self::open(steps, "2m").await;
        desk.until(minutes).await;
        desk
    }

    async fn until(&self, minutes: u32) {
        self.office.pass_until(&self.polling, at(FROM).plus(MINUTE * minutes), STEP).await;
    }

    async fn look(&self, person: usize) {
        self.polling.looks.look(id(person), false).await.unwrap();
        self.polling.settled().await;
    }

    async fn events(&self, event_type: &str) -> Vec<Value> {
        let query = EventQuery {
            after: Some(0),
            org: None,
            people: None,
            event_type: Some(event_type.into()),
            limit: 1000,
        };
        let rows = self.office.store.history().events(&query).await.unwrap();
        rows.iter().map(|row| serde_json::from_str(&row.body).unwrap()).collect()
    }

    async fn of(&self, event_type: &str, person: usize) -> Vec<Value> {
        let subject = format!("default/{}", id(person));
        let mut events = self.events(event_type).await;
        events.retain(|event| event["subject"] == subject.as_str());
        events
    }

    /// Joins and leaves told, of everybody.
    async fn told(&self) -> (usize, usize) {
        (self.events(JOINED).await.len(), self.events(LEFT).await.len())
    }

    fn sweeps(&self) -> u64 {
        self.office.dingtalk.counts().calls_to(api::ORG_MEETINGS)
    }
}

fn by_sweep(event: &Value) -> bool {
    event["data"]["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag == "by_sweep"))
}

const TWO_COME_AND_GO: &str = r#"
  { at = "+1775s", do = "join", who = ["p8", "p9"], meeting = "m" },
  { at = "+3565s", do = "leave", who = ["p8", "p9"], meeting = "m" },
"#;
const COME: Duration = Duration::from_secs(1775);
const GO: Duration = Duration::from_secs(3565);

#[tokio::test(flavor = "multi_thread")]
async fn trusted_sweeps_tell_joins_and_leaves_and_a_look_tells_their_times() {
    let desk = Desk::open_at(TWO_COME_AND_GO, 29).await;
    assert_eq!(desk.told().await, (SITTING, 0));
    desk.until(35).await;
    let joined = desk.of(JOINED, 8).await;
    assert_eq!(joined.len(), 1);
    assert!(by_sweep(&joined[0]), "{:#}", joined[0]);
    assert_eq!(joined[0]["data"]["timing"]["basis"], "observed");
    desk.look(8).await;
    let corrected = desk.of(CORRECTED, 8).await;
    assert_eq!(corrected[0]["data"]["supersedes"], joined[0]["id"]);
    assert_eq!(corrected[0]["time"], at(FROM).plus(COME).rfc3339().as_str());

    desk.until(67).await;
    assert_eq!(desk.told().await, (SITTING + 2, 2));
    let left = desk.of(LEFT, 9).await;
    assert!(by_sweep(&left[0]), "{:#}", left[0]);
    assert_eq!(left[0]["data"]["timing"]["basis"], "observed");
    desk.look(9).await;
    let corrected = desk.of(CORRECTED, 9).await;
    let times: Vec<&str> = corrected.iter().map(|event| event["time"].as_str().unwrap()).collect();
    let truth = [COME, GO].map(|after| at(FROM).plus(after).rfc3339());
    assert_eq!(times, truth);
    desk.polling.end().await;
    let used = desk.office.usage("2026-11").await.used;
    assert_eq!(used, desk.office.dingtalk.counts().charged, "every call is charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_trust_a_sweep_only_tells_whom_to_look_at() {
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

/// Each lies for ten minutes, in which nobody comes or goes; afterwards two do.
#[tokio::test(flavor = "multi_thread")]
async fn no_lie_makes_or_loses_a_join_or_a_leave() {
    let wrongly = Fault::new(FaultKind::WronglyInside).on(On::MeetingQuery).who(&id(11));
    let lies = [
        ("an empty list", Fault::new(FaultKind::NoMeetings).on(On::OrgMeetings)),
        ("an empty batch", Fault::new(FaultKind::NoMeetings).on(On::MeetingQuery)),
        ("everybody missing", Fault::new(FaultKind::NobodyInside).on(On::Meetings)),
        ("a ban", Fault::new(FaultKind::Ban).on(On::OrgMeetings).times(1)),
        ("a page", Fault::new(FaultKind::BanPage).on(On::MeetingQuery).times(1)),
        ("foreign JSON", Fault::new(FaultKind::Errcode).on(On::Meetings).times(2)),
        ("one wrongly inside", wrongly),
    ];
    for (lie, fault) in lies {
        let desk = Desk::open_at(TWO_COME_AND_GO, 19).await;
        let before = desk.sweeps();
        desk.office.dingtalk.add_fault(fault);
        desk.until(29).await;
        assert!(desk.sweeps() > before, "{lie}: it was swept");
        assert_eq!(desk.told().await, (SITTING, 0), "{lie}");
        desk.office.dingtalk.clear_faults();
        desk.until(90).await;
        assert_eq!(desk.told().await, (SITTING + 2, 2), "{lie}");
        desk.polling.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_are_five_minutes_old_make_and_lose_nothing() {
    let desk = Desk::open_at(TWO_COME_AND_GO, 20).await;
    desk.office.dingtalk.set_knobs(Knobs { meetings_lag: Lag(5 * MINUTE), ..Knobs::default() });
    // Looks that see the truth, and sweeps after them that do not yet.
    desk.until(31).await;
    desk.look(8).await;
    desk.until(61).await;
    desk.look(8).await;
    assert_eq!(desk.of(LEFT, 8).await.len(), 1);
    desk.until(90).await;
    assert_eq!(desk.told().await, (SITTING + 2, 2));
    for person in [8, 9] {
        assert_eq!((desk.of(JOINED, person).await.len(), desk.of(LEFT, person).await.len()), (1, 1));
    }
    desk.polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_really_all_leave_at_once_are_believed_after_one_look() {
    let desk = Desk::open_at(r#"{ at = "+30m", do = "end", meeting = "m" },"#, 29).await;
    let looks = desk.office.calls();
    desk.until(36).await;
    let left = desk.events(LEFT).await;
    assert_eq!(left.len(), SITTING);
    assert!(left.iter().filter(|event| by_sweep(event)).count() >= SITTING - 3, "{left:#?}");
    assert!(desk.office.calls() <= looks + 4, "not everybody was looked at");
    desk.polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_not_ours_are_never_believed() {
    let knobs = Knobs { batch_user: BatchUser::UserId, ..Knobs::default() };
    let desk = Desk::open_with(TWO_COME_AND_GO, "2m", |dingtalk| dingtalk.set_knobs(knobs)).await;
    desk.until(70).await;
    assert!(desk.sweeps() > 10);
    assert_eq!(desk.told().await, (SITTING, 0), "only looks tell, and they are rare");
    desk.polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_by_permission_there_are_no_more_sweeps_and_looks_go_on() {
    for refused in [On::OrgMeetings, On::MeetingQuery] {
        let fault = Fault::new(FaultKind::Permission).on(refused);
        let desk = Desk::open_with("", "2m", |dingtalk| dingtalk.add_fault(fault)).await;
        desk.until(20).await;
        assert_eq!(desk.sweeps(), 1, "asked once");
        assert_eq!(desk.told().await.0, SITTING);
        let looks = desk.office.calls();
        desk.look(0).await;
        assert_eq!(desk.office.calls(), looks + 1);
        assert!(desk.events("system.alert").await.is_empty());
        desk.polling.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn off_is_off() {
    let desk = Desk::open("", "off").await;
    desk.until(30).await;
    assert_eq!(desk.sweeps(), 0);
    desk.polling.end().await;
}

/// Paced people in office hours: `auto` probes, trusts, and sweeps by its plan, within the month's calls.
#[tokio::test(flavor = "multi_thread")]
async fn auto_earns_trust_by_itself_and_keeps_to_hours_and_calls() {
    let users = users(PEOPLE);
    let config = format!(
        "calls_per_month = 1200\n[poll]\nsweep = \"auto\"\n\
         [[window]]\ndays = [\"mon-fri\"]\nfrom = \"08:30\"\nto = \"19:30\"\n{users}"
    );
    let steps = r#"
      { at = "+4h", do = "join", who = ["p8", "p9"], meeting = "m" },
      { at = "+6h", do = "leave", who = ["p8", "p9"], meeting = "m" },
    "#;
    let office = Office::open(FROM, scene(steps), &config).await;
    let polling = office.start().await;
    let desk = Desk { office, polling };
    desk.until(9 * 60).await;
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
