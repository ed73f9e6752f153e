//! By which ids sweeps name people: unionIds or userids, learned from looks and the contacts.
//!
//! Guards: with either kind sweeps come to be trusted; nobody is taken for somebody else; without the contacts nothing is
//! believed. Deliberately not here: the ledger (`policy::sweep::ids`), the call itself (`dingtalk::contacts`).

use presenced::simulator::faults::FaultTarget;
use presenced::simulator::options::BatchUser;
use presenced::simulator::{AnswerOptions, Fault, FaultKind, Running, api};
use presenced::telemetry::health::SweepState;

use crate::sweep::{Desk, JOINED, LEFT, MINUTE, PEOPLE, SITTING, by_sweep, config, id, scene};

const TWO_COME_AND_GO: &str = r#"
  { at = "+1200s", do = "join", who = ["p8", "p9"], meeting = "m" },
  { at = "+2400s", do = "leave", who = ["p8", "p9"], meeting = "m" },
"#;

fn by_userid(dingtalk: &Running) {
    dingtalk.set_options(AnswerOptions { batch_user: BatchUser::UserId, ..AnswerOptions::default() });
}

fn asked(desk: &Desk) -> u64 {
    desk.office.dingtalk.counts().calls_to(api::CONTACTS)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_poll_shows_the_kind_of_ids_and_then_all_userids_are_fetched() {
    let desk = Desk::open_with(TWO_COME_AND_GO, "2m", by_userid).await;
    desk.until(19).await;
    let standing = desk.standing();
    assert_eq!((standing.state, standing.ids), (SweepState::Trusted, Some("userid")));
    assert_eq!(asked(&desk), PEOPLE as u64, "once for everybody");
    desk.until(25).await;
    let joined = desk.of(JOINED, 8).await;
    assert!(joined.len() == 1 && by_sweep(&joined[0]), "{joined:#?}");
    desk.until(47).await;
    let left = desk.of(LEFT, 8).await;
    assert!(left.len() == 1 && by_sweep(&left[0]), "{left:#?}");
    assert_eq!(desk.told().await, (SITTING + 2, 2));

    let desk = desk.restart(MINUTE).await;
    assert_eq!((desk.standing().state, desk.standing().ids), (SweepState::Trusted, Some("userid")));
    desk.until(55).await;
    assert_eq!(asked(&desk), PEOPLE as u64, "kept over a restart");
    assert_eq!(desk.told().await, (SITTING + 2, 2));
    desk.polling.end().await;
    let used = desk.office.usage("2026-11").await.used;
    assert_eq!(used, desk.office.dingtalk.counts().charged, "the contacts are not charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn unionids_need_no_contacts() {
    let desk = Desk::open_at("", 15).await;
    assert_eq!((desk.standing().state, desk.standing().ids), (SweepState::Trusted, Some("union_id")));
    assert_eq!(asked(&desk), 0);
    desk.polling.end().await;
}

/// Whoever has the unionId `user3` is not whoever has the userid `user3`.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_the_other_kind_matches_no_user() {
    let scene = scene(TWO_COME_AND_GO).replace(&id(11), "user3");
    let config = config("2m", PEOPLE).replace(&id(11), "user3");
    let desk = Desk::open_on(&scene, &config, by_userid).await;
    desk.until(50).await;
    assert_eq!(desk.standing().state, SweepState::Trusted);
    assert_eq!(desk.told().await, (SITTING + 2, 2));
    let subject = "default/user3";
    assert!(desk.events(JOINED).await.iter().all(|event| event["subject"] != subject));
    desk.polling.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_permission_for_the_contacts_nothing_is_believed() {
    let desk = Desk::open_with(TWO_COME_AND_GO, "2m", |dingtalk| {
        by_userid(dingtalk);
        dingtalk.add_fault(Fault::new(FaultKind::Permission).on(FaultTarget::Contacts));
    })
    .await;
    desk.until(50).await;
    assert!(desk.sweeps() > 10);
    assert_eq!(asked(&desk), 1, "refused once is refused");
    let standing = desk.standing();
    assert_eq!(standing.state, SweepState::Learning);
    assert!(standing.why.unwrap().contains("contacts"), "it is said why");
    assert_eq!(desk.told().await, (SITTING, 0), "only looks tell, and they are rare");
    desk.look(8).await;
    assert_eq!(desk.standing().agreed, 0);
    desk.polling.end().await;
}

/// The contacts lack one of those who come and go, and one of those who sit.
#[tokio::test(flavor = "multi_thread")]
async fn users_missing_from_the_contacts_are_polled() {
    let three = TWO_COME_AND_GO.replace("\"p9\"", "\"p9\", \"p10\"");
    let desk = Desk::open_with(&three, "2m", |dingtalk| {
        by_userid(dingtalk);
        for person in [0, 8] {
            let fault = Fault::new(FaultKind::Errcode).on(FaultTarget::Contacts).who(&id(person));
            dingtalk.add_fault(fault);
        }
    })
    .await;
    desk.until(47).await;
    assert_eq!(desk.standing().state, SweepState::Trusted);
    let joined = desk.of(JOINED, 9).await;
    assert!(joined.len() == 1 && by_sweep(&joined[0]), "{joined:#?}");
    assert!(desk.of(JOINED, 8).await.is_empty(), "looks are rare here");
    assert!(desk.of(LEFT, 0).await.is_empty(), "who sits is not missed by what cannot show them");
    assert_eq!(desk.told().await, (SITTING + 2, 2));
    desk.polling.end().await;
}

/// They do not answer at first: asked again later, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn contacts_that_fail_are_asked_again_later() {
    let desk = Desk::open_with(TWO_COME_AND_GO, "2m", |dingtalk| {
        by_userid(dingtalk);
        dingtalk.add_fault(Fault::new(FaultKind::ServerError).on(FaultTarget::Contacts).times(2));
    })
    .await;
    desk.until(10).await;
    assert_eq!(desk.standing().state, SweepState::Learning);
    assert!(asked(&desk) <= 2);
    desk.until(50).await;
    assert_eq!((desk.standing().state, desk.standing().ids), (SweepState::Trusted, Some("userid")));
    assert_eq!(asked(&desk), PEOPLE as u64 + 2);
    desk.polling.end().await;
}

/// Taken off the list and put on it again: somebody new with a known userid.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_put_on_the_list_again_is_found_again() {
    let mut desk = Desk::open_with(TWO_COME_AND_GO, "2m", by_userid).await;
    desk.until(8).await;
    assert_eq!(desk.standing().ids, Some("userid"));
    for people in [PEOPLE - 3, PEOPLE] {
        desk.office.reconfigure(&config("2m", people));
        desk.office.reload(&desk.polling).await;
    }
    desk.until(47).await;
    assert_eq!(asked(&desk), PEOPLE as u64 + 3);
    let left = desk.of(LEFT, 9).await;
    assert!(left.len() == 1 && by_sweep(&left[0]), "{left:#?}");
    assert_eq!(desk.told().await, (SITTING + 2, 2));
    desk.polling.end().await;
}
