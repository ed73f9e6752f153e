//! Looks, stretches, misses and the daemon's own books in the tables.
#![expect(clippy::disallowed_methods, reason = "tests look at the tables themselves")]

use presenced::presence::event::EventType;
use presenced::presence::user_state::Presence;
use presenced::store::gaps::Why;
use presenced::store::{Outgoing, PollFailure, Recording, StoreError, UnchangedPolls, Usage};

use crate::store_fixture::{
    Place, START, ended, enroll_one, enrolment, joined, later, look, org, outgoing, snapshot, system, visit,
};

#[tokio::test]
async fn one_look_writes_everything_it_changed() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await;
    assert_eq!((person.digest, person.next_poll, person.last_poll, person.last_ok), (None, None, None, None));
    let mut recording = joined(person.person_id, "li", "a");
    recording.events = vec![outgoing("evt_a", "li", &["crm", "chat"]), outgoing("evt_b", "li", &[])];
    store.recorder().record(recording.clone()).await.unwrap();

    let enrolled = enroll_one(&store).await;
    assert_eq!(enrolled.belief, recording.belief);
    assert_eq!(enrolled.digest, Some(1));
    assert_eq!(enrolled.next_poll, Some(later(60)));
    assert_eq!((enrolled.last_poll, enrolled.last_ok), (Some(START), Some(START)));

    let mut db = place.look().await;
    let (id, minutes, local, nick, phone): (String, f64, String, String, i64) =
        sqlx::query_as("SELECT id, minutes, joined_local, nick, by_phone FROM v_visits")
            .fetch_one(&mut db)
            .await
            .unwrap();
    assert_eq!((id.as_str(), local.as_str(), phone), ("vis_a", "2023-11-07 16:54:55", 1));
    assert!(minutes > 0.0);
    assert_eq!(nick, "李\"微\"\u{1F600}");
    let deliveries: Vec<(String, i64, String, i64)> =
        sqlx::query_as("SELECT webhook, sequence, state, person_id FROM deliveries ORDER BY webhook")
            .fetch_all(&mut db)
            .await
            .unwrap();
    let one = person.person_id;
    assert_eq!(
        deliveries,
        [("chat".into(), 1, "pending".into(), one), ("crm".into(), 1, "pending".into(), one)]
    );
    let lanes: Vec<(String, i64, i64, Option<i64>)> =
        sqlx::query_as("SELECT webhook, person_id, ready_ms, lease_ms FROM lanes ORDER BY webhook")
            .fetch_all(&mut db)
            .await
            .unwrap();
    assert_eq!(lanes, [("chat".into(), one, START.as_ms(), None), ("crm".into(), one, START.as_ms(), None)]);
}

#[tokio::test]
async fn stored_bodies_are_the_bytes_that_were_made() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await;
    let event = outgoing("evt_a", "li", &["crm"]);
    store
        .recorder()
        .record(Recording { events: vec![event.clone()], ..look(person.person_id) })
        .await
        .unwrap();
    let (body, sequence): (String, i64) =
        sqlx::query_as("SELECT body, sequence FROM events").fetch_one(&mut place.look().await).await.unwrap();
    let envelope = presenced::presence::event::Envelope {
        source: store.source(),
        sequence: u64::try_from(sequence).unwrap(),
        recorded_at: START,
        meeting: None,
    };
    assert_eq!(body.as_bytes(), event.draft.body(&envelope));
}

#[tokio::test]
async fn an_unchanged_answer_stretches_the_row_it_repeats() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await.person_id;
    store.recorder().record(joined(person, "li", "a")).await.unwrap();
    let stretch = |at, polls| UnchangedPolls {
        person_id: person,
        last_ok: later(at),
        polls,
        next_poll: later(at + 60),
    };
    store.watch_list().flush(vec![stretch(60, 2), stretch(120, 1)], Vec::new()).await.unwrap();
    store.recorder().record(Recording { polled_at: Some(later(180)), ..look(person) }).await.unwrap();
    let rows: Vec<(i64, i64, i64)> = sqlx::query_as("SELECT first_ms, last_ms, polls FROM v_snapshots")
        .fetch_all(&mut place.look().await)
        .await
        .unwrap();
    assert_eq!(rows, [(START.as_ms(), later(180).as_ms(), 5)]);

    // The same answer as a snapshot, after a silence the caller found too long: a new row.
    store
        .recorder()
        .record(Recording { snapshot: Some(snapshot(later(9000), 1)), ..look(person) })
        .await
        .unwrap();
    store.watch_list().flush(vec![stretch(9060, 1)], Vec::new()).await.unwrap();
    let rows: Vec<(i64, i64)> = sqlx::query_as("SELECT first_ms, polls FROM v_snapshots ORDER BY first_ms")
        .fetch_all(&mut place.look().await)
        .await
        .unwrap();
    assert_eq!(rows, [(START.as_ms(), 5), (later(9000).as_ms(), 2)]);
    let enrolled = enroll_one(&store).await;
    assert_eq!((enrolled.last_ok, enrolled.next_poll), (Some(later(9060)), Some(later(9120))));
}

#[tokio::test]
async fn a_stretch_that_comes_late_moves_nothing_back() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await.person_id;
    store
        .recorder()
        .record(Recording {
            polled_at: Some(later(600)),
            next_poll: Some(later(660)),
            ..joined(person, "li", "a")
        })
        .await
        .unwrap();
    let late = UnchangedPolls { person_id: person, last_ok: later(60), polls: 1, next_poll: later(120) };
    store.watch_list().flush(vec![late], Vec::new()).await.unwrap();
    let enrolled = enroll_one(&store).await;
    assert_eq!((enrolled.last_ok, enrolled.next_poll), (Some(later(600)), Some(later(660))));
}

#[tokio::test]
async fn misses_are_counted_and_touch_no_belief() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await.person_id;
    store.recorder().record(joined(person, "li", "a")).await.unwrap();
    let miss = |at, class| PollFailure {
        person_id: person,
        org: org(),
        at: later(at),
        class,
        text: "no answer".to_owned(),
        next_poll: later(at + 30),
    };
    store
        .watch_list()
        .flush(Vec::new(), vec![miss(10, "unreachable"), miss(20, "unreachable"), miss(15, "banned")])
        .await
        .unwrap();
    store.watch_list().flush(Vec::new(), vec![miss(30, "unreachable")]).await.unwrap();
    let enrolled = enroll_one(&store).await;
    assert_eq!(enrolled.belief.presence, Presence::Inside);
    assert_eq!((enrolled.last_ok, enrolled.last_poll), (Some(START), Some(later(30))));
    assert_eq!(enrolled.next_poll, Some(later(60)));
    let mut db = place.look().await;
    let errors: Vec<(String, i64)> = sqlx::query_as("SELECT class, errors FROM poll_errors ORDER BY class")
        .fetch_all(&mut db)
        .await
        .unwrap();
    assert_eq!(errors, [("banned".to_owned(), 1), ("unreachable".to_owned(), 3)]);
    let last: String =
        sqlx::query_scalar("SELECT last_error FROM v_health").fetch_one(&mut db).await.unwrap();
    assert_eq!(last, "unreachable: no answer");
}

#[tokio::test]
async fn extending_a_snapshot_of_an_erased_user_changes_nothing() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await.person_id;
    let gone = UnchangedPolls { person_id: 4711, last_ok: later(1), polls: 1, next_poll: later(2) };
    let miss = PollFailure {
        person_id: 4711,
        org: org(),
        at: later(1),
        class: "x",
        text: String::new(),
        next_poll: later(2),
    };
    let here = UnchangedPolls { person_id: person, ..gone };
    store.watch_list().flush(vec![gone, here], vec![miss]).await.unwrap();
    assert_eq!(enroll_one(&store).await.last_ok, Some(later(1)));
}

#[tokio::test]
async fn a_visit_ends_in_its_own_row() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await.person_id;
    store.recorder().record(joined(person, "li", "a")).await.unwrap();
    assert_eq!(place.count("SELECT count(*) FROM v_now").await, 1);
    let left = Recording { visits: vec![ended(visit("vis_a"), later(90))], ..look(person) };
    store.recorder().record(left).await.unwrap();
    assert_eq!(place.count("SELECT count(*) FROM v_now").await, 0);
    let row: (i64, String, f64, String, f64, String, i64) = sqlx::query_as(
        "SELECT ongoing, left_at, minutes, left_reason, leave_error_s, left_local, (SELECT count(*) FROM visits) FROM v_visits",
    )
    .fetch_one(&mut place.look().await)
    .await
    .unwrap();
    let expected =
        (0, later(90).rfc3339(), 1.5, "vanished".to_owned(), 90.0, "2023-11-07 16:56:25".to_owned(), 1);
    assert_eq!(row, expected);
}

#[tokio::test]
async fn an_event_that_is_stored_already_is_not_stored_twice() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await.person_id;
    store.recorder().record(joined(person, "li", "a")).await.unwrap();
    let body = "SELECT body FROM events WHERE id = 'evt_a'";
    let first: String = sqlx::query_scalar(body).fetch_one(&mut place.look().await).await.unwrap();
    place.clock.advance(std::time::Duration::from_secs(5));
    // Once more in a later commit, twice in one look, and a new one behind them.
    let events = vec![
        outgoing("evt_a", "li", &["crm", "chat"]),
        outgoing("evt_b", "li", &["crm"]),
        outgoing("evt_b", "li", &["crm"]),
        outgoing("evt_c", "li", &["crm"]),
    ];
    store.recorder().record(Recording { events, ..look(person) }).await.unwrap();
    let again: String = sqlx::query_scalar(body).fetch_one(&mut place.look().await).await.unwrap();
    assert_eq!(first, again);
    let sequences: Vec<(i64, String)> = sqlx::query_as("SELECT sequence, id FROM events ORDER BY sequence")
        .fetch_all(&mut place.look().await)
        .await
        .unwrap();
    assert_eq!(sequences, [(1, "evt_a".into()), (2, "evt_b".into()), (3, "evt_c".into())]);
    assert_eq!(place.count("SELECT count(*) FROM deliveries").await, 3);
}

#[tokio::test]
async fn the_sequence_goes_on_over_a_reopening_and_after_retention() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await.person_id;
    for key in ["a", "b"] {
        store.recorder().record(joined(person, "li", key)).await.unwrap();
    }
    store.close().await.unwrap();
    sqlx::query("DELETE FROM events").execute(&mut place.meddle().await).await.unwrap();
    let store = place.open().await;
    store.recorder().record(joined(person, "li", "c")).await.unwrap();
    assert_eq!(place.count("SELECT min(sequence) FROM events").await, 3);
}

#[tokio::test]
async fn a_poll_of_an_unknown_user_is_refused_and_writes_nothing() {
    let place = Place::new();
    let store = place.open().await;
    let error = store.recorder().record(joined(4711, "li", "a")).await.unwrap_err();
    assert!(matches!(error, StoreError::NoPerson { person_id: 4711 }), "{error}");
    assert_eq!(place.count("SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM visits)").await, 0);
}

#[tokio::test]
async fn who_leaves_the_list_is_named_once_and_comes_back_as_new() {
    let place = Place::new();
    let store = place.open().await;
    let list = |names: &[&str]| names.iter().map(|name| enrolment(name)).collect::<Vec<_>>();
    let (first, dropped) = store.watch_list().enroll(list(&["li", "wang", "zhao"])).await.unwrap();
    assert!(dropped.is_empty());
    let wang = first[1].clone();
    store.recorder().record(joined(wang.person_id, "wang", "a")).await.unwrap();

    let (second, dropped) = store.watch_list().enroll(list(&["zhao", "li"])).await.unwrap();
    let ids: Vec<_> = second.iter().map(|person| person.person_id).collect();
    assert_eq!(ids, [first[2].person_id, first[0].person_id]);
    assert_eq!(dropped.iter().map(|person| person.person_id).collect::<Vec<_>>(), [wang.person_id]);
    assert_eq!(dropped[0].belief.presence, Presence::Inside);
    // Named again until a look ends it.
    let (_, dropped) = store.watch_list().enroll(list(&["zhao", "li"])).await.unwrap();
    assert_eq!(dropped.len(), 1);
    store
        .recorder()
        .record(Recording { watched: false, polled_at: None, next_poll: None, ..look(wang.person_id) })
        .await
        .unwrap();
    let (_, dropped) = store.watch_list().enroll(list(&["zhao", "li"])).await.unwrap();
    assert!(dropped.is_empty());

    store.watch_list().enroll(list(&["wang", "li", "zhao"])).await.unwrap();
    // Also when the daemon died before the first look.
    let (third, _) = store.watch_list().enroll(list(&["wang", "li", "zhao"])).await.unwrap();
    assert_eq!(third[0].person_id, wang.person_id);
    assert_eq!((third[0].digest, third[0].next_poll), (None, None));
    assert_eq!(third[0].last_ok, Some(START));
}

#[tokio::test]
async fn a_new_name_keeps_the_row() {
    let place = Place::new();
    let store = place.open().await;
    let before = enroll_one(&store).await;
    store.recorder().record(joined(before.person_id, "li", "a")).await.unwrap();
    let mut renamed = enrolment("li");
    renamed.name = "Li Wei".to_owned();
    let after = store.watch_list().enroll(vec![renamed]).await.unwrap().0.remove(0);
    assert_eq!((after.person_id, after.name.as_str()), (before.person_id, "Li Wei"));
    assert_eq!((after.digest, after.next_poll), (Some(1), Some(later(60))));
}

#[tokio::test]
async fn the_same_person_twice_on_the_list_is_refused() {
    let place = Place::new();
    let store = place.open().await;
    assert!(store.watch_list().enroll(vec![enrolment("li"), enrolment("li")]).await.is_err());
    assert_eq!(place.count("SELECT count(*) FROM people").await, 0);
}

#[tokio::test]
async fn an_unreadable_belief_is_named() {
    let place = Place::new();
    let store = place.open().await;
    enroll_one(&store).await;
    store.close().await.unwrap();
    sqlx::query("UPDATE people SET belief = '{'").execute(&mut place.meddle().await).await.unwrap();
    let store = place.open().await;
    let error = store.watch_list().enroll(vec![enrolment("li")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { table: "people", .. }), "{error}");
    assert!(error.to_string().contains("default/li"), "{error}");
}

#[tokio::test]
async fn a_hundred_thousand_people_are_enrolled_and_found_again() {
    let place = Place::new();
    let store = place.open().await;
    let list: Vec<_> = (0..100_000).map(|n| enrolment(&format!("u{n:06}"))).collect();
    let (enrolled, _) = store.watch_list().enroll(list.clone()).await.unwrap();
    assert_eq!(enrolled.len(), list.len());
    let (again, dropped) = store.watch_list().enroll(list).await.unwrap();
    assert!(dropped.is_empty());
    assert_eq!(again[99_999].person_id, enrolled[99_999].person_id);
    assert_eq!(again[99_999].identity.union_id.as_str(), "u099999");
}

#[tokio::test]
async fn system_events_are_counted_by_kind_and_organisation() {
    let place = Place::new();
    let store = place.open().await;
    assert!(store.recorder().system_counts(None).await.unwrap().is_empty());
    store
        .recorder()
        .record_system(None, vec![system("evt_1", &["crm"]), system("evt_2", &[])])
        .await
        .unwrap();
    store.recorder().record_system(Some(org()), vec![system("evt_3", &["crm"])]).await.unwrap();
    // The same fact after a crash: no second event, no second count.
    store.recorder().record_system(None, vec![system("evt_1", &["crm"])]).await.unwrap();
    store.close().await.unwrap();
    let store = place.open().await;
    assert_eq!(store.recorder().system_counts(None).await.unwrap()[&EventType::SystemAlert], 2);
    assert_eq!(store.recorder().system_counts(Some(org())).await.unwrap()[&EventType::SystemAlert], 1);
    let lanes: Vec<(String, i64)> = sqlx::query_as("SELECT org, person_id FROM lanes ORDER BY org")
        .fetch_all(&mut place.look().await)
        .await
        .unwrap();
    assert_eq!(lanes, [(String::new(), 0), ("default".to_owned(), 0)]);
    assert_eq!(place.count("SELECT count(*) FROM v_events WHERE who IS NULL").await, 3);
}

#[tokio::test]
async fn spending_is_kept_by_month() {
    let place = Place::new();
    let store = place.open().await;
    let month = || "2026-11".to_owned();
    assert_eq!(store.call_usage().of_month(org(), month()).await.unwrap(), Usage::default());
    let usage = Usage { used: 40, throttled: 2 };
    store.call_usage().set(org(), month(), Usage { used: 20, throttled: 0 }, None, None).await.unwrap();
    store.call_usage().set(org(), month(), usage, Some(5000), Some(4800)).await.unwrap();
    assert_eq!(store.call_usage().of_month(org(), month()).await.unwrap(), usage);
    assert_eq!(store.call_usage().of_month(org(), "2026-12".to_owned()).await.unwrap(), Usage::default());
    assert_eq!(place.count("SELECT projected FROM v_budget").await, 4800);
}

#[tokio::test]
async fn gaps_are_noted_for_one_or_for_all() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await.person_id;
    store.gaps().note(org(), None, START, later(600), Why::Restart).await.unwrap();
    store.gaps().note(org(), Some(person), later(600), later(660), Why::Failed).await.unwrap();
    assert!(store.gaps().note(org(), None, later(1), START, Why::Late).await.is_err());
    let rows: Vec<(Option<String>, f64, String)> =
        sqlx::query_as("SELECT who, minutes, why FROM v_gaps ORDER BY from_ms")
            .fetch_all(&mut place.look().await)
            .await
            .unwrap();
    assert_eq!(rows, [(None, 10.0, "restart".into()), (Some("Name li".into()), 1.0, "failed".into())]);
}

#[tokio::test]
async fn events_of_one_batch_keep_their_order() {
    let place = Place::new();
    let store = place.open().await;
    let person = enroll_one(&store).await.person_id;
    let events: Vec<Outgoing> = (0..50).map(|n| outgoing(&format!("evt_{n:02}"), "li", &["crm"])).collect();
    store.recorder().record(Recording { events, ..look(person) }).await.unwrap();
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT e.id FROM deliveries JOIN events AS e USING (sequence) ORDER BY sequence")
            .fetch_all(&mut place.look().await)
            .await
            .unwrap();
    assert_eq!(ids, (0..50).map(|n| format!("evt_{n:02}")).collect::<Vec<_>>());
}
