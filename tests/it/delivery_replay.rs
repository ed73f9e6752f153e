//! Sending again: what, in which order, and what it does not do to live traffic.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure here is a failure of the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use presenced::clock::Clock;
use presenced::ids::WebhookName;
use presenced::policy::delivery::Rules;
use presenced::signature::{self, SigningKey};
use presenced::store::outbox::replay::{Replayable, Selection};
use presenced::tasks::dispatcher::Target;
use presenced::time::Timestamp;

use crate::delivery_harness::{Got, OK, Receiver, Reply, SECRET, START, World};

fn crm() -> WebhookName {
    WebhookName::parse("crm").unwrap()
}

fn selection() -> Selection {
    Selection { webhooks: vec![crm()], ..Selection::default() }
}

fn of_events(ids: &[&str]) -> Selection {
    Selection { events: ids.iter().map(|id| (*id).to_owned()).collect(), ..selection() }
}

fn is_replay(got: &Got) -> bool {
    got.header("presenced-trigger") == "replay"
}

async fn replay(world: &World, selection: &Selection) -> (u64, u64) {
    let counted = world.store.outbox_reader().replayable(selection).await.unwrap();
    let done = world.store.outbox().replay(selection, world.clock.now()).await.unwrap();
    assert_eq!(counted, done, "a dry run counts what is done");
    let Replayable { again, waiting } = done.get("crm").copied().unwrap_or_default();
    (again, waiting)
}

/// Gives up at once.
fn hasty(world: &World, receiver: &Receiver) -> Target {
    let mut target = world.target(receiver);
    target.rules = Rules { attempts: 1, ..Rules::default() };
    target
}

#[tokio::test]
async fn dead_letters_go_out_again_in_order_with_their_bytes_and_a_new_signature() {
    let world = World::with_people(1).await;
    let healed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&healed);
    let receiver =
        Receiver::start(move |_| if seen.load(Ordering::SeqCst) { OK } else { Reply::Answer(422, "", "no") })
            .await;
    let mut dispatcher = world.dispatcher(vec![hasty(&world, &receiver)]);
    for id in ["evt_1", "evt_2", "evt_3"] {
        world.event(0, id, &["crm"]).await;
    }
    dispatcher.settle().await;
    assert_eq!(world.count_by_state().await, BTreeMap::from([("dead".to_owned(), 3)]));
    healed.store(true, Ordering::SeqCst);
    world.clock.advance(Duration::from_hours(1));
    let dead = Selection { state: Some("dead"), ..selection() };
    assert_eq!(replay(&world, &dead).await, (3, 0));
    assert_eq!(dispatcher.settle().await, None);
    let got = receiver.got();
    assert_eq!(receiver.ids(), ["evt_1", "evt_2", "evt_3", "evt_1", "evt_2", "evt_3"]);
    let keys = [SigningKey::parse(SECRET).unwrap()];
    for (first, again) in got[..3].iter().zip(&got[3..]) {
        assert_eq!(
            (first.header("presenced-trigger"), again.header("presenced-trigger")),
            ("event", "replay")
        );
        assert_eq!(first.body, again.body);
        assert_ne!(first.header("webhook-signature"), again.header("webhook-signature"));
        let timestamp: i64 = again.header("webhook-timestamp").parse().unwrap();
        assert_eq!(timestamp, world.clock.now().as_ms() / 1000);
        let (id, signed) = (again.header("webhook-id"), again.header("webhook-signature"));
        assert!(signature::verify(&keys, id, timestamp, &again.body, signed));
    }
    assert_eq!(world.count_by_state().await, BTreeMap::from([("delivered".to_owned(), 3)]));
    assert_eq!(replay(&world, &dead).await, (0, 0), "nothing is dead any more");
}

#[tokio::test]
async fn what_waits_already_is_not_doubled() {
    let world = World::with_people(1).await;
    let receiver = Receiver::start(|_| OK).await;
    world.event(0, "evt_1", &["crm"]).await;
    assert_eq!(replay(&world, &of_events(&["evt_1"])).await, (0, 1));
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    dispatcher.settle().await;
    assert_eq!(replay(&world, &of_events(&["evt_1"])).await, (1, 0));
    assert_eq!(replay(&world, &of_events(&["evt_1"])).await, (0, 1), "asked twice, sent once");
    dispatcher.settle().await;
    assert_eq!(receiver.got().iter().map(is_replay).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn a_range_of_time_is_by_when_events_were_recorded() {
    let world = World::with_people(2).await;
    let receiver = Receiver::start(|_| OK).await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    for (n, id) in ["evt_1", "evt_2", "evt_3", "evt_4"].into_iter().enumerate() {
        world.event(n % 2, id, &["crm", "other"]).await;
        dispatcher.settle().await;
        world.clock.advance(Duration::from_mins(1));
    }
    let minute = |n: u64| -> Timestamp { START.plus(Duration::from_mins(n)) };
    let some = Selection { since: Some(minute(1)), until: Some(minute(3)), ..selection() };
    assert_eq!(replay(&world, &some).await, (2, 0));
    dispatcher.settle().await;
    let mut again: Vec<_> = receiver.ids().split_off(4);
    again.sort();
    assert_eq!(again, ["evt_2", "evt_3"]);
    let of_a_state = Selection { state: Some("expired"), since: Some(minute(0)), ..selection() };
    assert_eq!(replay(&world, &of_a_state).await, (0, 0));
}

#[tokio::test]
async fn live_traffic_does_not_wait_for_a_replay_that_waits_out_its_backoff() {
    let world = World::with_people(1).await;
    let receiver =
        Receiver::start(|got| if is_replay(got) { Reply::Answer(422, "", "not again") } else { OK }).await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    world.event(0, "evt_old", &["crm"]).await;
    dispatcher.settle().await;
    replay(&world, &of_events(&["evt_old"])).await;
    let backoff = dispatcher.settle().await.expect("the replay is tried again");
    assert!(backoff > world.clock.now());
    world.event(0, "evt_new", &["crm"]).await;
    assert_eq!(dispatcher.settle().await, Some(backoff), "and no sooner or later than before");
    assert_eq!(receiver.ids(), ["evt_old", "evt_old", "evt_new"]);
}

#[tokio::test]
async fn a_replay_does_not_shorten_the_backoff_of_live_traffic() {
    let world = World::with_people(1).await;
    let receiver = Receiver::start(|got| {
        if got.header("webhook-id") == "evt_live" { Reply::Answer(422, "", "no") } else { OK }
    })
    .await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    world.event(0, "evt_old", &["crm"]).await;
    dispatcher.settle().await;
    world.event(0, "evt_live", &["crm"]).await;
    let backoff = dispatcher.settle().await;
    replay(&world, &of_events(&["evt_old"])).await;
    assert_eq!(dispatcher.settle().await, backoff);
    assert_eq!(receiver.ids(), ["evt_old", "evt_live"], "it goes behind live traffic");
    world.run_out(&mut dispatcher, 20).await;
    assert_eq!(receiver.ids().last().map(String::as_str), Some("evt_old"));
}

#[tokio::test]
async fn a_replay_has_attempts_of_its_own_and_ends_as_a_dead_letter_too() {
    let world = World::with_people(1).await;
    let receiver = Receiver::start(|_| Reply::Answer(422, "", "never")).await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    world.event(0, "evt_1", &["crm"]).await;
    world.run_out(&mut dispatcher, 20).await;
    assert_eq!(receiver.got().len(), 5);
    replay(&world, &of_events(&["evt_1"])).await;
    world.run_out(&mut dispatcher, 20).await;
    assert_eq!(receiver.got().len(), 10);
    assert_eq!(world.count_by_state().await, BTreeMap::from([("dead".to_owned(), 1)]));
}

#[tokio::test]
async fn what_expired_can_be_wanted_all_the_same() {
    let world = World::with_people(1).await;
    let receiver = Receiver::start(|_| OK).await;
    let mut target = world.target(&receiver);
    target.rules = Rules { max_age: Some(Duration::from_mins(5)), ..Rules::default() };
    let mut dispatcher = world.dispatcher(vec![target]);
    world.event(0, "evt_1", &["crm"]).await;
    world.clock.advance(Duration::from_mins(6));
    dispatcher.settle().await;
    assert!(receiver.got().is_empty());
    assert_eq!(replay(&world, &Selection { state: Some("expired"), ..selection() }).await, (1, 0));
    dispatcher.settle().await;
    assert_eq!(receiver.ids(), ["evt_1"]);
}

#[tokio::test]
async fn an_event_by_name_can_go_where_it_was_never_meant_to_go() {
    let world = World::with_people(1).await;
    let receiver = Receiver::start(|_| OK).await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    world.event(0, "evt_1", &[]).await;
    assert_eq!(replay(&world, &of_events(&["evt_1"])).await, (0, 0));
    let asked = Selection { never_meant: true, ..of_events(&["evt_1", "evt_unknown"]) };
    assert_eq!(replay(&world, &asked).await, (1, 0));
    dispatcher.settle().await;
    assert_eq!(receiver.ids(), ["evt_1"]);
}
