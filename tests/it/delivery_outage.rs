//! Receivers that are away for long, receivers that take a request and lose the answer, and a disk that changes what waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use presenced::clock::Clock;
use presenced::policy::delivery::WebhookState;
use presenced::store::check;
use presenced::store::outbox::reader::DeliveryQuery;
use presenced::tasks::alerts_database::DatabaseAlert;
use tokio::sync::watch;

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
    assert!(matches!(world.health("crm").await.state, WebhookState::Down { .. }));

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
    assert_eq!(world.health("crm").await.state, WebhookState::Up);
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

#[tokio::test]
async fn a_body_that_the_disk_changed_is_never_sent_and_its_user_goes_on() {
    let world = World::with_people(2).await;
    let receiver = Receiver::start(|_| OK).await;
    for (person, id) in [(0, "evt_0_a"), (0, "evt_0_b"), (1, "evt_1_a")] {
        world.event(person, id, &["crm"]).await;
    }
    // One bit of a stored body: "q" is 0x71, "p" 0x70.
    world.meddle("UPDATE events SET body = replace(body, 'quotes', 'puotes') WHERE id = 'evt_0_a'").await;
    let named = check::examine(&world.path).await.unwrap();
    assert_eq!(named, ["the body of event evt_0_a (sequence 1) does not match its checksum"]);

    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    world.run_out(&mut dispatcher, 100).await;
    let sent: BTreeSet<String> = receiver.ids().into_iter().collect();
    assert_eq!(sent, ["evt_0_b", "evt_1_a"].map(str::to_owned).into());
    let states = [("dead".to_owned(), 1), ("delivered".to_owned(), 2)];
    assert_eq!(world.count_by_state().await, states.into());
    let dead = DeliveryQuery { state: Some("dead"), limit: 10, ..DeliveryQuery::default() };
    let dead = world.store.outbox_reader().deliveries(&dead).await.unwrap();
    assert!(dead[0].last_error.as_deref().unwrap().contains("does not match its checksum"));

    let (_, nobody) = watch::channel(Arc::from([]));
    DatabaseAlert::new(world.store.clone(), Arc::default(), nobody).step(world.clock.now()).await.unwrap();
    assert_eq!(world.store.alerts().firing().await.unwrap(), [(None, "database".to_owned())]);
}
