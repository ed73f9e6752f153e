//! One dead and one dripping receiver among ten: the other eight get everything all the same.
//!
//! Guards: nobody waits for another's connection, answer or time-out; who is bad has no more than its own `concurrency`
//! in hand. What is asserted is order and number, never how long it took. Deliberately not here: milliseconds
//! (`benches/delivery`).
#![expect(clippy::unwrap_used, reason = "a failure of the set-up is a failure of the test")]

use std::sync::Arc;

use presenced::tasks::dispatcher::Target;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::delivery_harness::{OK, Receiver, Reply, World};

const GOOD: usize = 8;
const PEOPLE: usize = 6;
const ROUNDS: usize = 5;

struct Scene {
    world: World,
    good: Vec<Receiver>,
    dripping: Receiver,
    targets: Vec<Target>,
    arrivals: mpsc::UnboundedReceiver<()>,
}

impl Scene {
    /// The bad ones come first, so that nobody is served before them by luck.
    async fn new() -> Self {
        let world = World::with_people(PEOPLE).await;
        // Bound for a moment and gone: nobody listens there.
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let dripping = Receiver::start(|_| Reply::Silence(b"HTTP/1.1 200 OK\r\nx: ".to_vec())).await;
        let mut targets = vec![
            world.target_at("dead", &format!("http://{nobody}/"), |_| {}),
            world.target_at("dripping", &dripping.url(), |_| {}),
        ];
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let arrived = Arc::new(arrived);
        let mut good = Vec::new();
        for n in 0..GOOD {
            let arrived = Arc::clone(&arrived);
            let receiver = Receiver::start(move |_| {
                // An error means that the test is over.
                let _ = arrived.send(());
                OK
            })
            .await;
            targets.push(world.target_at(&format!("good{n}"), &receiver.url(), |_| {}));
            good.push(receiver);
        }
        Self { world, good, dripping, targets, arrivals }
    }

    /// An event about everybody, for all ten.
    async fn round(&self, round: usize) {
        let names: Vec<&str> = self.targets.iter().map(|target| target.name.as_str()).collect();
        for person in 0..PEOPLE {
            self.world.event(person, &format!("evt_{person}x{round}"), &names).await;
        }
    }
}

#[tokio::test]
async fn eight_receivers_get_everything_while_one_is_dead_and_one_drips() {
    let mut scene = Scene::new().await;
    let dispatcher = scene.world.dispatcher(scene.targets.clone());
    let everything = async {
        for round in 0..ROUNDS {
            scene.round(round).await;
            // Each round begins when the eight have the last one: the bad ones are stuck for ever longer.
            for _ in 0..GOOD * PEOPLE {
                scene.arrivals.recv().await.unwrap();
            }
        }
    };
    tokio::select! {
        ended = dispatcher.run(CancellationToken::new()) => panic!("the dispatcher ended: {ended:?}"),
        () = everything => {}
    }

    for receiver in &scene.good {
        let ids = receiver.ids();
        assert_eq!(ids.len(), ROUNDS * PEOPLE, "everything, once");
        for person in 0..PEOPLE {
            let mine: Vec<_> = ids.iter().filter(|id| id.starts_with(&format!("evt_{person}x"))).collect();
            assert_eq!(mine.len(), ROUNDS);
            assert!(mine.is_sorted(), "in order: {mine:?}");
        }
    }
    // It still has its first requests: not one was answered, so nobody waited for it.
    let held = scene.dripping.ids();
    assert!((1..=PEOPLE).contains(&held.len()), "one a lane at most: {held:?}");
    assert!(held.iter().all(|id| id.ends_with("x0")), "{held:?}");
}

#[tokio::test]
async fn what_the_bad_ones_did_not_get_still_waits_for_them() {
    let mut scene = Scene::new().await;
    let dispatcher = scene.world.dispatcher(scene.targets.clone());
    let everything = async {
        scene.round(0).await;
        for _ in 0..GOOD * PEOPLE {
            scene.arrivals.recv().await.unwrap();
        }
    };
    tokio::select! {
        ended = dispatcher.run(CancellationToken::new()) => panic!("the dispatcher ended: {ended:?}"),
        () = everything => {}
    }
    // As after a crash: the answers that were out are lost, the rows are not.
    scene.world.restart().await;
    let back = Receiver::start(|_| OK).await;
    let targets: Vec<Target> = ["dead", "dripping"]
        .into_iter()
        .map(|name| scene.world.target_at(name, &back.url(), |_| {}))
        .collect();
    let mut dispatcher = scene.world.dispatcher(targets);
    dispatcher.resume().await.unwrap();
    scene.world.run_out(&mut dispatcher, 20).await;
    for name in ["dead", "dripping"] {
        let got = back.got();
        let ids: std::collections::BTreeSet<_> = got
            .iter()
            .filter(|got| got.header("presenced-webhook") == name)
            .map(|got| got.header("webhook-id").to_owned())
            .collect();
        assert_eq!(ids.len(), PEOPLE, "{name} gets everything in the end");
    }
}
