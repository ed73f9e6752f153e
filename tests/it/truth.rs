//! Made-up lives in which everything that DingTalk does wrong happens: what is told is what really was.
//!
//! Guards: no join and no leave is invented, misdated, told twice or lost, by looks alone, beside sweeps and with meetings
//! asked, over restarts. Deliberately not here: each rule by itself (`presence`), lies one by one (`sweep_lies`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::time::Duration;

use presenced::clock::Clock as _;
use presenced::simulator::faults::FaultTarget;
use presenced::simulator::options::{BatchUser, EndedInBatch, EndedMembers, Leavers, NoMeeting};
use presenced::simulator::{AnswerOptions, Fault, FaultKind, Scenario};
use presenced::store::history::EventQuery;
use serde_json::Value;

use crate::house::at;
use crate::poller_harness::Office;
use crate::sweep::{id, users};

mod check;
mod day;
mod life;

use life::{Dice, Life};

const FROM: &str = "2026-11-23T02:00:00Z";
const PEOPLE: usize = 10;
/// Watched like the others, and never in a meeting.
const HERMIT: usize = PEOPLE;
const MEETINGS: usize = 9;
/// Meetings begin after this, when trust in sweeps has had its chance, and the last one ends before the day does.
const QUIET_S: u64 = 1_200;
const DAY_S: u64 = 14_400;
/// Long enough for what is still open to be noticed.
const AFTER_S: u64 = 3_600;
const STEP: Duration = Duration::from_secs(15);

/// How people are watched.
struct Watch {
    poll: &'static str,
    calls_per_month: u32,
    /// Stays at least so long are told, whatever goes wrong.
    long_s: u64,
    /// What goes wrong, and every how manieth time.
    faults: &'static [(FaultKind, FaultTarget, u64)],
}

const BY_LOOKS: Watch = Watch {
    poll: "interval = \"1m\"\nmin_interval = \"10s\"\nsweep = \"off\"",
    calls_per_month: 500_000,
    long_s: 1_200,
    faults: &[
        (FaultKind::ServerError, FaultTarget::Lists, 13),
        (FaultKind::Garbage, FaultTarget::Lists, 29),
        (FaultKind::NoBody, FaultTarget::Lists, 31),
        (FaultKind::Errcode, FaultTarget::Lists, 37),
        (FaultKind::Truncated, FaultTarget::Lists, 43),
        (FaultKind::Qps, FaultTarget::Lists, 47),
        (FaultKind::BanPage, FaultTarget::Lists, 211),
        (FaultKind::Ban, FaultTarget::Lists, 499),
    ],
};

const ASKING_MEETINGS: Watch = Watch {
    poll: "interval = \"1m\"\nmin_interval = \"10s\"\nsweep = \"off\"\nconfirm_calls = true",
    faults: &[
        (FaultKind::ServerError, FaultTarget::Lists, 17),
        (FaultKind::Errcode, FaultTarget::Lists, 53),
        (FaultKind::ServerError, FaultTarget::MeetingInfo, 3),
        (FaultKind::Garbage, FaultTarget::MeetingMembers, 4),
    ],
    ..BY_LOOKS
};

const BY_SWEEPS: Watch = Watch {
    poll: "interval = \"30m\"\nmin_interval = \"10s\"\nsweep = \"2m\"",
    calls_per_month: 500_000,
    long_s: 1_500,
    faults: &[
        (FaultKind::ServerError, FaultTarget::Lists, 11),
        (FaultKind::ServerError, FaultTarget::MeetingQuery, 19),
        (FaultKind::Errcode, FaultTarget::OrgMeetings, 23),
        (FaultKind::Truncated, FaultTarget::MeetingMembers, 3),
        (FaultKind::NoMeetings, FaultTarget::OrgMeetings, 17),
        (FaultKind::NoMeetings, FaultTarget::MeetingQuery, 29),
        (FaultKind::NobodyInside, FaultTarget::MeetingQuery, 31),
        (FaultKind::WronglyInside, FaultTarget::MeetingQuery, 13),
    ],
};

/// With so few calls stays may be missed; what is told must be so all the same.
const WITH_FEW_CALLS: Watch = Watch {
    poll: "min_interval = \"10s\"",
    calls_per_month: 60_000,
    long_s: u64::MAX,
    faults: &[
        (FaultKind::ServerError, FaultTarget::Lists, 11),
        (FaultKind::ServerError, FaultTarget::MeetingQuery, 19),
        (FaultKind::Errcode, FaultTarget::OrgMeetings, 23),
        (FaultKind::WronglyInside, FaultTarget::MeetingQuery, 13),
    ],
};

/// Lives of this seed, watched so, with one restart in the middle.
async fn differences(watch: &Watch, knobs: AnswerOptions, seed: u64) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let life = Life::new(&mut dice, PEOPLE, MEETINGS, QUIET_S, DAY_S);
    let users = users(HERMIT + 1);
    let config = format!("calls_per_month = {}\n[poll]\n{}\n{users}", watch.calls_per_month, watch.poll);
    let office = Office::open(FROM, Scenario::parse(&life.scenario(), "lives").unwrap(), &config).await;
    office.dingtalk.set_options(knobs);
    for (kind, on, every) in watch.faults {
        let mut fault = Fault { every: *every, on: *on, ..Fault::new(*kind) };
        if *kind == FaultKind::WronglyInside {
            // Who was there a moment ago would only seem to leave a little later.
            fault = fault.who(&id(HERMIT));
        }
        office.dingtalk.add_fault(fault);
    }
    let restart_s = QUIET_S + dice.roll(DAY_S - QUIET_S);
    let polling = office.start().await;
    office.pass_until(&polling, at(FROM).plus(Duration::from_secs(restart_s)), STEP).await;
    polling.end().await;
    office.clock.set(office.clock.now().plus(Duration::from_secs(dice.roll(240))));
    let polling = office.start().await;
    office.pass_until(&polling, at(FROM).plus(Duration::from_secs(DAY_S)), STEP).await;
    office.dingtalk.clear_faults();
    office.pass_until(&polling, at(FROM).plus(Duration::from_secs(DAY_S + AFTER_S)), STEP).await;
    polling.end().await;
    let query = EventQuery { after: Some(0), limit: 100_000, ..EventQuery::default() };
    let rows = office.store.history().events(&query).await.unwrap();
    let events: Vec<Value> = rows.iter().map(|row| serde_json::from_str(&row.body).unwrap()).collect();
    check::differences(&events, &life.stays, at(FROM), watch.long_s)
}

/// A few seeds; more if `PRESENCED_TEST_LIVES` says how many.
async fn are_told(watch: &Watch, knobs: impl Fn(&mut Dice) -> AnswerOptions) {
    let lives = std::env::var("PRESENCED_TEST_LIVES").ok().map_or(2, |lives| lives.parse().unwrap());
    let mut wrong = Vec::new();
    for seed in 1..=lives {
        let differences = differences(watch, knobs(&mut Dice::new(seed + 1_000)), seed).await;
        wrong.extend(differences.into_iter().map(|difference| format!("life {seed}: {difference}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What no document settles.
fn undecided(dice: &mut Dice) -> AnswerOptions {
    AnswerOptions {
        leavers: if dice.one_in(2) { Leavers::Dropped } else { Leavers::Kept },
        no_meeting: if dice.one_in(2) { NoMeeting::Empty } else { NoMeeting::Lists },
        batch_user: if dice.one_in(2) { BatchUser::UserId } else { BatchUser::UnionId },
        ended_in_batch: if dice.one_in(2) { EndedInBatch::Refused } else { EndedInBatch::LeftOut },
        ended_members: if dice.one_in(2) { EndedMembers::Refused } else { EndedMembers::Kept },
        ..AnswerOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_tell_what_was() {
    are_told(&BY_LOOKS, undecided).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_that_ask_meetings_tell_what_was() {
    are_told(&ASKING_MEETINGS, undecided).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_tell_what_was() {
    are_told(&BY_SWEEPS, undecided).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_by_few_calls_was() {
    are_told(&WITH_FEW_CALLS, undecided).await;
}
