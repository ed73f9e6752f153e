//! Deliveries through the real database to real sockets: order, outcomes, up and down, restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use presenced::clock::Clock;
use presenced::policy::delivery::{Rules, WebhookState};
use presenced::signature::{self, SigningKey};
use tokio_util::sync::CancellationToken;

use crate::delivery_harness::{OK, Receiver, Reply, SECRET, START, World};

#[tokio::test]
async fn an_event_arrives_once_signed_with_every_header() {
    let (world, receiver) = (World::with_people(1).await, Receiver::start(|_| OK).await);
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    world.event(0, "evt_1", &["crm"]).await;
    assert_eq!(dispatcher.settle().await, None);
    let got = receiver.got();
    assert_eq!(got.len(), 1);
    let request = &got[0];
    assert_eq!(request.head, "POST /hook?token=hush HTTP/1.1");
    let timestamp = START.as_ms() / 1000;
    for (name, value) in [
        ("content-type", "application/json"),
        ("user-agent", concat!("presenced/", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", "evt_1"),
        ("webhook-timestamp", &timestamp.to_string()),
        ("presenced-event", "meeting.participant_joined"),
        ("presenced-webhook", "crm"),
        ("presenced-attempt", "1"),
        ("presenced-trigger", "event"),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
    let keys = [SigningKey::parse(SECRET).unwrap()];
    assert!(signature::verify(&keys, "evt_1", timestamp, &request.body, request.header("webhook-signature")));
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(body["id"], "evt_1");
    assert_eq!(body["data"]["alert"]["summary"], "王伟 & \"quotes\"");
    assert_eq!(dispatcher.settle().await, None);
    assert_eq!(receiver.got().len(), 1, "once");
}

#[tokio::test]
async fn a_failing_head_holds_its_own_lane_only() {
    let world = World::with_people(3).await;
    let healed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&healed);
    let receiver = Receiver::start(move |got| {
        let bad = got.header("webhook-id") == "evt_0a" && !seen.load(Ordering::SeqCst);
        if bad { Reply::Answer(422, "", "no") } else { OK }
    })
    .await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    for (person, id) in
        [(0, "evt_0a"), (0, "evt_0b"), (1, "evt_1a"), (2, "evt_2a"), (0, "evt_0c"), (1, "evt_1b")]
    {
        world.event(person, id, &["crm"]).await;
    }
    let due = dispatcher.settle().await.expect("the head is tried again");
    let mut ids = receiver.ids();
    ids.sort();
    assert_eq!(ids, ["evt_0a", "evt_1a", "evt_1b", "evt_2a"]);
    healed.store(true, Ordering::SeqCst);
    world.clock.set(due);
    assert_eq!(dispatcher.settle().await, None);
    assert_eq!(receiver.ids()[4..], ["evt_0a", "evt_0b", "evt_0c"]);
    assert_eq!(receiver.got()[4].header("presenced-attempt"), "2");
}

#[tokio::test]
async fn one_lane_is_never_two_requests_at_a_time_and_lanes_run_side_by_side() {
    let world = World::with_people(4).await;
    // Nobody is answered before four are there, so this ends only if four lanes run side by side.
    let barrier = Arc::new(tokio::sync::Barrier::new(4));
    let receiver = Receiver::start(move |_| Reply::Together(Arc::clone(&barrier))).await;
    for round in 0..5 {
        for person in 0..4 {
            world.event(person, &format!("evt_{person}_{round}"), &["crm"]).await;
        }
    }
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    assert_eq!(dispatcher.settle().await, None);
    let ids = receiver.ids();
    assert_eq!(ids.len(), 20);
    for four in ids.chunks(4) {
        let lanes: std::collections::BTreeSet<_> = four.iter().map(|id| &id[..5]).collect();
        assert_eq!(lanes.len(), 4, "two of one lane at a time: {four:?}");
    }
    for person in 0..4 {
        let mine: Vec<_> = ids.iter().filter(|id| id.starts_with(&format!("evt_{person}_"))).collect();
        assert!(mine.is_sorted(), "{mine:?}");
    }
}

#[tokio::test]
async fn refused_is_a_dead_letter_after_five_attempts_and_the_lane_goes_on() {
    let world = World::with_people(1).await;
    let receiver = Receiver::start(|got| {
        if got.header("webhook-id") == "evt_bad" { Reply::Answer(400, "", "bad\u{7}") } else { OK }
    })
    .await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    world.event(0, "evt_bad", &["crm"]).await;
    world.event(0, "evt_good", &["crm"]).await;
    let instants = world.run_out(&mut dispatcher, 10).await;
    assert_eq!(instants.len(), 4, "four waits between five attempts");
    assert_eq!(receiver.ids(), ["evt_bad", "evt_bad", "evt_bad", "evt_bad", "evt_bad", "evt_good"]);
    let attempts: Vec<_> =
        receiver.got().iter().map(|got| got.header("presenced-attempt").to_owned()).collect();
    assert_eq!(attempts, ["1", "2", "3", "4", "5", "1"]);
    let bodies: std::collections::BTreeSet<_> =
        receiver.got()[..5].iter().map(|got| got.body.clone()).collect();
    assert_eq!(bodies.len(), 1, "the same bytes every time");
    assert_eq!(world.health("crm").await.state, WebhookState::Up);
}

#[tokio::test]
async fn gone_disables_at_once_and_what_waits_is_never_sent() {
    let world = World::with_people(2).await;
    let receiver = Receiver::start(|_| Reply::Answer(410, "", "")).await;
    let mut target = world.target(&receiver);
    target.concurrency = 1;
    let mut dispatcher = world.dispatcher(vec![target]);
    for (person, id) in [(0, "evt_1"), (0, "evt_2"), (1, "evt_3")] {
        world.event(person, id, &["crm"]).await;
    }
    assert_eq!(dispatcher.settle().await, None);
    assert_eq!(receiver.got().len(), 1);
    assert!(matches!(world.health("crm").await.state, WebhookState::Disabled { .. }));
    world.event(1, "evt_4", &["crm"]).await;
    assert_eq!(dispatcher.settle().await, None);
    assert_eq!(receiver.got().len(), 1);
    let name = presenced::ids::WebhookName::parse("crm").unwrap();
    assert_eq!(world.store.outbox().next_ready(&name).await.unwrap(), None, "nothing waits any more");
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let world = World::with_people(1).await;
    let receiver = Receiver::start(|_| Reply::Answer(503, "retry-after: 120\r\n", "")).await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    world.event(0, "evt_1", &["crm"]).await;
    assert_eq!(dispatcher.settle().await, Some(START.plus(Duration::from_mins(2))));
}

#[tokio::test]
async fn a_dead_receiver_is_probed_alone_and_gets_everything_in_order_when_it_is_back() {
    let world = World::with_people(3).await;
    let back = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&back);
    let receiver =
        Receiver::start(move |_| if seen.load(Ordering::SeqCst) { OK } else { Reply::Answer(500, "", "") })
            .await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    for person in 0..3 {
        for round in 0..4 {
            world.event(person, &format!("evt_{person}_{round}"), &["crm"]).await;
        }
    }
    // Three heads fail, twice: five in a row put it down, the sixth was in flight already.
    loop {
        let due = dispatcher.settle().await.unwrap();
        if world.health("crm").await.state.is_down() {
            break;
        }
        world.clock.set(due);
    }
    let before = receiver.got().len();
    for probes in 1..=30 {
        let due = dispatcher.settle().await.expect("there is always another probe");
        assert!(due > world.clock.now());
        assert_eq!(receiver.got().len(), before + probes - 1, "one probe at a time");
        world.clock.set(due);
    }
    let heads: std::collections::BTreeSet<_> = receiver.ids().into_iter().collect();
    assert_eq!(heads.into_iter().collect::<Vec<_>>(), ["evt_0_0", "evt_1_0", "evt_2_0"]);
    back.store(true, Ordering::SeqCst);
    let before = receiver.got().len();
    world.run_out(&mut dispatcher, 20).await;
    let ids = receiver.ids()[before..].to_vec();
    assert_eq!(ids.len(), 12, "everything, once: {ids:?}");
    for person in 0..3 {
        let mine: Vec<_> = ids.iter().filter(|id| id.starts_with(&format!("evt_{person}_"))).collect();
        assert!(mine.is_sorted(), "{mine:?}");
    }
    assert_eq!(world.health("crm").await.state, WebhookState::Up);
}

#[tokio::test]
async fn down_for_five_days_is_disabled() {
    let world = World::with_people(1).await;
    let receiver = Receiver::start(|_| Reply::Answer(500, "", "")).await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    world.event(0, "evt_1", &["crm"]).await;
    let instants = world.run_out(&mut dispatcher, 1_000).await;
    let days = instants.last().unwrap().since(START).as_secs_f64() / 86_400.0;
    assert!((5.0..5.1).contains(&days), "{days}");
    assert!(matches!(world.health("crm").await.state, WebhookState::Disabled { .. }));
    assert!(receiver.got().len() < 170, "an hour between probes: {}", receiver.got().len());
}

#[tokio::test]
async fn the_state_of_a_webhook_outlives_a_restart() {
    let mut world = World::with_people(1).await;
    let receiver = Receiver::start(|_| Reply::Answer(500, "", "")).await;
    let target = world.target(&receiver);
    let mut dispatcher = world.dispatcher(vec![target.clone()]);
    world.event(0, "evt_1", &["crm"]).await;
    let due = loop {
        let due = dispatcher.settle().await.unwrap();
        if world.health("crm").await.state.is_down() {
            break due;
        }
        world.clock.set(due);
    };
    let before = receiver.got().len();
    drop(dispatcher);
    world.restart().await;
    let mut dispatcher = world.dispatcher(vec![target]);
    dispatcher.resume().await.unwrap();
    assert_eq!(dispatcher.settle().await, Some(due), "still down, the same probe is next");
    assert_eq!(receiver.got().len(), before);
}

#[tokio::test]
async fn what_was_in_flight_at_a_crash_is_sent_again_with_the_same_id_and_bytes() {
    let mut world = World::with_people(1).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let receiver = Receiver::start(move |_| {
        if counted.fetch_add(1, Ordering::SeqCst) == 0 { Reply::Silence(Vec::new()) } else { OK }
    })
    .await;
    let target = world.target(&receiver);
    world.event(0, "evt_1", &["crm"]).await;
    let mut dispatcher = world.dispatcher(vec![target.clone()]);
    tokio::select! {
        _ = dispatcher.settle() => panic!("the receiver is silent"),
        () = receiver.has_got(1) => {}
    }
    drop(dispatcher);
    world.restart().await;
    // Without freeing the leases nothing would ever be ready.
    let mut dispatcher = world.dispatcher(vec![target]);
    assert_eq!(dispatcher.settle().await, None);
    assert_eq!(receiver.got().len(), 1, "still leased");
    dispatcher.resume().await.unwrap();
    assert_eq!(dispatcher.settle().await, None);
    let got = receiver.got();
    assert_eq!(receiver.ids(), ["evt_1", "evt_1"]);
    assert_eq!(got[0].body, got[1].body);
}

#[tokio::test]
async fn one_dead_webhook_does_not_hold_up_another() {
    let world = World::with_people(2).await;
    let (dead, fine) = (Receiver::start(|_| Reply::Hangup).await, Receiver::start(|_| OK).await);
    let targets =
        vec![world.target_at("dead", &dead.url(), |_| {}), world.target_at("fine", &fine.url(), |_| {})];
    let mut dispatcher = world.dispatcher(targets);
    for id in ["evt_1", "evt_2", "evt_3"] {
        world.event(0, id, &["dead", "fine"]).await;
    }
    dispatcher.settle().await;
    assert_eq!(fine.ids(), ["evt_1", "evt_2", "evt_3"]);
    assert_eq!(dead.ids(), ["evt_1"]);
}

#[tokio::test]
async fn rate_is_kept_and_nothing_is_lost_by_it() {
    let world = World::with_people(10).await;
    let receiver = Receiver::start(|_| OK).await;
    let mut target = world.target(&receiver);
    target.rate = 3;
    let mut dispatcher = world.dispatcher(vec![target]);
    for person in 0..10 {
        world.event(person, &format!("evt_{person}"), &["crm"]).await;
    }
    let mut counts = Vec::new();
    loop {
        let due = dispatcher.settle().await;
        counts.push(receiver.got().len());
        match due {
            Some(due) => {
                assert_eq!(due, world.clock.now().plus(Duration::from_secs(1)));
                world.clock.set(due);
            }
            None => break,
        }
    }
    assert_eq!(counts, [3, 6, 9, 10]);
}

#[tokio::test]
async fn an_event_older_than_max_age_expires_unsent() {
    let world = World::with_people(1).await;
    let receiver = Receiver::start(|_| OK).await;
    let mut target = world.target(&receiver);
    target.rules = Rules { max_age: Some(Duration::from_mins(5)), ..Rules::default() };
    let mut dispatcher = world.dispatcher(vec![target]);
    world.event(0, "evt_old", &["crm"]).await;
    world.clock.advance(Duration::from_secs(301));
    world.event(0, "evt_new", &["crm"]).await;
    assert_eq!(dispatcher.settle().await, None);
    assert_eq!(receiver.ids(), ["evt_new"]);
}

#[tokio::test]
async fn run_delivers_on_a_wake_up_and_stops_softly() {
    let world = World::with_people(1).await;
    let receiver = Receiver::start(|_| OK).await;
    let stop = CancellationToken::new();
    let dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(dispatcher.run(stop.clone()));
    for i in 0..3 {
        world.event(0, &format!("evt_{i}"), &["crm"]).await;
        receiver.has_got(i + 1).await;
    }
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
    let name = presenced::ids::WebhookName::parse("crm").unwrap();
    assert_eq!(world.store.outbox().next_ready(&name).await.unwrap(), None, "everything is written down");
}

#[tokio::test]
async fn stopping_waits_for_the_answer_that_is_out_and_only_so_long() {
    let world = World::with_people(1).await;
    let receiver = Receiver::start(|_| Reply::Silence(Vec::new())).await;
    let stop = CancellationToken::new();
    let dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(dispatcher.run(stop.clone()));
    world.event(0, "evt_1", &["crm"]).await;
    receiver.has_got(1).await;
    stop.cancel();
    while world.clock.next_wake().is_none() {
        tokio::task::yield_now().await;
    }
    world.clock.advance(Duration::from_secs(6));
    tasks.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_database_that_would_not_write_is_asked_again_and_nothing_is_sent_twice() {
    let world = World::with_people(2).await;
    let receiver = Receiver::start(|_| OK).await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    world.event(0, "evt_1", &["crm"]).await;
    world.meddle("CREATE TRIGGER no BEFORE UPDATE ON deliveries BEGIN SELECT raise(ABORT, 'no'); END").await;
    for seconds in 1..=3 {
        let due = dispatcher.settle().await;
        assert_eq!(due, Some(START.plus(Duration::from_secs(seconds))));
        world.clock.set(due.unwrap());
    }
    world.meddle("DROP TRIGGER no").await;
    world.event(1, "evt_2", &["crm"]).await;
    assert_eq!(dispatcher.settle().await, None);
    assert_eq!(receiver.ids(), ["evt_1", "evt_2"]);
    let name = presenced::ids::WebhookName::parse("crm").unwrap();
    assert_eq!(world.store.outbox().free_leases().await.unwrap(), 0);
    assert_eq!(world.store.outbox().next_ready(&name).await.unwrap(), None);
}

#[tokio::test]
async fn under_every_kind_of_trouble_each_event_is_accepted_once_in_its_users_order_or_given_up() {
    let world = World::with_people(5).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    // What happens depends on how many requests there were: no pattern that lanes could keep in step with.
    let receiver = Receiver::start(move |_| match counted.fetch_add(1, Ordering::SeqCst) * 7919 % 101 % 10 {
        0 | 1 => Reply::Answer(500, "", "busy"),
        2 => Reply::Answer(429, "retry-after: 7\r\n", ""),
        3 => Reply::Hangup,
        4 => Reply::Answer(422, "", "no"),
        _ => OK,
    })
    .await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    for round in 0..20 {
        for person in 0..5 {
            world.event(person, &format!("evt_{person}_{round:02}"), &["crm"]).await;
        }
    }
    world.run_out(&mut dispatcher, 10_000).await;
    let name = presenced::ids::WebhookName::parse("crm").unwrap();
    assert_eq!(world.store.outbox().next_ready(&name).await.unwrap(), None, "nothing waits any more");
    let ids = receiver.ids();
    for person in 0..5 {
        let mut mine: Vec<_> = ids.iter().filter(|id| id.starts_with(&format!("evt_{person}_"))).collect();
        assert!(mine.is_sorted(), "a later one never before an earlier one: {mine:?}");
        mine.dedup();
        assert_eq!(mine.len(), 20, "all were tried");
    }
    let by_state = world.count_by_state().await;
    let delivered = by_state.get("delivered").copied().unwrap_or(0);
    let accepted = receiver.accepted();
    assert_eq!(accepted, delivered, "each accepted one is known to be, and none was sent after that");
    assert_eq!(delivered + by_state.get("dead").copied().unwrap_or(0), 100);
}
