//! A month of fifty people on a clock that jumps: what is spent.
//!
//! Guards: the month's calls are never exceeded and hardly any is left over, whatever goes wrong in between; what is
//! written down is what DingTalk counted, or a little more. Deliberately not here: how well the calls are spent (`policy::replay`).

#![expect(clippy::unwrap_used, reason = "a test that does not get this far has failed")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use presenced::simulator::faults::FaultTarget;
use presenced::simulator::{Fault, FaultKind, Scenario, api};

use crate::house::at;
use crate::poller_harness::Office;

const PEOPLE: usize = 50;
const CALLS: u64 = 5_000;

fn member(index: usize) -> String {
    format!("member{index:02}iEiE")
}

/// Ten teams: a stand-up each morning, a meeting on its own hour each afternoon, and calls of two.
fn scenario() -> Scenario {
    let mut text = String::from("starts = \"00:00\"\nrepeat = \"24h\"\n[people]\n");
    for index in 0..PEOPLE {
        writeln!(text, "p{index} = {{ union_id = \"{}\" }}", member(index)).unwrap();
    }
    text.push_str("[meetings]\n");
    for team in 0..10 {
        writeln!(text, "standup{team} = {{}}\nafternoon{team} = {{}}\ncall{team} = {{}}").unwrap();
    }
    text.push_str("[script]\nsteps = [\n");
    let mut steps = BTreeMap::new();
    for team in 0..10 {
        let mut step = |minute: usize, act: &str| steps.insert((minute, steps.len()), act.to_owned());
        let who: Vec<String> = (0..5).map(|seat| format!("\"p{}\"", team * 5 + seat)).collect();
        let all = who.join(", ");
        let (morning, afternoon, call) = (9 * 60 + team * 5, 14 * 60 + team * 12, 11 * 60 + team * 7);
        step(morning, &format!("do = \"join\", who = [{all}], meeting = \"standup{team}\""));
        step(morning + 22, &format!("do = \"end\", meeting = \"standup{team}\""));
        step(call, &format!("do = \"join\", who = [{}, {}], meeting = \"call{team}\"", who[0], who[3]));
        step(call + 9, &format!("do = \"end\", meeting = \"call{team}\""));
        step(afternoon, &format!("do = \"join\", who = [{all}], meeting = \"afternoon{team}\""));
        step(afternoon + 50, &format!("do = \"end\", meeting = \"afternoon{team}\""));
    }
    for ((minute, _), act) in steps {
        writeln!(text, "{{ at = \"{:02}:{:02}\", {act} }},", minute / 60, minute % 60).unwrap();
    }
    text.push_str("]\n");
    Scenario::parse(&text, "a month").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_looks_with_troubles_spends_its_calls_and_not_one_more() {
    a_month("off").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_with_sweeps_and_troubles_spends_its_calls_and_not_one_more() {
    let office = a_month("auto").await;
    let listed = office.dingtalk.counts().calls_to(api::ORG_MEETINGS);
    assert!(listed > 500, "sweeps were made: {listed}");
}

/// All of November, to a minute before it turns.
async fn a_month(sweep: &str) -> Office {
    let user = |index| format!("[[user]]\nunion_id = \"{}\"\n", member(index));
    let users = (0..PEOPLE).map(user).collect::<Vec<_>>().concat();
    let config = format!(
        "calls_per_month = {CALLS}\ntimeout = \"100ms\"\n\
         [poll]\nsweep = \"{sweep}\"\n[[window]]\ndays = [\"mon-fri\"]\nfrom = \"08:30\"\nto = \"19:30\"\n{users}"
    );
    // The month begins in Shanghai.
    let began = at("2026-10-31T16:00:00Z");
    let office = Office::open("2026-10-31T16:00:00Z", scenario(), &config).await;
    for (kind, every, times) in [
        (FaultKind::Qps, 41, u64::MAX),
        (FaultKind::ServerError, 97, u64::MAX),
        (FaultKind::Hang, 433, u64::MAX),
        (FaultKind::Drop, 307, u64::MAX),
        (FaultKind::Ban, 601, 3),
    ] {
        for on in [FaultTarget::Lists, FaultTarget::Meetings] {
            office.dingtalk.add_fault(Fault { every, on, ..Fault::new(kind).times(times) });
        }
    }
    let polling = office.start().await;
    // A minute before it turns.
    office.pass_until(&polling, at("2026-11-30T15:59:00Z"), Duration::from_mins(2)).await;
    let counts = office.dingtalk.counts();
    // DingTalk charges everything but what a rate limit refused.
    let paths = [api::LISTS, api::ORG_MEETINGS, api::MEETING_QUERY, api::MEETING_MEMBERS];
    let made: u64 = paths.map(|path| counts.calls_to(path)).iter().sum();
    let charged = made - counts.refused(FaultKind::Qps.name());
    for kind in [FaultKind::Qps, FaultKind::ServerError, FaultKind::Hang, FaultKind::Drop, FaultKind::Ban] {
        assert!(counts.refused(kind.name()) >= 3, "{} struck: {:?}", kind.name(), counts.refusals);
    }
    let visits = office.store.history().recent_visits(began, 100_000).await.unwrap().len();
    assert!(visits > 1_000, "people were seen in meetings: {visits}");
    polling.end().await;
    let written = office.usage("2026-11").await.used;
    // A call that ran out of time before it arrived may be counted here and not there, never the other way round.
    assert!(
        (charged..=charged + counts.refused("hang")).contains(&written),
        "{written} written, {charged} made"
    );
    assert!(written <= CALLS, "{written} of {CALLS}");
    assert!(charged * 100 >= CALLS * 97, "{charged} of {CALLS}: more than 3 % were left over");
    office
}
