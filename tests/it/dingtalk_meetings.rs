//! The client's calls about meetings, against the simulator and against bytes made here.
//!
//! Guards: the client understands the simulator under every option; each failure has the right cost. Not here: bodies
//! (`dingtalk::meetings`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::sync::Arc;
use std::time::Duration;

use presenced::clock::{ManualClock, SharedClock};
use presenced::dingtalk::client::Client;
use presenced::dingtalk::error::{CallError, Verdict, class};
use presenced::dingtalk::meetings::{MeetingState, OngoingMeetings};
use presenced::ids::{ConferenceId, UnionId};
use presenced::presence::attendance::AttendStatus;
use presenced::presence::observation::Evidence;
use presenced::simulator::faults::FaultTarget;
use presenced::simulator::options::{
    BatchUser, EndedInBatch, EndedMembers, ForeignMeetings, Lag, LastPage, Numbers,
};
use presenced::simulator::{AnswerOptions, Fault, FaultKind, Running, Scenario, Simulator, api};
use presenced::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::dingtalk_fake::{Fake, client, http, internal};
use crate::simulator_api::ANY_PORT;

const START: Timestamp = Timestamp::from_ms(1_795_413_600_000);

/// Ann and Ben are in `one`; Ben leaves after a minute, the meeting ends after ten. Cleo is a guest elsewhere.
const SCENE: &str = r#"
[people]
ann = { union_id = "u-ann" }
ben = { union_id = "u-ben", external = true }
cleo = { union_id = "u-cleo" }
[meetings]
one = { id = "654058f2411fe90147e68780" }
theirs = { id = "theirs", foreign = true }
[script]
steps = [
  { at = "+0s", do = "join", who = ["ann", "ben"], meeting = "one" },
  { at = "+0s", do = "join", who = ["cleo"], meeting = "theirs" },
  { at = "+1m", do = "leave", who = ["ben"], meeting = "one" },
  { at = "+10m", do = "end", meeting = "one" },
]
"#;
const ONE: &str = "654058f2411fe90147e68780";

struct Bench {
    simulator: Running,
    clock: ManualClock,
    client: Client,
}

impl Bench {
    async fn play(scene: &str) -> Self {
        let clock = ManualClock::at(START);
        let shared: SharedClock = Arc::new(clock.clone());
        let scenario = Scenario::parse(scene, "scene").unwrap();
        let simulator = Simulator::start(ANY_PORT, scenario, shared, CancellationToken::new()).await.unwrap();
        let mut org = Fake::with_list(http(500, "{}")).await.org(internal());
        simulator.base_url().clone_into(&mut org.api_base);
        simulator.base_url().clone_into(&mut org.legacy_base);
        let client = client(&org, &clock);
        Self { simulator, clock, client }
    }

    fn turn(&self, turn: impl FnOnce(&mut AnswerOptions)) {
        let mut options = AnswerOptions::default();
        turn(&mut options);
        self.simulator.set_options(options);
    }

    async fn ongoing(&self) -> OngoingMeetings {
        self.client.ongoing_meetings(9).await.unwrap()
    }

    /// The members of a meeting, by the batch call.
    async fn users(&self, conference: &str) -> Option<Vec<(String, Option<i64>)>> {
        let batch = self.client.meetings_with_users(&[id(conference)]).await.unwrap();
        let meeting = batch.meetings.into_iter().next()?;
        Some(meeting.users.into_iter().map(|user| (user.id, user.status.map(AttendStatus::code))).collect())
    }
}

fn id(text: &str) -> ConferenceId {
    ConferenceId::parse(text).unwrap()
}

fn ids(meetings: &OngoingMeetings) -> Vec<&str> {
    meetings.meetings.iter().map(|meeting| meeting.conference_id.as_str()).collect()
}

fn refused(error: &CallError) -> (&'static str, Option<&str>) {
    (error.class, error.code.as_deref())
}

#[tokio::test]
async fn a_sweep_costs_one_call_for_the_meetings_and_one_for_their_people() {
    let bench = Bench::play(SCENE).await;
    let ongoing = bench.ongoing().await;
    assert_eq!((ids(&ongoing), ongoing.complete, ongoing.calls), (vec![ONE], true, 1));
    assert_eq!((ongoing.evidence, ongoing.observed_at), (Evidence::Explicit, START));
    assert_eq!(ongoing.meetings[0].started, Some(START));
    let user = |id: &str, status| (id.to_owned(), Some(status));
    assert_eq!(bench.users(ONE).await, Some(vec![user("u-ann", 3), user("u-ben", 3)]));
    bench.clock.advance(Duration::from_secs(61));
    assert_eq!(bench.users(ONE).await, Some(vec![user("u-ann", 3), user("u-ben", 6)]));
    bench.turn(|options| options.batch_user = BatchUser::UserId);
    assert_eq!(bench.users(ONE).await, Some(vec![user("user0", 3), user("user1", 6)]));
    assert_eq!(bench.simulator.counts().charged, 4);
    assert_eq!(bench.simulator.counts().calls_to(api::MEETING_QUERY), 3);
}

#[tokio::test]
async fn how_a_meeting_ended_and_who_was_in_it() {
    let bench = Bench::play(SCENE).await;
    let info = bench.client.meeting(&id(ONE)).await.unwrap();
    assert_eq!((info.state, info.ended, info.active, info.calls), (MeetingState::Started, None, Some(2), 1));
    bench.clock.advance(Duration::from_mins(11));
    let info = bench.client.meeting(&id(ONE)).await.unwrap();
    let end = START.plus(Duration::from_mins(10));
    assert_eq!((info.state, info.ended, info.active), (MeetingState::Ended, Some(end), Some(0)));
    let members = bench.client.meeting_members(&id(ONE), 9).await.unwrap();
    assert!(members.complete);
    let of = |who: &str| members.of(&UnionId::parse(who).unwrap());
    let ben = of("u-ben").unwrap();
    assert_eq!((ben.status, ben.left), (Some(AttendStatus::Left), Some(START.plus(Duration::from_mins(1)))));
    assert!(ben.external && ben.device.is_none());
    assert_eq!(of("u-ann").unwrap().left, Some(end));
    assert!(!of("u-ann").unwrap().external);
    assert_eq!(of("u-cleo"), None);
    assert_eq!(ids(&bench.ongoing().await), [""; 0]);
}

#[tokio::test]
async fn meetings_that_are_over_can_be_refused() {
    let bench = Bench::play(SCENE).await;
    bench.clock.advance(Duration::from_mins(11));
    assert_eq!(bench.users(ONE).await, None, "left out of the batch");
    bench.turn(|options| {
        options.ended_in_batch = EndedInBatch::Refused;
        options.ended_members = EndedMembers::Refused;
    });
    let error = bench.client.meetings_with_users(&[id(ONE)]).await.unwrap_err();
    assert_eq!(refused(&error), (class::REFUSED, Some("resourceClose")));
    let error = bench.client.meeting_members(&id(ONE), 1).await.unwrap_err();
    assert_eq!(refused(&error), (class::REFUSED, Some("confClosed")));
    assert_eq!((error.calls, error.charged), (1, true));
    let error = bench.client.meeting(&id("nowhere")).await.unwrap_err();
    assert_eq!(refused(&error), (class::REFUSED, Some("roomNotFound")));
}

#[tokio::test]
async fn a_foreign_meeting_is_missing_unless_the_option_lists_it() {
    let bench = Bench::play(SCENE).await;
    let error = bench.client.meeting(&id("theirs")).await.unwrap_err();
    assert_eq!(refused(&error), (class::REFUSED, Some("noPermission")));
    assert_eq!(bench.users("theirs").await, None);
    bench.turn(|options| options.foreign_meetings = ForeignMeetings::Listed);
    assert_eq!(ids(&bench.ongoing().await), [ONE, "theirs"]);
    assert_eq!(bench.users("theirs").await.unwrap(), [("u-cleo".to_owned(), Some(3))]);
}

#[tokio::test]
async fn many_meetings_come_in_pages_and_are_asked_in_batches() {
    let each = |line: fn(u32) -> String| (0..45).map(line).collect::<Vec<_>>().concat();
    let people = each(|i| format!("p{i} = {{ union_id = \"u{i}\" }}\n"));
    let meetings = each(|i| format!("m{i} = {{ id = \"c{i:02}\" }}\n"));
    let steps =
        each(|i| format!("{{ at = \"+0s\", do = \"join\", who = [\"p{i}\"], meeting = \"m{i}\" }},\n"));
    let bench =
        Bench::play(&format!("[people]\n{people}[meetings]\n{meetings}[script]\nsteps = [\n{steps}]\n"))
            .await;
    for last_page in [LastPage::Plain, LastPage::Token] {
        bench.clock.advance(Duration::from_secs(2));
        bench.turn(|options| options.last_page = last_page);
        let ongoing = bench.ongoing().await;
        assert_eq!((ongoing.meetings.len(), ongoing.calls, ongoing.complete), (45, 3, true));
        let some = bench.client.ongoing_meetings(2).await.unwrap();
        assert_eq!((some.meetings.len(), some.calls, some.complete), (40, 2, false));
    }
    let all: Vec<ConferenceId> =
        bench.ongoing().await.meetings.into_iter().map(|meeting| meeting.conference_id).collect();
    let batch = bench.client.meetings_with_users(&all).await.unwrap();
    assert_eq!((batch.meetings.len(), batch.calls), (45, 3));
    assert_eq!(bench.client.meetings_with_users(&[]).await.unwrap().calls, 0);
    bench.simulator.add_fault(Fault::new(FaultKind::ServerError).on(FaultTarget::OrgMeetings).times(1));
    bench.clock.advance(Duration::from_secs(2));
    let error = bench.client.ongoing_meetings(9).await.unwrap_err();
    assert_eq!((error.class, error.calls), (class::OUTAGE, 1));
}

#[tokio::test]
async fn every_form_of_numbers_is_understood_and_answers_can_be_old() {
    let bench = Bench::play(SCENE).await;
    bench.clock.advance(Duration::from_mins(11));
    for numbers in [Numbers::Strings, Numbers::Fractions] {
        bench.turn(|options| {
            options.numbers = numbers;
            options.extra_members = true;
            options.meetings_lag = Lag(Duration::from_mins(5));
        });
        assert_eq!(ids(&bench.ongoing().await), [ONE]);
        assert_eq!(bench.users(ONE).await.unwrap()[1], ("u-ben".to_owned(), Some(6)));
        assert_eq!(bench.client.meeting(&id(ONE)).await.unwrap().state, MeetingState::Started);
        let members = bench.client.meeting_members(&id(ONE), 1).await.unwrap();
        assert_eq!((members.members.len(), members.oddities), (2, 0));
    }
}

#[tokio::test]
async fn a_lack_of_permission_names_the_scope_and_a_refused_token_is_replaced() {
    let bench = Bench::play(SCENE).await;
    bench.simulator.add_fault(Fault::new(FaultKind::Permission).on(FaultTarget::Meetings));
    let error = bench.client.ongoing_meetings(1).await.unwrap_err();
    assert_eq!((error.class, &error.verdict), (class::FORBIDDEN, &Verdict::Forbidden));
    assert!(error.text.contains("VideoConference.Conference.Read"), "{}", error.text);
    let list = bench.client.ongoing(&UnionId::parse("u-ann").unwrap(), None).await;
    assert!(list.is_ok(), "the list call still answers");
    bench.simulator.clear_faults();
    bench.simulator.revoke_tokens();
    assert_eq!(bench.ongoing().await.calls, 2);
    for (kind, class) in [
        (FaultKind::Ban, class::BANNED),
        (FaultKind::Errcode, class::MISCONFIGURED),
        (FaultKind::NoBody, class::NOT_JSON),
        (FaultKind::Qps, class::THROTTLED),
        (FaultKind::MonthSpent, class::QUOTA_SPENT),
        (FaultKind::Truncated, class::BROKEN),
    ] {
        bench.simulator.clear_faults();
        bench.simulator.add_fault(Fault::new(kind).on(FaultTarget::Meetings));
        assert_eq!(bench.client.ongoing_meetings(1).await.unwrap_err().class, class, "{kind:?}");
        assert_eq!(bench.client.meeting(&id(ONE)).await.unwrap_err().class, class, "{kind:?}");
    }
}

#[tokio::test]
async fn answers_with_wrong_content_are_well_formed() {
    let bench = Bench::play(SCENE).await;
    bench.simulator.add_fault(Fault::new(FaultKind::NoMeetings).on(FaultTarget::Meetings));
    let ongoing = bench.ongoing().await;
    assert_eq!((ongoing.meetings.len(), ongoing.complete), (0, true));
    bench.simulator.clear_faults();
    bench.simulator.add_fault(Fault::new(FaultKind::NobodyInside).on(FaultTarget::Meetings));
    assert_eq!(bench.users(ONE).await, Some(vec![]));
    bench.simulator.clear_faults();
    bench.simulator.add_fault(Fault::new(FaultKind::WronglyInside).on(FaultTarget::Meetings).who("u-cleo"));
    assert!(bench.users(ONE).await.unwrap().contains(&("u-cleo".to_owned(), Some(3))));
    bench.simulator.clear_faults();
    bench.turn(|options| options.foreign_meetings = ForeignMeetings::Listed);
    bench.simulator.add_fault(Fault::new(FaultKind::OtherPerson).on(FaultTarget::Meetings));
    assert_eq!(bench.client.meeting(&id(ONE)).await.unwrap_err().class, class::MALFORMED);
    assert_eq!(bench.client.meeting_members(&id(ONE), 1).await.unwrap_err().class, class::MALFORMED);
}

#[tokio::test]
async fn what_goes_over_the_wire_is_what_the_documents_say() {
    let fake = Fake::with_list(http(200, r#"{"infos":[]}"#)).await;
    let odd = id("a/b?c");
    fake.client().meetings_with_users(&[id(ONE), odd.clone()]).await.unwrap();
    fake.client().meeting(&odd).await.unwrap_err();
    fake.client().meeting_members(&odd, 1).await.unwrap_err();
    fake.client().ongoing_meetings(1).await.unwrap_err();
    let seen = fake.seen();
    let lines: Vec<&str> =
        seen.iter().map(|seen| seen.line.as_str()).filter(|line| !line.contains("oauth2")).collect();
    assert_eq!(
        lines,
        [
            "POST /v1.0/conference/videoConferences/query",
            "GET /v1.0/conference/videoConferences/a%2Fb%3Fc",
            "GET /v1.0/conference/videoConferences/a%2Fb%3Fc/members",
            "GET /v1.0/conference/orgConferences?maxResults=20",
        ]
    );
    let batch = seen.iter().find(|seen| seen.line.starts_with("POST /v1.0/conference")).unwrap();
    assert_eq!(batch.body, format!(r#"{{"conferenceIdList":["{ONE}","a/b?c"]}}"#));
    assert!(batch.head.contains("content-type: application/json"));
    assert_eq!(batch.token.as_deref(), Some("tok"));
}

#[tokio::test]
async fn a_userid_is_had_from_the_contacts_by_unionid_and_costs_nothing() {
    let bench = Bench::play(SCENE).await;
    let of = async |who: &str| bench.client.userid_of(&UnionId::parse(who).unwrap()).await;
    assert_eq!(of("u-ann").await.unwrap().as_deref(), Some("user0"));
    assert_eq!(of("u-ben").await.unwrap(), None, "a contact outside is not one of the organisation's people");
    assert_eq!(of("u-unknown").await.unwrap(), None);
    bench.simulator.add_fault(Fault::new(FaultKind::Permission).on(FaultTarget::Contacts).times(1));
    let error = of("u-ann").await.unwrap_err();
    assert_eq!((error.class, error.verdict, error.calls), (class::FORBIDDEN, Verdict::Forbidden, 0));
    bench.simulator.add_fault(Fault::new(FaultKind::ServerError).on(FaultTarget::Contacts).times(1));
    assert_eq!(of("u-ann").await.unwrap_err().calls, 0);
    bench.simulator.add_fault(Fault::new(FaultKind::Ban).on(FaultTarget::Contacts).times(1));
    assert_eq!(of("u-ann").await.unwrap_err().verdict, Verdict::Banned);
    assert_eq!(of("u-cleo").await.unwrap().as_deref(), Some("user2"));
    let counts = bench.simulator.counts();
    assert_eq!((counts.calls_to(api::CONTACTS), counts.charged), (7, 0));
}
