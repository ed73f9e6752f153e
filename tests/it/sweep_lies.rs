//! Sweeps that lie, one test for each lie: no join and no leave is made by it, and none is lost.
//!
//! Guards: what every receiver counts on. Each lies while sweeps are trusted; nobody comes or goes meanwhile (or exactly
//! two do), and afterwards two come and go and are told once each. Deliberately not here: the rules that see to it
//! (`presence::sweep`, `policy::sweep::decision`).

use std::time::Duration;

use presenced::simulator::faults::FaultTarget;
use presenced::simulator::options::Lag;
use presenced::simulator::{AnswerOptions, Fault, FaultKind, api};
use presenced::telemetry::health::SweepState;

use crate::house::at;
use crate::sweep::{Desk, FROM, JOINED, LEFT, PEOPLE, SITTING, STEP, by_sweep, config, id, scene};

/// After the lie, unless a test says otherwise.
const TWO_COME_AND_GO: &str = r#"
  { at = "+1790s", do = "join", who = ["p8", "p9"], meeting = "m" },
  { at = "+2500s", do = "leave", who = ["p8", "p9"], meeting = "m" },
"#;
const END: u32 = 54;

/// Those two, told once each, and nobody else.
async fn two_came_and_went(desk: &Desk) {
    assert_eq!(desk.told().await, (SITTING + 2, 2));
    for person in [8, 9] {
        assert_eq!((desk.of(JOINED, person).await.len(), desk.of(LEFT, person).await.len()), (1, 1));
    }
}

/// From minute 19, when looks are long enough ago not to outrank every sweep, to 27: in several sweeps.
async fn lie(fault: Fault) {
    let desk = Desk::open_at(TWO_COME_AND_GO, 19).await;
    assert_eq!(desk.standing().state, SweepState::Trusted);
    let before = desk.sweeps();
    desk.office.dingtalk.add_fault(fault);
    desk.until(27).await;
    assert!(desk.sweeps() > before, "it was swept");
    assert_eq!(desk.told().await, (SITTING, 0));
    desk.office.dingtalk.clear_faults();
    desk.until(END).await;
    two_came_and_went(&desk).await;
    desk.polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list() {
    lie(Fault::new(FaultKind::NoMeetings).on(FaultTarget::OrgMeetings)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_batch() {
    lie(Fault::new(FaultKind::NoMeetings).on(FaultTarget::MeetingQuery)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_missing() {
    lie(Fault::new(FaultKind::NobodyInside).on(FaultTarget::Meetings)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_body() {
    lie(Fault::new(FaultKind::Ban).on(FaultTarget::OrgMeetings).times(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_proxy() {
    lie(Fault::new(FaultKind::BanPage).on(FaultTarget::MeetingQuery).times(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_json() {
    lie(Fault::new(FaultKind::Errcode).on(FaultTarget::Meetings).times(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_person_wrongly_inside_alone() {
    lie(Fault::new(FaultKind::WronglyInside).on(FaultTarget::MeetingQuery).who(&id(11))).await;
}

/// The sweep is believed as a whole, because others move too; the second one does not say it again.
#[tokio::test(flavor = "multi_thread")]
async fn one_person_wrongly_inside_in_the_sweep_in_which_others_come() {
    // The next sweep is the first after the two have come.
    let desk = Desk::open_at(TWO_COME_AND_GO, 29).await;
    let fault = Fault::new(FaultKind::WronglyInside).on(FaultTarget::MeetingQuery).who(&id(11));
    desk.office.dingtalk.add_fault(fault.times(1));
    desk.until(33).await;
    assert_eq!(desk.told().await, (SITTING + 2, 0));
    assert!(desk.of(JOINED, 11).await.is_empty());
    assert!(by_sweep(&desk.of(JOINED, 8).await[0]), "the others were told by that very sweep");
    desk.until(END).await;
    two_came_and_went(&desk).await;
    desk.polling.end().await;
}

/// However often it is said: who comes alone into a meeting is looked at, whatever happens in others.
#[tokio::test(flavor = "multi_thread")]
async fn one_person_wrongly_inside_again_and_again_while_others_meet_elsewhere() {
    let elsewhere = TWO_COME_AND_GO.replace("meeting = \"m\"", "meeting = \"n\"");
    let scene = scene(&elsewhere).replace("[script]", "n = {}\n[script]");
    let desk = Desk::open_on(&scene, &config("2m", PEOPLE), |_| ()).await;
    desk.until(29).await;
    let fault = Fault::new(FaultKind::WronglyInside).on(FaultTarget::MeetingQuery).who(&id(11));
    desk.office.dingtalk.add_fault(fault);
    desk.until(36).await;
    assert_eq!(desk.told().await, (SITTING + 2, 0));
    assert!(desk.of(JOINED, 11).await.is_empty());
    assert_eq!(desk.standing().state, SweepState::Learning, "who lies is not believed any more");
    desk.office.dingtalk.clear_faults();
    desk.until(END + 6).await;
    two_came_and_went(&desk).await;
    desk.polling.end().await;
}

/// However often it is said, and others come into the same meeting: its members say who came.
#[tokio::test(flavor = "multi_thread")]
async fn one_person_wrongly_inside_again_and_again_while_others_come_into_the_same_meeting() {
    let desk = Desk::open_at(TWO_COME_AND_GO, 29).await;
    let fault = Fault::new(FaultKind::WronglyInside).on(FaultTarget::MeetingQuery).who(&id(11));
    desk.office.dingtalk.add_fault(fault);
    desk.until(36).await;
    assert_eq!(desk.told().await, (SITTING + 2, 0));
    assert!(desk.of(JOINED, 11).await.is_empty());
    assert!(by_sweep(&desk.of(JOINED, 8).await[0]), "the others were told by sweeps");
    assert_eq!(desk.office.dingtalk.counts().calls_to(api::MEETING_MEMBERS), 1);
    assert_eq!(desk.standing().state, SweepState::Learning, "who was taken back was looked at");
    desk.office.dingtalk.clear_faults();
    desk.until(END).await;
    two_came_and_went(&desk).await;
    desk.polling.end().await;
}

/// Who was inside in a sweep whose meeting ended right after it, and is nowhere in a look half a minute later: no contradiction.
#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_that_ends_right_after_a_sweep_makes_none_of_it_a_lie() {
    let ends = r#"
      { at = "+1190s", do = "join", who = ["p8", "p9"], meeting = "n" },
      { at = "+1810s", do = "end", meeting = "n" },
    "#;
    let scene = scene(ends).replace("[script]", "n = {}\n[script]");
    let desk = Desk::open_on(&scene, &config("2m", PEOPLE), |_| ()).await;
    // The newest sweep saw them there.
    desk.until(30).await;
    desk.office.pass_until(&desk.polling, at(FROM).plus(Duration::from_secs(1830)), STEP).await;
    desk.look(8).await;
    desk.until(40).await;
    assert_eq!(desk.standing().state, SweepState::Trusted);
    assert_eq!(desk.told().await, (SITTING + 2, 2));
    desk.polling.end().await;
}

/// Where more than two calls would be needed the members cost too much: two batches that say the same are believed, until a
/// look.
#[tokio::test(flavor = "multi_thread")]
async fn one_person_wrongly_inside_twice_while_three_meetings_fill_is_let_out_by_the_next_look() {
    let filling = r#"
      { at = "+1790s", do = "join", who = ["p8"], meeting = "m" },
      { at = "+1790s", do = "join", who = ["p9"], meeting = "n" },
      { at = "+1790s", do = "join", who = ["p10"], meeting = "o" },
    "#;
    let scene = scene(filling).replace("[script]", "n = {}\no = {}\n[script]");
    let desk = Desk::open_on(&scene, &config("2m", PEOPLE), |_| ()).await;
    desk.until(29).await;
    let fault = Fault::new(FaultKind::WronglyInside).on(FaultTarget::MeetingQuery).who(&id(11));
    desk.office.dingtalk.add_fault(fault);
    desk.until(32).await;
    let joined = desk.of(JOINED, 11).await;
    assert!(joined.len() == 1 && by_sweep(&joined[0]), "{joined:#?}");
    assert_eq!(desk.office.dingtalk.counts().calls_to(api::MEETING_MEMBERS), 0);
    desk.office.dingtalk.clear_faults();
    desk.look(11).await;
    desk.until(34).await;
    let left = desk.of(LEFT, 11).await;
    assert_eq!(left.len(), 1, "a look that lists nothing is made again before that");
    assert_eq!(left[0]["data"]["visit"]["left_reason"], "vanished");
    assert_eq!(left[0]["data"]["visit"]["id"], joined[0]["data"]["visit"]["id"]);
    assert_eq!(desk.told().await, (SITTING + 4, 1));
    desk.polling.end().await;
}

/// Looks that see the truth, and sweeps after them that do not yet.
#[tokio::test(flavor = "multi_thread")]
async fn pictures_that_are_five_minutes_old() {
    let desk = Desk::open_at(TWO_COME_AND_GO, 19).await;
    let lag = Duration::from_mins(5);
    desk.office.dingtalk.set_options(AnswerOptions { meetings_lag: Lag(lag), ..AnswerOptions::default() });
    desk.until(31).await;
    desk.look(8).await;
    desk.until(43).await;
    desk.look(8).await;
    assert_eq!(desk.of(LEFT, 8).await.len(), 1);
    desk.until(62).await;
    two_came_and_went(&desk).await;
    desk.polling.end().await;
}
