//! Robots and templates through the real database to real sockets: digests, pace, silence, answers that say no.
#![expect(clippy::unwrap_used, reason = "a fixture that fails fails its test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use presenced::clock::Clock;
use presenced::message::style::{Language, Style};
use presenced::message::template::Template;
use presenced::policy::delivery::{Outcome, Rules};
use presenced::secret::Secret;
use presenced::signature::robot;
use presenced::tasks::dispatcher::Target;
use presenced::time::Timestamp;
use presenced::webhook::format::{BodyFormat, Success};
use serde_json::{Value, json};

use crate::delivery_harness::{Got, Receiver, Reply, START, World};

const TAKEN: Reply = Reply::Answer(200, "", "{\"errcode\":0,\"errmsg\":\"ok\"}");
const TOO_MUCH: Reply =
    Reply::Answer(200, "", "{\"errcode\":130101,\"errmsg\":\"exceed 20 times per minute\"}");
const ENGLISH: Style = Style { language: Language::En, zone: chrono_tz::Tz::UTC };

fn robot_at(world: &World, name: &str, receiver: &Receiver, secret: Option<&str>) -> Target {
    world.target_at(name, &receiver.url(), |destination| {
        destination.keys = Vec::new();
        destination.format =
            BodyFormat::Robot { secret: secret.map(Secret::new), style: ENGLISH, titles: true };
    })
}

fn template_at(world: &World, receiver: &Receiver, source: &str, batch: Option<Duration>) -> Target {
    world.target_at("crm", &receiver.url(), |destination| {
        destination.format = BodyFormat::Template {
            template: Template::compile("own.j2", source, ENGLISH).unwrap(),
            success: Some(Success { pointer: "/code".to_owned(), equals: json!(0) }),
            batch,
            titles: true,
            secret: None,
        };
    })
}

fn body(got: &Got) -> Value {
    serde_json::from_slice(&got.body).unwrap()
}

fn text(got: &Got) -> String {
    body(got)["markdown"]["text"].as_str().unwrap().to_owned()
}

/// The dispatcher's first request of a robot is spaced from those an earlier daemon may have sent, so two minutes pass.
fn later(world: &World) {
    world.clock.set(world.clock.now().plus(Duration::from_mins(2)));
}

#[tokio::test]
async fn a_robot_gets_a_signed_markdown_message_with_the_events_id() {
    let (world, receiver) = (World::with_people(1).await, Receiver::start(|_| TAKEN).await);
    let mut dispatcher = world.dispatcher(vec![robot_at(&world, "crm", &receiver, Some("SECtest"))]);
    world.event(0, "evt_1", &["crm"]).await;
    assert_eq!(dispatcher.settle().await, None);
    let got = &receiver.got()[0];
    let (ms, sign) = (START.as_ms(), robot::sign(&Secret::new("SECtest"), START.as_ms()));
    assert_eq!(got.head, format!("POST /hook?token=hush&timestamp={ms}&sign={sign} HTTP/1.1"));
    assert_eq!(got.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(got.header("webhook-signature"), "");
    let body = body(got);
    assert_eq!((&body["msgtype"], &body["msgUuid"]), (&json!("markdown"), &json!("evt_1")));
    assert_eq!(world.count_by_state().await, [("delivered".to_owned(), 1)].into());
}

#[tokio::test]
async fn events_beyond_the_pace_become_one_digest_and_each_counts_as_delivered() {
    let world = World::with_people(30).await;
    let receiver = Receiver::start(|_| TAKEN).await;
    let mut dispatcher = world.dispatcher(vec![robot_at(&world, "crm", &receiver, None)]);
    later(&world);
    for person in 0..30 {
        world.event(person, &format!("evt_{person}"), &["crm"]).await;
    }
    assert_eq!(dispatcher.settle().await, None);
    let got = receiver.got();
    assert_eq!(got.len(), 1);
    assert_eq!(text(&got[0]).lines().filter(|line| line.starts_with("- ")).count(), 30);
    let id = got[0].header("webhook-id");
    assert!(id.starts_with("bat_"), "{id}");
    assert_eq!(body(&got[0])["msgUuid"], id);
    assert_eq!(world.count_by_state().await, [("delivered".to_owned(), 30)].into());
}

#[tokio::test]
async fn few_events_are_messages_of_their_own() {
    let (world, receiver) = (World::with_people(3).await, Receiver::start(|_| TAKEN).await);
    let mut dispatcher = world.dispatcher(vec![robot_at(&world, "crm", &receiver, None)]);
    later(&world);
    for person in 0..3 {
        world.event(person, &format!("evt_{person}"), &["crm"]).await;
    }
    assert_eq!(dispatcher.settle().await, None);
    let mut ids = receiver.ids();
    ids.sort();
    assert_eq!(ids, ["evt_0", "evt_1", "evt_2"]);
}

#[tokio::test]
async fn no_minute_brings_a_robot_more_than_twenty_even_from_two_webhooks() {
    let world = World::with_people(6).await;
    let receiver = Receiver::start(|_| TAKEN).await;
    let targets = ["crm", "hr"].map(|name| robot_at(&world, name, &receiver, None)).to_vec();
    let mut dispatcher = world.dispatcher(targets);
    for round in 0..8 {
        for person in 0..6 {
            world.event(person, &format!("evt_{person}_{round}"), &["crm", "hr"]).await;
        }
    }
    let mut sent: Vec<(Timestamp, usize)> = Vec::new();
    loop {
        let due = dispatcher.settle().await;
        sent.push((world.clock.now(), receiver.got().len()));
        let Some(due) = due else { break };
        world.clock.set(due);
    }
    for (at, count) in &sent {
        let minute = sent.iter().filter(|(then, _)| at.since(*then) >= Duration::from_mins(1) && then < at);
        let before = minute.map(|(_, count)| *count).max().unwrap_or(0);
        assert!(count - before <= 20, "{count} - {before} at {at}");
    }
    assert_eq!(world.count_by_state().await, [("delivered".to_owned(), 96)].into());
    assert!(receiver.got().len() < 40, "digests: {}", receiver.got().len());
    // A digest holds one event of each person, so the events of each person stay in order.
    let lines: Vec<String> = receiver.got().iter().map(text).collect();
    assert!(lines.iter().all(|text| text.lines().filter(|line| line.starts_with("- ")).count() <= 12));
}

#[tokio::test]
async fn a_robot_that_had_too_much_is_left_alone_for_ten_minutes_and_no_event_pays_for_it() {
    let world = World::with_people(2).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let receiver =
        Receiver::start(move |_| if counted.fetch_add(1, Ordering::SeqCst) < 6 { TOO_MUCH } else { TAKEN })
            .await;
    let target = robot_at(&world, "crm", &receiver, None);
    let rules = Rules { attempts: 1, ..Rules::default() };
    let mut dispatcher = world.dispatcher(vec![Target { rules, ..target }]);
    later(&world);
    world.event(0, "evt_0", &["crm"]).await;
    let first = world.clock.now();
    let due = dispatcher.settle().await.expect("it is tried again");
    assert!(due.since(first) >= Duration::from_mins(10), "{due}");
    world.event(1, "evt_1", &["crm"]).await;
    let silent = dispatcher.settle().await.expect("nothing goes out before");
    assert!(silent.since(first) >= Duration::from_mins(10), "{silent}");
    assert_eq!(receiver.got().len(), 1);
    let instants = world.run_out(&mut dispatcher, 40).await;
    assert_eq!(world.count_by_state().await, [("delivered".to_owned(), 2)].into(), "{instants:?}");
}

#[tokio::test]
async fn events_are_collected_for_a_while_and_the_template_sees_them_all() {
    let (world, receiver) =
        (World::with_people(3).await, Receiver::start(|_| Reply::Answer(200, "", "{\"code\":0}")).await);
    let source = r#"{"n": {{ events | length }}, "ids": {{ events | map(attribute="id") | list | json }}, "first": {{ event.id | json }}}"#;
    let target = template_at(&world, &receiver, source, Some(Duration::from_secs(20)));
    let mut dispatcher = world.dispatcher(vec![target]);
    world.event(0, "evt_0", &["crm"]).await;
    assert_eq!(dispatcher.settle().await, Some(START.plus(Duration::from_secs(20))));
    world.clock.set(START.plus(Duration::from_secs(19)));
    world.event(1, "evt_1", &["crm"]).await;
    world.event(2, "evt_2", &["crm"]).await;
    assert_eq!(dispatcher.settle().await, Some(START.plus(Duration::from_secs(20))));
    assert!(receiver.got().is_empty());
    world.clock.set(START.plus(Duration::from_secs(20)));
    assert_eq!(dispatcher.settle().await, None);
    let got = receiver.got();
    assert_eq!(got.len(), 1);
    assert_eq!(body(&got[0]), json!({"n": 3, "ids": ["evt_0", "evt_1", "evt_2"], "first": "evt_0"}));
    assert!(got[0].header("webhook-signature").starts_with("v1,"), "signed like any other");
    assert_eq!(world.count_by_state().await, [("delivered".to_owned(), 3)].into());
}

#[tokio::test]
async fn a_refused_batch_is_taken_apart_and_only_the_bad_event_is_given_up() {
    let world = World::with_people(3).await;
    let receiver = Receiver::start(|got| {
        let bad = String::from_utf8_lossy(&got.body).contains("evt_bad");
        if bad { Reply::Answer(422, "", "no") } else { Reply::Answer(200, "", "{\"code\":0}") }
    })
    .await;
    let source = r#"{"ids": {{ events | map(attribute="id") | list | json }}}"#;
    let target = template_at(&world, &receiver, source, Some(Duration::from_secs(1)));
    let mut dispatcher = world.dispatcher(vec![target]);
    for (person, id) in [(0, "evt_0"), (1, "evt_bad"), (2, "evt_2")] {
        world.event(person, id, &["crm"]).await;
    }
    world.run_out(&mut dispatcher, 40).await;
    let expected = [("delivered".to_owned(), 2), ("dead".to_owned(), 1)];
    assert_eq!(world.count_by_state().await, expected.into());
    let ids = receiver.ids();
    assert_eq!(ids.iter().filter(|id| *id == "evt_bad").count(), 4, "one try was with the others: {ids:?}");
}

#[tokio::test]
async fn a_batch_without_an_answer_is_sent_again_as_it_was() {
    let world = World::with_people(4).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let receiver = Receiver::start(move |_| {
        let broken = counted.fetch_add(1, Ordering::SeqCst) == 0;
        if broken { Reply::Answer(503, "", "") } else { Reply::Answer(200, "", "{\"code\":0}") }
    })
    .await;
    let source = r#"{"ids": {{ events | map(attribute="id") | list | json }}}"#;
    let target = template_at(&world, &receiver, source, Some(Duration::from_secs(1)));
    let mut dispatcher = world.dispatcher(vec![target]);
    for person in 0..3 {
        world.event(person, &format!("evt_{person}"), &["crm"]).await;
    }
    let closes = dispatcher.settle().await.expect("the window closes");
    world.clock.set(closes);
    dispatcher.settle().await.expect("it is tried again");
    world.event(3, "evt_3", &["crm"]).await;
    world.run_out(&mut dispatcher, 20).await;
    let got = receiver.got();
    let again: Vec<_> =
        got.iter().filter(|one| one.header("webhook-id") == got[0].header("webhook-id")).collect();
    assert_eq!(again.len(), 2, "{:?}", receiver.ids());
    assert_eq!((&again[0].body, again[1].header("presenced-attempt")), (&again[1].body, "2"));
    assert_eq!(world.count_by_state().await, [("delivered".to_owned(), 4)].into());
}

#[tokio::test]
async fn a_200_whose_body_says_no_is_not_accepted() {
    let world = World::with_people(0).await;
    let answers = [
        (
            Reply::Answer(200, "", "{\"code\":19024,\"msg\":\"Key Words Not Found\"}"),
            "`/code` in the answer is 19024, not 0",
        ),
        (Reply::Answer(200, "", "ok"), "the answer's body is no JSON: ok"),
        (Reply::Answer(204, "", ""), "the answer's body is empty"),
        (
            Reply::Raw([b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), " ".repeat(40_000).as_bytes()].concat()),
            "the answer's body was too long or too slow to be read",
        ),
    ];
    for (answer, why) in answers {
        let receiver = Receiver::start(move |_| answer.clone()).await;
        let target = template_at(&world, &receiver, "{{ event | json }}", None);
        let answer = target.sender.send(message("evt_1", b"{}")).await.answer;
        assert_eq!((answer.outcome, answer.error.as_deref()), (Outcome::Unavailable, Some(why)));
    }
}

#[tokio::test]
async fn an_event_no_body_can_be_made_of_is_refused_without_a_request() {
    let (world, receiver) = (World::with_people(0).await, Receiver::start(|_| TAKEN).await);
    let target = template_at(&world, &receiver, "{{ event.missing | json }}", None);
    let answer = target.sender.send(message("evt_1", b"{}")).await.answer;
    assert_eq!((answer.outcome, answer.status), (Outcome::Refused, None));
    assert_eq!(answer.error.as_deref(), Some("template own.j2: line 1: undefined value"));
    assert!(receiver.got().is_empty());
}

#[tokio::test]
async fn what_a_robot_says_about_a_bad_signature_shows_neither_token_nor_signature() {
    let world = World::with_people(0).await;
    let receiver = Receiver::start(|got| {
        let body =
            format!("{{\"errcode\":310000,\"errmsg\":\"sign not match: {}, hush, SECtest\"}}", got.head);
        Reply::Raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
    })
    .await;
    let target = robot_at(&world, "crm", &receiver, Some("SECtest"));
    let answer = target.sender.send(message("evt_1", b"{}")).await.answer;
    assert_eq!(answer.outcome, Outcome::Unavailable);
    let sign = robot::sign(&Secret::new("SECtest"), START.as_ms());
    for text in [answer.error.unwrap(), answer.excerpt] {
        assert!(text.contains("sign not match: POST /hook?[hidden] HTTP/1.1, [hidden], [hidden]"), "{text}");
        assert!(!text.contains(&sign) && !text.contains("hush") && !text.contains("SECtest"), "{text}");
    }
}

fn message(id: &str, body: &[u8]) -> presenced::webhook::send::Message {
    presenced::webhook::send::Message {
        event_id: id.to_owned(),
        event_type: "meeting.participant_left".to_owned(),
        trigger: presenced::policy::delivery::Trigger::Event,
        attempt: 1,
        body: body.to_vec(),
    }
}
