//! The operator's hand on webhooks while the daemon runs, and what is told about a receiver's health.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure here is a failure of the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use presenced::clock::Clock;
use presenced::ids::WebhookName;
use presenced::policy::delivery::{Outcome, WebhookState};
use presenced::policy::operator_action::OperatorAction;
use presenced::secret::Secret;
use presenced::store::history::EventQuery;
use presenced::store::outbox::reader::DeliveryQuery;
use presenced::tasks::alerts_webhook::WebhookAlerts;
use presenced::tasks::dispatcher::Dispatcher;
use presenced::tasks::operator::{Operator, OperatorError};
use presenced::tasks::poller::report::PollerHandle;
use presenced::webhook::routing::{Pattern, Subscription};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::delivery_harness::{Receiver, Reply, World};

fn name(name: &str) -> WebhookName {
    WebhookName::parse(name).unwrap()
}

/// A receiver that answers with a status that the test can change.
async fn moody() -> (Receiver, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(204));
    let said = Arc::clone(&status);
    let receiver = Receiver::start(move |_| Reply::Answer(said.load(Ordering::SeqCst), "", "")).await;
    (receiver, status)
}

async fn change(dispatcher: &mut Dispatcher, change: OperatorAction) -> WebhookState {
    let (handle, crm) = (dispatcher.handle(), name("crm"));
    let (changed, _) = tokio::join!(handle.change(&crm, change), dispatcher.settle());
    changed.unwrap().expect("there is a crm").now
}

#[tokio::test]
async fn a_pause_holds_everything_back_over_a_restart_and_resume_sends_it() {
    let mut world = World::with_people(1).await;
    let (receiver, _) = moody().await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    assert_eq!(change(&mut dispatcher, OperatorAction::Pause).await.name(), "paused");
    assert_eq!(world.health("crm").await.state.name(), "paused", "written down before it is answered");
    world.event(0, "evt_1", &["crm"]).await;
    assert_eq!(dispatcher.settle().await, None);
    world.restart().await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    dispatcher.resume().await.unwrap();
    assert_eq!(dispatcher.settle().await, None);
    assert!(receiver.got().is_empty());
    assert_eq!(change(&mut dispatcher, OperatorAction::Resume).await, WebhookState::Up);
    assert_eq!(receiver.ids(), ["evt_1"]);
}

#[tokio::test]
async fn enable_brings_back_what_is_disabled_and_its_dead_letters_stay() {
    let world = World::with_people(1).await;
    let (receiver, status) = moody().await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    status.store(410, Ordering::SeqCst);
    world.event(0, "evt_1", &["crm"]).await;
    dispatcher.settle().await;
    assert_eq!(change(&mut dispatcher, OperatorAction::Resume).await.name(), "disabled");
    status.store(204, Ordering::SeqCst);
    assert_eq!(change(&mut dispatcher, OperatorAction::Enable).await, WebhookState::Up);
    world.event(0, "evt_2", &["crm"]).await;
    dispatcher.settle().await;
    assert_eq!(receiver.ids(), ["evt_1", "evt_2"]);
    assert_eq!(world.store.outbox_reader().webhook("crm").await.unwrap().dead, 1);
}

#[tokio::test]
async fn an_unknown_webhook_is_not_changed() {
    let world = World::with_people(1).await;
    let mut dispatcher = world.dispatcher(Vec::new());
    let (handle, other) = (dispatcher.handle(), name("other"));
    let (changed, _) = tokio::join!(handle.change(&other, OperatorAction::Pause), dispatcher.settle());
    assert_eq!(changed.unwrap(), None);
    drop(dispatcher);
    assert!(handle.change(&other, OperatorAction::Pause).await.is_err(), "the daemon is stopping");
}

/// A running dispatcher and the operator at it.
struct Desk {
    operator: Operator,
    running: JoinSet<()>,
    stop: CancellationToken,
}

impl Desk {
    fn open(world: &World, dispatcher: Dispatcher) -> Self {
        let (stop, mut running) = (CancellationToken::new(), JoinSet::new());
        let looks = PollerHandle::pair().0;
        let operator = Operator::new(
            world.store.clone(),
            world.shared_clock(),
            dispatcher.handle(),
            looks,
            Arc::clone(&world.wake),
        );
        let token = stop.clone();
        running.spawn(async move { dispatcher.run(token).await.unwrap() });
        Self { operator, running, stop }
    }

    async fn close(mut self) {
        self.stop.cancel();
        self.running.join_next().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_test_goes_to_one_webhook_around_its_queue_and_is_written_down() {
    let world = World::with_people(1).await;
    let (receiver, _) = moody().await;
    let target = world.target_at("crm", &receiver.url(), |destination| {
        destination.headers = vec![("authorization".to_owned(), Secret::new("Bearer hush"))];
    });
    let other = world.target_at("other", &receiver.url(), |_| {});
    let mut dispatcher = world.dispatcher(vec![target, other]);
    change(&mut dispatcher, OperatorAction::Pause).await;
    let desk = Desk::open(&world, dispatcher);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let tested = desk.operator.test(&name("crm")).await.unwrap();
        assert_eq!((tested.trial.answer.outcome, tested.standing.name()), (Outcome::Accepted, "paused"));
        let shown = |wanted: &str| {
            let mut headers = tested.trial.headers.iter();
            headers.find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
        };
        assert_eq!(shown("presenced-trigger"), Some("test"));
        assert_eq!(shown("authorization"), Some("(hidden)"));
        assert_eq!(shown("webhook-id"), Some(tested.event_id.as_str()));
        ids.push(tested.event_id);
    }
    assert_ne!(ids[0], ids[1], "each is an event of its own");
    let got = receiver.got();
    assert_eq!(receiver.ids(), ids);
    assert!(got.iter().all(|got| got.header("presenced-webhook") == "crm"));
    assert_eq!(got[0].header("authorization"), "Bearer hush");
    let body: serde_json::Value = serde_json::from_slice(&got[0].body).unwrap();
    assert_eq!(
        (body["type"].as_str(), body["data"]["synthetic"].as_bool()),
        (Some("webhook.test"), Some(true))
    );
    let query = DeliveryQuery { limit: 9, ..DeliveryQuery::default() };
    let rows = world.store.outbox_reader().deliveries(&query).await.unwrap();
    let rows: Vec<_> =
        rows.iter().map(|row| (row.webhook.as_str(), row.trigger.as_str(), row.state.as_str())).collect();
    assert_eq!(rows, [("crm", "test", "delivered"); 2]);
    let error = desk.operator.test(&name("nobody")).await.unwrap_err();
    assert!(matches!(error, OperatorError::NoWebhook(_)));
    desk.close().await;
}

#[tokio::test]
async fn a_failed_test_is_reported_and_is_no_dead_letter() {
    let world = World::with_people(1).await;
    let (receiver, status) = moody().await;
    status.store(302, Ordering::SeqCst);
    let desk = Desk::open(&world, world.dispatcher(vec![world.target(&receiver)]));
    let tested = desk.operator.test(&name("crm")).await.unwrap();
    assert_eq!((tested.trial.answer.outcome, tested.trial.answer.status), (Outcome::Refused, Some(302)));
    let ledger = world.store.outbox_reader();
    assert_eq!(ledger.webhook("crm").await.unwrap().dead, 0);
    let dead = DeliveryQuery { state: Some("dead"), limit: 9, ..DeliveryQuery::default() };
    assert_eq!(ledger.deliveries(&dead).await.unwrap(), []);
    assert_eq!(world.health("crm").await.state, WebhookState::Up, "a test changes nobody's standing");
    desk.close().await;
}

/// Everybody gets everything.
fn alerts(world: &World) -> WebhookAlerts {
    let everything = |webhook| Subscription { patterns: vec![Pattern::All], ..Subscription::new(webhook) };
    WebhookAlerts {
        store: world.store.clone(),
        clock: world.shared_clock(),
        states_wake: Arc::new(Notify::new()),
        outbox_wake: Arc::clone(&world.wake),
        subscriptions: watch::channel([name("crm"), name("other")].map(everything).into()).1,
    }
}

/// Each alert so far: its state, and to whom it goes.
async fn told(world: &World) -> Vec<(String, Vec<String>)> {
    let query = EventQuery {
        after: Some(0),
        event_type: Some("system.alert".into()),
        limit: 99,
        ..Default::default()
    };
    let mut told = Vec::new();
    for event in world.store.history().events(&query).await.unwrap() {
        let body: serde_json::Value = serde_json::from_str(&event.body).unwrap();
        assert_eq!(body["data"]["alert"]["name"], "webhook");
        let of_event = DeliveryQuery { event: Some(event.id), limit: 9, ..DeliveryQuery::default() };
        let rows = world.store.outbox_reader().deliveries(&of_event).await.unwrap();
        let state = body["data"]["alert"]["state"].as_str().unwrap().to_owned();
        told.push((state, rows.into_iter().map(|row| row.webhook).collect()));
    }
    told
}

#[tokio::test]
async fn ten_minutes_down_and_the_recovery_are_sent_to_other_webhooks_once_also_over_a_restart() {
    let mut world = World::with_people(1).await;
    let (receiver, status) = moody().await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    status.store(503, Ordering::SeqCst);
    world.event(0, "evt_1", &["crm"]).await;
    while world.health("crm").await.state == WebhookState::Up {
        let due = dispatcher.settle().await.unwrap();
        world.clock.set(due.max(world.clock.now()));
    }
    let WebhookState::Down { since, .. } = world.health("crm").await.state else { panic!("it is down") };
    let fires = since.plus(Duration::from_mins(10));
    assert_eq!(alerts(&world).step().await.unwrap(), Some(fires));
    world.clock.set(fires.minus(Duration::from_millis(1)));
    alerts(&world).step().await.unwrap();
    assert!(told(&world).await.is_empty(), "not a moment too early");
    world.clock.set(fires);
    assert_eq!(alerts(&world).step().await.unwrap(), None);
    let firing = ("firing".to_owned(), vec!["other".to_owned()]);
    assert_eq!(told(&world).await, std::slice::from_ref(&firing), "to the other one only");

    drop(dispatcher);
    world.restart().await;
    world.clock.advance(Duration::from_hours(1));
    alerts(&world).step().await.unwrap();
    assert_eq!(told(&world).await.len(), 1, "a restart does not repeat it");
    status.store(204, Ordering::SeqCst);
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    dispatcher.resume().await.unwrap();
    world.run_out(&mut dispatcher, 10).await;
    for _ in 0..2 {
        alerts(&world).step().await.unwrap();
    }
    assert_eq!(told(&world).await, [firing, ("resolved".to_owned(), vec!["other".to_owned()])]);
}

#[tokio::test]
async fn a_long_outage_at_a_stop_is_reported_by_the_next_start() {
    let mut world = World::with_people(1).await;
    let (receiver, status) = moody().await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    status.store(503, Ordering::SeqCst);
    world.event(0, "evt_1", &["crm"]).await;
    while world.health("crm").await.state == WebhookState::Up {
        let due = dispatcher.settle().await.unwrap();
        world.clock.set(due.max(world.clock.now()));
    }
    drop(dispatcher);
    world.restart().await;
    world.clock.advance(Duration::from_hours(1));
    alerts(&world).step().await.unwrap();
    assert_eq!(told(&world).await.len(), 1, "a restart does not forget it");
}

#[tokio::test]
async fn a_webhook_disabled_by_410_is_reported_at_once_and_enable_resolves_it() {
    let world = World::with_people(1).await;
    let (receiver, status) = moody().await;
    let mut dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    status.store(410, Ordering::SeqCst);
    world.event(0, "evt_1", &["crm"]).await;
    dispatcher.settle().await;
    alerts(&world).step().await.unwrap();
    assert_eq!(told(&world).await.len(), 1);
    change(&mut dispatcher, OperatorAction::Enable).await;
    alerts(&world).step().await.unwrap();
    let turns: Vec<_> = told(&world).await.into_iter().map(|(turn, _)| turn).collect();
    assert_eq!(turns, ["firing", "resolved"]);
}

#[tokio::test]
async fn the_task_tells_by_itself_when_the_time_has_come() {
    let world = World::with_people(1).await;
    let (receiver, status) = moody().await;
    let dispatcher = world.dispatcher(vec![world.target(&receiver)]);
    let task = WebhookAlerts { states_wake: dispatcher.states_wake(), ..alerts(&world) };
    status.store(410, Ordering::SeqCst);
    let (stop, mut running) = (CancellationToken::new(), JoinSet::new());
    running.spawn(task.run(stop.clone()));
    running.spawn(dispatcher.run(stop.clone()));
    world.event(0, "evt_1", &["crm"]).await;
    while told(&world).await.is_empty() {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    while let Some(ended) = running.join_next().await {
        ended.unwrap().unwrap();
    }
}
