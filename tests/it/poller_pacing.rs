//! The pacing rule in the poller: habits out of the stored history, restarts, others' calls, other limits.
//!
//! Guards: the daemon looks when the rule says so and tells the same; neither a restart nor a reload makes a burst; who
//! has a cadence of their own keeps it. Deliberately not here: the rule (`policy::pace`), a whole month (`virtual_month`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use presenced::clock::Clock as _;
use presenced::ids::{ConferenceId, Identity, OrgName, UnionId, VisitId};
use presenced::policy::pace::PollDecision;
use presenced::policy::pace::pacer::Rule;
use presenced::presence::user_state::UserState;
use presenced::presence::visit::{Basis, LeftReason, Visit, VisitEnd};
use presenced::simulator::Scenario;
use presenced::store::{Enrolment, Recording, Usage};
use presenced::time::Timestamp;

use crate::house::at;
use crate::poller_harness::{Office, Polling};

const DAY: Duration = Duration::from_hours(24);
const MINUTE: Duration = Duration::from_mins(1);
const OFFICE: &str =
    "[poll]\nsweep = \"off\"\n[[window]]\ndays = [\"mon-fri\"]\nfrom = \"08:30\"\nto = \"19:30\"\n";
/// Monday, half an hour before the window opens in Shanghai.
const MONDAY: &str = "2026-11-23T00:00:00Z";
/// When everybody joins the stand-up: ten o'clock.
const STAND_UP: &str = "2026-11-23T02:00:00Z";

fn member(index: usize) -> String {
    format!("member{index:02}iEiE")
}

fn identity(index: usize) -> Identity {
    Identity { org: OrgName::default_name(), union_id: UnionId::parse(&member(index)).unwrap() }
}

fn users(people: std::ops::Range<usize>, more: &str) -> String {
    let user = |index| format!("[[user]]\nunion_id = \"{}\"\n{more}\n", member(index));
    people.map(user).collect::<Vec<_>>().concat()
}

/// All are in one stand-up from ten to twenty-five past, each day. It starts at eight.
fn scenario(people: usize) -> Scenario {
    let mut text = String::from("starts = \"08:00\"\nrepeat = \"24h\"\n[people]\n");
    for index in 0..people {
        writeln!(text, "p{index} = {{ union_id = \"{}\" }}", member(index)).unwrap();
    }
    let all = (0..people).map(|index| format!("\"p{index}\"")).collect::<Vec<_>>().join(", ");
    write!(
        text,
        "[meetings]\nstandup = {{}}\n[script]\nsteps = [\n\
         {{ at = \"10:00\", do = \"join\", who = [{all}], meeting = \"standup\" }},\n\
         {{ at = \"10:25\", do = \"end\", meeting = \"standup\" }},\n]\n"
    )
    .unwrap();
    Scenario::parse(&text, "stand-ups").unwrap()
}

/// Four weeks of such stand-ups, as a daemon would have written them down.
async fn remember(office: &Office, people: usize) {
    let enrolment = |index| Enrolment { identity: identity(index), name: member(index), groups: Vec::new() };
    let (enrolled, _) = office.store.watch_list().enroll((0..people).map(enrolment).collect()).await.unwrap();
    for (index, person) in enrolled.iter().enumerate() {
        let visits = (1..=28_u32).rev().filter(|back| ![1, 2].contains(&(back % 7)));
        office
            .store
            .recorder()
            .record(Recording {
                person_id: person.person_id,
                org: OrgName::default_name(),
                snapshot: None,
                belief: UserState::default(),
                visits: visits.map(|back| stand_up(index, back)).collect(),
                meetings: Vec::new(),
                events: Vec::new(),
                watched: true,
                polled_at: None,
                next_poll: None,
            })
            .await
            .unwrap();
    }
}

fn stand_up(index: usize, back: u32) -> Visit {
    let joined = at(STAND_UP).minus(DAY * back);
    let left = joined.plus(25 * MINUTE);
    Visit {
        id: VisitId::parse(&format!("vis_{index}_{back}")).unwrap(),
        conference_id: ConferenceId::parse(&format!("stand-up-{back}")).unwrap(),
        ordinal: 1,
        anchor: joined,
        joined,
        join_basis: Basis::Reported,
        end: Some(VisitEnd {
            at: left,
            reason: LeftReason::MeetingEnded,
            basis: Basis::Reported,
            earliest: left,
            latest: left,
        }),
        role: presenced::presence::attendance::Role::Attendee,
        external: false,
        by_phone: false,
        device: None,
        nick: None,
    }
}

async fn rest_of_month(office: &Office, limit: u64, left: u64) {
    let usage = Usage { used: limit - left, throttled: 0 };
    office
        .store
        .call_usage()
        .set(OrgName::default_name(), "2026-11".into(), usage, Some(limit), None)
        .await
        .unwrap();
}

/// When everybody is looked at next, as the poller has it.
async fn dues(polling: &Polling, people: usize) -> BTreeMap<usize, Timestamp> {
    let mut dues = BTreeMap::new();
    for index in 0..people {
        dues.insert(index, polling.looks.explain(identity(index)).await.unwrap().due);
    }
    dues
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_history_teaches_decides_when_to_look_and_a_restart_changes_nothing() {
    const PEOPLE: usize = 8;
    // Six days are left, and twenty-five calls for each of them.
    let config = format!("calls_per_month = 5000\n{OFFICE}{}", users(0..PEOPLE, ""));
    let office = Office::open(MONDAY, scenario(PEOPLE), &config).await;
    remember(&office, PEOPLE).await;
    rest_of_month(&office, 5_000, 150).await;
    let polling = office.start().await;
    let step = Duration::from_secs(20);
    office.pass_until(&polling, at("2026-11-23T01:30:00Z"), step).await;

    // A restart keeps what was planned.
    let planned = dues(&polling, PEOPLE).await;
    polling.end().await;
    let before = office.calls();
    let polling = office.start().await;
    assert_eq!(dues(&polling, PEOPLE).await, planned);
    assert_eq!(office.calls(), before, "and nobody is looked at because of it");

    office.pass_until(&polling, at(STAND_UP).minus(5 * MINUTE), step).await;
    let before = office.calls();
    office.pass_until(&polling, at(STAND_UP).plus(35 * MINUTE), step).await;
    let about_ten = office.calls() - before;
    // Forty minutes of eleven hours: even spreading would spend one or two of its twenty-five calls here.
    assert!(about_ten >= 8, "{about_ten} calls when everybody always meets");
    let inside = office.store.history().recent_visits(at(STAND_UP).minus(MINUTE), 100).await.unwrap();
    assert!(inside.len() >= PEOPLE / 2, "seen in the stand-up: {}", inside.len());
    assert!(office.calls() <= before + 40, "calls are not thrown away: {}", office.calls());

    // What explains a look is the decision that gave it.
    let explained = polling.looks.explain(identity(0)).await.unwrap();
    let (PollDecision::Poll(planned, why) | PollDecision::Replan(planned, why)) = explained.next;
    assert_eq!((explained.due, explained.instead), (planned, None));
    assert!(explained.decided <= office.clock.now() && explained.due > office.clock.now());
    assert!(matches!(why.rule, Rule::Worth | Rule::NotWorth | Rule::Spent), "{why:?}");
    assert!(polling.looks.explain(identity(99)).await.is_err());
    polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_an_interval_of_their_own_keeps_it_and_the_others_share_the_rest() {
    const PACED: usize = 6;
    let fixed = users(PACED..PACED + 2, "interval = \"10m\"");
    let config = format!("calls_per_month = 5000\n{OFFICE}{}{fixed}", users(0..PACED, ""));
    let office = Office::open(MONDAY, scenario(PACED + 2), &config).await;
    remember(&office, PACED + 2).await;
    // Six open days of eleven hours: 2 x 396 calls of theirs, and 408 more.
    rest_of_month(&office, 5_000, 1_200).await;
    let polling = office.start().await;
    office.pass_until(&polling, at("2026-11-30T15:59:00Z"), MINUTE).await;
    polling.end().await;
    let calls = office.calls();
    assert!((1_164..=1_200).contains(&calls), "{calls} of 1200");
    let answers = office.dingtalk.counts().answers;
    for index in PACED..PACED + 2 {
        assert!((390..=402).contains(&answers[&member(index)]), "{answers:?}");
    }
    assert_eq!(office.usage("2026-11").await.used, 3_800 + calls);
}

/// Forty people, a month that has 600 of its 5,000 calls left, and a poller that runs.
async fn nearly_spent() -> (Office, Polling) {
    let office = Office::open(MONDAY, scenario(FORTY), &with_limit(5_000)).await;
    remember(&office, FORTY).await;
    rest_of_month(&office, 5_000, 600).await;
    let polling = office.start().await;
    (office, polling)
}

const FORTY: usize = 40;

fn with_limit(calls_per_month: u64) -> String {
    format!("calls_per_month = {calls_per_month}\n{OFFICE}{}", users(0..FORTY, ""))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_limit_counts_from_what_is_used_and_makes_no_burst() {
    let (mut office, polling) = nearly_spent().await;
    let step = Duration::from_secs(20);
    office.pass_until(&polling, at("2026-11-23T05:00:00Z"), step).await;

    // Ten times as much is left now: everybody gets a turn sooner, but not all at once.
    let before = office.calls();
    office.reconfigure(&with_limit(10_000));
    office.reload(&polling).await;
    let at_once = office.calls() - before;
    assert!(at_once <= 2, "{at_once} calls at once");
    office.pass_until(&polling, at("2026-11-23T05:02:00Z"), step).await;
    let soon = office.calls() - before;
    assert!(soon <= 12, "{soon} calls in two minutes");
    office.pass_until(&polling, at("2026-11-23T07:00:00Z"), step).await;
    let later = office.calls() - before;
    // Evenly spread, two of sixty-six open hours had eighteen of the old limit's six hundred calls.
    assert!(later > 30, "{later} calls in two hours, of 5600 for 64 open hours");

    // Less than is used already: not one call more.
    office.reconfigure(&with_limit(4_000));
    office.reload(&polling).await;
    let before = office.calls();
    office.pass_until(&polling, at("2026-11-24T07:00:00Z"), MINUTE).await;
    assert_eq!(office.calls(), before);

    // And ten more than is used.
    let used = 4_400 + office.calls();
    office.reconfigure(&with_limit(used + 10));
    office.reload(&polling).await;
    office.pass_until(&polling, at("2026-11-30T15:59:00Z"), 5 * MINUTE).await;
    let spent = office.calls() - before;
    assert!((8..=10).contains(&spent), "{spent} of ten");
    polling.end().await;
    assert_eq!(office.usage("2026-11").await.used, used + spent);
}

/// What is held back in a quiet hour is not lost: it goes where more is to be seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_was_raised_is_spent_when_the_month_turns() {
    let (mut office, polling) = nearly_spent().await;
    office.pass_until(&polling, at("2026-11-23T05:00:00Z"), MINUTE).await;
    office.reconfigure(&with_limit(10_000));
    office.reload(&polling).await;
    office.pass_until(&polling, at("2026-11-30T15:59:00Z"), MINUTE).await;
    polling.end().await;
    let used = office.usage("2026-11").await.used;
    // With six days left, and a history in which hardly anything happens, the price is found late.
    assert!((9_500..=10_000).contains(&used), "{used} of 10,000");
}

/// Nobody is looked at in closed time, nor in a bunch when it opens; who is new is not looked at twice.
#[tokio::test(flavor = "multi_thread")]
async fn people_and_windows_that_change_make_no_burst() {
    const PEOPLE: usize = 30;
    let config = |people, hours: &str| format!("calls_per_month = 5000\n{hours}{}", users(0..people, ""));
    let mut office = Office::open(MONDAY, scenario(PEOPLE), &config(20, OFFICE)).await;
    remember(&office, PEOPLE).await;
    rest_of_month(&office, 5_000, 1_500).await;
    let polling = office.start().await;
    assert_eq!(office.calls(), 0, "it is closed");
    office.pass_until(&polling, at("2026-11-23T00:31:00Z"), Duration::from_secs(20)).await;
    assert!(office.calls() <= 8, "{} calls in the first minute", office.calls());
    office.pass_until(&polling, at("2026-11-23T04:00:00Z"), Duration::from_secs(20)).await;

    let before = office.dingtalk.counts().answers;
    office.reconfigure(&config(PEOPLE, OFFICE));
    office.reload(&polling).await;
    office.pass_until(&polling, at("2026-11-23T04:02:00Z"), Duration::from_secs(20)).await;
    let after = office.dingtalk.counts().answers;
    let new = (20..PEOPLE).filter(|&index| after.contains_key(&member(index))).count();
    assert_eq!(new, 10, "who is new is looked at");
    let old = |counts: &BTreeMap<String, u64>| -> u64 {
        (0..20).map(|index| counts.get(&member(index)).copied().unwrap_or(0)).sum()
    };
    assert!(old(&after) - old(&before) <= 6, "the others are not: {before:?} {after:?}");

    // It closes at noon from now on: that is over.
    let short = OFFICE.replace("19:30", "12:00");
    office.reconfigure(&config(PEOPLE, &short));
    office.reload(&polling).await;
    let before = office.calls();
    office.pass_until(&polling, at("2026-11-24T00:30:00Z"), MINUTE).await;
    assert_eq!(office.calls(), before, "nobody is looked at in closed time");
    office.pass_until(&polling, at("2026-11-24T04:00:00Z"), MINUTE).await;
    assert!(office.calls() > before + 60, "the morning: {}", office.calls() - before);
    polling.end().await;
}
