//! Answers without any meeting for many users at once: a few seconds of them, and the end of work.
//!
//! Guards: seconds of empty answers end no visit; users who are gone leave; one to four users leave no later than before.
//! Not here: the decision (`policy::mass_absence`), sweeps that lie (`sweep_lies`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::fmt::Write as _;
use std::time::Duration;

use presenced::simulator::faults::FaultTarget;
use presenced::simulator::{Fault, FaultKind, Scenario, api};

use crate::house::at;
use crate::poller_harness::Office;

const FROM: &str = "2026-11-23T06:00:00Z";
const SECOND: Duration = Duration::from_secs(1);

/// So many users, in so many meetings from the start, on a poll a second.
async fn office(users: usize, meetings: usize) -> Office {
    office_where(users, meetings, "").await
}

/// More happens later.
async fn office_where(users: usize, meetings: usize, more: &str) -> Office {
    let (mut people, mut steps, mut config) = (String::new(), String::new(), String::new());
    for user in 0..users {
        writeln!(people, "p{user} = {{ union_id = \"u-{user}\" }}").unwrap();
        let meeting = user % meetings;
        writeln!(steps, "{{ at = \"+0s\", do = \"join\", who = [\"p{user}\"], meeting = \"m{meeting}\" }},")
            .unwrap();
        writeln!(config, "[[user]]\nunion_id = \"u-{user}\"").unwrap();
    }
    steps += more;
    let mut rooms = String::new();
    for meeting in 0..meetings {
        writeln!(rooms, "m{meeting} = {{}}").unwrap();
    }
    let scene = format!(
        "[knobs]\nleavers = \"dropped\"\n[people]\n{people}[meetings]\n{rooms}[script]\nsteps = [{steps}]\n"
    );
    let poll = "calls_per_month = 0\nrate = 1000\n[poll]\ninterval = \"1s\"\nmin_interval = \"1s\"\n";
    let scenario = Scenario::parse(&scene, "many inside").unwrap();
    Office::open(FROM, scenario, &format!("{poll}{config}")).await
}

async fn left(office: &Office) -> usize {
    office.told("meeting.participant_left").await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn seconds_of_empty_answers_for_twelve_users_end_no_visit() {
    let office = office(12, 4).await;
    let polling = office.start().await;
    let from = at(FROM);
    office.pass_until(&polling, from.plus(SECOND * 5), SECOND).await;
    office.dingtalk.add_fault(Fault::new(FaultKind::NoMeetings).on(FaultTarget::Lists));
    office.pass_until(&polling, from.plus(SECOND * 15), SECOND).await;
    office.dingtalk.clear_faults();
    office.pass_until(&polling, from.plus(SECOND * 60), SECOND).await;
    polling.end().await;
    assert_eq!(office.told("meeting.participant_joined").await.len(), 12);
    assert_eq!(left(&office).await, 0);
    assert_eq!(office.dingtalk.counts().calls_to(api::ORG_MEETINGS), 1, "one call for a second answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_second_answer_twice_the_misses_are_needed_and_suffice() {
    let office = office(12, 4).await;
    let polling = office.start().await;
    let from = at(FROM);
    office.pass_until(&polling, from.plus(SECOND * 5), SECOND).await;
    office.dingtalk.add_fault(Fault::new(FaultKind::Permission).on(FaultTarget::OrgMeetings));
    office.dingtalk.add_fault(Fault::new(FaultKind::NoMeetings).on(FaultTarget::Lists));
    office.pass_until(&polling, from.plus(SECOND * 7), SECOND).await;
    assert_eq!(left(&office).await, 0);
    office.pass_until(&polling, from.plus(SECOND * 15), SECOND).await;
    polling.end().await;
    assert_eq!(left(&office).await, 12);
}

/// As soon as ever: the second poll a second later decides.
#[tokio::test(flavor = "multi_thread")]
async fn one_two_and_four_users_leave_as_soon_as_two_polls_miss_them() {
    for (users, meetings) in [(1, 1), (2, 2), (4, 1)] {
        let office = office(users, meetings).await;
        let polling = office.start().await;
        let from = at(FROM);
        office.pass_until(&polling, from.plus(SECOND * 5), SECOND).await;
        office.dingtalk.add_fault(Fault::new(FaultKind::NoMeetings).on(FaultTarget::Lists));
        office.pass_until(&polling, from.plus(SECOND * 8), SECOND).await;
        polling.end().await;
        assert_eq!(left(&office).await, users, "{users} users in {meetings} meetings");
        assert_eq!(office.dingtalk.counts().calls_to(api::ORG_MEETINGS), 0, "no second answer is asked for");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_true_mass_leave_users_leave_one_by_one_as_soon_as_two_polls_miss_them() {
    let ends = (0..3).map(|meeting| format!("{{ at = \"+10s\", do = \"end\", meeting = \"m{meeting}\" }},"));
    let leave =
        |(at, user)| format!("{{ at = \"+{at}s\", do = \"leave\", who = [\"p{user}\"], meeting = \"m3\" }},");
    let more: String = ends.chain([(30, 3), (60, 7)].map(leave)).collect();
    let office = office_where(12, 4, &more).await;
    let polling = office.start().await;
    for (seconds, gone) in [(29, 9), (33, 10), (63, 11)] {
        office.pass_until(&polling, at(FROM).plus(SECOND * seconds), SECOND).await;
        assert_eq!(left(&office).await, gone, "after {seconds} s");
    }
    polling.end().await;
    // Another one where the answer came before the last of them was missed.
    let calls = office.dingtalk.counts().calls_to(api::ORG_MEETINGS);
    assert!((1..=2).contains(&calls), "{calls} calls for a second answer");
}
