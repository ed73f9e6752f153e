//! Many callers at once, and commits that fail.
#![expect(clippy::disallowed_methods, reason = "tests look at the tables themselves")]

use presenced::store::{Recording, StoreError};
use tokio::task::JoinSet;

use crate::store_fixture::{Place, START, enrolment, joined, later, look, snapshot};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_all_get_their_answer_and_the_sequence_has_no_hole() {
    let place = Place::new();
    let store = place.open().await;
    let list = (0..200).map(|n| enrolment(&format!("u{n}"))).collect();
    let (people, _) = store.watch_list().enroll(list).await.unwrap();
    let mut callers = JoinSet::new();
    for (n, person) in people.into_iter().enumerate() {
        let store = store.clone();
        callers.spawn(async move {
            for k in 0..5 {
                let recording =
                    joined(person.person_id, person.identity.union_id.as_str(), &format!("{n}x{k}"));
                store.recorder().record(recording).await.unwrap();
            }
        });
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    assert_eq!(place.count("SELECT count(*) FROM events").await, 1000);
    assert_eq!(place.count("SELECT max(sequence) - min(sequence) FROM events").await, 999);
    assert_eq!(place.count("SELECT count(*) FROM deliveries").await, 1000);
    assert_eq!(place.count("SELECT count(*) FROM lanes").await, 200);
}

#[tokio::test]
async fn a_refused_poll_does_not_affect_others_in_its_group() {
    let place = Place::new();
    let store = place.open().await;
    let (people, _) = store.watch_list().enroll(vec![enrolment("li"), enrolment("wang")]).await.unwrap();
    let (li, wang) = (people[0].person_id, people[1].person_id);
    // On one thread nobody runs between the three, so they are one group.
    let (first, second, third) = tokio::join!(
        store.recorder().record(joined(li, "li", "a")),
        store.recorder().record(joined(4711, "nobody", "b")),
        store.recorder().record(joined(wang, "wang", "c")),
    );
    first.unwrap();
    assert!(matches!(second, Err(StoreError::NoPerson { person_id: 4711 })), "{second:?}");
    third.unwrap();
    let ids: Vec<(i64, String)> = sqlx::query_as("SELECT sequence, id FROM events ORDER BY sequence")
        .fetch_all(&mut place.look().await)
        .await
        .unwrap();
    assert_eq!(ids, [(1, "evt_a".into()), (2, "evt_c".into())]);
}

#[tokio::test]
async fn one_person_twice_in_a_group_ends_with_the_later_look() {
    let place = Place::new();
    let store = place.open().await;
    let (people, _) = store.watch_list().enroll(vec![enrolment("li")]).await.unwrap();
    let li = people[0].person_id;
    let second = Recording {
        snapshot: Some(snapshot(later(60), 2)),
        polled_at: Some(later(60)),
        next_poll: Some(later(120)),
        ..look(li)
    };
    let (first, second) =
        tokio::join!(store.recorder().record(joined(li, "li", "a")), store.recorder().record(second));
    first.unwrap();
    second.unwrap();
    let (people, _) = store.watch_list().enroll(vec![enrolment("li")]).await.unwrap();
    assert_eq!(
        (people[0].digest, people[0].last_ok, people[0].next_poll),
        (Some(2), Some(later(60)), Some(later(120)))
    );
    assert_eq!(place.count("SELECT count(*) FROM snapshots").await, 2);
}

#[tokio::test]
async fn a_database_that_another_process_keeps_locked_is_an_error_and_then_works_again() {
    let place = Place::new();
    let store = place.open().await;
    let (people, _) = store.watch_list().enroll(vec![enrolment("li"), enrolment("wang")]).await.unwrap();
    let (li, wang) = (people[0].person_id, people[1].person_id);
    let mut hand = place.meddle().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut hand).await.unwrap();
    let (first, second) = tokio::join!(
        store.recorder().record(joined(li, "li", "a")),
        store.recorder().record(joined(wang, "wang", "b"))
    );
    assert!(matches!(first, Err(StoreError::Sqlite(_))), "{first:?}");
    assert!(matches!(second, Err(StoreError::Sqlite(_))), "{second:?}");
    sqlx::query("ROLLBACK").execute(&mut hand).await.unwrap();
    assert_eq!(place.count("SELECT count(*) FROM events").await, 0);
    store.recorder().record(joined(li, "li", "a")).await.unwrap();
    assert_eq!(place.count("SELECT max(sequence) FROM events").await, 1);
    assert_eq!(place.count("SELECT first_ms FROM snapshots").await, START.as_ms());
}
