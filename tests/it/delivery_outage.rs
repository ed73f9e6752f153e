//! Receivers that are away for long, and receivers that take a request and lose the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use presenced::clock::Clock;
use presenced::policy::delivery::Standing;

use crate::delivery_harness::{OK, Receiver, Reply, START, World};

#[tokio::test]
async fn after_three_days_away_everything_comes_oldest_first_in_each_users_order_once() {
    let mut world = World::with_people(3).await;
    let back = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&back);
    let receiver =
        Receiver::start(
            move |_| {
                if seen.load(Ordering::SeqCst) { OK } else { Reply::Answer(503, "", "away") }
            },
        )
        .await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    for n in 0..72_u32 {
        let at = START.plus(Duration::from_hours(n.into()));
        while let Some(due) = dispatcher.settle().await.filter(|due| *due < at) {
            world.clock.set(due.max(world.clock.now()));
        }
        world.clock.set(at);
        world.event(usize::try_from(n % 3).unwrap(), &format!("evt_{}_{n:02}", n % 3), &["crm"]).await;
        if n == 40 {
            // The daemon is restarted in the middle of it.
            drop(dispatcher);
            world.restart().await;
            dispatcher = world.dispatcher(vec![world.target(&receiver)]);
            dispatcher.resume().await.unwrap();
        }
    }
    dispatcher.settle().await;
    let tried = receiver.got().len();
    assert!((72..120).contains(&tried), "about one probe an hour, and no more: {tried}");
    assert!(matches!(world.health("crm").await.standing, Standing::Down { .. }));

    back.store(true, Ordering::SeqCst);
    world.run_out(&mut dispatcher, 1_000).await;
    let ids = receiver.ids().split_off(tried);
    assert_eq!(ids.len(), 72, "once each");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 72, "and all of them");
    for person in 0..3 {
        let mine: Vec<_> = ids.iter().filter(|id| id.starts_with(&format!("evt_{person}_"))).collect();
        assert_eq!(mine.len(), 24);
        assert!(mine.is_sorted(), "{mine:?}");
    }
    assert_eq!(world.health("crm").await.standing, Standing::Up);
    assert_eq!(world.count_by_state().await, BTreeMap::from([("delivered".to_owned(), 72)]));
}

#[tokio::test]
async fn answers_lost_after_accepting_lose_nothing_and_duplicates_are_the_same_bytes() {
    const EVENTS: usize = 600;
    let world = World::with_people(6).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    // One in twenty: taken, and then the connection ends before the answer.
    let receiver = Receiver::start(move |_| {
        if counted.fetch_add(1, Ordering::SeqCst) * 7_919 % 20 == 11 { Reply::Hangup } else { OK }
    })
    .await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    for n in 0..EVENTS {
        world.event(n % 6, &format!("evt_{}_{n:03}", n % 6), &["crm"]).await;
    }
    world.run_out(&mut dispatcher, 10_000).await;
    let got = receiver.got();
    assert!(got.len() > EVENTS + EVENTS / 40, "there were duplicates: {}", got.len());
    let mut bodies: BTreeMap<&str, BTreeSet<&[u8]>> = BTreeMap::new();
    for request in &got {
        bodies.entry(request.header("webhook-id")).or_default().insert(&request.body);
    }
    assert_eq!(bodies.len(), EVENTS, "nothing is lost");
    assert!(bodies.values().all(|bodies| bodies.len() == 1), "an id has one body");
    for person in 0..6 {
        let of_person = format!("evt_{person}_");
        let mine: Vec<&str> =
            got.iter().map(|g| g.header("webhook-id")).filter(|id| id.starts_with(&of_person)).collect();
        assert!(mine.is_sorted(), "a duplicate comes before the next one: {mine:?}");
    }
    assert_eq!(world.count_by_state().await, BTreeMap::from([("delivered".to_owned(), EVENTS)]));
}
