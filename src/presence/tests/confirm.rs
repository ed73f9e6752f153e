//! A meeting's answer about a vanished entry, one test for each rule.

use super::*;
use crate::presence::confirm::{MeetingAnswer, MeetingEnd, confirm};

fn answer(seconds: i64, end: MeetingEnd, record: Option<Attendance>) -> MeetingAnswer {
    MeetingAnswer { at: at(seconds), end, record }
}

fn ask(user: &mut TestUser, answer: &MeetingAnswer) -> Option<Transition> {
    let conference = ConferenceId::parse("a").unwrap();
    let transition = confirm(&user.state, &conference, answer, &user.info, SOURCE)?;
    Some(user.take(transition))
}

/// Inside since second 5, seen at 10, missed at 20.
fn missed() -> TestUser {
    let mut user = TestUser::inside();
    assert_eq!(summary(&user.poll(20, &[])), "");
    user
}

/// The same, missed again at 25: the visit ended as vanished.
fn vanished() -> TestUser {
    let mut user = missed();
    assert_eq!(summary(&user.poll(25, &[])), "left(vanished) presence=false");
    user
}

fn timing(transition: &Transition) -> (Timestamp, &'static str) {
    let event = &transition.events[0];
    (event.time, event.data.timing.basis.name())
}

#[test]
fn left_removed_and_ended_have_the_reported_time() {
    let ended = |end| MeetingEnd::Ended(Some(at(end)));
    for (end, record, expected, time) in [
        (MeetingEnd::Ongoing, Some(gone("a", 6, 5, 14)), "left(left) presence=false", 14),
        (MeetingEnd::Ongoing, Some(gone("a", 5, 5, 15)), "left(removed) presence=false", 15),
        (ended(18), Some(gone("a", 6, 5, 18)), "left(meeting_ended) presence=false", 18),
        (ended(18), Some(gone("a", 6, 5, 17)), "left(meeting_ended) presence=false", 18),
        (ended(18), Some(gone("a", 6, 5, 12)), "left(left) presence=false", 12),
        (ended(18), Some(gone("a", 5, 5, 17)), "left(removed) presence=false", 17),
        (ended(18), None, "left(meeting_ended) presence=false", 18),
    ] {
        let mut user = missed();
        let confirmed = ask(&mut user, &answer(21, end, record.clone())).unwrap();
        assert_eq!(summary(&confirmed), expected, "{end:?} {record:?}");
        assert_eq!(timing(&confirmed), (at(time), "reported"), "{end:?} {record:?}");
        assert_eq!(confirmed.visits[0].end.unwrap().at, at(time));
        assert!(!confirmed.events[0].late);
        // The following polls emit nothing.
        for seconds in [25, 30, 35] {
            assert_eq!(summary(&user.poll(seconds, &[])), "");
        }
        assert!(user.state.is_settled());
    }
}

#[test]
fn a_reason_without_a_time_has_the_time_of_the_poll_that_missed_the_user() {
    for (end, record, expected, flag) in [
        (MeetingEnd::Ongoing, Some(record("a", 6)), "left(left) presence=false", "leave_time_missing"),
        (
            MeetingEnd::Ongoing,
            Some(gone("a", 6, 5, 99)),
            "left(left) presence=false",
            "leave_time_implausible",
        ),
        (MeetingEnd::Ended(None), None, "left(meeting_ended) presence=false", ""),
    ] {
        let mut user = missed();
        let confirmed = ask(&mut user, &answer(21, end, record)).unwrap();
        assert_eq!(summary(&confirmed), expected);
        assert_eq!(timing(&confirmed), (at(20), "inferred"));
        assert_eq!(flags(&confirmed.events[0]), flag);
        assert_eq!(confirmed.events[0].data.timing.earliest.map(|earliest| earliest.0), Some(at(10)));
    }
}

#[test]
fn an_answer_that_explains_nothing_changes_nothing() {
    for (end, record) in [
        (MeetingEnd::Ongoing, None),
        (MeetingEnd::Ongoing, Some(active("a", 5))),
        (MeetingEnd::Ongoing, Some(record("a", 2))),
        (MeetingEnd::Ongoing, Some(record("a", 0))),
        (MeetingEnd::Ongoing, Some(record("a", 99))),
        // A visit after the one that was polled.
        (MeetingEnd::Ongoing, Some(gone("a", 6, 15, 18))),
        // The user left long before the meeting ended.
        (MeetingEnd::Ended(Some(at(60))), None),
    ] {
        let mut user = missed();
        assert_eq!(ask(&mut user, &answer(70, end, record.clone())), None, "{end:?} {record:?}");
        assert_eq!(summary(&user.poll(75, &[])), "left(vanished) presence=false");
    }
}

#[test]
fn an_answer_after_the_left_corrects_it() {
    let mut user = missed();
    let left = user.poll(25, &[]);
    let confirmed = ask(&mut user, &answer(26, MeetingEnd::Ongoing, Some(gone("a", 5, 5, 14)))).unwrap();
    assert_eq!(summary(&confirmed), "corrected");
    let data = &confirmed.events[0].data;
    assert_eq!(data.supersedes.as_ref(), Some(&left.events[0].id));
    let changes = serde_json::to_value(data.changes.unwrap()).unwrap();
    assert_eq!(changes["left_reason"], serde_json::json!({"from": "vanished", "to": "removed"}));
    assert_eq!(changes["left_at"]["from"], at(20).rfc3339());
    assert_eq!(changes["left_at"]["to"], at(14).rfc3339());
    assert_eq!(timing(&confirmed), (at(14), "reported"));
    let end = confirmed.visits[0].end.unwrap();
    assert_eq!((end.at, end.reason.name()), (at(14), "removed"));
    assert_eq!(
        ask(&mut user, &answer(27, MeetingEnd::Ongoing, Some(gone("a", 5, 5, 14)))),
        None,
        "confirmed once"
    );
}

#[test]
fn a_correction_without_a_time_changes_the_reason_and_can_be_improved() {
    let mut user = vanished();
    let confirmed = ask(&mut user, &answer(26, MeetingEnd::Ended(None), None)).unwrap();
    assert_eq!(summary(&confirmed), "corrected");
    let changes = serde_json::to_value(confirmed.events[0].data.changes.unwrap()).unwrap();
    assert_eq!(changes["left_reason"]["to"], "meeting_ended");
    assert_eq!(changes.get("left_at"), None);
    assert_eq!(summary(&user.poll(30, &[gone("a", 6, 5, 12)])), "corrected");
}

#[test]
fn an_answer_ends_no_visit_that_is_seen_or_has_a_reported_end() {
    let left = answer(40, MeetingEnd::Ended(Some(at(15))), Some(gone("a", 6, 5, 14)));
    assert_eq!(ask(&mut TestUser::inside(), &left), None);
    assert_eq!(ask(&mut TestUser::idle(), &left), None);
    let mut back = missed();
    back.poll(30, &[active("a", 5)]);
    assert_eq!(ask(&mut back, &left), None);
    let mut confirmed = TestUser::inside();
    confirmed.poll(20, &[gone("a", 6, 5, 18)]);
    assert_eq!(ask(&mut confirmed, &left), None);
    let mut unreported = TestUser::inside();
    unreported.poll(20, &[record("a", 6)]);
    assert_eq!(ask(&mut unreported, &left), None, "an answer only explains an absence");
}

#[test]
fn an_end_within_a_gap_needs_a_reported_time() {
    let in_gap = || {
        let mut user = TestUser::inside();
        user.mark_unobserved(11, 19);
        user.poll(20, &[]);
        user
    };
    assert_eq!(ask(&mut in_gap(), &answer(21, MeetingEnd::Ongoing, Some(record("a", 6)))), None);
    let confirmed = ask(&mut in_gap(), &answer(21, MeetingEnd::Ongoing, Some(gone("a", 6, 5, 14)))).unwrap();
    assert_eq!(summary(&confirmed), "left(left) presence=false");
    assert!(confirmed.events[0].late);
}

#[test]
fn another_meeting_keeps_presence_and_an_unknown_one_stays_unknown() {
    let mut user = TestUser::idle();
    user.poll(10, &[active("a", 5), active("b", 6)]);
    user.poll(20, &[active("b", 6)]);
    let left = answer(21, MeetingEnd::Ongoing, Some(gone("a", 6, 5, 14)));
    assert_eq!(summary(&ask(&mut user, &left).unwrap()), "left(left)");
    let mut closed = missed();
    closed.without_poll(22, lifecycle::close_window);
    assert_eq!(summary(&ask(&mut closed, &left).unwrap()), "left(left)");
    assert_eq!(closed.state.presence(), Presence::Unknown);
}

#[test]
fn a_vanished_visit_is_listed_until_its_end_is_confirmed() {
    let list = |user: &TestUser| user.state.vanished_visits().map(|one| one.since).collect::<Vec<_>>();
    assert_eq!(list(&TestUser::inside()), []);
    assert_eq!(list(&missed()), [at(20)]);
    let mut user = vanished();
    assert_eq!(list(&user), [at(20)]);
    ask(&mut user, &answer(26, MeetingEnd::Ongoing, Some(gone("a", 6, 5, 14)))).unwrap();
    assert_eq!(list(&user), []);
}
